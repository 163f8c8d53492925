//! The command line: what can be wished, and the plan that follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::check::{Content, StatusRange, parse_hash, parse_status};
use crate::plan::Pacing;
use crate::schedule::Arrivals;
use crate::slo::Objective;
use crate::template::{parse_chunk, parse_field};
use crate::units::{parse_count, parse_duration, parse_rate, parse_size};

const EXAMPLES: &str = "\
Examples:
  ringway-load http://127.0.0.1:8080/                      50 connections at full speed for 10 s
  ringway-load -c 200 -d 30s -r 20k http://host/           20,000 requests per second, whatever
                                                           the server does: latencies are honest
  ringway-load --slo p99=5ms,errors=0.1% http://host/      the highest rate that keeps this promise
  ringway-load --steps 10k,20k,30k:5s http://host/         a table by rate
  ringway-load -n 10k --new-connections http://host/       10,000 requests with a connection each
  ringway-load -f mix.http http://host/                    a mix of requests from a file
  ringway-load --json=a.json ...; ringway-load compare a.json b.json
  ringway-load -2 -c 1 --streams 100 https://host/         HTTP/2: 100 requests at a time
  ringway-load --new-connections --resume https://host/    a resumed handshake each
  ringway-load -b 'message' grpc://host/pkg.Service/Call   gRPC; grpcs: with TLS
  ringway-load -b 'echo this' ws://host/                   WebSocket; wss: with TLS
  ringway-load -b @file tcp://host:7                       bytes there and back; tls: with TLS
  ringway-load -c 64 --timeout 1s udp://host:7             datagrams there and back; lost after 1 s
  ringway-load serve -l 127.0.0.1:8080                     an origin to measure against

Exit code: 0 clean run, 1 errors (or the objective was missed), 2 no run.";

const ANSWERS: &str = "\
Paths are lists of wishes; so is the field x-ringway-answer, which goes before the path:
  /bytes/64k        a body of this size            /status/503    this status
  /chunked/10x1024  chunks instead of a length     /delay/20ms    wait before the answer
  /pause/5ms        wait before each chunk         /fields/50     so many fields more
  /until-close/1k   a body that the close ends     /close         connection: close
  /echo             the body of the request        /truncate      close in the middle
                                                   /silent        close without an answer
  /delay/20ms/status/503/bytes/100 is all three; other words mean nothing.
HTTP/2 comes by ALPN or by its preface. gRPC calls (content-type: application/grpc) get their
messages back: /messages/10 ten times, /grpc-status/5 with this status. WebSockets and --tcp echo
get back what they send.";

/// Load generator: open and closed loop, honest latencies, checked answers.
#[derive(Debug, Parser)]
#[command(name = "ringway-load", version, about, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an origin: answers by path and header, cheap enough to measure others with
    Serve(ServeArgs),
    /// Compare the JSON reports of two runs
    Compare(CompareArgs),
}

