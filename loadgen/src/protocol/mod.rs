//! What a connection speaks: requests to bytes, bytes to answers. No clock, and of a connection
//! only its queue of bytes to send.
//!
//! [`Engine`] is the one door: a further protocol is one more variant and one more module. Every
//! engine gives what it finds to an [`Answers`], so that recording and checking are written once.

pub(crate) mod chunked;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod websocket;

use ringway_http::h2::{ConnectionError, ErrorCode, MessageError};
use ringway_runtime::buffer::Buf;

use crate::check::Verdict;
use crate::link::Link;
use crate::record::Failure;
use crate::template::{Filler, Request};

/// Receives what an engine reads.
pub(crate) trait Answers {
    /// Whether the oldest open request was a HEAD, whose answer has no body; `None` when no
    /// request is open, so that any byte is unsolicited.
    fn oldest_is_head(&self) -> Option<bool>;
    /// What follows is of the answer to this request, counted from 0 on its connection; false when
    /// nobody waits for it. Where it is not called, all is of the answer to the oldest one.
    fn select(&mut self, _number: u32) -> bool {
        true
    }
    /// The final head of the answer; 0 where the protocol has no statuses.
    fn head(&mut self, status: u16);
    /// A piece of its body.
    fn data(&mut self, data: &[u8]);
    /// The status of a gRPC call.
    fn grpc_status(&mut self, _status: Option<u32>) {}
    /// It is complete; `keep_alive` tells whether the connection may be used again.
    fn end(&mut self, keep_alive: bool);
    /// It will not come, for this reason; other answers are not concerned.
    fn reset(&mut self, _code: ErrorCode, _error: Option<MessageError>) {}
    /// It will not come, since the server goes away and has not looked at the request: another
    /// connection may carry it.
    fn not_processed(&mut self) {}
}

/// Why bytes are no answer; the text ends up in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The bytes break the protocol's rules.
    Rules(&'static str),
    /// The same of HTTP/2.
    Http2(ConnectionError),
    /// Bytes came that no request asked for.
    Unsolicited,
    /// The stream ended within an answer, or before it.
    Truncated,
}

impl Malformed {
    /// What was wrong, for a person.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Rules(text) => text.to_owned(),
            Self::Http2(error) => error.to_string(),
            Self::Unsolicited => "bytes that no request asked for".to_owned(),
            Self::Truncated => {
                "the connection was closed before the answer was complete".to_owned()
            }
        }
    }
}

/// What is spoken to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    /// HTTP/2 with a status in its trailers.
    Grpc,
    WebSocket,
    Tcp,
    Udp,
}

impl Protocol {
    /// For reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Grpc => "gRPC",
            Self::WebSocket => "WebSocket",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// What is offered by ALPN.
    pub(crate) fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::Http1 | Self::WebSocket => Some(b"http/1.1"),
            Self::Http2 | Self::Grpc => Some(b"h2"),
            Self::Tcp | Self::Udp => None,
        }
    }
}

/// The protocol of one connection.
#[derive(Debug)]
pub(crate) enum Engine {
    Http1(http1::Reader),
    Http2(Box<http2::Streams>),
    /// Behind its handshake.
    WebSocket(websocket::Messages),
    Tcp(tcp::Bytes),
    Udp(udp::Numbers),
}

