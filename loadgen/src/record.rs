//! What one worker writes down, in pieces of a fixed time that the coordinator adds up.
//!
//! A [`Record`] is plain data: histograms in nanoseconds and counts. Workers fill one without any
//! lock, send it away and go on with an empty one, so that live figures, logs by time, steps and
//! the total all come from the same numbers.

use std::ops::Deref;
use std::sync::LazyLock;

use hdrhistogram::Histogram;

/// The range of histograms: 100 ns to 10 minutes with three digits.
const LOWEST: u64 = 100;
const HIGHEST: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// An empty histogram of times in nanoseconds.
pub(crate) fn times() -> Histogram<u64> {
    // The bounds are constants that the crate accepts; a test makes one.
    Histogram::new_with_bounds(LOWEST, HIGHEST, DIGITS)
        .unwrap_or_else(|_| unreachable!("constant bounds are valid"))
}

/// Times, of which there may be none. A histogram is 200 KB that the kernel has to find page by
/// page, and most records need one of their four.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distribution(Option<Box<Histogram<u64>>>);

impl Distribution {
    /// Notes a time; one beyond the range counts as its end.
    #[inline]
    pub(crate) fn saturating_record(&mut self, nanoseconds: u64) {
        self.0.get_or_insert_with(|| Box::new(times())).saturating_record(nanoseconds);
    }

    fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.0 else { return };
        // A sum touches only the pages that have counts; a copy would touch all of them. Bounds are
        // equal everywhere: it cannot fail.
        let _ = self.0.get_or_insert_with(|| Box::new(times())).add(&**theirs);
    }
}

impl Deref for Distribution {
    type Target = Histogram<u64>;

    fn deref(&self) -> &Histogram<u64> {
        static NONE: LazyLock<Histogram<u64>> = LazyLock::new(times);
        self.0.as_deref().unwrap_or(&NONE)
    }
}

/// Ways in which a request or a connection fails; the order is that of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens at the address.
    Refused,
    /// The connection was not open in time.
    ConnectTimeout,
    /// This host could not open the connection: no ports, no descriptors, no route.
    ConnectFailed,
    /// No complete answer in time.
    Timeout,
    /// No answer to a datagram in time: one of the two was lost, or late.
    Lost,
    /// The server reset the connection under a request.
    Reset,
    /// The server closed the connection before the answer was complete.
    Closed,
    /// Bytes that are no answer.
    Malformed,
    /// TLS was not agreed on, or broken.
    Tls,
    /// The server does not speak WebSocket here.
    Upgrade,
    /// The server gave up one stream of a connection.
    StreamReset,
    /// A status that was not expected.
    WrongStatus,
    /// A gRPC status that was not expected, or none.
    WrongGrpcStatus,
    /// A body of another length or content than expected.
    WrongBody,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::Timeout,
        Self::Lost,
        Self::Reset,
        Self::Closed,
        Self::Malformed,
        Self::Tls,
        Self::Upgrade,
        Self::StreamReset,
        Self::WrongStatus,
        Self::WrongGrpcStatus,
        Self::WrongBody,
    ];

    /// For reports.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::ConnectTimeout => "connect timed out",
            Self::ConnectFailed => "connect failed on this host",
            Self::Timeout => "request timed out",
            Self::Lost => "datagram lost",
            Self::Reset => "reset by the server",
            Self::Closed => "closed before the answer was complete",
            Self::Malformed => "malformed answer",
            Self::Tls => "TLS failed",
            Self::Upgrade => "upgrade refused",
            Self::StreamReset => "stream reset by the server",
            Self::WrongStatus => "wrong status",
            Self::WrongGrpcStatus => "wrong gRPC status",
            Self::WrongBody => "wrong body",
        }
    }
}

/// Counts of failures with the first example of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    counts: [u64; Failure::ALL.len()],
    examples: [Option<Box<str>>; Failure::ALL.len()],
}

impl Failures {
    pub(crate) fn add(&mut self, failure: Failure, example: impl FnOnce() -> String) {
        let index = failure as usize;
        self.counts[index] += 1;
        self.examples[index].get_or_insert_with(|| example().into_boxed_str());
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Those that happened, with count and example.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Failure, u64, &str)> {
        Failure::ALL.into_iter().filter_map(|failure| {
            let index = failure as usize;
            let example = self.examples[index].as_deref().unwrap_or_default();
            (self.counts[index] > 0).then_some((failure, self.counts[index], example))
        })
    }

    fn merge(&mut self, other: &Self) {
        for (index, example) in other.examples.iter().enumerate() {
            self.counts[index] += other.counts[index];
            if self.examples[index].is_none() {
                self.examples[index].clone_from(example);
            }
        }
    }
}

/// Own CPU time in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
}

/// TLS handshakes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Handshakes {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    /// What the first of them agreed on: version, suite, group.
    pub(crate) agreed: Option<Box<str>>,
}

