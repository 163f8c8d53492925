//! Which HTTP a client speaks, where neither configuration nor ALPN has said so.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_http::h2;
use ringway_model::http::Codec;
use ringway_runtime::buffer::{self, Buf, Class};
use ringway_runtime::deadline::Deadline;

use super::binding::Binding;
use crate::transport::Transport;

/// As many bytes of the preface tell HTTP/2 from any request of HTTP/1: `PRI * HTTP/2`.
const TELLING: usize = 12;
/// How long a connection that has said nothing may stay when it is no longer wanted.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What is known before anything is parsed.
pub(super) enum First {
    Http1(Buf),
    Http2(Buf),
    /// The client has gone, or said nothing for too long.
    Nothing,
}

/// Decides by configuration, by ALPN, or by the first bytes, in this order.
pub(super) async fn sniff(binding: &mut Binding, transport: &mut Transport) -> First {
    match binding.manager.codec {
        Codec::Http1 => return First::Http1(Buf::default()),
        Codec::Http2 => return First::Http2(Buf::default()),
        Codec::Auto => {}
    }
    match transport.alpn() {
        Some(b"h2") => return First::Http2(Buf::default()),
        Some(_) => return First::Http1(Buf::default()),
        None => {}
    }
    let mut sniffer = Sniffer { deadline: Deadline::new(), received: Buf::default(), since: None };
    std::future::poll_fn(|cx| sniffer.poll(cx, binding, transport)).await
}

struct Sniffer {
    deadline: Deadline,
    received: Buf,
    /// When the first byte came.
    since: Option<Instant>,
}

impl Sniffer {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        binding: &mut Binding,
        transport: &mut Transport,
    ) -> Poll<First> {
        loop {
            match transport.poll_receive(cx) {
                Poll::Pending => return self.poll_patience(cx, binding),
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => self.append(bytes),
                Poll::Ready(_) => {
                    binding.note_peer_close();
                    return Poll::Ready(First::Nothing);
                }
            }
            let known = self.received.len().min(TELLING);
            if self.received[..known] != h2::PREFACE[..known] {
                return Poll::Ready(First::Http1(std::mem::take(&mut self.received)));
            }
            if known == TELLING {
                return Poll::Ready(First::Http2(std::mem::take(&mut self.received)));
            }
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn append(&mut self, bytes: Buf) {
        if self.received.is_empty() {
            self.received = bytes;
            return;
        }
        let mut joined = buffer::take(Class::SMALL);
        joined.extend_from_slice(&self.received);
        joined.extend_from_slice(&bytes);
        self.received = Buf::new(joined);
    }

    /// The times of a connection that waits for its first request.
    fn poll_patience(&mut self, cx: &mut Context<'_>, binding: &Binding) -> Poll<First> {
        let timeouts = &binding.manager.timeouts;
        let start = binding.info.start;
        let head = timeouts.request_headers.or_else(|| binding.stream_idle());
        let late = self.since.zip(head).map(|(since, head)| since + head);
        let (idle, oldest) = (binding.idle_end(start), binding.oldest_end());
        let drained = binding.ending_since().map(|since| since.max(start) + DRAIN_GRACE);
        self.deadline.set([late, idle, oldest, drained].into_iter().flatten().min());
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if drained.is_none() {
            binding.worker.page.inc(binding.manager.stats.downstream_cx_idle_timeout);
        }
        Poll::Ready(First::Nothing)
    }
}
