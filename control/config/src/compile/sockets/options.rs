//! `socket_options`: numbers of the kernel's interface, of which those are known that a safe
//! function exists for.

use std::io;
use std::time::Duration;

use socket2::Socket;

/// One option (Envoy `core.v3.SocketOption`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOption {
    /// `level`, as in setsockopt(2).
    pub level: i32,
    /// `name`, as in setsockopt(2).
    pub name: i32,
    /// `int_value` or `buf_value`.
    pub value: OptionValue,
    /// `state`.
    pub state: SocketState,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// `int_value`
    Int(i32),
    /// `buf_value`
    Bytes(Vec<u8>),
}

/// When an option is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// `STATE_PREBIND`
    Prebind,
    /// `STATE_BOUND`
    Bound,
    /// `STATE_LISTENING`
    Listening,
}

/// Sets a number on a socket.
type SetInt = fn(&Socket, i32) -> io::Result<()>;
/// Sets bytes on a socket.
type SetBytes = fn(&Socket, &[u8]) -> io::Result<()>;

const SOL_SOCKET: i32 = 1;
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_IPV6: i32 = 41;

/// Level, name and how it is set, in the order of the kernel's numbers.
const INTS: &[(i32, i32, SetInt)] = &[
    (IPPROTO_IP, 1, |socket, tos| socket.set_tos_v4(unsigned(tos)?)),
    (IPPROTO_IP, 2, |socket, ttl| socket.set_ttl_v4(unsigned(ttl)?)),
    (IPPROTO_IP, 15, |socket, on| socket.set_freebind_v4(on != 0)),
    (IPPROTO_IP, 19, |socket, on| socket.set_ip_transparent_v4(on != 0)),
    (SOL_SOCKET, 2, |socket, on| socket.set_reuse_address(on != 0)),
    (SOL_SOCKET, 7, |socket, bytes| socket.set_send_buffer_size(size(bytes)?)),
    (SOL_SOCKET, 8, |socket, bytes| socket.set_recv_buffer_size(size(bytes)?)),
    (SOL_SOCKET, 9, |socket, on| socket.set_keepalive(on != 0)),
    (SOL_SOCKET, 12, |socket, priority| socket.set_priority(unsigned(priority)?)),
    (SOL_SOCKET, 15, |socket, on| socket.set_reuse_port(on != 0)),
    (SOL_SOCKET, 36, |socket, mark| socket.set_mark(unsigned(mark)?)),
    (SOL_SOCKET, 46, |socket, micros| socket.set_busy_poll(unsigned(micros)?)),
    (IPPROTO_TCP, 1, |socket, on| socket.set_tcp_nodelay(on != 0)),
    (IPPROTO_TCP, 2, |socket, mss| socket.set_tcp_mss(unsigned(mss)?)),
    // These three turn keepalive on as well: without it they mean nothing.
    (IPPROTO_TCP, 4, |socket, time| {
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(seconds(time)?))
    }),
    (IPPROTO_TCP, 5, |socket, interval| {
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_interval(seconds(interval)?))
    }),
    (IPPROTO_TCP, 6, |socket, probes| {
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_retries(unsigned(probes)?))
    }),
    (IPPROTO_TCP, 12, |socket, on| socket.set_tcp_quickack(on != 0)),
    (IPPROTO_TCP, 16, |socket, on| socket.set_tcp_thin_linear_timeouts(on != 0)),
    (IPPROTO_TCP, 18, |socket, millis| {
        socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(unsigned(millis)?))))
    }),
    (IPPROTO_TCP, 25, |socket, bytes| socket.set_tcp_notsent_lowat(unsigned(bytes)?)),
    (IPPROTO_IPV6, 16, |socket, hops| socket.set_unicast_hops_v6(unsigned(hops)?)),
    (IPPROTO_IPV6, 26, |socket, on| socket.set_only_v6(on != 0)),
    (IPPROTO_IPV6, 67, |socket, class| socket.set_tclass_v6(unsigned(class)?)),
    (IPPROTO_IPV6, 75, |socket, on| socket.set_ip_transparent_v6(on != 0)),
    (IPPROTO_IPV6, 78, |socket, on| socket.set_freebind_v6(on != 0)),
];

const BYTES: &[(i32, i32, SetBytes)] = &[
    (SOL_SOCKET, 25, |socket, device| socket.bind_device(Some(text(device)))),
    (IPPROTO_TCP, 13, |socket, name| socket.set_tcp_congestion(text(name))),
];

impl SocketOption {
    /// Whether this build can set it.
    pub(in crate::compile) fn is_known(&self) -> bool {
        match self.value {
            OptionValue::Int(_) => self.int().is_some(),
            OptionValue::Bytes(_) => self.bytes().is_some(),
        }
    }

    fn int(&self) -> Option<SetInt> {
        let found = INTS.iter().find(|(level, name, _)| (*level, *name) == (self.level, self.name));
        found.map(|(.., set)| *set)
    }

    fn bytes(&self) -> Option<SetBytes> {
        let found =
            BYTES.iter().find(|(level, name, _)| (*level, *name) == (self.level, self.name));
        found.map(|(.., set)| *set)
    }

    fn set(&self, socket: &Socket) -> io::Result<()> {
        let done = match &self.value {
            OptionValue::Int(value) => self.int().map(|set| set(socket, *value)),
            OptionValue::Bytes(bytes) => self.bytes().map(|set| set(socket, bytes)),
        };
        let named = |error: io::Error| {
            let text = format!("socket option {}/{}: {error}", self.level, self.name);
            io::Error::new(error.kind(), text)
        };
        done.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into())).map_err(named)
    }
}

/// Sets those options whose turn it is.
pub(super) fn apply(
    socket: &Socket,
    options: &[SocketOption],
    state: SocketState,
) -> io::Result<()> {
    options.iter().filter(|option| option.state == state).try_for_each(|option| option.set(socket))
}

fn unsigned(value: i32) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn size(value: i32) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn seconds(value: i32) -> io::Result<Duration> {
    Ok(Duration::from_secs(u64::from(unsigned(value)?)))
}

/// A name, which may end with the zero byte of C.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\0").unwrap_or(bytes)
}
