//! Who runs first on a CPU that others want, too.
//!
//! What is compared goes before strangers, since they would be in every figure: by a real-time
//! policy where that is permitted (to root), else as far as an ordinary process may. All that is
//! compared has the same rank, so that nobody gains by it.

use std::io;

use crate::usage;

/// Ranks of `SCHED_FIFO`: of what is compared, of an origin that a spinning load must not keep
/// waiting, and of the bench, which hardly runs while something is measured but then on time.
const COMPARED: i32 = 1;
const ORIGIN: i32 = 2;
const BENCH: i32 = 3;
/// The nice value of what is compared, for kernels or users without that policy.
const NICE: i32 = -10;
const NICE_TEXT: &str = "-10";
/// How long what is compared may run before others get their turn: the least that the kernel
/// allows. Who asks for less than others goes before them when it wakes up (`sched(7)`, Linux
/// 6.12), instead of waiting for the end of a stranger's turn, which is milliseconds away.
const SLICE_NS: u64 = 100_000;

/// Ranks the calling process as one that is compared. Between fork and exec: only system calls.
///
/// Each step is worth having without the others, and none is needed.
pub(crate) fn before_strangers() {
    // On a desktop's kernel only the session's rank counts, so it gets a session of its own.
    let _ = nix::unistd::setsid();
    // SAFETY: numbers, a value that outlives its call, and a constant path; the descriptor is our
    // own. Kernels that know no turns of a length refuse them, and nothing changes.
    unsafe {
        let nice = if libc::setpriority(libc::PRIO_PROCESS, 0, NICE) == 0 { NICE } else { 0 };
        let attributes = SchedAttributes { nice, ..SchedAttributes::SHORT_TURNS };
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        let file = libc::open(c"/proc/self/autogroup".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, NICE_TEXT.as_ptr().cast(), NICE_TEXT.len());
            libc::close(file);
        }
    }
    // Refused to all but root; then the steps above are what all have. A load that spins keeps
    // this rank: as an ordinary process among strangers it would fall behind its rate, which says
    // nothing of a proxy, where this one stands still for the twentieth of a second that the
    // kernel keeps for starving strangers.
    let _ = first_in_first_out(0, COMPARED, 0);
}

/// Ranks this thread as the bench; what it starts begins without a rank.
pub(crate) fn above_all() {
    // Refused to all but root; then nobody has a rank.
    let _ = first_in_first_out(0, BENCH, libc::SCHED_RESET_ON_FORK);
}

/// Whether the origin goes before everything else on its CPU. A load that spins until the next
/// request is due must not keep the origin from answering the last one.
///
/// # Errors
///
/// Not permitted: only root may.
pub(crate) fn origin_first(process: i32, first: bool) -> io::Result<()> {
    let rank = if first { ORIGIN } else { COMPARED };
    usage::thread_ids(process).into_iter().try_for_each(|id| first_in_first_out(id, rank, 0))
}

fn first_in_first_out(thread: i32, rank: i32, flags: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: rank };
    // SAFETY: the parameters live through the call.
    match unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO | flags, &parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What `sched_setattr(2)` takes, in its first version.
#[repr(C)]
struct SchedAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For ordinary tasks the length of a turn, in nanoseconds.
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedAttributes {
    const SHORT_TURNS: Self = Self {
        size: size_of::<Self>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: SLICE_NS,
        deadline: 0,
        period: 0,
    };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use crate::process::Process;

    /// Field 41 of proc(5): the policy.
    fn policy(id: i32) -> String {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        let rest = &stat[stat.rfind(')').expect("a name in brackets") + 1..];
        rest.split_whitespace().nth(41 - 3).expect("enough fields").to_owned()
    }

    #[test]
    fn what_is_compared_has_the_best_rank_that_is_permitted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::start(command, &[0], &folder.path().join("log")).expect("started");
        let fifo = libc::SCHED_FIFO.to_string();
        let found = policy(process.id());
        // An origin's rank is permitted exactly where this one is.
        let permitted = super::origin_first(process.id(), true).is_ok();
        assert_eq!(found == fifo, permitted, "{found}");
    }
}
