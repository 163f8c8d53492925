//! Tests that need a network of their own: rules of a firewall, and addresses of others. They run
//! again in a namespace, in which whoever runs them may do as he likes, and are skipped where the
//! host allows none.

use std::process::Command;

use ringway_test_support::skip;

/// Tells a test that it runs alone.
const ALONE: &str = "RINGWAY_E2E_ALONE";

/// What the proxy may do in the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    All,
    /// Neither `CAP_NET_ADMIN` nor `CAP_NET_RAW`.
    NotOverTheNetwork,
}

/// Whether the caller is alone; if not, runs the test of that name alone instead.
///
/// # Panics
/// The test has failed there.
pub(crate) fn is_alone(test: &str, rights: Rights) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    if !namespace().args(["ip", "link", "set", "lo", "up"]).status().is_ok_and(|s| s.success()) {
        skip("this host gives nobody a network namespace");
        return false;
    }
    let mut command = namespace();
    command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    if rights == Rights::NotOverTheNetwork {
        let less = "-net_admin,-net_raw";
        command.args(["setpriv", "--bounding-set", less, "--inh-caps", less]);
    }
    let this = std::env::current_exe().expect("the program of the tests");
    let output = command.arg(this).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("a namespace, as before");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "alone: {out}{err}");
    // A name that is wrong would run nothing, and be content.
    assert!(out.contains("1 passed"), "{test}: {out}");
    print!("{out}");
    false
}

fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user"]);
    command
}

/// Changes the network; `false` where the host lacks the program or a module of the kernel.
pub(crate) fn rule(command: &str) -> bool {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let done = Command::new(program).args(words).output();
    let done = done.is_ok_and(|output| output.status.success());
    if !done {
        skip(&format!("this host cannot do: {command}"));
    }
    done
}
