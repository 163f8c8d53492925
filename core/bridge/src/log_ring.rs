//! Access-log lines on their way from the workers to the thread that writes files.
//!
//! A worker collects lines in a batch per sink and hands over whole batches, so the queue sees
//! one push per some hundred lines. Empty batches come back to be filled again: in steady state
//! nothing is allocated. When the writer cannot keep up, batches are dropped and counted: a
//! worker never waits for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

/// Lines of one sink.
#[derive(Debug, Default)]
pub struct Batch {
    /// The sink, as numbered by the control thread.
    pub sink: u32,
    /// Complete lines, each with its line end.
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
struct Shared {
    full: ArrayQueue<Batch>,
    empty: ArrayQueue<Vec<u8>>,
    dropped_bytes: AtomicU64,
}

/// The worker's end.
#[derive(Debug)]
pub struct LogSender(Arc<Shared>);

/// The writer's end.
#[derive(Debug)]
pub struct LogReceiver(Arc<Shared>);

/// A ring for at most `batches` batches in flight.
pub fn log_ring(batches: usize) -> (LogSender, LogReceiver) {
    let shared = Arc::new(Shared {
        full: ArrayQueue::new(batches),
        empty: ArrayQueue::new(batches),
        dropped_bytes: AtomicU64::new(0),
    });
    (LogSender(Arc::clone(&shared)), LogReceiver(shared))
}

impl LogSender {
    /// An empty buffer to fill, used before where possible.
    pub fn buffer(&self) -> Vec<u8> {
        self.0.empty.pop().unwrap_or_default()
    }

    /// Hands a batch to the writer; drops and counts it when the writer is too far behind.
    pub fn send(&self, batch: Batch) {
        if let Err(mut refused) = self.0.full.push(batch) {
            self.0.dropped_bytes.fetch_add(refused.bytes.len() as u64, Ordering::Relaxed);
            refused.bytes.clear();
            let _ = self.0.empty.push(refused.bytes);
        }
    }
}

impl LogReceiver {
    /// The next batch, if there is one.
    pub fn receive(&self) -> Option<Batch> {
        self.0.full.pop()
    }

    /// Returns a written buffer to the worker.
    pub fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let _ = self.0.empty.push(buffer);
    }

    /// Bytes of log that were dropped since the start.
    pub fn dropped_bytes(&self) -> u64 {
        self.0.dropped_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_writer_costs_lines_not_time() {
        let (sender, receiver) = log_ring(1);
        sender.send(Batch { sink: 1, bytes: b"kept\n".to_vec() });
        sender.send(Batch { sink: 1, bytes: b"dropped\n".to_vec() });
        let kept = receiver.receive().expect("the first batch waits");
        assert_eq!((kept.sink, kept.bytes.as_slice()), (1, b"kept\n".as_slice()));
        assert!(receiver.receive().is_none());
        assert_eq!(receiver.dropped_bytes(), 8);
    }

    #[test]
    fn buffers_come_back() {
        let (sender, receiver) = log_ring(4);
        let mut bytes = sender.buffer();
        bytes.reserve(4096);
        let capacity = bytes.capacity();
        sender.send(Batch { sink: 0, bytes });
        receiver.recycle(receiver.receive().expect("a batch").bytes);
        assert_eq!(sender.buffer().capacity(), capacity);
    }
}
