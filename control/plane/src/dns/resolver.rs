//! Who asks the name servers.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use ringway_model::dns::Resolver;

use super::LookupFamily;

/// How long one query may take, and how often it is repeated (c-ares' defaults are 5 s and 4).
const QUERY_MAX: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 3;

/// What a name stands for. A name without addresses, or that does not exist, is an answer too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order in which they are to be used.
    pub addresses: Vec<IpAddr>,
    /// The lowest TTL of the records; `None` where there are none.
    pub ttl: Option<Duration>,
    /// There is no such name at all.
    pub nonexistent: bool,
}

/// Nobody could be asked, or nobody gave an answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ResolveError {
    /// For people.
    pub text: String,
    /// In the words of c-ares, which Envoy puts into the details of responses.
    pub reason: &'static str,
}

impl ResolveError {
    /// An error that c-ares has no better word for.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), reason: "Could_not_contact_DNS_servers" }
    }
}

/// An answer to come.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// Asks for `name`, for the families of addresses that are wanted.
    fn resolve<'a>(&'a self, name: &'a str, family: LookupFamily) -> Resolving<'a>;
}

/// Finds who answers by these settings.
pub type ResolverOf =
    Box<dyn Fn(&Resolver) -> Result<Arc<dyn Resolve>, ResolveError> + Send + Sync>;

/// Those who answer, one for all who have the same settings.
pub struct Resolvers {
    make: ResolverOf,
    made: HashMap<Resolver, Arc<dyn Resolve>>,
}

impl std::fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolvers").field("made", &self.made.keys()).finish_non_exhaustive()
    }
}

impl Resolvers {
    /// None is there yet.
    pub fn new(make: ResolverOf) -> Self {
        Self { make, made: HashMap::new() }
    }

    /// Who answers by these settings. Must be called inside the control thread's runtime.
    pub fn of(&mut self, settings: &Resolver) -> Result<Arc<dyn Resolve>, ResolveError> {
        if let Some(resolver) = self.made.get(settings) {
            return Ok(Arc::clone(resolver));
        }
        let resolver = (self.make)(settings)?;
        self.made.insert(settings.clone(), Arc::clone(&resolver));
        Ok(resolver)
    }
}

/// The resolver of the host: `/etc/hosts`, and the name servers of `/etc/resolv.conf`.
///
/// A resolver in the process rather than `getaddrinfo`, because that tells no TTL and blocks a
/// thread for as long as a name server is silent.
pub struct SystemResolver(TokioResolver);

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemResolver")
    }
}

impl SystemResolver {
    /// Reads the host's configuration. Without one the name server on this host is asked, as
    /// resolv.conf(5) has it. Must be called inside the control thread's runtime.
    pub fn new() -> Result<Self, ResolveError> {
        match TokioResolver::builder_tokio() {
            Ok(builder) => {
                let mut builder = builder;
                tune(builder.options_mut());
                Ok(Self(builder.build().map_err(describe)?))
            }
            Err(error) => {
                tracing::warn!(target: "dns", %error, "no usable resolv.conf: asking 127.0.0.1");
                Self::with_servers(&[SocketAddr::from(([127, 0, 0, 1], 53))])
            }
        }
    }

