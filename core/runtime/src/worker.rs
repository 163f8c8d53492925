//! Worker threads: one per core, pinned, each with its own event loop.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use monoio::{IoUringDriver, RuntimeBuilder};

use crate::event_loop::{EventLoop, Events};
use crate::{epoll, ring};

/// Submission queue entries of a worker's ring.
const ENTRIES: u32 = 4096;
/// Completion queue entries: many connections may complete between two turns of the loop.
const COMPLETIONS: u32 = 16384;

/// What drives a worker's IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// One ring per worker, driven by this crate.
    IoUring,
    /// One ring per worker, driven by monoio.
    Monoio,
    /// For hosts and containers that refuse io_uring.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Monoio => "io_uring by monoio",
            Self::Epoll => "epoll",
        })
    }
}

/// The driver to use on this host, and why, in words for the operator.
pub fn detect() -> (Driver, String) {
    match ring::builder().build(8) {
        Ok(_) => (Driver::IoUring, "the kernel offers it".to_owned()),
        Err(error) => (Driver::Epoll, format!("io_uring was refused: {}", likely_cause(&error))),
    }
}

fn likely_cause(error: &io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(libc::EPERM) => "sysctl kernel.io_uring_disabled or a seccomp profile forbids it",
        Some(libc::ENOSYS) => "the kernel or a seccomp profile has no such system call",
        Some(libc::EINVAL) => "the kernel is older than 6.0",
        Some(libc::ENOMEM) => "the locked-memory limit (ulimit -l) is too low",
        _ => "no known cause",
    };
    format!("{error} (likely: {cause})")
}

/// The flags of monoio's ring. `DEFER_TASKRUN` is left out: monoio's non-blocking submit does not
/// reap deferred completions.
fn monoio_ring() -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun().setup_cqsize(COMPLETIONS);
    builder
}

/// What a worker thread is started with.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name of the thread.
    pub name: String,
    /// An index into the cores that the process may use; `None` leaves the thread unpinned.
    pub core: Option<usize>,
    /// What drives its IO.
    pub driver: Driver,
    /// How long an idle loop looks for events before it sleeps, after the last one. Monoio does not
    /// look.
    pub spin: Duration,
}

/// Starts a pinned thread that does not spin; see [`start_with`].
pub fn start<F, Fut>(
    name: String,
    core: Option<usize>,
    driver: Driver,
    main: F,
) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    start_with(Spec { name, core, driver, spin: Duration::ZERO }, main)
}

/// Starts a pinned thread and runs `main` on its event loop to the end.
///
/// Fails when the thread or its event loop cannot be made.
pub fn start_with<F, Fut>(spec: Spec, main: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let Spec { name, core, driver, spin } = spec;
    let (report, reported) = mpsc::channel();
    let thread = thread::Builder::new().name(name).spawn(move || {
        pin(core);
        match driver {
            Driver::IoUring => run_own(main, ring::install(spin), &report),
            Driver::Monoio => run_monoio(main, &report),
            Driver::Epoll => run_own(main, epoll::install(spin), &report),
        }
    })?;
    match reported.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the worker ended before its event loop was made")),
    }
}

fn pin(core: Option<usize>) {
    let Some(core) = core else { return };
    if let Some(id) = core_affinity::get_core_ids().and_then(|ids| ids.get(core).copied()) {
        core_affinity::set_for_current(id);
    }
}

type Report = mpsc::Sender<io::Result<()>>;

// The loop is made on the thread that runs it: a single-issuer ring refuses every other one, and
// monoio swallows that error.
fn run_own<E, F, Fut>(main: F, made: io::Result<(Rc<EventLoop>, E)>, report: &Report)
where
    E: Events,
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    // The starter waits for exactly this one report.
    match made {
        Ok((event_loop, events)) => {
            let _ = report.send(Ok(()));
            event_loop.run(&events, main());
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
}

fn run_monoio<F, Fut>(main: F, report: &Report)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let builder = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(monoio_ring())
        .with_entries(ENTRIES)
        .enable_timer();
    match builder.build() {
        Ok(mut runtime) => {
            let _ = report.send(Ok(()));
            runtime.block_on(async { main().await });
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
}

/// The number of cores that the process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
