//! How the process ends: SIGTERM drains, SIGINT and `/quitquitquit` stop, a second signal ends it
//! at once. In each case nobody is accepted any more from the first moment on.

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ringway_control::admin::{self, ServerState};
use ringway_model::listener::Listeners;
use ringway_model::snapshot::Snapshot;
use ringway_proxy::worker::Command;
use socket2::SockRef;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::serve::Server;

/// How often a draining process looks whether its workers are done.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How long workers may take to accept what waits in the queues of their sockets.
const LAST_ACCEPTS: Duration = Duration::from_millis(100);
/// How long workers may take to hear that they stop. One that does not hear is stuck, and ends
/// with the process.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The signals that the process reacts to.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) term: Signal,
    pub(crate) int: Signal,
    pub(crate) hup: Signal,
    pub(crate) usr1: Signal,
}

impl Signals {
    /// From now on they reach the process as events.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one that asks for an end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

impl Server {
    /// SIGTERM: end without losing a request, within the drain time.
    pub(crate) async fn drain(mut self, signals: &mut Signals) -> ExitCode {
        let limit = self.options.drain_time();
        tracing::info!(target: "main", "draining for up to {} s", limit.as_secs());
        // Whoever asks `/ready` must send the next request elsewhere.
        self.lifecycle.set(ServerState::Draining);
        self.workers.tell(&self.control, Command::Drain);
        // Workers take what has connected before they close their sockets; one that does not
        // answer must not keep the port open.
        tokio::time::sleep(LAST_ACCEPTS).await;
        stop_listening(&self.control.current(), Listeners::All);
        let workers = &mut self.workers;
        let drained = async {
            while !workers.are_drained() {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        tokio::select! {
            () = signals.end() => tracing::warn!(target: "main", "a second signal: ending at once"),
            () = quit(&mut self.commands) => {}
            result = tokio::time::timeout(limit, drained) => if result.is_err() {
                tracing::warn!(target: "main", "the drain time is over");
            },
        }
        self.stop().await
    }

    /// Ends now.
    pub(crate) async fn stop(self) -> ExitCode {
        tracing::info!(target: "main", "exiting");
        stop_listening(&self.control.current(), Listeners::All);
        self.leave_given_sockets().await;
        self.workers.tell(&self.control, Command::Stop);
        let (done, joined) = oneshot::channel();
        let workers = self.workers;
        // A thread of its own: the control thread must not wait for ever for a worker that hangs.
        thread::spawn(move || {
            workers.join();
            // Nobody listens any more when this took too long.
            let _ = done.send(());
        });
        if tokio::time::timeout(STOP_MAX, joined).await.is_err() {
            tracing::warn!(target: "main", "a worker does not stop");
        }
        // Writes what the workers handed over last.
        drop(self.logs);
        ExitCode::SUCCESS
    }
}

impl Server {
    /// A socket that was given cannot be shut down, and a ring that goes on accepting while it is
    /// taken apart would lose connections that are for the next process.
    async fn leave_given_sockets(&self) {
        let current = self.control.current();
        if current.listeners.iter().any(|listener| listener.all_sockets().any(|one| one.given)) {
            self.workers.tell(&self.control, Command::StopListening(Listeners::All));
            tokio::time::sleep(LAST_ACCEPTS).await;
        }
    }
}

/// Waits for `/quitquitquit`; there is no time left for other commands.
async fn quit(commands: &mut tokio::sync::mpsc::Receiver<admin::Command>) {
    while let Some(command) = commands.recv().await {
        if command == admin::Command::Quit {
            return;
        }
    }
    std::future::pending().await
}

/// Stops the sockets of listeners from listening. Closing them would not: the kernel holds a
/// socket for as long as an `accept` waits on it or anybody has a descriptor of it, and takes an
/// io_uring apart only some time after its process has ended.
pub(crate) fn stop_listening(snapshot: &Snapshot, which: Listeners) {
    for listener in snapshot.listeners.iter().filter(|listener| which.takes(listener)) {
        // Those that were given are for the next process.
        for sockets in listener.all_sockets().filter(|sockets| !sockets.given) {
            sockets.fds.each(|socket| {
                // An error means that it does not listen any more: it is shut down already.
                let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
            });
            // Nothing but closing it frees a port of UDP.
            if listener.udp.is_some() {
                sockets.fds.close();
            }
        }
    }
}
