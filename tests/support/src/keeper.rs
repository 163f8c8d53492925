//! The thread that starts every child process and lives as long as the test program.
//!
//! A parent-death signal follows the thread that started the child, not the process: a child that
//! a test's own thread had started would die with that test while others still use it.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

type Order = (Command, Sender<io::Result<Child>>);

static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();

fn start_keeper() -> Mutex<Sender<Order>> {
    let (orders, inbox) = channel::<Order>();
    std::thread::Builder::new()
        .name("keeper".into())
        .spawn(move || {
            for (mut command, reply) in inbox {
                let _asker_gave_up = reply.send(command.spawn());
            }
        })
        .expect("a thread can be started");
    Mutex::new(orders)
}

/// Starts `command` on the keeper's thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = channel();
    let keeper = KEEPER.get_or_init(start_keeper);
    let orders = keeper.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    orders.send((command, reply)).expect("the keeper lives for ever");
    answer.recv().expect("the keeper answers every order")
}

/// A command for `program` that dies with this test program even when the test program is killed:
/// util-linux' `setpriv` sets the parent-death signal and becomes the program, under the same
/// process id. Without `setpriv` only the orderly end of a test stops the child.
pub(crate) fn mortal(program: &std::path::Path) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let have = *SETPRIV.get_or_init(|| {
        let probe = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    });
    if !have {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
