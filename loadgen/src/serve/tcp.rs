//! Bytes that are no HTTP: sent back, counted, or made.

use std::io;

use super::answer::fill;
use super::connection::{Client, MAX_QUEUED};
use crate::cli::TcpWish;

/// What a full turn of the source may queue before it is flushed.
const PIECE: u64 = 128 * 1024;

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
                    bytes(client, size).await?;
                }
            }
        }
    }
}

async fn bytes(client: &mut Client, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let to = (at + PIECE).min(size);
        fill(client.link.tail(), at, to);
        at = to;
        if client.link.queued_bytes() > MAX_QUEUED {
            client.flush().await?;
        }
    }
    Ok(())
}
