//! Rules about the kernel's version and about what the process may use.

use super::{Case, finding, grouped, severity_if, unknown};
use crate::finding::{Finding, Severity};

pub(super) fn rules(case: &Case<'_>) -> Vec<Finding> {
    let rules = [
        open_files(case),
        Some(kernel(case)),
        ring(case),
        locked_memory(case),
        low_ports(case),
        seccomp(case),
    ];
    rules.into_iter().flatten().collect()
}

/// Whose limits these are: a user must know that a shell's are not the service's.
fn owner(case: &Case<'_>) -> String {
    match case.host.process.ringway {
        Some(pid) => format!("of the running Ringway, process {pid}"),
        None => "of this shell, since no Ringway is running: the unit may give it more".to_owned(),
    }
}

fn open_files(case: &Case<'_>) -> Option<Finding> {
    const SETTING: &str = "open files (nofile)";
    let wanted = case.open_files();
    let at_least = format!("at least {wanted}");
    let Some((soft, _)) = case.host.process.open_files else {
        return Some(unknown(SETTING, at_least));
    };
    let severity = match soft {
        enough if enough >= wanted => Severity::Good,
        // A shell's limit says nothing certain about the service.
        _ if case.host.process.ringway.is_none() => Severity::Advice,
        _ => Severity::Failure,
    };
    let shown = if soft == u64::MAX { grouped(soft) } else { soft.to_string() };
    let why = format!(
        "A proxied connection takes two file descriptors: with this limit new connections are \
         refused from about {} on. It is the limit {}.",
        grouped(soft / 2),
        owner(case)
    );
    let how = format!("LimitNOFILE={wanted} in the systemd unit; in a shell, ulimit -n {wanted}");
    Some(finding(severity, SETTING, shown).wanted(at_least).why(why).how(how))
}

fn kernel(case: &Case<'_>) -> Finding {
    const SETTING: &str = "kernel";
    const WANTED: &str = "6.0 or later";
    let (Some(version), Some(release)) = (case.host.kernel(), &case.host.release) else {
        return unknown(SETTING, WANTED);
    };
    finding(severity_if(version < (6, 0), Severity::Advice), SETTING, release)
        .wanted(WANTED)
        .why(
            "Older kernels refuse the rings that Ringway asks for (single issuer), and it runs on \
             epoll, at a higher cost per request.",
        )
        .how("Install a current kernel of the distribution, from its backports if need be")
}

/// What happened when the caller asked the kernel for a ring.
fn ring(case: &Case<'_>) -> Option<Finding> {
    let reason = case.facts.io_uring_refused.as_ref()?;
    Some(
        finding(Severity::Advice, "io_uring", "refused")
            .wanted("granted")
            .why(format!(
                "{reason}. Ringway falls back to epoll, which works at a higher cost per request."
            ))
            .how(
                "On the host, kernel.io_uring_disabled=0; in a container, a seccomp profile that \
                 allows io_uring_setup, io_uring_enter and io_uring_register (see the guide)",
            ),
    )
}

/// Before 5.12 the memory of rings counted as locked memory of the user.
fn locked_memory(case: &Case<'_>) -> Option<Finding> {
    const SETTING: &str = "locked memory (memlock)";
    const WANTED: u64 = 64 * 1024 * 1024;
    let counted = case.host.kernel()? < (5, 12);
    let limit = case.host.process.locked_memory.filter(|_| counted)?;
    Some(
        finding(severity_if(limit < WANTED, Severity::Failure), SETTING, grouped(limit))
            .wanted(format!("at least {}", grouped(WANTED)))
            .why("On this kernel the rings of the workers count as locked memory.")
            .how("LimitMEMLOCK=64M in the systemd unit"),
    )
}

/// Listeners below the first port that anybody may bind.
fn low_ports(case: &Case<'_>) -> Option<Finding> {
    let first = case.host.number("net.ipv4.ip_unprivileged_port_start").unwrap_or(1024);
    let low = |port: &u16| u64::from(*port) < first;
    let port = case.facts.listeners.iter().filter_map(|listener| listener.port).find(low)?;
    let allowed = case.host.process.binds_low_ports?;
    let found = if allowed { "allowed" } else { "not allowed" };
    Some(
        finding(severity_if(!allowed, Severity::Advice), &format!("binding port {port}"), found)
            .wanted("allowed")
            .why(format!(
                "Ports below {first} need CAP_NET_BIND_SERVICE; without it the listener cannot \
                 bind. Ringway needs no other right of root."
            ))
            .how("AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit"),
    )
}

fn seccomp(case: &Case<'_>) -> Option<Finding> {
    // The caller tried and the filter let it pass, or the reason is reported by itself.
    let filtered = case.host.process.filtered?;
    (filtered && case.facts.io_uring_refused.is_none()).then(|| {
        finding(Severity::Note, "seccomp filter", "active")
            .wanted("lets io_uring pass")
            .why(
                "A container's filter may refuse io_uring (Docker's does since 25.0); Ringway \
                 then runs on epoll and says so when it starts.",
            )
            .how("See the guide on containers for a profile that allows the three system calls")
    })
}
