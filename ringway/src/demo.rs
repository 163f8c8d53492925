//! `ringway demo`: something to look at in one command.
//!
//! Two origins and the proxy in front of them live in one process. The origins are listeners of
//! the same configuration that answer directly, on Unix sockets of the abstract namespace, so that
//! only the two ports that the user knows are taken.

mod figures;

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ringway_bridge::stats::{Catalog, Total};

use crate::cli::{DriverChoice, Options};
use figures::{Figures, History, Sample, thousands};

/// Options of `ringway demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Where the proxy listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where the admin server listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    pub(crate) admin: SocketAddr,
    /// Number of workers; by default one per core.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// What drives the workers' IO: auto takes io_uring where the host allows it.
    #[arg(long, value_enum, default_value_t = DriverChoice::Auto)]
    pub(crate) driver: DriverChoice,
}

/// The statistics that the display shows, under the demo's prefix.
const REQUESTS: &str = "http.demo.downstream_rq_total";
const LATENCY: &str = "@http.demo.downstream_rq_time_us";
const INTERVAL: Duration = Duration::from_secs(1);

/// The command line that the demo stands for.
pub(crate) fn options(args: &DemoArgs) -> Options {
    Options {
        log_level: "warning".to_owned(),
        driver: args.driver,
        ..Options::for_configuration(configuration(args.listen, args.admin), args.concurrency)
    }
}

fn configuration(listen: SocketAddr, admin: SocketAddr) -> String {
    let text = include_str!("demo/demo.yaml");
    text.replace("LISTEN_ADDRESS", &listen.ip().to_string())
        .replace("LISTEN_PORT", &listen.port().to_string())
        .replace("ADMIN_ADDRESS", &admin.ip().to_string())
        .replace("ADMIN_PORT", &admin.port().to_string())
        .replace("PROCESS", &std::process::id().to_string())
}

/// The configuration with free ports.
#[cfg(test)]
pub(crate) fn example() -> String {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    configuration(any, any)
}

/// Fails when another process has one of the ports. The proxy's own sockets would not tell: with
/// `SO_REUSEPORT` a second demo of the same user could share them.
pub(crate) fn check_ports(args: &DemoArgs) -> Result<(), String> {
    for address in [args.listen, args.admin] {
        TcpListener::bind(address)
            .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    }
    Ok(())
}

/// Says why there is no demo, and what to try.
pub(crate) fn refuse(why: &str) -> ExitCode {
    eprintln!("{}", why.trim_end());
    eprintln!("other ports: ringway demo --listen 127.0.0.1:0 --admin 127.0.0.1:0");
    ExitCode::FAILURE
}

/// What the user sees first.
pub(crate) fn introduce(listen: &str, admin: &str, workers: usize, driver: &str) {
    let s = if workers == 1 { "" } else { "s" };
    say(&format!(
        "Ringway proxies http://{listen} to two origins, on {workers} worker{s} ({driver}).

  try     curl -i http://{listen}/
          curl -i http://{listen}/a http://{listen}/b
  load    cargo run --release -p ringway-loadgen -- -c 64 -d 10s http://{listen}/
  admin   http://{admin}/  (stats, clusters, config_dump, ...)
  end     Ctrl-C

"
    ));
}

/// What the user sees last.
pub(crate) fn leave(catalog: &Catalog) {
    say(&format!("\nEnded after {} requests.\n", thousands(requests(catalog))));
}

/// Shows rate, latency and load per core until the task is dropped.
pub(crate) async fn watch(catalog: Arc<Catalog>, workers: usize) {
    let live = io::stdout().is_terminal();
    let mut history = History::default();
    let mut before = Sample::take(&catalog);
    let mut shown = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Sample::take(&catalog);
        let figures = Figures::between(&before, &now, workers);
        // In a pipe one line per second would only be noise when nothing happens.
        if live {
            history.push(figures.rate);
            say(&figures.panel(&history, shown));
        } else if figures.rate > 0.0 || !shown {
            say(&figures.line());
        }
        shown = true;
        before = now;
    }
}

/// Whoever reads the output may go away; the demo goes on.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn requests(catalog: &Catalog) -> u64 {
    match catalog.total(REQUESTS) {
        Some(Total::Counter(count)) => count,
        _ => 0,
    }
}

fn latency(catalog: &Catalog) -> Vec<u64> {
    match catalog.total(LATENCY) {
        Some(Total::Histogram { counts, .. }) => counts,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = taken.local_addr().expect("bound");
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let args = DemoArgs { listen, admin, concurrency: None, driver: DriverChoice::Auto };
        let said = check_ports(&args).expect_err("it is taken");
        assert!(said.starts_with(&format!("cannot listen on {listen}: ")), "{said}");
        assert_eq!(check_ports(&DemoArgs { listen: admin, ..args }), Ok(()));
    }
}
