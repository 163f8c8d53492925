//! A connection that is passed on to a cluster, from its first moment to its log.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_model::format::{FormatContext, Occasion};
use ringway_model::listener::ChainName;
use ringway_model::stream::{ConnectionInfo, ResponseFlags, StreamInfo, WireBytes};
use ringway_model::tcp::TcpProxy;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::recycled::Recycled;

use super::far::Far;
use super::origin::{Early, Origin};
use super::relay::{self, Broken, Flow, Way, deliver, flush};
use crate::listener::Listening;
use crate::tell::about_connection;
use crate::transport::Transport;
use crate::worker::Worker;

/// How long a side that is left alone may take for its last bytes when no idle timeout is
/// configured.
const FLUSH_PATIENCE: Duration = Duration::from_secs(300);

/// How a connection came here.
pub(crate) struct Entry {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listening: Rc<Listening>,
    /// The filter chain.
    pub(crate) chain: Arc<ChainName>,
    pub(crate) proxy: Arc<TcpProxy>,
    /// The server name is the cluster.
    pub(crate) sni_cluster: bool,
    /// The server name is the host, at this port.
    pub(crate) sni_port: Option<u16>,
    /// What may wait to be sent to the client, in bytes.
    pub(crate) buffer_limit: usize,
    /// The listener has a log of its own, beside those of the proxy.
    pub(crate) has_line: bool,
}

/// Passes a connection on, to its end, and says what became of it; one whose handshake failed is
/// logged and nothing else.
pub(crate) async fn serve(
    entry: Entry,
    down: Option<Transport>,
    info: ConnectionInfo,
) -> StreamInfo {
    let mut session = Session::new(entry, info);
    let Some(mut down) = down else {
        session.log(Occasion::TcpConnectionEnd);
        return session.stream;
    };
    let ending = session.run(&mut down).await;
    session.finish(&down);
    session.leave(down, ending).await;
    session.stream
}

/// Counts and logs a connection that a network filter has refused.
pub(crate) fn refuse(entry: Entry, info: ConnectionInfo, flags: ResponseFlags) {
    let mut session = Session::new(entry, info);
    session.stream.flags.insert(flags);
    session.log(Occasion::TcpConnectionEnd);
}

pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) proxy: Arc<TcpProxy>,
    origin: Origin,
    pub(super) connection: ConnectionInfo,
    /// The cluster is that of the server name, where there is one.
    pub(super) sni_cluster: bool,
    /// The host is the server name, at this port.
    pub(super) sni_port: Option<u16>,
    /// Somebody reads what is noted of the connection.
    is_logged: bool,
    pub(super) stream: StreamInfo,
    /// What the client has said before there was an upstream.
    pub(super) early: Early,
    pub(super) up: Option<Far>,
    to_up: Way,
    to_down: Way,
    /// The next of the times below.
    pub(super) deadline: Deadline,
    idle_at: Option<Instant>,
    pub(super) over_at: Option<Instant>,
    log_at: Option<Instant>,
    /// What of the client's bytes was counted already.
    counted: (u64, u64),
    /// What was moved when something last was.
    seen: u64,
}

/// How a session ends, as far as there is something left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing is left.
    Closed,
    /// The client broke off; the upstream may still want what it has said, and is reset then.
    FlushUpstream,
    /// The upstream broke off; the client may still want what it has said, and is reset then.
    FlushDownstream,
    /// The client is told to go, with what the upstream has said.
    Goodbye,
}

/// A time that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Idle,
    Duration,
    /// The drain time of the listener or the filter chain that the connection came by.
    Drained,
    /// The connection was asked to go.
    Told,
}

impl Session {
    fn new(entry: Entry, connection: ConnectionInfo) -> Self {
        let Entry { worker, listening, chain, proxy, buffer_limit, has_line, .. } = entry;
        let (sni_cluster, sni_port) = (entry.sni_cluster, entry.sni_port);
        worker.page.inc(proxy.stats.downstream_cx_total);
        let start = connection.start;
        let jitter = proxy.max_duration_jitter_percent / 100.0;
        let share = worker.random() as f64 / u64::MAX as f64;
        let mut stream = StreamInfo::new(start, worker.wall_clock(start));
        stream.notes.clone_from(&connection.notes);
        let duration = proxy.max_duration.map(|duration| duration.mul_f64(1.0 + jitter * share));
        Self {
            stream,
            origin: Origin::new(listening, chain),
            early: Early::default(),
            sni_cluster,
            sni_port,
            is_logged: has_line || !proxy.access_logs.is_empty(),
            to_up: Way::new(0),
            to_down: Way::new(buffer_limit),
            deadline: Deadline::new(),
            idle_at: None,
            over_at: duration.and_then(|duration| start.checked_add(duration)),
            log_at: proxy.log_times.interval.map(|interval| start + interval),
            counted: (0, 0),
            seen: 0,
            up: None,
            worker,
            proxy,
            connection,
        }
    }

