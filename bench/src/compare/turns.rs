//! One workload: every peer is started, checked and loaded in turn (A B C A B C ...).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::Stage;
use super::report::{LeftOut, Memory, Outcome, Point, Row};
use crate::companions::Companions;
use crate::load::{Run, Sample};
use crate::origin::Origin;
use crate::peers::{Kind, Needs, Peer, Setup};
use crate::process::{self, Process};
use crate::transport;
use crate::usage;
use crate::wire::{self, Answer};
use crate::workload::{self, Workload};

/// How long a proxy may take to answer its first request.
const START: Duration = Duration::from_secs(15);
/// CPUs that strangers may use before a turn is repeated, and how often it is.
const STRANGERS: f64 = 0.10;
const REPEATS: usize = 2;
/// Changes of configuration in one reload turn.
const RELOADS: usize = 100;
const RELOADS_QUICK: usize = 20;
/// Between two of them.
const RELOAD_PAUSE: Duration = Duration::from_millis(60);
/// How long a change of the origin may take to be seen, and how often it is asked for.
const RELOAD_PATIENCE: Duration = Duration::from_secs(2);
const RELOAD_SIGNALS: usize = 3;
/// What memory gets to come to rest.
const REST: Duration = Duration::from_millis(300);
/// Between two looks at whether it does, which is longer than housekeeping takes, and how many.
const SETTLING: Duration = Duration::from_millis(1200);
const SETTLING_MAX: usize = 6;
/// The second origin tells itself apart by the length of its answers.
const OTHER_SIZE: usize = 65;
/// What a sink takes for each of its answers, and a source gives.
const MIB: usize = 1 << 20;

/// A peer that runs.
struct Contender {
    peer: Peer,
    process: Process,
    setup: Setup,
    row: Row,
}

/// The origins of one workload.
struct Origins {
    usual: Origin,
    other: Origin,
}

impl Stage {
    /// All peers under one load.
    pub(super) fn workload(&self, workload: &Workload) -> Result<Outcome, String> {
        let origins = self.origins(workload)?;
        if let Some(size) = workload.upload {
            let written = fs::write(self.folder.join("body"), vec![b'u'; size]);
            written.map_err(|error| format!("{}: {error}", self.folder.display()))?;
        }
        let mut outcome = Outcome::new(workload);
        let mut contenders = Vec::new();
        for peer in &self.peers {
            match self.contender(peer, workload, &origins) {
                Ok(contender) => contenders.push(contender),
                Err(reason) => {
                    let peer = peer.kind.name().to_owned();
                    outcome.left_out.push(LeftOut { peer, reason });
                }
            }
        }
        for round in 0..self.settings.rounds {
            eprintln!("{}: round {} of {}", workload.name, round + 1, self.settings.rounds);
            for contender in &mut contenders {
                let outcome = self.full_speed(contender, workload, &origins);
                contender.row.problems.extend(outcome.err());
            }
        }
        outcome.rows = contenders.iter().map(|contender| contender.row.clone()).collect();
        if self.takes_latency(workload) {
            self.fixed_rates(&mut contenders, workload, &origins, &outcome);
        }
        outcome.rows = contenders.into_iter().map(|contender| contender.row).collect();
        Ok(outcome)
    }

    /// One turn of one peer, with `meanwhile` getting the proxy's process id.
    ///
    /// # Errors
    ///
    /// The peer cannot be started, answers wrongly or not at all.
    pub(crate) fn single(
        &self,
        peer: &Peer,
        workload: &Workload,
        meanwhile: impl FnOnce(i32),
    ) -> Result<Sample, String> {
        let failed = |error| format!("{}: {error}", peer.kind.name());
        let origins = self.origins(workload)?;
        let contender = self.contender(peer, workload, &origins).map_err(failed)?;
        let id = contender.process.id();
        self.run(&contender, workload, None).go(id, || meanwhile(id)).map_err(failed)
    }

    fn origins(&self, workload: &Workload) -> Result<Origins, String> {
        let transport = workload.transport;
        // What sends datagrams back has no answers of its own.
        let own = transport.client != transport::Client::Udp;
        let start = |name, size| {
            let size = Some(size).filter(|_| own);
            let arguments = transport.origin_arguments();
            Origin::start(&self.load, &self.folder, name, self.cores.origin, size, arguments)
        };
        if matches!(transport.origin, transport::Origin::Sink | transport::Origin::Source) {
            return Ok(Origins { usual: start("origin", MIB)?, other: start("other", MIB)? });
        }
        Ok(Origins { usual: start("origin", 64)?, other: start("other", OTHER_SIZE)? })
    }

