//! Connections beside the busy ones: idle, or reading slowly.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::process::{self, Process};
use crate::usage;
use crate::wire;
use crate::workload;

/// What a slow reader asks for. More would meet the kernel's limit for all TCP memory, and slow
/// down everyone.
const SLOW_PATH: &str = "/bytes/1m";
/// What it takes at a time, and how often.
const SLOW_BYTES: usize = 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(50);
/// Its receive buffer: small, so that the answer waits in the proxy and not in the kernel.
const SLOW_BUFFER: usize = 8 * 1024;

/// What held connections may take to be open.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that stay as long as this value does.
#[derive(Debug)]
pub(crate) enum Companions {
    None,
    Idle {
        _streams: Vec<TcpStream>,
    },
    Slow {
        over: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    },
    /// A load generator whose connections have nothing more to do.
    Held {
        _load: Process,
    },
}

impl Companions {
    /// Connects them to `port`; slow readers run on `cpus`.
    pub(crate) fn open(wish: workload::Companions, port: u16, cpus: &[usize]) -> io::Result<Self> {
        match wish {
            workload::Companions::None => Ok(Self::None),
            workload::Companions::Idle(count) => {
                let request = wire::request("/", None, None);
                let open = |_| {
                    let mut stream = wire::connect(port)?;
                    // Used once: what a connection holds afterwards is what it costs to keep.
                    wire::ask(&mut stream, &request).map(|_| stream)
                };
                let streams: io::Result<Vec<_>> = (0..count).map(open).collect();
                Ok(Self::Idle { _streams: streams? })
            }
            workload::Companions::SlowReaders(count) => Self::slow(count, port, cpus.to_vec()),
            workload::Companions::Held(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Starts `load`, which opens `count` connections, uses each about once, and keeps them.
    ///
    /// # Errors
    ///
    /// It does not start, or `proxy` has not taken so many connections in time.
    pub(crate) fn hold(
        mut load: Command,
        count: usize,
        cpus: &[usize],
        log: &Path,
        proxy: i32,
    ) -> io::Result<Self> {
        let before = descriptors(proxy);
        let (rate, connections) = (format!("{}..0.01:1s", 2 * count), count.to_string());
        load.args(["--connections", &connections, "--threads", "1", "--ramp", &rate]);
        load.args(["--pacing", "sleep", "--duration", "1h", "--quiet"]);
        let load = Process::start(load, cpus, log)?;
        let deadline = Instant::now() + PATIENCE;
        while descriptors(proxy) < before + count {
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, load.last_words()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Until each was used.
        thread::sleep(Duration::from_millis(1500));
        Ok(Self::Held { _load: load })
    }

    fn slow(count: usize, port: u16, cpus: Vec<usize>) -> io::Result<Self> {
        let request = wire::request(SLOW_PATH, None, None);
        let open = |_| -> io::Result<TcpStream> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
            socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
            let mut stream: TcpStream = socket.into();
            stream.write_all(&request)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let streams: io::Result<Vec<_>> = (0..count).map(open).collect();
        let streams = streams?;
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            // Where they run is worth no failure.
            let _ = process::pin_this_thread(&cpus);
            read_slowly(streams, &end);
        });
        Ok(Self::Slow { over, thread: Some(thread) })
    }
}

/// Open files and sockets of a process and its children.
fn descriptors(process: i32) -> usize {
    let folders = usage::family(process).into_iter().map(|id| format!("/proc/{id}/fd"));
    folders.filter_map(|folder| Some(std::fs::read_dir(folder).ok()?.count())).sum()
}

fn read_slowly(mut streams: Vec<TcpStream>, over: &AtomicBool) {
    let mut buffer = [0; SLOW_BYTES];
    while !over.load(Ordering::Relaxed) {
        for stream in &mut streams {
            // Nothing there yet, or cut off: a slow client does not mind either.
            let _ = stream.read(&mut buffer);
        }
        thread::sleep(SLOW_PAUSE);
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        if let Self::Slow { over, thread } = self {
            over.store(true, Ordering::Relaxed);
            // It ends within a pause; a panic in it has said so already.
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}
