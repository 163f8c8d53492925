//! Plays a corpus on one program and writes down what happened, masked, as lines of text.

use std::net::SocketAddr;

use ringway_test_support::{Asked, Launch, Make, Message, Proxy, RawClient, Reply, WireError};

use crate::exchange::{Corpus, Exchange, Peers, Step};
use crate::mask::{self, Ports};

/// The file in the proxy's folder that access logs of a corpus go to.
pub(crate) const LOG: &str = "{folder}/access.log";

/// What happened in one exchange.
pub(crate) type Outcome = Vec<String>;

/// The outcome of each exchange, in order, or why the program did not start. A configuration that
/// logs to [`LOG`] has two outcomes more, the log and the statistics; each of its exchanges must be
/// one request.
pub(crate) fn play(corpus: &Corpus, make: Make) -> Result<Vec<Outcome>, String> {
    let peers = Peers::new();
    let yaml = (corpus.bootstrap)(&peers).to_yaml();
    let proxy = Launch::new(make, yaml.as_str()).start().map_err(|error| error.to_string())?;
    let ports = known_ports(corpus, &peers, &proxy);
    let stage = Stage { peers, proxy, ports };
    let played: Vec<Played> = corpus.exchanges.iter().map(|e| stage.play(e)).collect();
    // A connection that is to be closed may linger for a second (`delayed_close_timeout`); asked at
    // the end, all of them linger at once.
    let mut outcomes: Vec<Outcome> =
        played.into_iter().map(|played| stage.conclude(played)).collect();
    if yaml.contains(LOG) {
        // Where the connection lives on, the probe has a line too.
        let open = |outcome: &&Outcome| outcome.iter().any(|line| line == "connection: open");
        let lines = outcomes.len() + outcomes.iter().filter(open).count();
        outcomes.push(stage.log(lines));
        outcomes.push(stage.statistics());
    }
    Ok(outcomes)
}

fn known_ports(corpus: &Corpus, peers: &Peers, proxy: &Proxy) -> Ports {
    let mut ports = Ports::default();
    for (name, origin) in &peers.origins {
        ports.name(origin.address().port(), name);
    }
    ports.name(peers.refuser.address().port(), "refuser");
    let mut listeners: Vec<&str> = corpus.exchanges.iter().map(|e| e.listener).collect();
    listeners.sort_unstable();
    listeners.dedup();
    for listener in listeners {
        ports.name(proxy.listener(listener).port(), listener);
    }
    ports
}

/// An exchange whose connection has yet to be asked whether it serves on.
struct Played {
    outcome: Outcome,
    client: Option<RawClient>,
}

struct Stage {
    peers: Peers,
    proxy: Proxy,
    ports: Ports,
}

impl Stage {
    fn play(&self, exchange: &Exchange) -> Played {
        for (name, origin) in &self.peers.origins {
            let reply = exchange.reply.clone();
            let name = *name;
            origin.answer(move |head| match &reply {
                Some(reply) => reply.clone(),
                None => usual(name, head.method()),
            });
        }
        let mut outcome = Outcome::new();
        let address = self.proxy.listener(exchange.listener);
        let client = self.client(address, exchange, &mut outcome);
        for (name, origin) in &self.peers.origins {
            // How much of a broken request went through, and when, is a matter of timing; that it
            // was never taken for a whole one is not.
            let whole = |asked: &Asked| asked.message.cut.is_none();
            for asked in origin.settle().into_iter().filter(whole) {
                self.received(name, &asked, &mut outcome);
            }
        }
        Played { outcome, client }
    }

    /// Whether the connection still serves: asked with one more request, which the origins answer
    /// as usual, so that nothing has to be timed.
    fn conclude(&self, played: Played) -> Outcome {
        let Played { mut outcome, client: Some(mut client) } = played else {
            return played.outcome;
        };
        for (name, origin) in &self.peers.origins {
            let name = *name;
            origin.answer(move |head| usual(name, head.method()));
        }
        client.send_anyway("GET /probe HTTP/1.1\r\nhost: a\r\n\r\n");
        let verdict = match client.try_response("GET") {
            Ok(_) => "open".into(),
            Err(error) => end(&error),
        };
        outcome.push(format!("connection: {verdict}"));
        outcome
    }

