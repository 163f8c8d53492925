//! The origin behind every proxy: `ringway-load serve`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::rank;

/// How long the origin may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running origin.
#[derive(Debug)]
pub(crate) struct Origin {
    process: Process,
    pub(crate) port: u16,
}

impl Origin {
    /// Starts one on `cpu` whose answers have `size` bytes unless a path asks for others (without,
    /// it has no say in that), and which is told `arguments` besides.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        name: &str,
        cpu: usize,
        size: Option<usize>,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let port_file = folder.join(format!("{name}.port"));
        // The port of an origin that has ended must not be taken for this one's.
        let _ = fs::remove_file(&port_file);
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--threads", "1"]);
        command.args(["--cpus", &cpu.to_string()]);
        command.args(size.map(|size| format!("--size={size}")));
        command.arg("--port-file").arg(&port_file).args(arguments);
        let started = Process::start(command, &[cpu], &folder.join(format!("{name}.log")));
        let mut process = started.map_err(|error| format!("{}: {error}", program.display()))?;
        let port = wait_for_port(&mut process, &port_file)?;
        Ok(Self { process, port })
    }

    /// Whether it goes before everything else on its CPU; see [`rank::origin_first`].
    ///
    /// # Errors
    ///
    /// Not permitted: only root may.
    pub(crate) fn goes_first(&self, first: bool) -> io::Result<()> {
        rank::origin_first(self.process.id(), first)
    }
}

fn wait_for_port(process: &mut Process, file: &Path) -> Result<u16, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(port) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
        {
            return Ok(port);
        }
        if process.ended().is_some() || Instant::now() > deadline {
            return Err(format!("the origin does not listen: {}", process.last_words()));
        }
        thread::sleep(Duration::from_millis(5));
    }
}
