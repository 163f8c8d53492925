//! From the command line to a compiled generation: which sources there are, and the compiler that
//! remembers what the last generation looked like.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_config::compile::{
    Cause, Compiler, Draft, Environment, OpenSinks, OpenSockets, ResolvedEndpoints,
};
use ringway_config::{ConfigError, Loaded, Source, Support, load};

use crate::builtins;

/// Where a configuration comes from, and the compiler of its generations.
#[derive(Debug)]
pub(crate) struct Configuration {
    path: Option<PathBuf>,
    inline: Option<String>,
    support: Support,
    compiler: Compiler,
}

impl Configuration {
    /// The configuration of a file, of YAML text, or of both: then the text is merged over the
    /// file.
    pub(crate) fn new(
        path: Option<PathBuf>,
        inline: Option<String>,
        catalog: &Arc<Catalog>,
        workers: usize,
    ) -> Self {
        let registry = builtins::registry();
        let mut support = Support::built_in();
        for factory in &registry.http_filters {
            support = support.with_http_filter(factory.type_url(), factory.supported());
            if let Some(type_name) = factory.route_type_url() {
                support = support.with_route_config(type_name);
            }
        }
        let environment =
            Environment { catalog: Arc::clone(catalog), registry, workers, local_ip: local_ip() };
        Self { path, inline, support, compiler: Compiler::new(environment) }
    }

    /// Reads the sources: syntax, fields, rules, support. Every error at once, those included that
    /// compiling what could be read has found.
    pub(crate) fn read(&self, cause: Cause) -> Result<Loaded, Vec<ConfigError>> {
        let mut sources = Vec::new();
        if let Some(path) = &self.path {
            // A name that is not UTF-8 is shown with marks in it, and not found.
            let path = path.to_string_lossy();
            sources.push(Source::open(&path).map_err(|error| vec![error])?);
        }
        if let Some(text) = &self.inline {
            sources.push(Source::inline(text));
        }
        load::read(&sources, &self.support)
            .map_err(|refused| self.compiler.errors_of(cause, refused))
    }

    /// Compiles what was read into the next generation.
    pub(crate) fn compile(
        &mut self,
        loaded: &Loaded,
        endpoints: &ResolvedEndpoints,
        sockets: &mut dyn OpenSockets,
        sinks: &mut dyn OpenSinks,
    ) -> Result<Draft, Vec<ConfigError>> {
        self.compile_for(Cause::Start, loaded, endpoints, sockets, sinks)
    }

    /// As [`Configuration::compile`], for another cause.
    pub(crate) fn compile_for(
        &mut self,
        cause: Cause,
        loaded: &Loaded,
        endpoints: &ResolvedEndpoints,
        sockets: &mut dyn OpenSockets,
        sinks: &mut dyn OpenSinks,
    ) -> Result<Draft, Vec<ConfigError>> {
        self.compiler.compile_for(cause, loaded, endpoints, sockets, sinks)
    }

    /// The compiler, for changes of endpoints.
    pub(crate) fn compiler(&mut self) -> &mut Compiler {
        &mut self.compiler
    }
}

/// The first address of this machine that is not loopback, as Envoy chooses its own: IPv4 first.
fn local_ip() -> IpAddr {
    let found = if_addrs::get_if_addrs().ok().and_then(|interfaces| {
        let outward = interfaces.into_iter().map(|interface| interface.ip());
        outward.filter(|ip| !ip.is_loopback()).min_by_key(IpAddr::is_ipv6)
    });
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
