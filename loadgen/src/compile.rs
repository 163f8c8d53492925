//! From the wishes of the command line to a plan, or to what is wrong with them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::check::{Check, Content, grpc};
use crate::cli::{PlaceArgs, RunArgs, TlsArgs};
use crate::plan::{Address, Lane, Load, Pacing, Plan, Tls, UnfriendlyClients, split_connections};
use crate::protocol::{Protocol, udp};
use crate::schedule::{Arrivals, Profile};
use crate::template::{self, Draft, Request};
use crate::tls;
use crate::url::{Authority, Speaks, Url};

/// Own addresses of one run.
const MAX_SOURCES: usize = 65_536;
/// More connections than a host has descriptors for.
const MAX_CONNECTIONS: u64 = 1_000_000;

/// Makes the plan; with an objective, the plan of its trials but for their rate.
pub(crate) fn plan(args: &RunArgs) -> Result<Plan, String> {
    let requests = requests(args)?;
    let connections = within("-c", args.connections, 1, MAX_CONNECTIONS)?;
    let lanes = lanes(args, &requests, connections)?;
    let connections = lanes.iter().map(|lane| lane.connections).sum();
    let pipeline = within("-p", args.pipeline, 1, 65_536)?;
    let load = load(args);
    let sources = sources(args.source.as_deref())?;
    check_combinations(args, &load, &lanes, &sources)?;
    let ends_by_count = args.requests.is_some() && args.duration.is_none();
    let duration = match &args.steps {
        Some(steps) => steps.each * steps.rates.len() as u32,
        None => args.duration.unwrap_or(Duration::from_secs(10)),
    };
    if duration.is_zero() {
        return Err("-d: the time must not be zero".to_owned());
    }
    Ok(Plan {
        threads: threads(&args.place)?.min(connections),
        cpus: args.place.cpus.as_ref().map(|cpus| cpus.0.clone()).unwrap_or_default(),
        busy_poll: args.place.busy_poll,
        warmup: args.warmup,
        duration: (!ends_by_count || args.steps.is_some()).then_some(duration),
        count: args.requests,
        pipeline,
        requests_per_connection: if args.new_connections {
            Some(1)
        } else {
            args.requests_per_connection
        },
        connect_timeout: args.connect_timeout,
        timeout: args.timeout,
        sources,
        unfriendly: UnfriendlyClients {
            half_open: args.half_open.of(connections),
            slow: args.slow.of(connections),
            aborted: args.aborted.of(connections),
            slow_interval: args.slow_interval,
        },
        seed: args.seed,
        requests,
        lanes,
        load,
    })
}

/// What would otherwise be without effect is refused.
fn check_combinations(
    args: &RunArgs,
    load: &Load,
    lanes: &[Lane],
    sources: &[IpAddr],
) -> Result<(), String> {
    let closed = matches!(load, Load::Closed) && args.slo.is_none();
    if closed && (args.arrivals, args.pacing) != (Arrivals::Constant, Pacing::Spin) {
        return Err("--arrivals and --pacing need a rate: -r, --ramp, --steps or --slo".to_owned());
    }
    let usable = |lane: &Lane| match &lane.address {
        Address::Tcp(address) => sources.iter().any(|ip| ip.is_ipv4() == address.is_ipv4()),
        Address::Unix(_) => false,
    };
    let unfriendly = [args.half_open, args.slow, args.aborted].map(|share| share.of(100));
    if unfriendly != [0; 3] && lanes.iter().any(|lane| lane.protocol != Protocol::Http1) {
        return Err("--half-open, --slow and --aborted clients speak HTTP/1.1 only".to_owned());
    }
    let is_http =
        |lane: &Lane| !matches!(lane.protocol, Protocol::WebSocket | Protocol::Tcp | Protocol::Udp);
    if !args.expect_status.is_empty() && !lanes.iter().all(is_http) {
        return Err("--expect-status: only HTTP has statuses".to_owned());
    }
    let is_grpc = |lane: &Lane| lane.protocol == Protocol::Grpc;
    let call = (args.expect_grpc_status, args.expect_messages) != (0, None);
    if call && !lanes.iter().any(is_grpc) {
        return Err("--expect-grpc-status and --expect-messages need a grpc URL".to_owned());
    }
    if args.http2 && lanes.iter().any(|lane| !is_http(lane)) {
        return Err("-2: only http and https URLs leave the choice".to_owned());
    }
    if args.tls != TlsArgs::default() && lanes.iter().all(|lane| lane.tls.is_none()) {
        return Err("--insecure, --cacert, --resume and --tls-version need TLS".to_owned());
    }
    if args.expect_length == Some(0) && lanes.iter().any(|lane| lane.protocol == Protocol::Tcp) {
        return Err("--expect-length: no bytes are no answer".to_owned());
    }
    let is_udp = |lane: &Lane| lane.protocol == Protocol::Udp;
    let least = udp::NUMBER as u64;
    if args.expect_length.is_some_and(|length| length < least) && lanes.iter().any(is_udp) {
        return Err(format!("--expect-length: an answer begins with its number, {least} bytes"));
    }
    if lanes.iter().any(|lane| is_udp(lane) && matches!(lane.address, Address::Unix(_))) {
        return Err("--connect-to: datagrams go to addresses of IP only".to_owned());
    }
    if !sources.is_empty() && !lanes.iter().all(usable) {
        return Err("--source: no address is of the same family as the target".to_owned());
    }
    Ok(())
}