    async fn run(&mut self, down: &mut Transport) -> Ending {
        if self.proxy.log_times.on_start {
            self.log(Occasion::TcpConnectionStart);
        }
        // To connect takes more than all of the time that follows.
        let connecting = Recycled::new(|| self.connect(down));
        let Some(mut up) = connecting.await else { return Ending::Closed };
        self.to_up = Way::new(up.policy().buffer_limit);
        // The kernel has to be asked, which a connection that nobody reads of can do without.
        self.stream.upstream_local = if self.is_logged { up.local_address() } else { None };
        self.stream.upstream_tls = up.handshake().map(Rc::clone);
        if let Far::Tunnel(tunnel) = &up {
            self.note_answer(tunnel.head());
        }
        self.to_up.begin(&mut self.early, &mut up);
        self.up = Some(up);
        if self.proxy.log_times.on_connected {
            self.log(Occasion::TcpUpstreamConnected);
        }
        self.touch();
        let outcome = std::future::poll_fn(|cx| self.poll_relay(down, cx)).await;
        self.ending(outcome)
    }

    // ---- moving bytes -------------------------------------------------------------------------

    fn poll_relay(
        &mut self,
        down: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<(), Broken>, Expired>> {
        let Some(up) = &mut self.up else { return Poll::Ready(Ok(Ok(()))) };
        let (to_up, to_down) = (&mut self.to_up, &mut self.to_down);
        let moved = match up {
            Far::Direct(up) => relay::poll(down, &mut up.transport, to_up, to_down, cx),
            Far::Tunnel(up) => relay::poll(down, &mut **up, to_up, to_down, cx),
        };
        let progressed = self.note_progress(down.transferred());
        if progressed && self.is_told_to_go() {
            return Poll::Ready(Err(Expired::Told));
        }
        if let Poll::Ready(outcome) = moved {
            return Poll::Ready(Ok(outcome));
        }
        self.poll_times(cx).map(Err)
    }

    /// `check_drain_close`: whether the bytes that came now are the last.
    fn is_told_to_go(&self) -> bool {
        let told = self.origin.wants_close(&self.worker);
        let goes = self.proxy.checks_drain && told;
        if goes {
            self.worker.page.inc(self.proxy.stats.downstream_cx_drain_close);
        }
        goes
    }

    /// Whether something moved: counts it, and the connection is not idle.
    fn note_progress(&mut self, transferred: (u64, u64)) -> bool {
        let moved = self.to_up.moved + self.to_down.moved;
        let progressed = self.seen != moved;
        if progressed {
            self.seen = moved;
            self.touch();
            self.count_bytes(transferred);
        }
        let (page, stats) = (&self.worker.page, &self.proxy.stats);
        let Some(up) = &self.up else { return progressed };
        let cluster = &up.policy().stats;
        match self.to_up.flow() {
            Flow::Same => {}
            Flow::Paused => {
                page.inc(stats.downstream_flow_control_paused_reading_total);
                page.inc(cluster.upstream_flow_control_backed_up_total);
            }
            Flow::Resumed => {
                page.inc(stats.downstream_flow_control_resumed_reading_total);
                page.inc(cluster.upstream_flow_control_drained_total);
            }
        }
        match self.to_down.flow() {
            Flow::Same => {}
            Flow::Paused => page.inc(cluster.upstream_flow_control_paused_reading_total),
            Flow::Resumed => page.inc(cluster.upstream_flow_control_resumed_reading_total),
        }
        progressed
    }

    pub(super) fn touch(&mut self) {
        self.idle_at = self.proxy.idle_timeout.map(|idle| ringway_runtime::now() + idle);
    }

    pub(super) fn poll_times(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let gone_at = self.origin.gone_since().map(|since| since + self.worker.drain_time);
            let times = [self.idle_at, self.over_at, self.log_at, gone_at];
            self.deadline.set(times.into_iter().flatten().min());
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            if is_over(self.over_at) {
                return Poll::Ready(Expired::Duration);
            }
            if is_over(self.idle_at) {
                return Poll::Ready(Expired::Idle);
            }
            if is_over(gone_at) {
                return Poll::Ready(Expired::Drained);
            }
            if is_over(self.log_at) {
                self.log(Occasion::TcpPeriodic);
                self.log_at = self.proxy.log_times.interval.map(|interval| now + interval);
            }
        }
    }

