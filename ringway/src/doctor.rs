//! `ringway doctor`: what the configuration asks of the host, for the rules of `tuning`.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_config::ConfigError;
use ringway_config::compile::{
    Cause, NoSinks, NoSockets, OpenSockets, ResolvedEndpoints, SocketSpec,
};
use ringway_model::address::Address;
use ringway_model::listener::Sockets;
use ringway_runtime::worker::{self, Driver};
use ringway_tuning::{ConfigFacts, DoctorArgs, ListenerFacts};

use crate::configuration::Configuration;
use crate::validate;

/// The exit code of a configuration that cannot serve, as of a host that cannot.
const WILL_FAIL: u8 = 2;

/// Reads the configuration, if there is one, and examines the host.
pub(crate) fn main(args: &DoctorArgs) -> ExitCode {
    let listeners = match args.config_path.as_deref().map(listeners).transpose() {
        Ok(listeners) => listeners.unwrap_or_default(),
        Err(errors) => {
            let name = args.config_path.as_deref().map(|path| path.display().to_string());
            validate::report(&errors, &name.unwrap_or_default());
            return ExitCode::from(WILL_FAIL);
        }
    };
    let (driver, why) = worker::detect();
    let facts = ConfigFacts {
        workers: Some(worker::cores()),
        listeners,
        // There is no such limit in a configuration yet (the overload manager has it).
        max_downstream_connections: None,
        io_uring_refused: (driver == Driver::Epoll).then_some(why),
    };
    ringway_tuning::doctor::main(args, &facts)
}

/// The listeners of a configuration and its admin server. No socket is opened.
fn listeners(path: &Path) -> Result<Vec<ListenerFacts>, Vec<ConfigError>> {
    let catalog = Arc::new(Catalog::default());
    let mut configuration = Configuration::new(Some(path.to_owned()), None, &catalog, 1);
    let loaded = configuration.read(Cause::Start)?;
    let mut asked = Asked::default();
    let endpoints = ResolvedEndpoints::new();
    let draft = configuration.compile(&loaded, &endpoints, &mut asked, &mut NoSinks)?;
    let admin = draft.admin.and_then(|admin| admin.address);
    let admin = admin.map(|address| ListenerFacts {
        name: "admin".to_owned(),
        port: port(&address),
        backlog: None,
    });
    Ok(asked.listeners.into_iter().chain(admin).collect())
}

/// Opens nothing and remembers what was asked for.
#[derive(Debug, Default)]
struct Asked {
    listeners: Vec<ListenerFacts>,
}

impl OpenSockets for Asked {
    fn open(&mut self, spec: &SocketSpec) -> io::Result<Arc<Sockets>> {
        self.listeners.push(ListenerFacts {
            name: spec.listener.to_string(),
            port: port(&spec.address),
            backlog: Some(spec.backlog),
        });
        NoSockets.open(spec)
    }
}

/// Port 0 says nothing about the host, nor does a Unix socket.
fn port(address: &Address) -> Option<u16> {
    address.ip().map(|ip| ip.port()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_its_listeners_and_the_admin_server() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/edge.yaml");
        let found = listeners(&file).expect("a good configuration");
        let found: Vec<_> =
            found.iter().map(|one| (one.name.as_str(), one.port, one.backlog)).collect();
        assert_eq!(found, [("http", Some(80), Some(16384)), ("admin", Some(9901), None)]);
    }

    /// The sockets that systemd would hold are those that the example asks for.
    #[test]
    fn the_socket_unit_goes_with_the_example() {
        let tuning = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning");
        let unit = std::fs::read_to_string(tuning.join("systemd/ringway.socket")).expect("read");
        let value = |key| unit.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        let found = listeners(&tuning.join("edge.yaml")).expect("a good configuration");
        let http = &found[0];
        assert_eq!(value("ListenStream="), format!("[::]:{}", http.port.expect("a port")));
        assert_eq!(value("Backlog="), http.backlog.expect("a backlog").to_string());
    }

    #[test]
    fn a_configuration_that_is_not_there_is_an_error() {
        assert!(listeners(Path::new("/nowhere/envoy.yaml")).is_err());
    }
}