fn within(option: &str, value: u64, least: u64, most: u64) -> Result<usize, String> {
    if (least..=most).contains(&value) {
        Ok(value as usize)
    } else {
        Err(format!("{option}: {value} is not between {least} and {most}"))
    }
}

/// Threads of a place: as wished, else one for each CPU that it names, else for each there is.
pub(crate) fn threads(place: &PlaceArgs) -> Result<usize, String> {
    let cpus = place.cpus.as_ref().map(|cpus| cpus.0.len());
    let usual = cpus.unwrap_or_else(ringway_runtime::worker::cores);
    place.threads.map_or(Ok(usual), |threads| within("-t", threads, 1, 1024))
}

fn load(args: &RunArgs) -> Load {
    let profile = match (args.rate, args.ramp, &args.steps) {
        (Some(rate), ..) => Profile::constant(rate),
        (_, Some(ramp), _) => Profile::ramp(ramp.from, ramp.to, ramp.over),
        (.., Some(steps)) => Profile::steps(&steps.rates, steps.each),
        // The objective's trials put their own rate here.
        _ => return Load::Closed,
    };
    open_loop(args, profile)
}

/// The load of a rate over time.
pub(crate) fn open_loop(args: &RunArgs, profile: Profile) -> Load {
    let profile = profile.after_warmup(args.warmup);
    Load::Open { profile, arrivals: args.arrivals, pacing: args.pacing }
}

fn requests(args: &RunArgs) -> Result<Vec<Request>, String> {
    let check = check(args)?;
    let body = match args.body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
        Some((_, Some(path))) => read(path)?,
        Some((text, None)) => text.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let method = match args.method.as_str() {
        "" if args.body.is_some() => "POST".to_owned(),
        method => method.to_owned(),
    };
    let fields = args.fields.clone();
    let (http2, chunk) = (args.http2, args.chunked);
    let draft = Draft { method, fields, body, check, http2, chunk, ..Draft::default() };
    if let Some(path) = &args.file {
        let [base] = args.urls.as_slice() else {
            return Err("-f: give one URL; the paths of the file are relative to it".to_owned());
        };
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        return template::parse_file(&text, &Url::parse(base)?, &draft)
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    args.urls
        .iter()
        .map(|text| {
            let (weight, url) = weighted(text)?;
            Request::new(Draft { weight, ..draft.clone() }, Url::parse(url)?)
        })
        .collect()
}

/// Splits `3@http://...`.
fn weighted(text: &str) -> Result<(u32, &str), String> {
    match text.split_once('@') {
        Some((weight, url)) if weight.bytes().all(|byte| byte.is_ascii_digit()) => {
            let weight = weight.parse().ok().filter(|weight| *weight > 0);
            Ok((weight.ok_or_else(|| format!("`{text}`: the weight is out of range"))?, url))
        }
        _ => Ok((1, text)),
    }
}

fn check(args: &RunArgs) -> Result<Check, String> {
    let content = match (&args.expect_body, &args.expect_hash) {
        (Some(path), _) => Content::Bytes(read(path)?),
        (None, Some(hash)) => hash.clone(),
        (None, None) => Content::Any,
    };
    let call = grpc::Expected { status: args.expect_grpc_status, messages: args.expect_messages };
    Ok(Check {
        statuses: args.expect_status.clone(),
        length: args.expect_length,
        content,
        grpc: (call != grpc::Expected::default()).then_some(call),
    })
}

fn read(path: impl AsRef<std::path::Path>) -> Result<Vec<u8>, String> {
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.as_ref().display()))
}