    // ---- ending -------------------------------------------------------------------------------

    fn ending(&mut self, outcome: Result<Result<(), Broken>, Expired>) -> Ending {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // Both sides get what was said to them.
            Err(Expired::Told) => return Ending::Goodbye,
            Err(expired) => {
                self.expire(expired);
                return Ending::Closed;
            }
        };
        let Some(up) = &self.up else { return Ending::Closed };
        match outcome {
            // Whoever ends last closes the connection to the upstream.
            Ok(()) => {
                if self.to_down.ended_last() {
                    up.note_peer_close();
                }
                Ending::Closed
            }
            Err(Broken::Downstream) => Ending::FlushUpstream,
            Err(Broken::Upstream) => {
                if !up.is_overdue() {
                    up.note_peer_close();
                }
                if let Some(flag) = up.failure() {
                    self.stream.flags.insert(flag);
                }
                Ending::FlushDownstream
            }
        }
    }

    pub(super) fn expire(&mut self, expired: Expired) {
        let (page, stats) = (&self.worker.page, &self.proxy.stats);
        match expired {
            Expired::Idle => page.inc(stats.idle_timeout),
            Expired::Duration => {
                page.inc(stats.max_downstream_connection_duration);
                self.stream.flags.insert(ResponseFlags::DURATION_TIMEOUT);
            }
            Expired::Drained | Expired::Told => {}
        }
    }

    /// Adds up what was moved, given the bytes of the client's socket so far.
    pub(super) fn count_bytes(&mut self, (received, sent): (u64, u64)) {
        let (page, stats) = (&self.worker.page, &self.proxy.stats);
        page.add(stats.downstream_cx_rx_bytes_total, received - self.counted.0);
        page.add(stats.downstream_cx_tx_bytes_total, sent - self.counted.1);
        self.counted = (received, sent);
        if let Some(up) = &self.up {
            up.count_bytes();
        }
    }

    /// Writes a line in each access log that wants one.
    fn log(&mut self, occasion: Occasion) {
        let (received, sent) = self.counted;
        let up = self.up.as_ref().map_or((0, 0), Far::transferred);
        let refused = self.connection.notes.as_ref().map_or(0, |notes| notes.refused_bytes.get());
        self.stream.bytes_received = self.to_up.moved + self.early.bytes as u64 + refused;
        self.stream.bytes_sent = self.to_down.moved;
        self.stream.wire = WireBytes {
            downstream_received: received,
            downstream_sent: sent,
            upstream_received: up.0,
            upstream_sent: up.1,
        };
        self.stream.finished = Some(self.connection.start.elapsed());
        let cx = FormatContext::new(&self.stream, &self.connection).on(occasion);
        self.worker.log.write(&self.proxy.access_logs, &cx);
    }

    fn finish(&mut self, down: &Transport) {
        self.count_bytes(down.transferred());
        self.note_trailers();
        self.log(Occasion::TcpConnectionEnd);
        let (id, flags) = (self.connection.id, self.stream.flags);
        let (up, down) = (self.to_up.moved, self.to_down.moved);
        about_connection!(debug, "filter", id, "ends: {up} bytes up, {down} down, {flags:?}");
    }

    /// Sends what is left to whoever still listens, within the idle timeout.
    async fn leave(&mut self, mut down: Transport, ending: Ending) {
        let patience = self.proxy.idle_timeout.unwrap_or(FLUSH_PATIENCE);
        self.deadline.set(Some(Instant::now() + patience));
        match ending {
            Ending::Closed => {}
            Ending::FlushDownstream => {
                self.up = None;
                deliver(&mut down, &self.deadline).await;
                down.reset_on_drop();
            }
            Ending::Goodbye => {
                self.up = None;
                flush(&mut down, &self.deadline).await;
            }
            Ending::FlushUpstream => {
                let Some(mut up) = self.up.take() else { return };
                drop(down);
                if !up.is_flushed() {
                    let (page, stats) = (&self.worker.page, &self.proxy.stats);
                    page.inc(stats.upstream_flush_total);
                    page.raise(stats.upstream_flush_active, 1);
                    up.deliver(&self.deadline).await;
                    page.lower(stats.upstream_flush_active, 1);
                }
                up.reset_on_drop();
            }
        }
    }
}