/// What unfriendly clients did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unfriendly {
    /// Connections that were opened without a complete request, and how many of these the server
    /// closed.
    pub(crate) half_open: u64,
    pub(crate) half_open_cut: u64,
    /// Requests that were sent and read slowly: with an answer, and cut off by the server.
    pub(crate) slow_answered: u64,
    pub(crate) slow_cut: u64,
    /// Requests after which the client reset the connection.
    pub(crate) aborted: u64,
    /// Attempts that did not even connect.
    pub(crate) not_connected: u64,
}

impl Unfriendly {
    fn merge(&mut self, other: &Self) {
        self.half_open += other.half_open;
        self.half_open_cut += other.half_open_cut;
        self.slow_answered += other.slow_answered;
        self.slow_cut += other.slow_cut;
        self.aborted += other.aborted;
        self.not_connected += other.not_connected;
    }
}

/// What happened in one stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Right answers, from the time at which each request was due.
    pub(crate) latency: Distribution,
    /// The same from the time at which it was sent; empty in a closed loop, where both agree.
    pub(crate) service: Distribution,
    /// How much later than due requests were sent although a connection was free: the
    /// generator's own fault.
    pub(crate) lateness: Distribution,
    /// Opening connections.
    pub(crate) connect: Distribution,
    /// Answers by status, right or wrong.
    pub(crate) statuses: Vec<(u16, u64)>,
    pub(crate) failures: Failures,
    /// Right answers by kind of request.
    pub(crate) by_request: Vec<u64>,
    /// Right answers that came before the end of the measured time.
    pub(crate) in_time: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Requests that were due and never sent: no connection was free until the end.
    pub(crate) unsent: u64,
    /// Whole answers, right or wrong, warm-up included: what the CPU time was spent on.
    pub(crate) answers: u64,
    pub(crate) cpu: Cpu,
    pub(crate) unfriendly: Unfriendly,
    pub(crate) handshakes: Handshakes,
}

impl Record {
    /// Nothing yet, for so many kinds of requests.
    pub(crate) fn new(requests: usize) -> Self {
        Self {
            latency: Distribution::default(),
            service: Distribution::default(),
            lateness: Distribution::default(),
            connect: Distribution::default(),
            statuses: Vec::new(),
            failures: Failures::default(),
            by_request: vec![0; requests],
            in_time: 0,
            bytes_received: 0,
            bytes_sent: 0,
            unsent: 0,
            answers: 0,
            cpu: Cpu::default(),
            unfriendly: Unfriendly::default(),
            handshakes: Handshakes::default(),
        }
    }

    /// Counts an answer of this status; 0 is that of protocols without any.
    #[inline]
    pub(crate) fn status(&mut self, status: u16) {
        if status == 0 {
            return;
        }
        match self.statuses.iter_mut().find(|(other, _)| *other == status) {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((status, 1)),
        }
    }

    /// Right answers.
    pub(crate) fn right(&self) -> u64 {
        self.latency.len()
    }

    /// Adds what another stretch or another worker saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.service, &other.service),
            (&mut self.lateness, &other.lateness),
            (&mut self.connect, &other.connect),
        ] {
            mine.merge(theirs);
        }
        for (status, count) in &other.statuses {
            match self.statuses.iter_mut().find(|(mine, _)| mine == status) {
                Some((_, mine)) => *mine += count,
                None => self.statuses.push((*status, *count)),
            }
        }
        self.failures.merge(&other.failures);
        for (mine, theirs) in self.by_request.iter_mut().zip(&other.by_request) {
            *mine += theirs;
        }
        self.in_time += other.in_time;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.unsent += other.unsent;
        self.answers += other.answers;
        self.cpu.user_ns += other.cpu.user_ns;
        self.cpu.system_ns += other.cpu.system_ns;
        self.unfriendly.merge(&other.unfriendly);
        self.handshakes.full += other.handshakes.full;
        self.handshakes.resumed += other.handshakes.resumed;
        if self.handshakes.agreed.is_none() {
            self.handshakes.agreed.clone_from(&other.handshakes.agreed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_add_up() {
        let mut total = Record::new(1);
        for round in 1..=3_u64 {
            let mut record = Record::new(1);
            record.latency.saturating_record(round * 1_000_000);
            record.status(200);
            record.status(if round == 3 { 503 } else { 200 });
            record.failures.add(Failure::Timeout, || format!("round {round}"));
            record.by_request[0] = round;
            record.cpu.user_ns = 5;
            total.merge(&record);
        }
        assert_eq!(total.right(), 3);
        assert_eq!(total.statuses, [(200, 5), (503, 1)]);
        assert_eq!(total.failures.iter().collect::<Vec<_>>(), [(Failure::Timeout, 3, "round 1")]);
        assert_eq!((total.by_request[0], total.cpu.user_ns), (6, 15));
        assert!(total.latency.max().abs_diff(3_000_000) < 4000);
    }

    #[test]
    fn times_out_of_range_are_kept_at_the_edge() {
        let mut times = times();
        times.saturating_record(u64::MAX);
        times.saturating_record(0);
        assert_eq!(times.len(), 2);
    }
}
