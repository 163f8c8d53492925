//! WebSocket (RFC 6455): the handshake of a client, and frames of both sides.
//!
//! Does not own: HTTP beyond the handshake, extensions, the content of messages.

use std::ops::Range;

use sha1::{Digest, Sha1};

use super::{Answers, Malformed};

pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
/// Bytes of a control frame's payload (section 5.5).
const MAX_CONTROL: u64 = 125;
/// Bytes of a frame's head: two, a length, a mask.
const MAX_HEAD: usize = 14;
/// Bytes of the answer to a handshake.
const MAX_ANSWER: usize = 16 * 1024;
/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) is_last: bool,
    pub(crate) opcode: u8,
    pub(crate) length: u64,
    /// From a client.
    pub(crate) mask: Option<[u8; 4]>,
}

impl Frame {
    /// Closing, and keeping alive: may stand between the frames of a message.
    pub(crate) fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }
}

/// A piece of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    NeedMore,
    Payload {
        frame: Frame,
        /// Where in the frame it begins.
        offset: u64,
        /// Where in the input it is.
        range: Range<usize>,
        /// The frame ends with it.
        is_end: bool,
    },
}

/// Cuts input into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; MAX_HEAD],
    head_len: usize,
    /// The frame that is under way, and how much of it has come.
    frame: Option<(Frame, u64)>,
}

impl Frames {
    /// The next step over `input`, which is not empty: how many bytes were consumed, and what they
    /// were.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<(usize, Piece), &'static str> {
        let mut at = 0;
        while self.frame.is_none() {
            let Some(byte) = input.get(at) else { return Ok((at, Piece::NeedMore)) };
            self.head[self.head_len] = *byte;
            self.head_len += 1;
            at += 1;
            if let Some(frame) = parse(&self.head[..self.head_len])? {
                self.head_len = 0;
                self.frame = Some((frame, 0));
            }
        }
        let Some((frame, offset)) = self.frame else { return Ok((at, Piece::NeedMore)) };
        let left = frame.length - offset;
        let taken = usize::try_from(left).map_or(input.len() - at, |n| n.min(input.len() - at));
        if taken == 0 && left > 0 {
            return Ok((at, Piece::NeedMore));
        }
        let is_end = taken as u64 == left;
        self.frame = (!is_end).then_some((frame, offset + taken as u64));
        Ok((at + taken, Piece::Payload { frame, offset, range: at..at + taken, is_end }))
    }
}

/// A frame's head, once it is whole.
fn parse(head: &[u8]) -> Result<Option<Frame>, &'static str> {
    let [first, second, rest @ ..] = head else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a reserved bit that no extension asked for");
    }
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    if rest.len() < length_bytes + mask_bytes {
        return Ok(None);
    }
    let (length, mask) = rest.split_at(length_bytes);
    let length = match length_bytes {
        0 => u64::from(second & 0x7f),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let frame = Frame {
        is_last: first & 0x80 != 0,
        opcode: first & 0xf,
        length,
        mask: mask.try_into().ok(),
    };
    match frame.opcode {
        0..=BINARY => {}
        CLOSE..=PONG if frame.is_last && length <= MAX_CONTROL => {}
        CLOSE..=PONG => return Err("a control frame that is cut or too long"),
        _ => return Err("an opcode that nobody knows"),
    }
    if length > i64::MAX as u64 {
        return Err("a frame of more than 2^63 bytes");
    }
    Ok(Some(frame))
}

/// Appends the head of a frame, which may be the last of its message; the payload follows, under
/// its mask.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    (is_last, opcode): (bool, u8),
    length: usize,
    mask: Option<[u8; 4]>,
) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(if is_last { 0x80 | opcode } else { opcode });
    match length {
        0..126 => out.push(masked | length as u8),
        126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[][..], |mask| mask));
}

/// Puts bytes under a mask, or takes it from them; `offset` is where in the frame they begin.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: u64) {
    let mut wide = [0; 8];
    for (index, byte) in wide.iter_mut().enumerate() {
        *byte = mask[(offset as usize + index) % 4];
    }
    let (eights, rest) = bytes.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    rest.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
}

/// What a server says to a key (section 4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    base64(&Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 0x3f];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A client's handshake.
#[derive(Debug)]
pub(crate) struct Opening {
    expected: String,
    answer: Vec<u8>,
}