/// What a run may be told.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where to send requests; WEIGHT@URL for several with unequal shares
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Connections over all threads
    #[arg(short, long, default_value = "50", value_parser = parse_count, value_name = "N")]
    #[arg(help_heading = "Load")]
    pub(crate) connections: u64,
    /// How long to measure [default: 10s, or until -n is reached]
    #[arg(short, long, value_parser = parse_duration, value_name = "TIME", help_heading = "Load")]
    pub(crate) duration: Option<Duration>,
    /// Stop after so many requests
    #[arg(short = 'n', long, value_parser = parse_count, value_name = "N", help_heading = "Load")]
    pub(crate) requests: Option<u64>,
    /// Open loop: requests per second over all threads
    #[arg(short, long, visible_short_alias = 'R', value_parser = parse_rate, value_name = "RATE")]
    #[arg(help_heading = "Load")]
    pub(crate) rate: Option<f64>,
    /// Distances between requests: equal, or of independent users
    #[arg(long, value_enum, default_value = "constant", value_name = "constant|poisson")]
    #[arg(hide_possible_values = true, help_heading = "Load")]
    pub(crate) arrivals: Arrivals,
    /// Open loop: from one rate to another, then on (100..10k:30s)
    #[arg(long, value_parser = parse_ramp, value_name = "A..B:TIME", conflicts_with = "rate")]
    #[arg(help_heading = "Load")]
    pub(crate) ramp: Option<Ramp>,
    /// Open loop: each rate for a time (10k,20k,30k:5s), one line each
    #[arg(long, value_parser = parse_steps, value_name = "A,B,...:TIME")]
    #[arg(conflicts_with_all = ["rate", "ramp", "duration"], help_heading = "Load")]
    pub(crate) steps: Option<Steps>,
    /// Search the highest rate that keeps p99=5ms,p99.9=20ms,errors=0.1%
    #[arg(long, value_name = "OBJECTIVE", help_heading = "Load")]
    #[arg(conflicts_with_all = ["rate", "ramp", "steps", "requests"])]
    pub(crate) slo: Option<Objective>,
    /// Send for this long before measuring
    #[arg(short, long, default_value = "0s", value_parser = parse_duration, value_name = "TIME")]
    #[arg(help_heading = "Load")]
    pub(crate) warmup: Duration,
    /// Keep due times to 1 us with a busy core, or to 2 ms with an idle one
    #[arg(long, value_enum, default_value = "spin", value_name = "spin|sleep")]
    #[arg(hide_possible_values = true, help_heading = "Load")]
    pub(crate) pacing: Pacing,

    /// Requests on a connection before the first answer; streams of HTTP/2
    #[arg(short, long, visible_alias = "streams", default_value = "1", value_parser = parse_count)]
    #[arg(value_name = "N", help_heading = "Connections")]
    pub(crate) pipeline: u64,
    /// HTTP/2 for http (at once) and https (by ALPN)
    #[arg(short = '2', long, help_heading = "Connections")]
    pub(crate) http2: bool,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Close a connection after so many requests
    #[arg(long, value_parser = parse_count, value_name = "N", help_heading = "Connections")]
    pub(crate) requests_per_connection: Option<u64>,
    /// A new connection for each request
    #[arg(long, conflicts_with = "requests_per_connection", help_heading = "Connections")]
    pub(crate) new_connections: bool,
    /// Give up a request after
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    #[arg(help_heading = "Connections")]
    pub(crate) timeout: Duration,
    /// Give up opening a connection after
    #[arg(long, default_value = "5s", value_parser = parse_duration, value_name = "TIME")]
    #[arg(help_heading = "Connections")]
    pub(crate) connect_timeout: Duration,
    /// Own addresses, in turn (10.0.0.1,10.0.0.8-10.0.0.20,127.1.0.0/28)
    #[arg(long, value_name = "ADDRESSES", help_heading = "Connections")]
    pub(crate) source: Option<String>,
    /// Connect to this address, or unix:PATH, whatever the URL says
    #[arg(long, value_name = "ADDRESS", help_heading = "Connections")]
    pub(crate) connect_to: Option<String>,
    /// Clients beside that send half a request and stay (5, or 5% of -c)
    #[arg(long, default_value = "0", value_name = "N|%", help_heading = "Connections")]
    pub(crate) half_open: Share,
    /// Clients beside that send and read byte by byte
    #[arg(long, default_value = "0", value_name = "N|%", help_heading = "Connections")]
    pub(crate) slow: Share,
    /// Clients beside that reset their connection instead of reading
    #[arg(long, default_value = "0", value_name = "N|%", help_heading = "Connections")]
    pub(crate) aborted: Share,
    /// Between two bytes of a slow client
    #[arg(long, default_value = "100ms", value_parser = parse_duration, value_name = "TIME")]
    #[arg(help_heading = "Connections")]
    pub(crate) slow_interval: Duration,

    /// Method
    #[arg(short, long, default_value = "", hide_default_value = true, help_heading = "Requests")]
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// A field, as 'name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_parser = parse_field, value_name = "FIELD")]
    #[arg(help_heading = "Requests")]
    pub(crate) fields: Vec<(String, String)>,
    /// Body, or @FILE; makes the method POST
    #[arg(short, long, value_name = "TEXT|@FILE", help_heading = "Requests")]
    pub(crate) body: Option<String>,
    /// Send bodies in chunks of this size (HTTP/1.1), or without a length (HTTP/2)
    #[arg(long, value_parser = parse_chunk, value_name = "SIZE", help_heading = "Requests")]
    pub(crate) chunked: Option<usize>,
    /// Requests from a file (format: see the README)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["body", "method"])]
    #[arg(help_heading = "Requests")]
    pub(crate) file: Option<PathBuf>,
    /// Seed of everything that is random
    #[arg(long, default_value = "1", value_name = "N", help_heading = "Requests")]
    pub(crate) seed: u64,

    /// Statuses that are right, as 200,2xx,400-404 [default: 2xx,3xx]
    #[arg(long, value_parser = parse_status, value_delimiter = ',', value_name = "STATUS")]
    #[arg(help_heading = "Checks")]
    pub(crate) expect_status: Vec<StatusRange>,
    /// Bytes that each body must have
    #[arg(long, value_parser = parse_size, value_name = "SIZE", help_heading = "Checks")]
    pub(crate) expect_length: Option<u64>,
    /// Hash that each body must have (sha256:HEX or xxh3:HEX)
    #[arg(long, value_parser = parse_hash, value_name = "HASH", help_heading = "Checks")]
    pub(crate) expect_hash: Option<Content>,
    /// File that each body must equal
    #[arg(long, value_name = "FILE", help_heading = "Checks")]
    #[arg(conflicts_with_all = ["expect_hash", "expect_length"])]
    pub(crate) expect_body: Option<PathBuf>,

    /// gRPC status of each call
    #[arg(long, value_name = "N", help_heading = "Checks", default_value = "0")]
    pub(crate) expect_grpc_status: u32,
    /// Messages of each answer of gRPC [default: any number, but not none]
    #[arg(long, value_parser = parse_count, value_name = "N", help_heading = "Checks")]
    pub(crate) expect_messages: Option<u64>,

    /// Report as JSON on standard output, or in a file
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    #[arg(value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// HdrHistogram log, one line a second
    #[arg(long, value_name = "FILE", conflicts_with = "slo", help_heading = "Report")]
    pub(crate) hdr: Option<PathBuf>,
    /// Figures of each second as CSV
    #[arg(long, value_name = "FILE", conflicts_with = "slo", help_heading = "Report")]
    pub(crate) csv: Option<PathBuf>,
    /// No progress and no report
    #[arg(short, long, help_heading = "Report")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// TLS of a client.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct TlsArgs {
    /// Trust every certificate
    #[arg(short = 'k', long, help_heading = "TLS")]
    pub(crate) insecure: bool,
    /// Trust these authorities instead of the host's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "TLS")]
    pub(crate) cacert: Option<PathBuf>,
    /// Resume sessions: only the first handshakes are full
    #[arg(long, help_heading = "TLS")]
    pub(crate) resume: bool,
    /// Nothing but this version
    #[arg(long, value_enum, value_name = "1.2|1.3", hide_possible_values = true)]
    #[arg(help_heading = "TLS")]
    pub(crate) tls_version: Option<VersionWish>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum VersionWish {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

/// TLS of the origin.
#[derive(Debug, Args)]
pub(crate) struct TlsServeArgs {
    /// With a certificate of its own, for localhost
    #[arg(long, help_heading = "TLS")]
    pub(crate) tls: bool,
    /// With this certificate chain
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "TLS")]
    pub(crate) cert: Option<PathBuf>,
    /// And its key
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    pub(crate) key: Option<PathBuf>,
}

