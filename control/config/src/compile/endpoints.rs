//! The endpoints of a cluster (Envoy `config.endpoint.v3.ClusterLoadAssignment`), and what of
//! them must be resolved.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringway_lb::{Health, Host};
use ringway_model::address::Address;
use ringway_model::cluster::{Endpoint, Locality};
use ringway_model::proxy_header::EndpointTlvs;

use super::address::{self, Place};
use super::at::At;
use super::cluster::Discovery;
use super::dns::Resolved;
use super::proto::{cluster, core, endpoint, google};
use super::value::or_u32;
use super::{proxy_header, tls};

/// The endpoints of a cluster as configured: what is listed, before names are resolved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    /// One per `lb_endpoints` entry, in order.
    entries: Vec<Entry>,
    discovery: Discovery,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    transport_match: Option<u16>,
    hash_key: Option<Arc<str>>,
    tlvs: EndpointTlvs,
    place: Place,
    /// `hostname`; of a name that is resolved, the name itself stands in for it.
    hostname: Arc<str>,
    host: Host,
    locality: Arc<Locality>,
}

/// What to do about a name where an address must be.
const STATIC_HINT: &str = ". Consider setting resolver_name or setting cluster type to \
                           'STRICT_DNS' or 'LOGICAL_DNS'";

pub(super) fn listed(at: &At<'_>, cluster: &cluster::Cluster, discovery: Discovery) -> Listed {
    let at = at.field("load_assignment");
    let at = at.field("endpoints");
    let assignment = cluster.load_assignment.as_ref();
    let assignment = assignment.filter(|_| !discovery.lists_none());
    let localities = assignment.map_or(&[][..], |assignment| &assignment.endpoints);
    let mut entries = Vec::new();
    for (index, locality) in localities.iter().enumerate() {
        let at = at.index(index);
        entries.extend(in_locality(&at, cluster, index, locality, discovery));
    }
    let is_single = matches!(localities, [one] if one.lb_endpoints.len() == 1);
    if discovery == Discovery::LogicalDns && !is_single {
        at.invalid(
            "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint",
        );
    }
    Listed { entries, discovery }
}

fn in_locality<'a>(
    at: &'a At<'a>,
    cluster: &'a cluster::Cluster,
    index: usize,
    locality: &'a endpoint::LocalityLbEndpoints,
    discovery: Discovery,
) -> impl Iterator<Item = Entry> + 'a {
    let name = Arc::new(locality_name(locality.locality.as_ref()));
    let host = Host {
        priority: locality.priority,
        // The API's rules bound the size of a message far below this.
        locality: u32::try_from(index).unwrap_or(u32::MAX),
        ..Host::PLAIN
    };
    locality.lb_endpoints.iter().enumerate().filter_map(move |(number, endpoint)| {
        let at = at.field("lb_endpoints");
        let of = |one| tls::matches::of_endpoint(cluster, one, locality.metadata.as_ref());
        let transport_match = of(endpoint.metadata.as_ref());
        let entry = entry(&at.index(number), endpoint, host, &name, discovery)?;
        let hash_key = endpoint.metadata.as_ref().and_then(hash_key);
        let tlvs = proxy_header::of_endpoint(&at.index(number).field("metadata"), endpoint)?;
        Some(Entry { transport_match, hash_key, tlvs, ..entry })
    })
}

fn locality_name(locality: Option<&core::Locality>) -> Locality {
    let locality = locality.cloned().unwrap_or_default();
    Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone }
}

fn entry(
    at: &At<'_>,
    listed: &endpoint::LbEndpoint,
    host: Host,
    locality: &Arc<Locality>,
    discovery: Discovery,
) -> Option<Entry> {
    use endpoint::lb_endpoint::HostIdentifier;
    let Some(HostIdentifier::Endpoint(endpoint)) = &listed.host_identifier else {
        at.unsupported("an endpoint without its address");
        return None;
    };
    let at = at.field("endpoint");
    let Some(address) = &endpoint.address else {
        at.invalid(format_args!("Address must be set{STATIC_HINT}"));
        return None;
    };
    if endpoint.health_check_config.is_some() {
        at.field("health_check_config").no_effect("the cluster has no health checks");
    }
    let place = match discovery {
        Discovery::Static | Discovery::Dynamic | Discovery::OriginalDst => {
            Place::Known(address::resolved(&at.field("address"), address, STATIC_HINT)?)
        }
        Discovery::StrictDns | Discovery::LogicalDns => {
            address::place(&at.field("address"), address)?
        }
    };
    let hostname = match (&place, endpoint.hostname.as_str()) {
        (Place::Named { host, .. }, "") => host,
        (_, hostname) => hostname,
    };
    let weight = or_u32(listed.load_balancing_weight, 1);
    Some(Entry {
        hostname: Arc::from(hostname),
        host: Host { weight, health: health(listed.health_status), ..host },
        locality: Arc::clone(locality),
        transport_match: None,
        hash_key: None,
        tlvs: Arc::default(),
        place,
    })
}

