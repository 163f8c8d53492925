//! Listener filters: what they read of a connection before its filter chain is chosen.
//!
//! They look at the first bytes without taking them, except for a PROXY header, which is not part
//! of the conversation. Time and bytes are bounded, and all bytes that were looked at are given
//! back to the stream.

mod inspect;
mod proxy_protocol;

use std::rc::Rc;
use std::task::Poll;

use ringway_bridge::stats::Page;
use ringway_model::address::Address;
use ringway_model::listener::{Listener, ListenerFilterKind, OriginalSrc};
use ringway_model::stream::{ConnectionInfo, Preamble, UpstreamSource};
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::listener::canonical;
use ringway_runtime::stream::Stream;

/// What one filter says of the bytes so far.
enum Verdict {
    /// The next filter.
    Next,
    /// More bytes are needed.
    More,
    /// The connection ends.
    Close,
}

/// Why a connection does not come to its filter chain.
enum Refused {
    /// A filter said so, and counted why.
    ByFilter,
    /// The client closed its side.
    Closed,
    /// The connection failed.
    Failed,
    /// `listener_filters_timeout`
    Late,
}

/// A connection in front of its filter chain.
struct Peek<'a> {
    page: &'a Page,
    stream: &'a mut Stream,
    info: &'a mut ConnectionInfo,
    bytes: Buf,
    found: Preamble,
}

/// Lets the listener's filters look at the connection. False when it ends here.
pub(super) async fn run(
    page: &Page,
    listener: &Listener,
    stream: &mut Stream,
    info: &mut ConnectionInfo,
) -> bool {
    let filters = &listener.filters;
    let mut deadline = Deadline::new();
    deadline.set(filters.timeout.map(|timeout| info.start + timeout));
    // Another listener may have looked before this one.
    let found = info.preamble.as_deref().cloned().unwrap_or_default();
    let mut peek = Peek { page, stream, info, bytes: Buf::default(), found };
    let outcome = peek.run(listener, &deadline).await;
    let stats = &listener.stats;
    let goes_on = match outcome {
        Ok(()) => true,
        Err(Refused::ByFilter) => false,
        Err(Refused::Closed) => {
            page.inc(stats.downstream_listener_filter_remote_close);
            false
        }
        Err(Refused::Failed) => {
            page.inc(stats.downstream_listener_filter_error);
            false
        }
        Err(Refused::Late) => {
            page.inc(stats.downstream_pre_cx_timeout);
            filters.continue_on_timeout
        }
    };
    peek.finish();
    goes_on
}

impl Peek<'_> {
    async fn run(&mut self, listener: &Listener, deadline: &Deadline) -> Result<(), Refused> {
        for filter in &listener.filters.list {
            let disabled = filter.disabled.as_ref();
            if disabled.is_some_and(|rule| rule.matches(&self.info.local)) {
                continue;
            }
            loop {
                match self.look(listener, &filter.kind) {
                    Verdict::Next => break,
                    Verdict::Close => return Err(Refused::ByFilter),
                    Verdict::More => {
                        let received = self.receive(deadline).await;
                        if matches!(received, Err(Refused::Failed)) {
                            self.note_read_error(&filter.kind);
                        }
                        received?;
                    }
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, listener: &Listener, filter: &ListenerFilterKind) -> Verdict {
        match filter {
            ListenerFilterKind::TlsInspector(config) => self.inspect_tls(config),
            ListenerFilterKind::HttpInspector(config) => self.inspect_http(config),
            ListenerFilterKind::ProxyProtocol(config) => self.proxy_protocol(config),
            ListenerFilterKind::OriginalDst => self.original_destination(listener),
            ListenerFilterKind::OriginalSrc(config) => self.original_source(config),
        }
    }

    /// Waits for more bytes. Every filter stops asking at a size of its own, so that what is kept
    /// here is at most that and one receive.
    async fn receive(&mut self, deadline: &Deadline) -> Result<(), Refused> {
        let received = std::future::poll_fn(|cx| {
            if let Poll::Ready(received) = self.stream.poll_receive(cx) {
                return Poll::Ready(received.map_err(|_| Refused::Failed));
            }
            deadline.poll(cx).map(|()| Err(Refused::Late))
        });
        let bytes = received.await?;
        if bytes.is_empty() {
            return Err(Refused::Closed);
        }
        match self.bytes.is_empty() {
            true => self.bytes = bytes,
            false => self.bytes.append(&bytes),
        }
        Ok(())
    }

    fn note_read_error(&self, filter: &ListenerFilterKind) {
        if let ListenerFilterKind::HttpInspector(config) = filter {
            self.page.inc(config.stats.read_error);
        }
    }

    fn original_destination(&mut self, listener: &Listener) -> Verdict {
        let local = self.stream.local_address().map(canonical);
        let foreign = local.filter(|local| !listener.listens_at(*local));
        if let Some(foreign) = foreign.filter(|_| self.stream.is_transparent()) {
            self.info.intercept(Address::Ip(foreign));
        } else if let Some(original) = self.stream.original_destination() {
            self.info.redirect(Address::Ip(canonical(original)));
        }
        Verdict::Next
    }

    /// The client's address as it is known by now. A client on a Unix socket has none.
    fn original_source(&mut self, config: &OriginalSrc) -> Verdict {
        let remote = self.found.remote.as_ref().unwrap_or(self.info.remote());
        let source =
            remote.ip().map(|client| UpstreamSource { ip: client.ip(), mark: config.mark });
        self.found.source = source;
        Verdict::Next
    }

    /// Gives the bytes back, and keeps what was found.
    fn finish(self) {
        self.stream.unreceive(self.bytes);
        if self.found != Preamble::default() {
            self.info.preamble = Some(Rc::new(self.found));
        }
    }
}
