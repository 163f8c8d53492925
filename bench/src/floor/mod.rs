//! The floor: what the kernel alone costs.
//!
//! A relay that parses nothing: bytes of each downstream connection go to an upstream connection
//! of its own, and back. No proxy that receives and sends the same bytes on the same kernel can
//! cost less than this by much, so every comparison is told as a ratio to it. Where the two sides
//! of a proxy do not speak the same, as HTTP/2 and HTTP/1.1, fixed bytes take the place of what it
//! would say.
//!
//! Owns: the relay (`relay`), the one that answers HTTP/2 (`http2`), and their `ring`. Does not
//! own: anything of HTTP but where a frame ends.

mod http2;
mod relay;
mod ring;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use http2::Http2;
use relay::Relay;
use ring::Ring;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;
/// Memory of all receive buffers is at most about this.
const MEMORY_BYTES: u32 = 64 << 20;

/// What a floor is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address to relay to
    #[arg(long, value_name = "ADDRESS")]
    pub upstream: SocketAddr,
    /// Bytes of a receive buffer: 4096 is cheapest for small messages, 65536 and more for bodies
    #[arg(long, default_value = "4096", value_name = "N")]
    pub buffer_bytes: u32,
    /// Receive again only when there is room for more, as bodies need it. Without it receives stay
    /// armed, which is cheaper for small messages, and a connection that does not read is closed
    #[arg(long)]
    pub bulk: bool,
    /// Answer HTTP/2 with fixed bytes instead of relaying
    #[arg(long, value_name = "HOW")]
    pub http2: Option<Answers>,
    /// CPU to run on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
}

/// When a request of HTTP/2 is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Answers {
    /// At once
    Direct,
    /// When the origin has answered a request of HTTP/1.1
    Http1,
}

/// Relays until the process is ended.
///
/// # Errors
///
/// The address or the ring cannot be had, or the ring fails.
pub fn run(options: &Options) -> io::Result<()> {
    if let Some(core) = options.core {
        crate::process::pin_this_thread(&[core])?;
    }
    let listener = listen(options.listen)?;
    let mut stdout = io::stdout();
    // A reader that is gone is no reason not to relay.
    let _ = writeln!(stdout, "listening on {}", listener.local_addr()?);
    let _ = stdout.flush();
    serve(listener, options)
}

fn serve(listener: TcpListener, options: &Options) -> io::Result<()> {
    let bytes = options.buffer_bytes.clamp(256, 1 << 20);
    let count = (MEMORY_BYTES / bytes).clamp(64, 16_384).next_power_of_two();
    let ring = Ring::new(count as u16, bytes, options.upstream)?;
    match options.http2 {
        Some(_) => Http2::new(ring, listener, options).run(),
        None => Relay::new(ring, listener, options).run(),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