    /// The client's side; gives the client back when the connection may still be open.
    fn client(
        &self,
        address: SocketAddr,
        exchange: &Exchange,
        outcome: &mut Outcome,
    ) -> Option<RawClient> {
        let mut client = RawClient::connect(address);
        for step in &exchange.steps {
            match step {
                Step::Send(bytes) => drop(client.send_anyway(bytes)),
                Step::Dribble(bytes) => {
                    for byte in bytes {
                        client.send_anyway([*byte]);
                    }
                }
                Step::Heard => {
                    self.peers.origins[0].1.heard();
                }
                Step::Finish => drop(client.finish()),
                Step::Head => match client.wire().head() {
                    Ok(head) => outcome.push(format!("head {}", head.start)),
                    Err(error) => outcome.push(format!("no head: {}", end(&error))),
                },
                Step::Reset => {
                    client.reset();
                    return None;
                }
                Step::Response(method) => match client.try_response(method) {
                    Ok(message) => {
                        self.responded(&message, outcome);
                        // What follows a last response is asked when all connections are.
                        if message.head.get("connection") == Some("close") {
                            return Some(client);
                        }
                    }
                    Err(error) => {
                        outcome.push(format!("no response: {}", end(&error)));
                        return None;
                    }
                },
            }
        }
        Some(client)
    }

    /// The access log, once every request and every probe has its line.
    fn log(&self, lines: usize) -> Outcome {
        let log = self.proxy.wait_file("access.log", |log| log.lines().count() >= lines);
        log.lines().map(|line| mask::log_line(line, &self.ports)).collect()
    }

    /// Counters and gauges of the listener and the clusters, but for those that depend on timing.
    fn statistics(&self) -> Outcome {
        self.proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
        let text = self.proxy.admin("/stats").text();
        let compared = |line: &&str| {
            let ours = line.starts_with("http.main.") || line.starts_with("cluster.");
            // Random identifiers have one length, but which bytes came in one read differs. Envoy
            // keeps quiet for `delayed_close_timeout` where Ringway sends its FIN, which clients
            // answer before that time is over.
            let timing =
                ["_bytes_", "delayed_close_timeout"].iter().any(|part| line.contains(part));
            ours && !timing && !line.contains("P50(") && !line.contains("No rec")
        };
        let mut outcome: Outcome = text.lines().filter(compared).map(str::to_owned).collect();
        outcome.extend(self.endpoints());
        outcome
    }

    /// The numbers of each endpoint.
    fn endpoints(&self) -> Vec<String> {
        let text = self.proxy.admin("/clusters").text();
        let counts = |line: &&str| line.contains("::cx_") || line.contains("::rq_");
        let mut lines: Vec<String> =
            text.lines().filter(counts).map(|line| self.ports.mask(line)).collect();
        lines.sort_unstable();
        lines
    }

    fn responded(&self, message: &Message, outcome: &mut Outcome) {
        for interim in &message.interim {
            outcome.push(format!("interim {}", interim.start));
            outcome.extend(self.fields(&interim.fields));
        }
        outcome.push(format!("response {}", message.head.start));
        self.content(message, outcome);
    }

    fn received(&self, origin: &str, asked: &Asked, outcome: &mut Outcome) {
        match &asked.unreadable {
            Some(error) => outcome.push(format!("{origin} received an unreadable head: {error}")),
            None => {
                let line = self.ports.mask(&asked.message.head.start);
                outcome.push(format!("{origin} received {line}"));
                self.content(&asked.message, outcome);
            }
        }
    }

    fn content(&self, message: &Message, outcome: &mut Outcome) {
        outcome.extend(self.fields(&message.head.fields));
        if message.cut.is_none() {
            let body = mask::body(&message.body, &self.ports);
            outcome.push(format!("  {:?} {body}", message.framing));
        }
        outcome.extend(self.fields(&message.trailers).map(|line| format!("  trailer{line}")));
        // How much of a broken body went through depends on timing; that it broke does not.
        if let Some(cut) = &message.cut {
            outcome.push(format!("  {:?} cut: {}", message.framing, end(cut)));
        }
    }

    fn fields(&self, fields: &[(String, String)]) -> impl Iterator<Item = String> {
        fields.iter().map(|(name, value)| format!("  {}", mask::field(name, value, &self.ports)))
    }
}

/// A close and a reset look alike: which one the peer sees depends on what it had not read.
fn end(error: &WireError) -> String {
    match error {
        WireError::Closed | WireError::Reset | WireError::Broken(_) => "closed".into(),
        WireError::Truncated(_) => "closed inside a message".into(),
        other => other.to_string(),
    }
}

fn usual(name: &str, method: &str) -> Reply {
    let body = if method == "HEAD" { "" } else { name };
    Reply::raw(format!("HTTP/1.1 200 OK\r\nx-origin: {name}\r\ncontent-length: 1\r\n\r\n{body}"))
}
