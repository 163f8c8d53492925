//! What is known of one request while it passes, and what is left to say when it is finished.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ringway_http::Version;
use ringway_tls::Handshake;

use crate::address::Address;
use crate::listener::{ChainName, ChainQuery};
use crate::tcp::TunnelAnswer;

/// Envoy's response flags (`%RESPONSE_FLAGS%`), a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseFlags(u32);

macro_rules! response_flags {
    ($($name:ident = $bit:literal, $short:literal, $long:literal;)*) => {
        impl ResponseFlags {
            $(#[doc = concat!("`", $short, "`: ", $long)]
            pub const $name: Self = Self(1 << $bit);)*
            const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$name, $short, $long)),*];
        }
    };
}

// The order is the one in which Envoy prints several flags.
response_flags! {
    FAILED_LOCAL_HEALTH_CHECK = 0, "LH", "FailedLocalHealthCheck";
    NO_HEALTHY_UPSTREAM = 1, "UH", "NoHealthyUpstream";
    UPSTREAM_REQUEST_TIMEOUT = 2, "UT", "UpstreamRequestTimeout";
    LOCAL_RESET = 3, "LR", "LocalReset";
    UPSTREAM_REMOTE_RESET = 4, "UR", "UpstreamRemoteReset";
    UPSTREAM_CONNECTION_FAILURE = 5, "UF", "UpstreamConnectionFailure";
    UPSTREAM_CONNECTION_TERMINATION = 6, "UC", "UpstreamConnectionTermination";
    UPSTREAM_OVERFLOW = 7, "UO", "UpstreamOverflow";
    NO_ROUTE_FOUND = 8, "NR", "NoRouteFound";
    DELAY_INJECTED = 9, "DI", "DelayInjected";
    FAULT_INJECTED = 10, "FI", "FaultInjected";
    RATE_LIMITED = 11, "RL", "RateLimited";
    UNAUTHORIZED_EXTERNAL_SERVICE = 12, "UAEX", "UnauthorizedExternalService";
    RATE_LIMIT_SERVICE_ERROR = 13, "RLSE", "RateLimitServiceError";
    DOWNSTREAM_CONNECTION_TERMINATION = 14, "DC", "DownstreamConnectionTermination";
    UPSTREAM_RETRY_LIMIT_EXCEEDED = 15, "URX", "UpstreamRetryLimitExceeded";
    STREAM_IDLE_TIMEOUT = 16, "SI", "StreamIdleTimeout";
    INVALID_ENVOY_REQUEST_HEADERS = 17, "IH", "InvalidEnvoyRequestHeaders";
    DOWNSTREAM_PROTOCOL_ERROR = 18, "DPE", "DownstreamProtocolError";
    UPSTREAM_MAX_STREAM_DURATION_REACHED = 19, "UMSDR", "UpstreamMaxStreamDurationReached";
    RESPONSE_FROM_CACHE_FILTER = 20, "RFCF", "ResponseFromCacheFilter";
    NO_FILTER_CONFIG_FOUND = 21, "NFCF", "NoFilterConfigFound";
    DURATION_TIMEOUT = 22, "DT", "DurationTimeout";
    UPSTREAM_PROTOCOL_ERROR = 23, "UPE", "UpstreamProtocolError";
    NO_CLUSTER_FOUND = 24, "NC", "NoClusterFound";
    OVERLOAD_MANAGER = 25, "OM", "OverloadManagerTerminated";
    DNS_RESOLUTION_FAILED = 26, "DF", "DnsResolutionFailed";
    DROP_OVERLOAD = 27, "DO", "DropOverload";
    DOWNSTREAM_REMOTE_RESET = 28, "DR", "DownstreamRemoteReset";
    UNCONDITIONAL_DROP_OVERLOAD = 29, "UDO", "UnconditionalDropOverload";
}

impl ResponseFlags {
    /// Adds a flag.
    pub fn insert(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    /// Whether all of `flags` are set.
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    pub fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// Whether none is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag of that short name (`UH`).
    pub fn from_short(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, short, _)| *short == name).map(|(flag, ..)| *flag)
    }

    /// Short names, in Envoy's order.
    pub fn short_names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(flag, ..)| self.contains(*flag)).map(|(_, short, _)| *short)
    }

    /// Long names, in Envoy's order.
    pub fn long_names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(flag, ..)| self.contains(*flag)).map(|(.., long)| *long)
    }
}