impl Engine {
    pub(crate) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(http1::Reader::default()),
            Protocol::Http2 => Self::Http2(Box::new(http2::Streams::new(false))),
            Protocol::Grpc => Self::Http2(Box::new(http2::Streams::new(true))),
            Protocol::WebSocket => Self::WebSocket(websocket::Messages::default()),
            Protocol::Tcp => Self::Tcp(tcp::Bytes::default()),
            Protocol::Udp => Self::Udp(udp::Numbers::default()),
        }
    }

    /// How many requests may be sent now.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Http2(streams) => streams.room(),
            _ => usize::MAX,
        }
    }

    /// No further request can be sent here.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        match self {
            Self::Http1(_) | Self::Tcp(_) | Self::Udp(_) => false,
            Self::Http2(streams) => streams.is_leaving(),
            Self::WebSocket(messages) => messages.is_closed(),
        }
    }

    /// Queues a request on `link`, or where [`Engine::transmit`] finds it; `last` tells that no
    /// other one follows. `verdict` learns what its answer must be. Says how many bytes it put
    /// there; `None` where the connection takes no more.
    #[inline]
    pub(crate) fn request(
        &mut self,
        request: &Request,
        filler: &mut Filler,
        (connection, last): (u64, bool),
        verdict: &mut Verdict,
        link: &mut Link,
    ) -> Option<usize> {
        match self {
            Self::Http1(_) => {
                if let Some(bytes) = request.fixed(last) {
                    link.append(bytes);
                    return Some(bytes.len());
                }
                let out = link.tail();
                let before = out.len();
                request.fill(filler, connection, last, out);
                Some(out.len() - before)
            }
            Self::Http2(streams) => {
                let (head, body) = request.stream(filler, connection)?;
                streams.request(head, body).ok()?;
                Some(0)
            }
            Self::WebSocket(messages) => {
                let out = link.tail();
                let before = out.len();
                let mask = filler.rng.u32(..).to_ne_bytes();
                let payload = request.message(filler, connection);
                verdict.sent(&request.check, payload);
                messages.request(payload, mask, out);
                Some(out.len() - before)
            }
            Self::Tcp(bytes) => {
                let payload = request.message(filler, connection);
                verdict.sent(&request.check, payload);
                bytes.expect(request.check.length().unwrap_or(payload.len() as u64));
                link.append(payload);
                Some(payload.len())
            }
            Self::Udp(numbers) => {
                let datagram = numbers.request(request.message(filler, connection));
                let length = datagram.len();
                verdict.sent(&request.check, &datagram);
                link.push(Buf::new(datagram));
                Some(length)
            }
        }
    }

    /// Whether [`Engine::transmit`] may ever have something.
    #[inline]
    pub(crate) fn has_own_output(&self) -> bool {
        matches!(self, Self::Http2(_) | Self::WebSocket(_))
    }

    /// Appends what else is to be sent.
    #[inline]
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Http1(_) | Self::Tcp(_) | Self::Udp(_) => {}
            Self::Http2(streams) => streams.transmit(out),
            Self::WebSocket(messages) => messages.transmit(out),
        }
    }

    /// Gives up one request without its connection; false where that is not possible.
    pub(crate) fn cancel(&mut self, number: u32) -> bool {
        match self {
            Self::Http2(streams) => {
                streams.cancel(number);
                true
            }
            // An answer that comes nevertheless is known by its number.
            Self::Udp(_) => true,
            _ => false,
        }
    }

    /// What a request is called whose answer did not come in time.
    pub(crate) fn overdue(&self) -> Failure {
        match self {
            Self::Udp(_) => Failure::Lost,
            _ => Failure::Timeout,
        }
    }

    /// Appends the goodbye of a client that closes.
    pub(crate) fn leave(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Http1(_) | Self::Tcp(_) | Self::Udp(_) => {}
            Self::Http2(streams) => {
                streams.leave();
                streams.transmit(out);
            }
            Self::WebSocket(messages) => messages.leave(out),
        }
    }

    /// Reads all of `input`, which is one datagram where there are such.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        match self {
            Self::Http1(reader) => reader.receive(input, answers),
            Self::Http2(streams) => streams.receive(input, answers),
            Self::WebSocket(messages) => messages.receive(input, answers),
            Self::Tcp(bytes) => bytes.receive(input, answers),
            Self::Udp(numbers) => {
                numbers.receive(input, answers);
                Ok(())
            }
        }
    }

    /// The peer ended the stream: `Err` when an answer is missing or incomplete.
    pub(crate) fn end_of_stream(&mut self, answers: &mut impl Answers) -> Result<(), Malformed> {
        match self {
            Self::Http1(reader) => reader.end_of_stream(answers),
            _ if answers.oldest_is_head().is_none() => Ok(()),
            _ => Err(Malformed::Truncated),
        }
    }
}