/// What the origin does with bytes that are no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TcpWish {
    /// Sends them back.
    Echo,
    /// Answers each --size bytes by one.
    Sink,
    /// Answers each byte by --size bytes.
    Source,
}

/// Where threads run; the same for clients and the origin.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Threads, each with its own connections [default: one a CPU]
    #[arg(short, long, value_parser = parse_count, value_name = "N", help_heading = "Machine")]
    pub(crate) threads: Option<u64>,
    /// CPUs to run on (1, 0-3, 0,2)
    #[arg(long, value_parser = parse_cpus, value_name = "LIST", help_heading = "Machine")]
    pub(crate) cpus: Option<Cpus>,
    /// Look for work this long before sleeping: no wake-up in the latencies, a busy CPU
    #[arg(long, default_value = "0s", value_parser = parse_duration, value_name = "TIME")]
    #[arg(help_heading = "Machine")]
    pub(crate) busy_poll: Duration,
    /// Use epoll even where io_uring works
    #[arg(long, help_heading = "Machine")]
    pub(crate) epoll: bool,
}

/// What the origin may be told.
#[derive(Debug, Args)]
#[command(after_help = ANSWERS)]
pub(crate) struct ServeArgs {
    /// Address to listen on (port 0 takes a free one), or unix:PATH
    #[arg(short, long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: String,
    /// Write the port to this file once it listens
    #[arg(long, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,
    /// Body of an answer whose path asks for nothing
    #[arg(long, default_value = "64", value_parser = parse_size, value_name = "SIZE")]
    pub(crate) size: u64,
    /// Wait before each answer
    #[arg(long, default_value = "0s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) delay: Duration,
    /// No HTTP: bytes come back (echo), one for each --size (sink), --size for each (source)
    #[arg(long, value_enum, value_name = "echo|sink|source", hide_possible_values = true)]
    pub(crate) tcp: Option<TcpWish>,
    /// No connections: datagrams come back
    #[arg(long, conflicts_with_all = ["tcp", "size", "delay", "tls", "cert"])]
    pub(crate) udp: bool,
    #[command(flatten)]
    pub(crate) tls: TlsServeArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// What is compared.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Report of the first run, the base of all ratios
    pub(crate) base: PathBuf,
    /// Report of the second run
    pub(crate) other: PathBuf,
    /// Exit with 1 when the second is worse by more than this, in any figure
    #[arg(long, value_name = "PERCENT")]
    pub(crate) fail_above: Option<f64>,
}