/// A downstream connection, as the streams on it see it.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Numbers connections within the process (`%CONNECTION_ID%`).
    pub id: u64,
    /// Where the client connected to, or was about to before it was redirected.
    pub local: Address,
    /// The address of the socket, where that is another: see [`ConnectionInfo::direct_local`].
    pub socket_local: Option<Box<Address>>,
    /// The peer of the socket (`%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%`).
    pub direct_remote: Address,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// The filter chain, once it is found.
    pub chain: Option<Arc<ChainName>>,
    /// What the handshake came to, if the client speaks TLS.
    pub tls: Option<Rc<Handshake>>,
    /// Why the handshake failed (`%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`). A thin pointer: all
    /// connections have the room for it.
    pub transport_failure: Option<Rc<String>>,
    /// When it was accepted.
    pub start: Instant,
    /// What listener filters have found out, if anything.
    pub preamble: Option<Rc<Preamble>>,
    /// What network filters leave behind for the access log, where there are any that do.
    pub notes: Option<Rc<Notes>>,
}

/// Namespace, key and value.
type Noted = (&'static str, Box<str>, Box<str>);

/// What network filters have found out while a connection was served.
#[derive(Debug, Default)]
pub struct Notes {
    /// Why a filter has ended it (`%CONNECTION_TERMINATION_DETAILS%`).
    pub termination: OnceCell<Box<str>>,
    /// Bytes of the client that a filter did not let pass.
    pub refused_bytes: Cell<u64>,
    metadata: RefCell<Vec<Noted>>,
}

impl Notes {
    /// Writes dynamic metadata: namespace, key and value. A key has one value.
    pub fn set_metadata(&self, namespace: &'static str, key: &str, value: &str) {
        let mut all = self.metadata.borrow_mut();
        match all.iter_mut().find(|(n, k, _)| *n == namespace && **k == *key) {
            Some((.., old)) if **old == *value => {}
            Some((.., old)) => *old = value.into(),
            None => all.push((namespace, key.into(), value.into())),
        }
    }

    /// Hands a value of the dynamic metadata to `read`, if there is one.
    pub fn metadata<T>(
        &self,
        namespace: &str,
        key: &str,
        read: impl FnOnce(&str) -> T,
    ) -> Option<T> {
        let all = self.metadata.borrow();
        let found = all.iter().find(|(n, k, _)| *n == namespace && **k == *key);
        found.map(|(.., value)| read(value))
    }
}

impl ConnectionInfo {
    /// The client's address: what a PROXY header says, or else the peer of the socket.
    pub fn remote(&self) -> &Address {
        let told = self.preamble.as_ref().and_then(|preamble| preamble.remote.as_ref());
        told.unwrap_or(&self.direct_remote)
    }

    /// The address of the socket (`%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%`).
    pub fn direct_local(&self) -> &Address {
        self.socket_local.as_deref().unwrap_or(&self.local)
    }

    /// Where the client was about to go before it was redirected here, if it was.
    pub fn redirected_from(&self) -> Option<&Address> {
        self.socket_local.as_ref().map(|_| &self.local)
    }

    /// Takes note that the client was about to reach `original` before it was redirected here.
    pub fn redirect(&mut self, original: Address) {
        if original != self.local {
            self.intercept(original);
        }
    }

    /// As [`ConnectionInfo::redirect`], where the socket itself has the address that the client
    /// was about to reach.
    pub fn intercept(&mut self, original: Address) {
        let own = std::mem::replace(&mut self.local, original);
        self.socket_local.get_or_insert_with(|| Box::new(own));
    }

    /// The name that the configuration gives to the filter chain (`%FILTER_CHAIN_NAME%`).
    pub fn chain_name(&self) -> Option<&str> {
        self.chain.as_ref().filter(|name| name.is_given).map(|name| &*name.text)
    }

    /// Asks what is known of the connection where a filter chain or a matcher is looked for.
    pub fn ask<'i, R>(&'i self, ask: impl FnOnce(&ChainQuery<'_>) -> R) -> R {
        let preamble = self.preamble.as_deref();
        let names = preamble.map_or(&[][..], |preamble| &preamble.application_protocols);
        let protocols: Vec<&'i str> = names.iter().map(|name| &**name).collect();
        ask(&ChainQuery {
            destination: self.local.ip(),
            source: self.remote().ip(),
            direct_source: self.direct_remote.ip(),
            server_name: preamble.map_or("", |preamble| &preamble.server_name),
            transport_protocol: match preamble {
                Some(preamble) if preamble.tls => "tls",
                _ => "raw_buffer",
            },
            application_protocols: &protocols,
        })
    }
}

/// What the first bytes of a connection have told the listener filters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preamble {
    /// The client's address by the PROXY protocol.
    pub remote: Option<Address>,
    /// Whether a ClientHello was seen: the transport protocol is `tls`.
    pub tls: bool,
    /// The server name of the ClientHello in lower case, or empty.
    pub server_name: Box<str>,
    /// ALPN of the ClientHello, or what the start of plain HTTP looks like.
    pub application_protocols: Vec<Box<str>>,
    /// JA3 fingerprint in hex, if it was asked for.
    pub ja3: Option<Box<str>>,
    /// JA4 fingerprint, if it was asked for.
    pub ja4: Option<Box<str>>,
    /// Whom connections to endpoints shall come from (`original_src`).
    pub source: Option<UpstreamSource>,
    /// Additions of a PROXY header that are kept for endpoints (`pass_through_tlvs`): type and
    /// value. `None` where no header came.
    pub tlvs: Option<Vec<(u8, Box<[u8]>)>>,
    /// Dynamic metadata: namespace, key and value.
    pub metadata: Vec<(Arc<str>, Arc<str>, Box<str>)>,
}