/// Groups requests by where they go, and by what is spoken there.
fn lanes(args: &RunArgs, requests: &[Request], connections: usize) -> Result<Vec<Lane>, String> {
    let mut addresses: HashMap<Authority, Address> = HashMap::new();
    let mut lanes: Vec<Lane> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let authority = &request.url.authority;
        let address = match (addresses.get(authority), &args.connect_to) {
            (Some(address), _) => address.clone(),
            (None, Some(wished)) => parse_address(wished)?,
            (None, None) => Address::Tcp(resolve(&authority.host, authority.port)?),
        };
        addresses.insert(authority.clone(), address.clone());
        let protocol = protocol(&request.url, args.http2);
        let name = request.url.scheme.tls.then_some(authority.host.as_str());
        let fits = |lane: &&mut Lane| {
            lane.address == address
                && lane.protocol == protocol
                && lane.tls.as_ref().map(|tls| tls.name.as_str()) == name
                && lane.opening == request.opening
        };
        if let Some(lane) = lanes.iter_mut().find(fits) {
            lane.requests.push(index);
            continue;
        }
        let tls = name.map(|name| -> Result<Tls, String> {
            let context = tls::client(&args.tls, protocol.alpn())?;
            Ok(Tls { context, name: name.to_owned() })
        });
        lanes.push(Lane {
            address,
            protocol,
            tls: tls.transpose()?,
            opening: request.opening.clone(),
            requests: vec![index],
            part: 0.0,
            connections: 0,
        });
    }
    share(&mut lanes, requests, connections);
    Ok(lanes)
}

/// What is spoken to a URL.
fn protocol(url: &Url, http2: bool) -> Protocol {
    match url.scheme.speaks {
        Speaks::Http if http2 => Protocol::Http2,
        Speaks::Http => Protocol::Http1,
        Speaks::Grpc => Protocol::Grpc,
        Speaks::WebSocket => Protocol::WebSocket,
        Speaks::Tcp => Protocol::Tcp,
        Speaks::Udp => Protocol::Udp,
    }
}

/// Gives each lane its part of requests and connections.
fn share(lanes: &mut [Lane], requests: &[Request], connections: usize) {
    let weight = |lane: &Lane| -> f64 {
        lane.requests.iter().map(|index| f64::from(requests[*index].weight)).sum()
    };
    let total: f64 = lanes.iter().map(weight).sum();
    let parts: Vec<f64> = lanes.iter().map(|lane| weight(lane) / total).collect();
    let split = split_connections(connections, &parts);
    for ((lane, part), connections) in lanes.iter_mut().zip(parts).zip(split) {
        lane.part = part;
        lane.connections = connections;
    }
}

/// `unix:PATH` or `HOST:PORT`.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(path.into()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port"))?;
    let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
    Ok(Address::Tcp(resolve(host.trim_matches(['[', ']']), port)?))
}

/// The first address of a name, once: a run measures one server, not the resolver.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut found = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host}: the name has no address"))
}

/// Reads addresses, ranges of them and networks.
fn sources(text: Option<&str>) -> Result<Vec<IpAddr>, String> {
    let mut sources = Vec::new();
    for part in text.map(|text| text.split(',')).into_iter().flatten() {
        let wrong = || format!("--source: `{part}` is no address, range or network");
        if let Some((from, to)) = part.split_once('-') {
            let from: Ipv4Addr = from.parse().map_err(|_| wrong())?;
            let to: Ipv4Addr = to.parse().map_err(|_| wrong())?;
            add_range(&mut sources, from.into(), to.into()).ok_or_else(wrong)?;
        } else if let Some((network, bits)) = part.split_once('/') {
            let network: Ipv4Addr = network.parse().map_err(|_| wrong())?;
            let bits: u32 =
                bits.parse().ok().filter(|b| (16..=32).contains(b)).ok_or_else(wrong)?;
            let mask = u32::MAX << (32 - bits);
            let first = u32::from(network) & mask;
            add_range(&mut sources, first, first | !mask).ok_or_else(wrong)?;
        } else {
            sources.push(part.parse().map_err(|_| wrong())?);
        }
    }
    Ok(sources)
}

