//! The floor: what the kernel alone costs.
//!
//! A relay that parses nothing: bytes of each downstream connection go to an upstream connection
//! of its own, and back. No proxy that receives and sends the same bytes on the same kernel can
//! cost less than this by much, so every comparison is told as a ratio to it.
//!
//! Owns: the relay on a ring of its own (`ring`, `relay`). Does not own: anything of HTTP.

mod relay;
mod ring;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use relay::Relay;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;

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
    /// CPU to run on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
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
    Relay::new(listener, options)?.run()
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
