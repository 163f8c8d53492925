//! WebSockets: each message comes back as it came, frame by frame.

use std::io;

use super::connection::{Client, MAX_QUEUED};
use crate::protocol::websocket::{CLOSE, Frames, PING, PONG, Piece, apply_mask, write_head};

/// Serves until either side closes. `early` came behind the handshake.
pub(super) async fn serve(client: &mut Client, early: &[u8]) -> io::Result<()> {
    let mut frames = Frames::default();
    if !echo(client, &mut frames, early).await? {
        return Ok(());
    }
    loop {
        let input = client.receive().await?;
        if input.is_empty() || !echo(client, &mut frames, &input).await? {
            return Ok(());
        }
    }
}

/// False when the conversation is over.
async fn echo(client: &mut Client, frames: &mut Frames, input: &[u8]) -> io::Result<bool> {
    let mut rest = input;
    while !rest.is_empty() {
        let Ok((consumed, piece)) = frames.step(rest) else {
            // Section 7.4.1: 1002 is a protocol error.
            write_head(client.link.tail(), (true, CLOSE), 2, None);
            client.link.tail().extend_from_slice(&1002_u16.to_be_bytes());
            return Ok(false);
        };
        if let Piece::Payload { frame, offset, range, is_end } = piece
            && frame.opcode != PONG
        {
            let out = client.link.tail();
            if offset == 0 {
                let opcode = if frame.opcode == PING { PONG } else { frame.opcode };
                let length = usize::try_from(frame.length).unwrap_or(usize::MAX);
                write_head(out, (frame.is_last, opcode), length, None);
            }
            let from = out.len();
            out.extend_from_slice(&rest[range]);
            apply_mask(&mut out[from..], frame.mask.unwrap_or_default(), offset);
            if frame.opcode == CLOSE && is_end {
                return Ok(false);
            }
        }
        rest = &rest[consumed..];
        if client.link.queued_bytes() > MAX_QUEUED {
            client.flush().await?;
        }
    }
    Ok(true)
}
