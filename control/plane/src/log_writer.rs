//! The thread that writes access logs.
//!
//! It takes batches from the workers' rings and writes them to files, standard output and
//! standard error. Disks and pipes may block, so this is not the control thread, and a worker
//! never waits for it: when it falls behind, the rings drop batches and count them.
//!
//! A file is opened once however many loggers name it, in append mode, so that several processes
//! can write to it and rotation tools can move it away.

mod sink;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ringway_bridge::log_ring::{LogReceiver, LogSender, log_ring};
use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, Page};
use ringway_model::access_log::SinkId;

use sink::Sink;

/// How long batches may lie in a ring before they are written: while lines come, and after a
/// while without any.
const POLL_BUSY: Duration = Duration::from_millis(10);
const POLL_IDLE: Duration = Duration::from_millis(200);
/// Batches that a worker may have in flight.
const BATCHES_MAX: usize = 256;
/// How long the end of the process waits for the last lines.
const END_MAX: Duration = Duration::from_secs(5);
/// Orders that may wait for the thread while it is stuck in a slow write.
const ORDERS_MAX: usize = 64;
/// Batches taken from one ring before orders are looked at again.
const BATCHES_PER_TURN: usize = 1024;

stat_group! {
    /// `filesystem.*`
    pub struct FilesystemStats {
        counters { flushed_by_timer, reopen_failed, write_buffered, write_completed, write_failed }
        gauges { write_total_buffered }
        histograms {}
    }
}

stat_group! {
    /// What Envoy has no statistic for, since its loggers wait instead of dropping.
    pub struct DroppedStats {
        counters { bytes_dropped }
        gauges {}
        histograms {}
    }
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// A file, created if it does not exist.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[derive(Debug)]
enum Order {
    Add(SinkId, Sink),
    Reopen,
    /// Answered once everything that was handed over before has been written.
    Flush(SyncSender<()>),
    Stop,
}

/// The handle of the thread; dropping it writes what is queued and ends the thread, unless a
/// write is stuck for longer than a few seconds.
#[derive(Debug)]
pub struct LogWriter {
    sinks: HashMap<LogTarget, SinkId>,
    orders: SyncSender<Order>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl LogWriter {
    /// Starts the thread; returns one sender per worker.
    pub fn start(catalog: &Catalog, workers: usize) -> io::Result<(Self, Vec<LogSender>)> {
        let (senders, rings) = (0..workers).map(|_| log_ring(BATCHES_MAX)).unzip();
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let scribe = Scribe::new(catalog, rings);
        let (alive, ended) = sync_channel(0);
        std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
            scribe.run(&inbox);
            drop(alive);
        })?;
        Ok((Self { sinks: HashMap::new(), orders, ended }, senders))
    }

    /// The sink of that target, opened unless it is open already.
    pub fn open(&mut self, target: &LogTarget) -> io::Result<SinkId> {
        if let Some(id) = self.sinks.get(target) {
            return Ok(*id);
        }
        let id = SinkId(self.sinks.len() as u32);
        self.order(Order::Add(id, Sink::open(target)?))?;
        self.sinks.insert(target.clone(), id);
        Ok(id)
    }

    /// Opens all files again by their names (SIGUSR1, `/reopen_logs`): what was queued before
    /// goes to the old files.
    pub fn reopen(&self) -> io::Result<()> {
        self.order(Order::Reopen)
    }

    /// Waits until everything handed over so far has been written, for `limit` at the most.
    pub fn flush(&self, limit: Duration) -> io::Result<()> {
        let (done, wait) = sync_channel(1);
        self.order(Order::Flush(done))?;
        wait.recv_timeout(limit).map_err(io::Error::other)
    }

    /// Never blocks: the thread may be stuck in a write.
    fn order(&self, order: Order) -> io::Result<()> {
        let order = self.orders.try_send(order);
        order.map_err(|_| io::Error::other("the log writer is stuck in a write or has ended"))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if self.order(Order::Stop).is_ok() {
            let _ = self.ended.recv_timeout(END_MAX);
        }
    }
}

/// What the thread owns.
struct Scribe {
    rings: Vec<LogReceiver>,
    /// Indexed by sink.
    sinks: Vec<Sink>,
    page: Arc<Page>,
    stats: FilesystemStats,
    dropped: DroppedStats,
    /// Dropped bytes that are counted already, by ring.
    reported: Vec<u64>,
}

impl Scribe {
    fn new(catalog: &Catalog, rings: Vec<LogReceiver>) -> Self {
        let page = catalog.new_page();
        let stats = FilesystemStats::register(catalog, "filesystem", "filesystem", &[]);
        // Batches are written as they come.
        page.set(stats.write_total_buffered, 0);
        Self {
            reported: vec![0; rings.len()],
            rings,
            sinks: Vec::new(),
            page,
            stats,
            dropped: DroppedStats::register(catalog, "access_log", "access_log", &[]),
        }
    }

    fn run(mut self, inbox: &Receiver<Order>) {
        let mut pause = POLL_IDLE;
        loop {
            match inbox.recv_timeout(pause) {
                Ok(Order::Add(id, sink)) => {
                    debug_assert_eq!(id.0 as usize, self.sinks.len(), "sinks come in order");
                    self.sinks.push(sink);
                }
                Ok(Order::Reopen) => {
                    self.drain();
                    self.reopen();
                }
                Ok(Order::Flush(done)) => {
                    self.drain();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    let written = self.drain();
                    pause = if written { POLL_BUSY } else { (pause * 2).min(POLL_IDLE) };
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.drain();
                    return;
                }
            }
        }
    }

    /// Writes what lies in the rings, a bounded number of batches from each; whether there was
    /// anything.
    fn drain(&mut self) -> bool {
        let mut written = false;
        for ring in &self.rings {
            for _ in 0..BATCHES_PER_TURN {
                let Some(batch) = ring.receive() else { break };
                let sink = self.sinks.get_mut(batch.sink as usize);
                let outcome = sink.map_or(Ok(0), |sink| sink.write(&batch.bytes));
                self.count(&batch.bytes, outcome);
                ring.recycle(batch.bytes);
                written = true;
            }
        }
        if written {
            self.page.inc(self.stats.flushed_by_timer);
        }
        self.count_dropped();
        written
    }

    fn count(&self, bytes: &[u8], outcome: io::Result<u64>) {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.page.add(self.stats.write_buffered, lines);
        match outcome {
            Ok(writes) => self.page.add(self.stats.write_completed, writes),
            Err(_) => self.page.inc(self.stats.write_failed),
        }
    }

    fn count_dropped(&mut self) {
        for (ring, reported) in self.rings.iter().zip(&mut self.reported) {
            let dropped = ring.dropped_bytes();
            self.page.add(self.dropped.bytes_dropped, dropped - *reported);
            *reported = dropped;
        }
    }

    fn reopen(&mut self) {
        for sink in &mut self.sinks {
            if let Err(error) = sink.reopen() {
                self.page.inc(self.stats.reopen_failed);
                let path = sink.path().unwrap_or(Path::new("")).display().to_string();
                tracing::warn!(target: "file", %error, path, "cannot be opened again");
            }
        }
    }
}

#[cfg(test)]
mod tests;