/// The address that connections to endpoints come from in place of the proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamSource {
    /// The client's.
    pub ip: IpAddr,
    /// `mark`: the `SO_MARK` of these connections, for the rules that bring their answers back.
    pub mark: Option<u32>,
}

impl Preamble {
    /// A value of the dynamic metadata; the last that was written counts.
    pub fn metadata(&self, namespace: &str, key: &str) -> Option<&str> {
        let mut all = self.metadata.iter().rev();
        all.find(|(n, k, _)| **n == *namespace && **k == *key).map(|(.., value)| &**value)
    }
}

/// One request, from its first byte to its access-log line.
///
/// Names are `Rc`, copied once per worker: an `Arc` would have all cores write one count at each
/// request.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// Wall-clock time of the first byte.
    pub start_time: SystemTime,
    /// The same moment on the monotonic clock; the durations below count from here.
    pub start: Instant,
    /// Protocol of the request; of what never became one HTTP/1.1, as Envoy logs it.
    pub protocol: Option<Version>,
    /// Status sent downstream; 0 when none was.
    pub response_code: u16,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Cow<'static, str>,
    /// `%RESPONSE_FLAGS%`.
    pub flags: ResponseFlags,
    /// Body bytes received from downstream.
    pub bytes_received: u64,
    /// Body bytes sent downstream.
    pub bytes_sent: u64,
    /// Bytes on the wire, of connections that are a stream of their own.
    pub wire: WireBytes,
    /// The client's address after `x-forwarded-for` was considered
    /// (`%DOWNSTREAM_REMOTE_ADDRESS%`); `None` means the peer of the socket.
    pub remote: Option<SocketAddr>,
    /// Name of the route.
    pub route_name: Option<Rc<str>>,
    /// Name of the virtual host.
    pub virtual_host: Option<Rc<str>>,
    /// Name of the cluster.
    pub cluster: Option<Rc<str>>,
    /// Address of the endpoint that was tried last.
    pub upstream_host: Option<Rc<str>>,
    /// Its name, or else its address (`%UPSTREAM_HOST_NAME%`).
    pub upstream_name: Option<Rc<str>>,
    /// What is spoken with it.
    pub upstream_protocol: Option<Version>,
    /// Our own address towards the endpoint.
    pub upstream_local: Option<SocketAddr>,
    /// What the handshake with the endpoint came to, if it speaks TLS.
    pub upstream_tls: Option<Rc<Handshake>>,
    /// What network filters have found out, of a connection that is a stream of its own.
    pub notes: Option<Rc<Notes>>,
    /// Why the transport to the endpoint failed.
    pub upstream_transport_failure: Option<Cow<'static, str>>,
    /// Attempts made (`%UPSTREAM_REQUEST_ATTEMPT_COUNT%`).
    pub attempts: u32,
    /// What another proxy answered to the tunnel that carries this connection.
    pub tunnel: Option<Box<TunnelAnswer>>,
    /// The whole request had arrived (`%REQUEST_DURATION%`).
    pub request_received: Option<Duration>,
    /// The request head was sent upstream.
    pub upstream_sent: Option<Duration>,
    /// The whole request was sent upstream (`%REQUEST_TX_DURATION%`).
    pub request_sent: Option<Duration>,
    /// The first byte of the response arrived (`%RESPONSE_DURATION%`).
    pub response_received: Option<Duration>,
    /// The whole response had arrived.
    pub response_complete: Option<Duration>,
    /// The response head was sent downstream.
    pub response_sent: Option<Duration>,
    /// The stream was finished (`%DURATION%`).
    pub finished: Option<Duration>,
}

