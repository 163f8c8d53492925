//! `ringway demo`: something to look at in one command.
//!
//! Two origins and the proxy in front of them live in one process. The origins are listeners of
//! the same configuration that answer directly, on Unix sockets of the abstract namespace, so that
//! only the two ports that the user knows are taken.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ringway_bridge::stats::{Catalog, Total, bucket_bounds};

/// Options of `ringway demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Where the proxy listens.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where the admin server listens.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    pub(crate) admin: SocketAddr,
    /// Number of workers; by default one per core.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
}

/// The statistics that the display shows, under the demo's prefix.
const REQUESTS: &str = "http.demo.downstream_rq_total";
const LATENCY: &str = "@http.demo.downstream_rq_time_us";
const INTERVAL: Duration = Duration::from_secs(1);

/// The demo's configuration.
pub(crate) fn configuration(args: &DemoArgs) -> String {
    let text = include_str!("demo.yaml");
    let process = std::process::id().to_string();
    text.replace("LISTEN_ADDRESS", &args.listen.ip().to_string())
        .replace("LISTEN_PORT", &args.listen.port().to_string())
        .replace("ADMIN_ADDRESS", &args.admin.ip().to_string())
        .replace("ADMIN_PORT", &args.admin.port().to_string())
        .replace("PROCESS", &process)
}

/// What the user sees first.
pub(crate) fn introduce(listen: &str, admin: &str, workers: usize, driver: &str) {
    println!("Ringway proxies http://{listen} to two origins, on {workers} workers ({driver}).\n");
    println!("  try     curl -i http://{listen}/");
    println!("          curl -i http://{listen}/a http://{listen}/b");
    println!("  load    cargo run --release -p ringway-loadgen -- http://{listen}/ -c 64 -d 10s");
    println!("  admin   http://{admin}/  (stats, clusters, config_dump, ...)");
    println!("  end     Ctrl-C\n");
}

/// Shows rate, latency and load per core until the task is dropped.
pub(crate) async fn watch(catalog: Arc<Catalog>, workers: usize) {
    let mut out = std::io::stdout();
    let live = out.is_terminal();
    let mut before = Sample::take(&catalog);
    let mut shown = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Sample::take(&catalog);
        let line = now.since(&before, workers);
        // In a pipe one line per second would only be noise when nothing happens.
        let busy = now.requests != before.requests;
        if live {
            let _ = write!(out, "\r\x1b[K{line}");
            let _ = out.flush();
        } else if busy || !shown {
            let _ = writeln!(out, "{line}");
        }
        shown = true;
        before = now;
    }
}

/// Counters at one moment.
struct Sample {
    at: Instant,
    requests: u64,
    latency: Vec<u64>,
    /// CPU time of each worker in nanoseconds.
    cpu: HashMap<String, u64>,
}

impl Sample {
    fn take(catalog: &Catalog) -> Self {
        let requests = match catalog.total(REQUESTS) {
            Some(Total::Counter(count)) => count,
            _ => 0,
        };
        let latency = match catalog.total(LATENCY) {
            Some(Total::Histogram { counts, .. }) => counts,
            _ => Vec::new(),
        };
        Self { at: Instant::now(), requests, latency, cpu: worker_cpu() }
    }

    fn since(&self, before: &Self, workers: usize) -> String {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let rate = (self.requests - before.requests) as f64 / seconds;
        let counts: Vec<u64> = (self.latency.iter().enumerate())
            .map(|(index, count)| count - before.latency.get(index).copied().unwrap_or(0))
            .collect();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile(&counts, share));
        let cores: Vec<String> =
            (0..workers).map(|worker| self.core_load(before, worker, seconds)).collect();
        format!(
            "{rate:>9.0} req/s   p50 {p50:>7}  p99 {p99:>7}  p99.9 {p999:>7}   cores {}",
            cores.join(" ")
        )
    }

    fn core_load(&self, before: &Self, worker: usize, seconds: f64) -> String {
        let name = format!("worker_{worker}");
        let spent = |sample: &Self| sample.cpu.get(&name).copied().unwrap_or(0);
        let used = spent(self).saturating_sub(spent(before)) as f64 / 1e9;
        format!("{:>3.0}%", 100.0 * used / seconds)
    }
}

fn percentile(counts: &[u64], share: f64) -> String {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return "-".to_owned();
    }
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    for (index, count) in counts.iter().enumerate() {
        seen += count;
        if seen >= wanted {
            let micros = bucket_bounds(index).0;
            return if micros < 1000 {
                format!("{micros}us")
            } else {
                format!("{:.1}ms", micros as f64 / 1e3)
            };
        }
    }
    "-".to_owned()
}

/// CPU time of each worker thread, from the process's own accounting.
fn worker_cpu() -> HashMap<String, u64> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return HashMap::new() };
    tasks
        .flatten()
        .filter_map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = stat.split(' ').next()?.parse().ok()?;
            Some((name.trim().to_owned(), nanos))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_name_the_bucket() {
        let mut counts = vec![0; 64];
        counts[3] = 99;
        counts[10] = 1;
        assert_eq!(percentile(&counts, 0.5), "3us");
        assert_eq!(percentile(&counts, 0.999), "10us");
        assert_eq!(percentile(&[], 0.5), "-");
    }
}