impl Opening {
    /// Appends the request to `out`: `head` up to its key.
    pub(crate) fn begin(head: &[u8], random: u128, out: &mut Vec<u8>) -> Self {
        let key = base64(&random.to_ne_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(b"sec-websocket-key: ");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        Self { expected: accept(key.as_bytes()), answer: Vec::new() }
    }

    /// Reads the answer; true when it is whole and right.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn receive(&mut self, input: &[u8]) -> Result<bool, String> {
        self.answer.extend_from_slice(input);
        let Some(end) = memchr::memmem::find(&self.answer, b"\r\n\r\n") else {
            let long = self.answer.len() > MAX_ANSWER;
            return if long { Err("an answer without end".to_owned()) } else { Ok(false) };
        };
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&self.answer);
        if !matches!(parsed, Ok(httparse::Status::Complete(_))) {
            return Err("a malformed head".to_owned());
        }
        match response.code {
            Some(101) => {}
            status => return Err(format!("status {}", status.unwrap_or(0))),
        }
        let field = |name: &str| {
            let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.map_or(&b""[..], |field| field.value)
        };
        if !field("upgrade").eq_ignore_ascii_case(b"websocket") {
            return Err("an upgrade to something else".to_owned());
        }
        if field("sec-websocket-accept") != self.expected.as_bytes() {
            return Err("another sec-websocket-accept than the key's".to_owned());
        }
        if self.answer.len() > end + 4 {
            return Err("bytes that no message asked for".to_owned());
        }
        Ok(true)
    }
}

/// The client's side after the handshake: each message is answered by one.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    frames: Frames,
    in_message: bool,
    /// Answers to PING and CLOSE.
    control: Vec<u8>,
    ping: Vec<u8>,
    is_closed: bool,
}

impl Messages {
    /// Appends a message.
    pub(crate) fn request(&self, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
        write_head(out, (true, BINARY), payload.len(), Some(mask));
        let from = out.len();
        out.extend_from_slice(payload);
        apply_mask(&mut out[from..], mask, 0);
    }

    /// The server has closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Appends what answers the server's control frames.
    #[inline]
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.control);
    }

    /// Says goodbye: a normal closure.
    pub(crate) fn leave(&mut self, out: &mut Vec<u8>) {
        if !self.is_closed {
            write_head(out, (true, CLOSE), 2, Some([0; 4]));
            out.extend_from_slice(&1000_u16.to_be_bytes());
        }
    }

    /// Reads all of `input`.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_closed {
            let (consumed, piece) = self.frames.step(rest).map_err(Malformed::Rules)?;
            if let Piece::Payload { frame, range, is_end, .. } = piece {
                if frame.mask.is_some() {
                    return Err(Malformed::Rules("a frame under a mask from a server"));
                }
                match frame.is_control() {
                    true => self.control(frame, &rest[range], is_end),
                    false => self.data(frame, &rest[range], is_end, answers)?,
                }
            }
            rest = &rest[consumed..];
        }
        Ok(())
    }

    fn data(
        &mut self,
        frame: Frame,
        data: &[u8],
        is_end: bool,
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        if !self.in_message {
            if frame.opcode == 0 {
                return Err(Malformed::Rules("a continuation of nothing"));
            }
            answers.oldest_is_head().ok_or(Malformed::Unsolicited)?;
            self.in_message = true;
            answers.head(0);
        }
        if !data.is_empty() {
            answers.data(data);
        }
        if is_end && frame.is_last {
            self.in_message = false;
            answers.end(true);
        }
        Ok(())
    }

    fn control(&mut self, frame: Frame, data: &[u8], is_end: bool) {
        self.ping.extend_from_slice(data);
        if !is_end {
            return;
        }
        let payload = std::mem::take(&mut self.ping);
        let answer = match frame.opcode {
            PING => PONG,
            CLOSE => {
                self.is_closed = true;
                CLOSE
            }
            _ => return,
        };
        // A mask of zeros is one, too: nobody is protected by the mask of a load generator.
        write_head(&mut self.control, (true, answer), payload.len(), Some([0; 4]));
        self.control.extend_from_slice(&payload);
    }
}

#[cfg(test)]
mod tests;
