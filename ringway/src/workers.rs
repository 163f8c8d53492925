//! The worker threads and the lines to them.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringway_bridge::log_ring::LogSender;
use ringway_bridge::mailbox::{Receiver, Sender, mailbox};
use ringway_bridge::stats::Catalog;
use ringway_control::publish::{Control, WorkerEnd};
use ringway_model::dns::NameLine;
use ringway_model::overload::Overload;
use ringway_proxy::worker::{Command, Neighbours, Parts, run};
use ringway_runtime::worker::{self, Driver, Spec};

/// Commands that may wait for a worker.
const COMMANDS_MAX: usize = 64;

/// All workers of the process.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
    commands: Vec<Sender<Command>>,
    overload: Arc<Overload>,
    drained: Receiver<usize>,
    drained_count: usize,
}

impl Workers {
    /// Starts one worker per end, pinned to the cores in turn.
    pub(crate) fn start(
        ends: Vec<WorkerEnd>,
        (logs, names): (Vec<LogSender>, Vec<NameLine>),
        catalog: &Arc<Catalog>,
        driver: Driver,
        spin: Duration,
        drain_time: Duration,
    ) -> io::Result<Self> {
        let count = ends.len();
        let cores = worker::cores();
        let (drained, reports) = mailbox(count);
        let overload = Arc::default();
        let (mut threads, mut commands) = (Vec::new(), Vec::new());
        let neighbours = Neighbours::of(ends.iter().map(|end| Arc::clone(&end.bell)).collect());
        let ends = ends.into_iter().zip(logs).zip(names).zip(neighbours);
        for (((end, log), names), neighbours) in ends {
            let (sender, inbox) = mailbox(COMMANDS_MAX);
            commands.push(sender);
            let index = end.worker;
            let parts = Parts {
                index,
                workers: count,
                page: catalog.new_page(),
                catalog: Arc::clone(catalog),
                snapshots: end.snapshots,
                commands: inbox,
                ear: end.ear,
                log,
                names,
                drain_time,
                overload: Arc::clone(&overload),
                adopted: end.adopted,
                drained: drained.clone(),
                neighbours,
            };
            // More workers than cores share cores; pinning them would only fix the imbalance.
            let core = (count <= cores).then_some(index);
            let name = format!("worker_{index}");
            let spec = Spec { name, core, driver, spin };
            threads.push(worker::start_with(spec, move || run(parts))?);
        }
        Ok(Self { threads, commands, overload, drained: reports, drained_count: 0 })
    }

    /// What they do about overload.
    pub(crate) fn overload(&self) -> &Arc<Overload> {
        &self.overload
    }

    /// Tells every worker, and rings.
    pub(crate) fn tell(&self, control: &Control, command: Command) {
        for commands in &self.commands {
            if commands.send(command).is_err() {
                tracing::warn!(target: "main", ?command, "a worker does not read its commands");
            }
        }
        control.ring();
    }

    /// Whether every worker has ended its last connection.
    pub(crate) fn are_drained(&mut self) -> bool {
        while self.drained.receive().is_some() {
            self.drained_count += 1;
        }
        self.drained_count >= self.threads.len()
    }

    /// Waits for the end of all threads.
    pub(crate) fn join(self) {
        for thread in self.threads {
            // A worker that panicked has taken the process with it in a release build.
            let _ = thread.join();
        }
    }
}