    /// Starts a peer and checks what it answers.
    fn contender(
        &self,
        peer: &Peer,
        workload: &Workload,
        origins: &Origins,
    ) -> Result<Contender, String> {
        let cannot = peer.kind.cannot(workload.needs);
        if let Some(reason) = cannot.or_else(|| workload.transport.cannot(peer.kind)) {
            return Err(reason.to_owned());
        }
        // The floor connects to the origin for each of its clients, idle ones included.
        if peer.kind == Kind::Floor && 2 * workload.clients() as u64 + 100 > process::descriptors()
        {
            return Err(format!("{} descriptors are too few for it", process::descriptors()));
        }
        let folder = self.folder.join(format!("{}-{}", workload.name, peer.kind.name()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let setup = Setup {
            folder,
            port: free_port().map_err(|error| error.to_string())?,
            origin: origins.usual.port,
            needs: workload.needs,
            transport: workload.transport,
            bulk: workload.is_bulk(),
            spin: workload.spin,
        };
        transport::write_identity(&setup.folder).map_err(|error| error.to_string())?;
        let started = peer.start(&setup, self.cores.proxy);
        let mut process = started.map_err(|error| format!("it does not start: {error}"))?;
        let mut agreed = String::new();
        if workload.transport.is_plain() {
            await_answer(&mut process, setup.port)?;
            check(workload, setup.port).map_err(|error| format!("it answers wrongly: {error}"))?;
        } else {
            agreed = self.await_probe(&mut process, workload, setup.port)?;
        }
        let row = Row {
            peer: peer.kind.name().to_owned(),
            agreed,
            memory: Memory { started: resident(&process), ..Memory::default() },
            ..Row::default()
        };
        Ok(Contender { peer: peer.clone(), process, setup, row })
    }

    /// Waits for right answers in the transport of a workload; tells on what TLS agreed.
    fn await_probe(
        &self,
        process: &mut Process,
        workload: &Workload,
        port: u16,
    ) -> Result<String, String> {
        let run = self.run_at(port, workload, None);
        let deadline = Instant::now() + START;
        loop {
            let error = match run.probe() {
                Ok(agreed) => return Ok(agreed),
                Err(error) => error,
            };
            if process.ended().is_some() {
                return Err(format!("it ended: {}", process.last_words()));
            }
            if Instant::now() > deadline {
                let words = process.last_words();
                return Err(format!("it answers wrongly: {error}: {words}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One turn as fast as possible.
    fn full_speed(
        &self,
        contender: &mut Contender,
        workload: &Workload,
        origins: &Origins,
    ) -> Result<(), String> {
        let companions = self.companions(contender, workload)?;
        let sample = if workload.needs == Needs::Reload {
            self.reload(contender, workload, origins)
        } else {
            self.undisturbed(|| {
                self.run(contender, workload, None).go(contender.process.id(), || ())
            })
        };
        drop(companions);
        contender.row.samples.push(sample?);
        contender.row.memory.loaded = resident(&contender.process);
        Ok(())
    }

    /// Opens what is connected beside, and notes what it costs where the process is still fresh.
    fn companions(
        &self,
        contender: &mut Contender,
        workload: &Workload,
    ) -> Result<Companions, String> {
        let count = match workload.companions {
            workload::Companions::None => return Ok(Companions::None),
            workload::Companions::Idle(count)
            | workload::Companions::SlowReaders(count)
            | workload::Companions::Held(count) => count,
        };
        let before = resident(&contender.process);
        let port = contender.setup.port;
        let opened = if let workload::Companions::Held(count) = workload.companions {
            let load = self.run(contender, workload, None).holder();
            let (cpus, log) = (&self.cores.load, self.folder.join("held.log"));
            Companions::hold(load, count, cpus, &log, contender.process.id())
        } else {
            Companions::open(workload.companions, port, &self.cores.load)
        };
        let opened = opened.map_err(|error| format!("{count} more connections: {error}"))?;
        thread::sleep(REST);
        if contender.row.samples.is_empty() {
            if !matches!(workload.companions, workload::Companions::SlowReaders(_)) {
                settle(&contender.process);
            }
            let grown = resident(&contender.process).saturating_sub(before);
            contender.row.memory.per_companion = Some(grown as f64 / count as f64);
        }
        Ok(opened)
    }

    fn run<'a>(
        &'a self,
        contender: &Contender,
        workload: &'a Workload,
        rate: Option<f64>,
    ) -> Run<'a> {
        self.run_at(contender.setup.port, workload, rate)
    }

    fn run_at<'a>(&'a self, port: u16, workload: &'a Workload, rate: Option<f64>) -> Run<'a> {
        Run {
            program: &self.load,
            folder: &self.folder,
            cores: &self.cores,
            workload,
            port,
            rate,
            spin: true,
            warmup: self.warmup(),
            duration: self.measured(),
            any_length: workload.needs == Needs::Reload,
        }
    }

    /// Repeats a turn that failed, or during which strangers used the machine; keeps the least
    /// disturbed one.
    fn undisturbed(
        &self,
        mut turn: impl FnMut() -> Result<Sample, String>,
    ) -> Result<Sample, String> {
        let mut best = turn();
        // Two minutes are promised.
        let repeats = if self.settings.quick { usize::from(best.is_err()) } else { REPEATS };
        for _ in 0..repeats {
            if best.as_ref().is_ok_and(|sample| sample.strangers <= STRANGERS) {
                break;
            }
            best = less_disturbed(best, turn());
        }
        best
    }

    /// The origin changes while requests come; in the end it must be the new one that answers.
    fn reload(
        &self,
        contender: &mut Contender,
        workload: &Workload,
        origins: &Origins,
    ) -> Result<Sample, String> {
        let changes = if self.settings.quick { RELOADS_QUICK } else { RELOADS };
        let mut run = self.run(contender, workload, None);
        run.duration = RELOAD_PAUSE * changes as u32 + Duration::from_millis(500);
        let Contender { peer, process, setup, row } = contender;
        let ports = [origins.other.port, origins.usual.port];
        let mut failure = None;
        let mut sample = run.go(process.id(), || {
            for port in ports.iter().cycle().take(changes) {
                setup.origin = *port;
                failure = peer.reload(process, setup).err().or(failure.take());
                thread::sleep(RELOAD_PAUSE);
            }
        })?;
        if let Some(error) = failure {
            return Err(format!("a change of configuration: {error}"));
        }
        row.reloads += changes;
        if peer.kind.replaces_workers() {
            // What workers used that have ended meanwhile cannot be counted.
            (sample.cpu_us, sample.user_us, sample.system_us, sample.busy) = (0.0, 0.0, 0.0, 0.0);
        }
        for (origin, size) in [(&origins.other, OTHER_SIZE), (&origins.usual, 64)] {
            setup.origin = origin.port;
            await_change(peer, process, setup, size)?;
        }
        Ok(sample)
    }

    /// Latencies at parts of the slowest peer's speed and of each peer's own.
    fn fixed_rates(
        &self,
        contenders: &mut [Contender],
        workload: &Workload,
        origins: &Origins,
        outcome: &Outcome,
    ) {
        let Some(slowest) = outcome.slowest_rate() else { return };
        let spin = !self.cores.origin_shares() || origins.usual.goes_first(true).is_ok();
        if !spin {
            eprintln!(
                "load and origin share a CPU and only root may rank them: requests are \
                       paced to a millisecond"
            );
        }
        for (own, part) in self.points() {
            for contender in &mut *contenders {
                let whole = if *own { contender.row.median(|s| s.rate) } else { slowest };
                let whose = if *own { "its own rate" } else { "the slowest" };
                let label = format!("{:.0} % of {whose}", part * 100.0);
                contender.row.points.push(Point { label, wished: whole * part, samples: vec![] });
            }
            for round in 0..self.latency_rounds() {
                eprintln!("{}: {:.0} %, round {}", workload.name, part * 100.0, round + 1);
                for contender in &mut *contenders {
                    let outcome = self.fixed_rate(contender, workload, spin);
                    contender.row.problems.extend(outcome.err());
                }
            }
        }
        if self.cores.origin_shares() && spin {
            // It was permitted a moment ago.
            let _ = origins.usual.goes_first(false);
        }
    }

    /// One turn at the rate of the last point.
    fn fixed_rate(
        &self,
        contender: &mut Contender,
        workload: &Workload,
        spin: bool,
    ) -> Result<(), String> {
        let companions = self.companions(contender, workload)?;
        let rate = contender.row.points.last().map(|point| point.wished);
        let sample = self.undisturbed(|| {
            let run = Run { spin, ..self.run(contender, workload, rate) };
            run.go(contender.process.id(), || ())
        });
        drop(companions);
        if let Some(point) = contender.row.points.last_mut() {
            point.samples.push(sample.map_err(|error| format!("at {}: {error}", point.label))?);
        }
        Ok(())
    }
}

/// The better one of two turns: any that came to an end, then that with fewer strangers.
fn less_disturbed(
    one: Result<Sample, String>,
    other: Result<Sample, String>,
) -> Result<Sample, String> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(if other.strangers < one.strangers { other } else { one }),
        (Err(_), other) => other,
        (one, Err(_)) => one,
    }
}

fn free_port() -> std::io::Result<u16> {
    // Freed at once: proxies take a number and not a socket. Nobody else binds on this host now.
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a process gives no more memory back, for a few seconds at most: what it took to open
/// the connections is not what they take.
fn settle(process: &Process) {
    let mut last = resident(process);
    for _ in 0..SETTLING_MAX {
        thread::sleep(SETTLING);
        let now = resident(process);
        if now + last / 100 >= last {
            return;
        }
        last = now;
    }
}

fn resident(process: &Process) -> u64 {
    usage::resident_bytes(&usage::family(process.id()))
}

fn ask(port: u16, request: &[u8]) -> std::io::Result<Answer> {
    wire::ask(&mut wire::connect(port)?, request)
}

fn await_answer(process: &mut Process, port: u16) -> Result<(), String> {
    let deadline = Instant::now() + START;
    loop {
        match ask(port, &wire::request("/", None, None)) {
            Ok(answer) if answer.status == 200 => return Ok(()),
            _ if process.ended().is_some() => {
                return Err(format!("it ended: {}", process.last_words()));
            }
            Ok(_) | Err(_) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(answer) => return Err(format!("status {}", answer.status)),
            Err(error) => return Err(format!("no answer: {error}: {}", process.last_words())),
        }
    }
}

/// Changes the configuration until answers have `size` bytes. HAProxy loses a signal that comes
/// while it still starts its last worker, so that one may not be enough.
fn await_change(peer: &Peer, process: &Process, setup: &Setup, size: usize) -> Result<(), String> {
    let request = wire::request("/", None, None);
    for _ in 0..RELOAD_SIGNALS {
        peer.reload(process, setup).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + RELOAD_PATIENCE;
        while Instant::now() < deadline {
            if ask(setup.port, &request).is_ok_and(|answer| answer.body.len() == size) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    Err("a change of the origin was not seen".to_owned())
}

/// Status, body and a field of the origin, for each path that will be asked for.
fn check(workload: &Workload, port: u16) -> Result<(), String> {
    let upload = workload.upload.map(|size| vec![b'u'; size]);
    let wish = match workload.upload {
        Some(_) => "/echo/fields/1".to_owned(),
        None => format!("/bytes/{}/fields/1", workload.answer),
    };
    let expected = upload.clone().unwrap_or_else(|| origin_body(workload.answer));
    for path in workload.paths() {
        let request = wire::request(&path, Some(&wish), upload.as_deref());
        let answer = ask(port, &request).map_err(|error| format!("{path}: {error}"))?;
        if answer.status != 200 {
            return Err(format!("{path}: status {}", answer.status));
        }
        if answer.field("x-field-0") != Some("value-0") {
            return Err(format!("{path}: the origin's field x-field-0 is not there"));
        }
        if answer.body != expected {
            return Err(format!("{path}: another body, of {} bytes", answer.body.len()));
        }
    }
    Ok(())
}

/// The body that the origin makes.
fn origin_body(size: usize) -> Vec<u8> {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";
    line.iter().copied().cycle().take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_failed_counts_only_where_there_is_no_other() {
        let sample = |strangers| Ok(Sample { strangers, ..Sample::default() });
        let failed = |why: &str| Err(why.to_owned());
        assert_eq!(less_disturbed(sample(0.3), sample(0.2)), sample(0.2));
        assert_eq!(less_disturbed(sample(0.2), sample(0.3)), sample(0.2));
        assert_eq!(less_disturbed(failed("busy"), sample(0.9)), sample(0.9));
        assert_eq!(less_disturbed(sample(0.9), failed("busy")), sample(0.9));
        assert_eq!(less_disturbed(failed("first"), failed("second")), failed("second"));
    }
}
