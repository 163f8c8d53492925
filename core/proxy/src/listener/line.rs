//! The access log of a listener: a line for each connection, whatever becomes of it.

use std::rc::Rc;
use std::sync::Arc;

use ringway_model::format::FormatContext;
use ringway_model::listener::Listener;
use ringway_model::stream::{ConnectionInfo, StreamInfo};

use crate::worker::Worker;

/// What is known of a connection so far; written when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    pub(crate) info: ConnectionInfo,
    pub(crate) stream: StreamInfo,
}

impl Line {
    /// `None` where the listener has no log.
    pub(super) fn new(
        worker: &Rc<Worker>,
        listener: &Arc<Listener>,
        info: &ConnectionInfo,
    ) -> Option<Box<Self>> {
        if listener.access_logs.is_empty() {
            return None;
        }
        Some(Box::new(Self {
            worker: Rc::clone(worker),
            listener: Arc::clone(listener),
            stream: StreamInfo::new(info.start, worker.wall_clock(info.start)),
            info: info.clone(),
        }))
    }

    /// Bytes received and sent since the connection began.
    pub(crate) fn moved(&mut self, (received, sent): (u64, u64)) {
        (self.stream.bytes_received, self.stream.bytes_sent) = (received, sent);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stream.finished = Some(self.info.start.elapsed());
        let cx = FormatContext::new(&self.stream, &self.info);
        self.worker.log.write(&self.listener.access_logs, &cx);
    }
}
