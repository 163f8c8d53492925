//! Access-log lines of one worker, batched per sink on their way to the writer.

use std::cell::RefCell;

use ringway_bridge::log_ring::{Batch, LogSender};
use ringway_model::access_log::{AccessLog, SinkId};
use ringway_model::format::FormatContext;

/// A batch of this size is handed over at once; smaller ones by time.
const BATCH_BYTES: usize = 32 << 10;

/// Batches under way, indexed by sink.
#[derive(Debug)]
pub(crate) struct Log {
    sender: LogSender,
    batches: RefCell<Vec<Vec<u8>>>,
}

impl Log {
    pub(crate) fn new(sender: LogSender) -> Self {
        Self { sender, batches: RefCell::default() }
    }

    /// Writes the stream's line in each log that wants it.
    pub(crate) fn write(&self, logs: &[AccessLog], cx: &FormatContext<'_>) {
        for log in logs {
            if log.filter.as_ref().is_none_or(|filter| filter.accepts(cx)) {
                self.append(log, cx);
            }
        }
    }

    fn append(&self, log: &AccessLog, cx: &FormatContext<'_>) {
        self.append_with(log.sink, |batch| log.format.write(cx, batch));
    }

    /// Writes whole lines of another kind than requests and connections.
    pub(crate) fn write_lines(&self, sink: SinkId, lines: &[u8]) {
        self.append_with(sink, |batch| batch.extend_from_slice(lines));
    }

    fn append_with(&self, to: SinkId, write: impl FnOnce(&mut Vec<u8>)) {
        let sink = to.0 as usize;
        let mut batches = self.batches.borrow_mut();
        if batches.len() <= sink {
            batches.resize_with(sink + 1, Vec::new);
        }
        let batch = &mut batches[sink];
        if batch.capacity() == 0 {
            *batch = self.sender.buffer();
        }
        write(batch);
        if batch.len() >= BATCH_BYTES {
            self.sender.send(Batch { sink: to.0, bytes: std::mem::take(batch) });
        }
    }

    /// Hands over whatever there is.
    pub(crate) fn flush(&self) {
        for (sink, batch) in self.batches.borrow_mut().iter_mut().enumerate() {
            if !batch.is_empty() {
                let bytes = std::mem::take(batch);
                self.sender.send(Batch { sink: sink as u32, bytes });
            }
        }
    }
}
