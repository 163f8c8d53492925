use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;

/// A name server on loopback that answers from the first label of the name, and writes down what
/// it was asked.
struct NameServer {
    resolver: SystemResolver,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    _running: JoinSet<()>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let (name, kind, reply) = answer(&packet[..length]);
                log.lock().expect("not poisoned").push((name, kind));
                socket.send_to(&reply, peer).await.expect("sent");
            }
        });
        let resolver = SystemResolver::with_servers(&[address]).expect("built");
        Self { resolver, asked, _running: running }
    }

    async fn ask(&self, name: &str, family: LookupFamily) -> Result<Answer, ResolveError> {
        self.resolver.resolve(name, family).await
    }

    fn kinds(&self) -> Vec<u16> {
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.drain(..).map(|(_, kind)| kind).collect()
    }
}

/// The name and type that a query asks for, and the reply (RFC 1035 section 4).
fn answer(query: &[u8]) -> (String, u16, Vec<u8>) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).into_owned());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let question = &query[12..at + 5];
    let four = |last: u8, ttl: u8| record(A, ttl, &[10, 0, 0, last]);
    let six = || record(AAAA, 7, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    let (code, records) = match (labels[0].as_str(), kind) {
        ("four" | "both", A) => (0, vec![four(1, 30), four(2, 20)]),
        ("six" | "both", AAAA) => (0, vec![six()]),
        ("nx", _) => (3, vec![]),
        ("broken", _) => (2, vec![]),
        ("half", AAAA) => (2, vec![]),
        ("half", A) => (0, vec![four(3, 5)]),
        _ => (0, vec![]),
    };
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    reply.extend(question);
    records.iter().for_each(|record| reply.extend(record));
    (labels.join("."), kind, reply)
}

fn record(kind: u16, ttl: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, ttl, 0, data.len() as u8]);
    bytes.extend(data);
    bytes
}

fn texts(answer: Result<Answer, ResolveError>) -> Vec<String> {
    answer.expect("an answer").addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn each_family_asks_for_what_it_wants() {
    let server = NameServer::start().await;
    let cases: [(&str, LookupFamily, &[&str], &[u16]); 9] = [
        ("both.test.", LookupFamily::V4Only, &["10.0.0.1", "10.0.0.2"], &[A]),
        ("both.test.", LookupFamily::V6Only, &["::9"], &[AAAA]),
        ("both.test.", LookupFamily::Auto, &["::9"], &[AAAA]),
        ("four.test.", LookupFamily::Auto, &["10.0.0.1", "10.0.0.2"], &[AAAA, A]),
        ("half.test.", LookupFamily::V4Preferred, &["10.0.0.3"], &[A]),
        ("six.test.", LookupFamily::V4Preferred, &["::9"], &[A, AAAA]),
        ("four.test.", LookupFamily::V6Only, &[], &[AAAA]),
        ("nothing.test.", LookupFamily::Auto, &[], &[AAAA, A]),
        ("nx.test.", LookupFamily::Auto, &[], &[AAAA, A]),
    ];
    for (name, family, addresses, kinds) in cases {
        assert_eq!(texts(server.ask(name, family).await), addresses, "{name} {family:?}");
        assert_eq!(server.kinds(), kinds, "{name} {family:?}");
    }
    let both = server.ask("both.test.", LookupFamily::All).await;
    assert_eq!(texts(both), ["10.0.0.1", "10.0.0.2", "::9"]);
}

#[tokio::test]
async fn the_lowest_ttl_counts_and_nothing_is_remembered() {
    let server = NameServer::start().await;
    for _ in 0..2 {
        let answer = server.ask("four.test.", LookupFamily::V4Only).await.expect("an answer");
        assert_eq!(answer.ttl, Some(Duration::from_secs(20)));
    }
    assert_eq!(server.kinds(), [A, A]);
    let answer = server.ask("both.test.", LookupFamily::All).await.expect("an answer");
    assert_eq!(answer.ttl, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_server_that_fails_is_an_error_unless_the_other_family_answers() {
    let server = NameServer::start().await;
    assert!(server.ask("broken.test.", LookupFamily::Auto).await.is_err());
    assert_eq!(texts(server.ask("half.test.", LookupFamily::All).await), ["10.0.0.3"]);
    assert_eq!(texts(server.ask("half.test.", LookupFamily::Auto).await), ["10.0.0.3"]);
}

#[tokio::test]
async fn what_is_no_name_is_an_error() {
    let server = NameServer::start().await;
    let long = "a".repeat(300);
    assert!(server.ask(&long, LookupFamily::Auto).await.is_err());
    assert!(server.kinds().is_empty());
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let server = NameServer::start().await;
    assert_eq!(texts(server.ask("localhost", LookupFamily::V4Only).await), ["127.0.0.1"]);
    assert!(server.kinds().is_empty());
}
