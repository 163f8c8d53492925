//! Bytes that are no HTTP: sent back, counted, or made.

use std::io;

use super::connection::Client;
use crate::cli::TcpWish;

/// Serves until the client has enough.
pub(super) async fn serve(client: &mut Client, wish: TcpWish, size: u64) -> io::Result<()> {
    let mut received = 0;
    loop {
        let input = client.receive().await?;
        if input.is_empty() {
            return Ok(());
        }
        match wish {
            TcpWish::Echo => client.link.push(input),
            TcpWish::Sink => {
                received += input.len() as u64;
                let answers = received / size.max(1);
                received %= size.max(1);
                client.link.tail().extend((0..answers).map(|_| b'.'));
            }
            TcpWish::Source => {
                for _ in 0..input.len() {
                    client.bytes(0, size).await?;
                }
            }
        }
    }
}