/// Bytes of both sockets of a connection that is passed on as it is, TLS included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireBytes {
    /// `%DOWNSTREAM_WIRE_BYTES_RECEIVED%`
    pub downstream_received: u64,
    /// `%DOWNSTREAM_WIRE_BYTES_SENT%`
    pub downstream_sent: u64,
    /// `%UPSTREAM_WIRE_BYTES_RECEIVED%`
    pub upstream_received: u64,
    /// `%UPSTREAM_WIRE_BYTES_SENT%`
    pub upstream_sent: u64,
}

impl StreamInfo {
    /// A stream that begins now.
    pub fn new(start: Instant, start_time: SystemTime) -> Self {
        Self {
            start_time,
            start,
            protocol: None,
            response_code: 0,
            details: Cow::Borrowed(""),
            flags: ResponseFlags::default(),
            bytes_received: 0,
            bytes_sent: 0,
            wire: WireBytes::default(),
            remote: None,
            route_name: None,
            virtual_host: None,
            cluster: None,
            upstream_host: None,
            upstream_name: None,
            upstream_protocol: None,
            upstream_local: None,
            upstream_tls: None,
            notes: None,
            upstream_transport_failure: None,
            attempts: 0,
            tunnel: None,
            request_received: None,
            upstream_sent: None,
            request_sent: None,
            response_received: None,
            response_complete: None,
            response_sent: None,
            finished: None,
        }
    }
}

/// A response that Ringway makes itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Body; text unless headers say otherwise.
    pub body: Cow<'static, str>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Cow<'static, str>,
    /// Flag to add to the stream.
    pub flag: ResponseFlags,
    /// Headers beside those that every local reply carries.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// `grpc-status` of the reply to a gRPC request; without one it follows from the HTTP status
    /// (`grpc::status_of_http`).
    pub grpc_status: Option<u8>,
    /// Whether the connection ends with this reply (the request cannot be trusted to be framed).
    pub close: bool,
}

impl LocalReply {
    /// A reply with that status and an empty body.
    pub fn new(status: u16, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: Cow::Borrowed(""),
            details: details.into(),
            flag: ResponseFlags::default(),
            headers: Vec::new(),
            grpc_status: None,
            close: false,
        }
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Cow<'static, str>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with a flag.
    #[must_use]
    pub fn flag(mut self, flag: ResponseFlags) -> Self {
        self.flag = flag;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a status for gRPC clients.
    #[must_use]
    pub fn grpc_status(mut self, status: u8) -> Self {
        self.grpc_status = Some(status);
        self
    }

    /// The same, closing the connection.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_in_envoys_order() {
        let mut flags = ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED;
        flags.insert(ResponseFlags::from_short("UF").expect("a flag"));
        assert_eq!(flags.short_names().collect::<Vec<_>>(), ["UF", "URX"]);
        assert_eq!(flags.long_names().next(), Some("UpstreamConnectionFailure"));
        assert!(flags.contains(ResponseFlags::UPSTREAM_CONNECTION_FAILURE));
        assert!(!flags.contains(ResponseFlags::NO_ROUTE_FOUND));
    }
}
