//! A handshake on a stream, either side.
//!
//! Owns: the turns of it, and what becomes of one that fails. Does not own: how it is counted
//! (`count`).

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::stream::Stream;
use ringway_tls::{Counter, Engine, Handshake, TlsError};

use super::gate::Gate;
use super::secured::Secured;

/// How long the alert of a handshake that failed may take to be sent.
const ALERT_PATIENCE: Duration = Duration::from_millis(500);

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Handshaking {
    stream: Stream,
    engine: Box<Engine>,
    input: Buf,
    gate: Rc<Gate>,
}

/// What came of it.
pub(crate) struct Established {
    pub(crate) secured: Secured,
    /// A certificate that was let pass all the same.
    pub(crate) tolerated: Option<Counter>,
    /// Lines of the key log.
    pub(crate) secrets: Vec<u8>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In Envoy's words; empty when the peer just went away.
    pub(crate) reason: String,
    /// What it is counted as; nothing when the peer just went away.
    pub(crate) counter: Option<Counter>,
    /// What was known until then.
    pub(crate) handshake: Rc<Handshake>,
    /// Lines of the key log.
    pub(crate) secrets: Vec<u8>,
}

impl Failure {
    /// Our own side cannot even begin.
    pub(super) fn of_ours(reason: String) -> Self {
        let counter = Some(Counter::ConnectionError);
        Self { reason, counter, handshake: Rc::default(), secrets: Vec::new() }
    }
}

impl Handshaking {
    pub(super) fn new(stream: Stream, engine: Engine, gate: Rc<Gate>) -> Self {
        Self { stream, engine: Box::new(engine), input: Buf::default(), gate }
    }

    /// Runs to the end. An alert that is due is sent before this returns.
    pub(super) async fn run(mut self) -> Result<Established, Failure> {
        match std::future::poll_fn(|cx| self.poll(cx)).await {
            Ok(()) => {
                let tolerated = self.engine.tolerated();
                let secrets = self.engine.take_key_log();
                let handshake = Rc::new(self.engine.conclude());
                let secured = Secured::new(self.stream, self.engine, handshake, self.input);
                Ok(Established { secured, tolerated, secrets })
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<TlsError>>> {
        loop {
            if self.engine.wants_transmit() {
                self.engine.transmit(self.stream.tail());
            }
            if let Poll::Ready(Err(_)) = self.stream.poll_flush_unattended(cx) {
                return Poll::Ready(Err(None));
            }
            if !self.engine.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.input.is_empty() {
                match ready!(self.stream.poll_receive(cx)) {
                    Ok(bytes) if !bytes.is_empty() => self.input = bytes,
                    _ => return Poll::Ready(Err(None)),
                }
            }
            ready!(self.gate.poll_pass(cx));
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), Option<TlsError>> {
        let progress = self.engine.receive(&mut self.input, Instant::now()).map_err(Some)?;
        self.input.consume(progress.taken);
        if self.input.is_empty() {
            self.input = Buf::default();
        }
        Ok(())
    }

    async fn fail(mut self, error: Option<TlsError>) -> Failure {
        let reason = error.as_ref().map(|error| self.engine.failure_reason(error));
        let counter = error.as_ref().map(TlsError::counter);
        let secrets = self.engine.take_key_log();
        let handshake = Rc::new(self.engine.conclude());
        if error.is_some() {
            self.send_alert().await;
        }
        Failure { reason: reason.unwrap_or_default(), counter, handshake, secrets }
    }

    async fn send_alert(&mut self) {
        if self.engine.wants_transmit() {
            self.engine.transmit(self.stream.tail());
        }
        let mut deadline = Deadline::new();
        deadline.set(Some(Instant::now() + ALERT_PATIENCE));
        let sent = std::future::poll_fn(|cx| match self.stream.poll_flush(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => deadline.poll(cx),
        });
        sent.await;
        self.stream.shutdown_write();
    }
}