/// `A..B:TIME`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ramp {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) over: Duration,
}

fn parse_ramp(text: &str) -> Result<Ramp, String> {
    let parts =
        text.rsplit_once(':').and_then(|(rates, over)| Some((rates.split_once("..")?, over)));
    let ((from, to), over) = parts.ok_or("write FROM..TO:TIME, as 100..10k:30s")?;
    let (from, to) = (parse_rate(from)?, parse_rate(to)?);
    Ok(Ramp { from, to, over: positive(parse_duration(over)?)? })
}

/// `A,B,...:TIME`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    pub(crate) rates: Vec<f64>,
    pub(crate) each: Duration,
}

fn parse_steps(text: &str) -> Result<Steps, String> {
    let (rates, each) = text.rsplit_once(':').ok_or("write RATE,RATE,...:TIME")?;
    let rates: Result<Vec<f64>, String> = rates.split(',').map(parse_rate).collect();
    Ok(Steps { rates: rates?, each: positive(parse_duration(each)?)? })
}

fn positive(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() { Err("the time must not be zero".to_owned()) } else { Ok(duration) }
}

/// A number, or a share of another number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    Count(usize),
    Percent(f64),
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse::<f64>() {
                Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(format!("`{text}` is no share")),
            },
            None => text.parse().map(Self::Count).map_err(|_| format!("`{text}` is no number")),
        }
    }
}

impl Share {
    /// The number that it stands for.
    pub(crate) fn of(self, whole: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (whole as f64 * percent / 100.0).ceil() as usize,
        }
    }
}

/// CPUs by number; a type of its own, since a bare list would mean a repeated option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cpus(pub(crate) Vec<usize>);

fn parse_cpus(text: &str) -> Result<Cpus, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number = text.trim().parse::<usize>().ok().filter(|cpu| *cpu < 1024);
            number.ok_or_else(|| format!("`{text}` is no CPU"))
        };
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(format!("`{part}` runs backwards"));
        }
        cpus.extend(from..=to);
    }
    cpus.dedup();
    Ok(Cpus(cpus))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_ramps_and_shares_are_read() {
        assert_eq!(parse_cpus("0,2-4"), Ok(Cpus(vec![0, 2, 3, 4])));
        assert!(parse_cpus("4-2").is_err() && parse_cpus("x").is_err());
        let ramp = parse_ramp("100..10k:30s").expect("a ramp");
        assert_eq!((ramp.from, ramp.to, ramp.over.as_secs()), (100.0, 10_000.0, 30));
        assert!(parse_ramp("100..10k").is_err() && parse_ramp("1..2:0s").is_err());
        assert_eq!(parse_steps("1k,2k:5s").expect("steps").rates, [1000.0, 2000.0]);
        assert_eq!("5%".parse::<Share>().map(|share| share.of(50)), Ok(3));
        assert_eq!("7".parse::<Share>().map(|share| share.of(50)), Ok(7));
        assert!("x%".parse::<Share>().is_err());
    }

    #[test]
    fn loads_that_exclude_each_other_are_refused() {
        let parse = |args: &[&str]| {
            Cli::try_parse_from(["ringway-load"].iter().chain(args)).map(drop).is_ok()
        };
        assert!(parse(&["http://a/"]));
        assert!(parse(&["-r", "5k", "-c", "1k", "http://a/", "2@http://b/"]));
        assert!(parse(&["--json", "http://a/"]), "--json takes no separate word");
        assert!(!parse(&["-r", "5k", "--ramp", "1..2:1s", "http://a/"]));
        assert!(!parse(&["--slo", "p99=5ms", "-r", "1", "http://a/"]));
        assert!(!parse(&[]));
        assert!(parse(&["serve"]) && parse(&["compare", "a", "b"]));
        assert!(!parse(&["serve", "-r", "5"]));
        assert!(!parse(&["--slo", "p99=5ms", "--csv", "x", "http://a/"]));
    }
}