/// `hash_key` in the metadata of `envoy.lb`: stands for the endpoint where requests are hashed.
fn hash_key(metadata: &core::Metadata) -> Option<Arc<str>> {
    use google::value::Kind;
    let value = metadata.filter_metadata.get("envoy.lb")?.fields.get("hash_key")?;
    match &value.kind {
        Some(Kind::StringValue(key)) if !key.is_empty() => Some(Arc::from(key.as_str())),
        _ => None,
    }
}

fn health(status: i32) -> Health {
    use core::HealthStatus;
    match HealthStatus::try_from(status) {
        Ok(HealthStatus::Unhealthy | HealthStatus::Draining | HealthStatus::Timeout) => {
            Health::Unhealthy
        }
        Ok(HealthStatus::Degraded) => Health::Degraded,
        Ok(HealthStatus::Unknown | HealthStatus::Healthy) | Err(_) => Health::Healthy,
    }
}

impl Listed {
    /// The names to resolve, each once, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in &self.entries {
            if let Place::Named { host, .. } = &entry.place
                && !names.contains(host)
            {
                names.push(host.clone());
            }
        }
        names
    }

    /// The endpoints at this moment; those equal to one of `before` are that one.
    pub(super) fn endpoints(
        &self,
        resolved: Option<&Resolved>,
        before: &[Arc<Endpoint>],
    ) -> Vec<Arc<Endpoint>> {
        let mut known = Known::new(before);
        let mut endpoints = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match &entry.place {
                Place::Known(address) => endpoints.push(known.shared(entry.at(address.clone()))),
                Place::Named { host, port } => {
                    let addresses = resolved.and_then(|resolved| resolved.get(host));
                    let used = match self.discovery {
                        Discovery::LogicalDns => 1,
                        _ => usize::MAX,
                    };
                    for ip in addresses.into_iter().flatten().take(used) {
                        endpoints.push(known.shared(entry.at(socket(*ip, *port))));
                    }
                }
            }
        }
        match self.discovery {
            Discovery::Static | Discovery::Dynamic | Discovery::OriginalDst => endpoints,
            Discovery::StrictDns | Discovery::LogicalDns => unique(endpoints),
        }
    }
}

fn socket(ip: IpAddr, port: u16) -> Address {
    Address::Ip(SocketAddr::new(ip, port))
}

/// Two names may stand for one address; as in Envoy it is one endpoint then, and the first wins.
fn unique(endpoints: Vec<Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
    let mut seen = std::collections::HashSet::new();
    let mut keep =
        |endpoint: &Arc<Endpoint>| seen.insert((endpoint.address.clone(), endpoint.host.priority));
    endpoints.into_iter().filter(|endpoint| keep(endpoint)).collect()
}

impl Entry {
    fn at(&self, address: Address) -> Endpoint {
        Endpoint {
            address_text: Arc::from(address.to_string()),
            address,
            hostname: Arc::clone(&self.hostname),
            host: self.host,
            locality: Arc::clone(&self.locality),
            transport_match: self.transport_match,
            hash_key: self.hash_key.clone(),
            tlvs: Arc::clone(&self.tlvs),
            server_name: None,
        }
    }
}

/// The endpoints of the generation before, by address.
struct Known<'a> {
    by_address: std::collections::HashMap<&'a Address, Vec<&'a Arc<Endpoint>>>,
}

impl<'a> Known<'a> {
    fn new(before: &'a [Arc<Endpoint>]) -> Self {
        let mut by_address = std::collections::HashMap::<_, Vec<_>>::new();
        for endpoint in before {
            by_address.entry(&endpoint.address).or_default().push(endpoint);
        }
        Self { by_address }
    }

    fn shared(&mut self, endpoint: Endpoint) -> Arc<Endpoint> {
        let candidates = self.by_address.get(&endpoint.address);
        let same = candidates.and_then(|all| all.iter().find(|known| ****known == endpoint));
        same.map_or_else(|| Arc::new(endpoint), |known| Arc::clone(known))
    }
}
