//! Tunnels of the UDP proxy through HTTP (Envoy `UdpTunnelingConfig`) and its session filters.

use ringway_model::udp::{DatagramBuffer, UdpTunneling};

use super::at::At;
use super::proto::{http_capsule, udp_proxy};
use super::value::{is, or_u32, type_name};
use super::{format, mutation, tcp_proxy};
use udp_proxy::UdpProxyConfig;
use udp_proxy::udp_proxy_config as options;

/// `max_buffered_datagrams`.
const DATAGRAMS_MAX: u32 = 1024;
/// `max_buffered_bytes`.
const BYTES_MAX: u64 = 16_384;

/// The outer `None` where it is wrong.
pub(super) fn tunneling(at: &At<'_>, config: &UdpProxyConfig) -> Option<Option<UdpTunneling>> {
    let capsules = session_filters(at, config)?;
    let Some(tunneling) = &config.tunneling_config else {
        if capsules {
            at.field("session_filters").unsupported("http_capsule without tunneling_config");
            return None;
        }
        return Some(None);
    };
    if config.use_per_packet_load_balancing {
        at.field("use_per_packet_load_balancing")
            .invalid("Only one of use_per_packet_load_balancing or tunneling_config can be used.");
        return None;
    }
    compile(&at.field("tunneling_config"), tunneling, capsules).map(Some)
}

/// Whether `http_capsule` is among them; the others are not there yet.
fn session_filters(at: &At<'_>, config: &UdpProxyConfig) -> Option<bool> {
    use options::session_filter::ConfigType;
    let at_filters = at.field("session_filters");
    let mut capsules = false;
    for (index, filter) in config.session_filters.iter().enumerate() {
        let at = at_filters.index(index);
        match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) if is::<http_capsule::FilterConfig>(any) => {
                if capsules {
                    at.unsupported("capsules within capsules");
                    return None;
                }
                capsules = true;
            }
            Some(ConfigType::TypedConfig(any)) => {
                at.unsupported(format_args!("the extension {}", type_name(any)));
                return None;
            }
            _ => {
                at.invalid(format_args!("the filter {} has no typed_config", filter.name));
                return None;
            }
        }
    }
    if !config.session_filters.is_empty() && config.use_per_packet_load_balancing {
        at.field("use_per_packet_load_balancing")
            .invalid("Only one of use_per_packet_load_balancing or session_filters can be used.");
        return None;
    }
    Some(capsules)
}

fn compile(
    at: &At<'_>,
    config: &options::UdpTunnelingConfig,
    capsules: bool,
) -> Option<UdpTunneling> {
    let text = |field, source: &str| format::text(&at.field(field), source, false);
    let (proxy_host, target_host) =
        (text("proxy_host", &config.proxy_host), text("target_host", &config.target_host));
    let lists = mutation::Lists {
        to_add: ("headers_to_add", &config.headers_to_add),
        to_remove: ("", &[]),
    };
    let headers = mutation::mutations(at, &lists);
    if !config.use_post && !config.post_path.is_empty() {
        at.field("post_path").invalid("Can't set a post path when POST method isn't used");
        return None;
    }
    let path = if config.post_path.is_empty() { "/" } else { &config.post_path };
    let retries = config.retry_options.as_ref();
    let at_retries = at.field("retry_options");
    let backoff = match retries.and_then(|retries| retries.backoff_options.as_ref()) {
        Some(options) => Some(tcp_proxy::backoff(&at_retries.field("backoff_options"), options)?),
        None => None,
    };
    let proxy_port = match config.proxy_port {
        Some(port) => Some(at.field("proxy_port").take(u16::try_from(port.value))?),
        None => None,
    };
    Some(UdpTunneling {
        proxy_host: proxy_host?,
        proxy_port,
        target_host: target_host?,
        // The API's own rule keeps it from 1 to 65535.
        target_port: at
            .field("default_target_port")
            .take(u16::try_from(config.default_target_port))?,
        post_path: config.use_post.then(|| path.into()),
        headers,
        max_connect_attempts: or_u32(retries.and_then(|one| one.max_connect_attempts), 1),
        backoff,
        buffer: buffer(config.buffer_options.as_ref()),
        capsules,
    })
}

fn buffer(config: Option<&options::udp_tunneling_config::BufferOptions>) -> DatagramBuffer {
    let Some(config) = config else { return DatagramBuffer::default() };
    let bytes = config.max_buffered_bytes.map_or(BYTES_MAX, |wrapper| wrapper.value);
    DatagramBuffer {
        max_datagrams: or_u32(config.max_buffered_datagrams, DATAGRAMS_MAX) as usize,
        max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
    }
}