    /// Asks these name servers over UDP, and over TCP where an answer is too long for UDP.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, ResolveError> {
        Self::of(&Resolver { servers: servers.to_vec(), search: false, ..Resolver::default() })
    }

    /// Asks whom the configuration names (`typed_dns_resolver_config`), and those of the host
    /// where it names nobody. Must be called inside the control thread's runtime.
    pub fn of(settings: &Resolver) -> Result<Self, ResolveError> {
        if *settings == Resolver::default() {
            return Self::new();
        }
        let of_host = || hickory_resolver::system_conf::read_system_conf().ok();
        let host = (settings.search || settings.servers.is_empty()).then(of_host).flatten();
        let host = host.map(|(config, _)| config);
        let servers = match (&host, settings.servers.is_empty()) {
            (Some(host), true) => host.name_servers().to_vec(),
            (None, true) => vec![server(SocketAddr::from(([127, 0, 0, 1], 53)))],
            (_, false) => settings.servers.iter().map(|address| server(*address)).collect(),
        };
        let searched = host.filter(|_| settings.search);
        let domains = searched.as_ref().map_or(&[][..], ResolverConfig::search).to_vec();
        let domain = searched.as_ref().and_then(ResolverConfig::domain).cloned();
        let mut servers = servers;
        if settings.over_tcp {
            let is_tcp =
                |connection: &ConnectionConfig| matches!(connection.protocol, ProtocolConfig::Tcp);
            servers.iter_mut().for_each(|server| server.connections.retain(is_tcp));
        }
        let config = ResolverConfig::from_parts(domain, domains, servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        tune(options);
        options.timeout = settings.timeout;
        // The first try is no repetition.
        options.attempts = settings.tries.saturating_sub(1) as usize;
        Ok(Self(builder.build().map_err(describe)?))
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, ResolveError> {
        match self.0.lookup(parsed(name)?, kind).await {
            Ok(lookup) => {
                let mut answer = Answer::default();
                for record in lookup.answers() {
                    let address = match &record.data {
                        RData::A(a) => IpAddr::V4(a.0),
                        RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
                        _ => continue,
                    };
                    let ttl = Duration::from_secs(u64::from(record.ttl));
                    answer.addresses.push(address);
                    answer.ttl = Some(answer.ttl.map_or(ttl, |lowest| lowest.min(ttl)));
                }
                Ok(answer)
            }
            Err(error) if says_nothing_is_there(&error) => {
                Ok(Answer { nonexistent: says_nobody_is_there(&error), ..Answer::default() })
            }
            Err(error) => Err(describe(error)),
        }
    }

    /// The first kind, and the second only where the first gives nothing.
    async fn either(
        &self,
        name: &str,
        first: RecordType,
        second: RecordType,
    ) -> Result<Answer, ResolveError> {
        match self.lookup(name, first).await {
            Ok(answer) if !answer.addresses.is_empty() => Ok(answer),
            _ => self.lookup(name, second).await,
        }
    }

    async fn both(&self, name: &str) -> Result<Answer, ResolveError> {
        let (four, six) =
            tokio::join!(self.lookup(name, RecordType::A), self.lookup(name, RecordType::AAAA));
        match (four, six) {
            (Ok(four), Ok(six)) => Ok(Answer {
                ttl: four.ttl.into_iter().chain(six.ttl).min(),
                addresses: [four.addresses, six.addresses].concat(),
                nonexistent: four.nonexistent && six.nonexistent,
            }),
            // One family is better than none.
            (Ok(answer), Err(_)) | (Err(_), Ok(answer)) if !answer.addresses.is_empty() => {
                Ok(answer)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, family: LookupFamily) -> Resolving<'a> {
        Box::pin(async move {
            match family {
                LookupFamily::V4Only => self.lookup(name, RecordType::A).await,
                LookupFamily::V6Only => self.lookup(name, RecordType::AAAA).await,
                LookupFamily::Auto => self.either(name, RecordType::AAAA, RecordType::A).await,
                LookupFamily::V4Preferred => {
                    self.either(name, RecordType::A, RecordType::AAAA).await
                }
                LookupFamily::All => self.both(name).await,
            }
        })
    }
}

/// A host name of ASCII is taken as it is: it may hold what no international name does.
fn parsed(name: &str) -> Result<Name, ResolveError> {
    let parsed = if name.is_ascii() { Name::from_ascii(name) } else { Name::from_utf8(name) };
    let reason = "Misformatted_domain_name";
    parsed.map_err(|error| ResolveError { text: error.to_string(), reason })
}

fn tune(options: &mut ResolverOpts) {
    // The schedule of the cluster says when to ask again, so an answer is never remembered here.
    options.cache_size = 0;
    options.timeout = QUERY_MAX;
    options.attempts = ATTEMPTS;
    options.use_hosts_file = ResolveHosts::Always;
    options.try_tcp_on_error = true;
}

/// Envoy takes a name that does not exist, and one without such addresses, as an empty answer.
fn says_nothing_is_there(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        _ => false,
    }
}

/// There is no such name, rather than a name without such addresses.
fn says_nobody_is_there(error: &NetError) -> bool {
    code_of(error) == Some(ResponseCode::NXDomain)
}

fn code_of(error: &NetError) -> Option<ResponseCode> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => Some(*code),
        _ => None,
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = address.port());
    NameServerConfig::new(address.ip(), true, connections)
}

fn describe(error: NetError) -> ResolveError {
    let reason = match (code_of(&error), &error) {
        (Some(ResponseCode::ServFail), _) => "DNS_server_returned_general_failure",
        (Some(ResponseCode::FormErr), _) => "DNS_server_claims_query_was_misformatted",
        (Some(ResponseCode::Refused), _) => "DNS_server_refused_query",
        (Some(ResponseCode::NotImp), _) => "DNS_server_does_not_implement_requested_operation",
        (_, NetError::Timeout) => "Timeout_while_contacting_DNS_servers",
        _ => "Could_not_contact_DNS_servers",
    };
    ResolveError { text: error.to_string(), reason }
}

#[cfg(test)]
mod tests;