fn add_range(sources: &mut Vec<IpAddr>, from: u32, to: u32) -> Option<()> {
    let count = to.checked_sub(from)? as usize + 1;
    if sources.len() + count > MAX_SOURCES {
        return None;
    }
    sources.extend((from..=to).map(|ip| IpAddr::V4(ip.into())));
    Some(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn compile(args: &[&str]) -> Result<Plan, String> {
        let all = ["ringway-load"].iter().chain(args);
        plan(&Cli::try_parse_from(all).map_err(|error| error.to_string())?.run)
    }

    #[test]
    fn requests_are_grouped_by_address_with_their_weights() {
        let urls = ["3@http://127.0.0.1:1/a", "http://127.0.0.1:2/", "http://127.0.0.1:1/b"];
        let plan = compile(&[&["-c", "10"], &urls[..]].concat()).expect("a plan");
        let lanes: Vec<_> =
            plan.lanes.iter().map(|lane| (lane.requests.clone(), lane.connections)).collect();
        assert_eq!(lanes, [(vec![0, 2], 8), (vec![1], 2)]);
        assert!((plan.lanes[0].part - 0.8).abs() < 1e-9);
    }

    #[test]
    fn the_time_is_ten_seconds_unless_a_count_ends_the_run() {
        let url = "http://127.0.0.1:1/";
        let seconds = |args: &[&str]| {
            let plan = compile(&[args, &[url]].concat()).expect("a plan");
            plan.duration.map(|duration| duration.as_secs())
        };
        assert_eq!(seconds(&[]), Some(10));
        assert_eq!(seconds(&["-n", "5"]), None);
        assert_eq!(seconds(&["-n", "5", "-d", "3"]), Some(3));
        assert_eq!(seconds(&["--steps", "1,2,3:2s"]), Some(6));
    }

    #[test]
    fn threads_do_not_outnumber_connections() {
        let plan = compile(&["-t", "8", "-c", "3", "http://127.0.0.1:1/"]).expect("a plan");
        assert_eq!(plan.threads, 3);
        let plan = compile(&["--cpus", "0,1,2", "http://127.0.0.1:1/"]).expect("a plan");
        assert_eq!((plan.threads, plan.cpus), (3, vec![0, 1, 2]));
    }

    #[test]
    fn sources_are_addresses_ranges_and_networks() {
        let all = sources(Some("10.0.0.9,10.0.0.1-10.0.0.3,127.1.0.0/30,::1")).expect("read");
        assert_eq!(all.len(), 1 + 3 + 4 + 1);
        assert_eq!(all[4].to_string(), "127.1.0.0");
        for wrong in ["x", "10.0.0.3-10.0.0.1", "10.0.0.0/8", "10.0.0.0/33", ""] {
            assert!(sources(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wishes_that_cannot_be_met_are_named() {
        let error = |args: &[&str]| compile(args).expect_err("refused");
        assert!(error(&["ftp://127.0.0.1/"]).contains("`ftp` is not one of"));
        assert!(error(&["-k", "http://127.0.0.1/"]).contains("need TLS"));
        let missing = ["--cacert", "/nonexistent", "https://127.0.0.1/"];
        assert!(error(&missing).starts_with("/nonexistent: "));
        assert!(error(&["-2", "ws://127.0.0.1/"]).contains("leave the choice"));
        assert!(error(&["-m", "PUT", "grpc://127.0.0.1/a/b"]).contains("have methods"));
        assert!(error(&["--expect-messages", "2", "http://127.0.0.1/"]).contains("grpc URL"));
        assert!(error(&["--expect-status", "200", "tcp://127.0.0.1:1"]).contains("only HTTP"));
        assert!(error(&["--expect-length", "1", "udp://127.0.0.1:1"]).contains("its number"));
        assert!(error(&["-b", "x", "udp://127.0.0.1:1"]).contains("its number"));
        assert!(error(&["--connect-to", "unix:x", "udp://127.0.0.1:1"]).contains("of IP only"));
        assert!(error(&["--slow", "1", "-2", "http://127.0.0.1/"]).contains("HTTP/1.1 only"));
        assert!(error(&["-c", "2M", "http://127.0.0.1/"]).starts_with("-c: 2000000"));
        assert!(error(&["-f", "/nonexistent", "http://127.0.0.1/"]).starts_with("/nonexistent: "));
        assert!(error(&["-d", "0", "http://127.0.0.1/"]).contains("zero"));
        assert!(error(&["0@http://127.0.0.1/"]).contains("weight"));
        assert!(error(&["--arrivals", "poisson", "http://127.0.0.1/"]).contains("need a rate"));
        assert!(error(&["--source", "::1", "http://127.0.0.1/"]).contains("same family"));
    }
}
