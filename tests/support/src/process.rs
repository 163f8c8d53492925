//! A program that runs beside the test, with a folder of its own.
//!
//! Owns: start, files, signals and the end, always by process id. What a proxy's process offers
//! beyond that is `Proxy`.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Make, PATIENCE, keeper};

/// How often something is asked that cannot tell by itself: a process's exit, a file, a counter.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// A running program; dropping it kills it. Its standard output and error are the files `stdout`
/// and `stderr` of its folder.
#[derive(Debug)]
pub struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a program with these arguments in an empty folder.
    pub fn start(make: Make, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::start_in(folder, make, arguments)
    }

    /// Starts a program in a folder that has files already. `{folder}` in an argument stands for
    /// the folder's path.
    pub(crate) fn start_in(folder: TempDir, make: Make, arguments: &[&str]) -> Self {
        let command = keeper::mortal(make.program());
        Self::start_command(folder, command, Stdio::null(), arguments)
    }

    /// The same, started as systemd does it for a socket unit (sd_listen_fds(3)): the program
    /// finds a socket at its descriptor 3.
    pub(crate) fn start_with_socket(
        folder: TempDir,
        make: Make,
        socket: OwnedFd,
        arguments: &[&str],
    ) -> Self {
        // The shell becomes the program, so that `$$` is its number.
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let mut command = keeper::mortal(Path::new("sh"));
        command.args(["-c", script, "sh"]).arg(make.program());
        Self::start_command(folder, command, Stdio::from(socket), arguments)
    }

    fn start_command(
        folder: TempDir,
        mut command: Command,
        stdin: Stdio,
        arguments: &[&str],
    ) -> Self {
        let path = folder.path().display().to_string();
        let log = |name| File::create(folder.path().join(name)).expect("the folder takes files");
        command.args(arguments.iter().map(|argument| argument.replace("{folder}", &path)));
        command.current_dir(folder.path());
        command.stdin(stdin).stdout(log("stdout")).stderr(log("stderr"));
        let child = keeper::spawn(command);
        let child = child.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        Self { child, folder }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process can be signalled");
    }

    /// Its exit status, when it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Waits until it has ended by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually(|| !self.is_running());
        self.status().unwrap_or_else(|| panic!("the process does not end:\n{}", self.log()))
    }

    /// Its folder, which is also its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.file("stderr")
    }

    /// A file of its folder; empty when it does not exist.
    pub fn file(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until a file of its folder satisfies `wanted`, and gives it.
    pub fn wait_file(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let seen = eventually(|| {
            text = self.file(name);
            wanted(&text)
        });
        assert!(seen, "{name} stays:\n{text}");
        text
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(path).expect("the process runs").count()
    }

    /// Waits until it has at most that many descriptors open.
    pub fn wait_descriptors(&self, most: usize) {
        let seen = eventually(|| self.descriptors() <= most);
        assert!(seen, "{} descriptors stay open, {most} are due", self.descriptors());
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("the kernel shows VmRSS")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            eprintln!("──── end of standard error ────\n{}", tail.join("\n"));
        }
    }
}

/// Asks until the answer is yes or [`PATIENCE`] is over; says which.
pub(crate) fn eventually(mut ask: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if ask() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep(POLL);
    }
}

/// Runs a program until it ends by itself: exit code, standard output, standard error. Panics when
/// it does not end.
pub fn run_to_end(make: Make, arguments: &[&str]) -> (i32, String, String) {
    let mut process = Process::start(make, arguments);
    let code = process.wait_exit().code().unwrap_or(-1);
    (code, process.file("stdout"), process.log())
}
