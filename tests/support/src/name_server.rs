//! A name server on loopback that answers by a script.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::PATIENCE;

/// What becomes of a question for the IPv4 addresses of a name (RFC 1035 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// These addresses, and for how many seconds.
    Addresses(Vec<Ipv4Addr>, u8),
    /// There is no such name.
    NoSuchName,
    /// The name has no address.
    Nothing,
    /// The server has failed.
    Failure,
    /// No answer, until the name is told to be something else.
    Held,
}

impl Says {
    /// 127.0.0.1 for a minute.
    pub fn loopback() -> Self {
        Self::Addresses(vec![Ipv4Addr::LOCALHOST], 60)
    }
}

/// A running name server. Names without a script do not exist.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    script: HashMap<String, Says>,
    asked: Vec<String>,
    held: Vec<(String, Vec<u8>, SocketAddr)>,
}

impl NameServer {
    /// Takes a free port of 127.0.0.1.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Shared { socket, state: Mutex::default(), asked: Condvar::new() };
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || serving.serve());
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name, in lower case, is this. Questions that were held are answered.
    pub fn say(&self, name: &str, says: Says) {
        let mut state = self.shared.state.lock().expect("not poisoned");
        state.script.insert(name.to_owned(), says);
        let held = std::mem::take(&mut state.held);
        for (name, query, peer) in held {
            self.shared.answer(&mut state, name, query, peer);
        }
    }

    /// How often a name was asked for.
    pub fn asked(&self, name: &str) -> usize {
        let state = self.shared.state.lock().expect("not poisoned");
        state.asked.iter().filter(|asked| *asked == name).count()
    }

    /// Waits until a name was asked for that often.
    pub fn wait_asked(&self, name: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock().expect("not poisoned");
        while state.asked.iter().filter(|asked| *asked == name).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{name} was not asked for {count} times: {:?}", state.asked);
            state = self.shared.asked.wait_timeout(state, left).expect("not poisoned").0;
        }
    }

    /// `typed_dns_resolver_config` that asks this server and nobody else.
    pub fn resolver(&self) -> String {
        let kind = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
        let port = self.address.port();
        let server = format!("{{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}");
        format!(
            "typed_dns_resolver_config: {{ name: cares, typed_config: {{ '@type': \
             type.googleapis.com/{kind}, resolvers: [{server}], dns_resolver_options: {{ \
             no_default_search_domain: true }} }} }}"
        )
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // A packet without a question ends the thread.
        let _ = self.shared.socket.send_to(&[], self.address);
    }
}

impl Shared {
    fn serve(&self) {
        let mut packet = [0; 1500];
        while let Ok((length, peer)) = self.socket.recv_from(&mut packet) {
            if length == 0 {
                return;
            }
            let query = packet[..length].to_vec();
            let name = name_in(&query);
            let mut state = self.state.lock().expect("not poisoned");
            state.asked.push(name.clone());
            self.answer(&mut state, name, query, peer);
            self.asked.notify_all();
        }
    }

    fn answer(&self, state: &mut State, name: String, query: Vec<u8>, peer: SocketAddr) {
        let (code, addresses, ttl) = match state.script.get(&name) {
            Some(Says::Addresses(addresses, ttl)) => (0, addresses.clone(), *ttl),
            Some(Says::Nothing) => (0, Vec::new(), 0),
            Some(Says::Failure) => (2, Vec::new(), 0),
            Some(Says::Held) => return state.held.push((name, query, peer)),
            Some(Says::NoSuchName) | None => (3, Vec::new(), 0),
        };
        // An asker that has gone needs no answer.
        let _ = self.socket.send_to(&reply(&query, code, &addresses, ttl), peer);
    }
}

/// The end of the labels, and with it of the name.
fn end_of_name(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += usize::from(query[at]) + 1;
    }
    at
}

fn name_in(query: &[u8]) -> String {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    labels.join(".")
}

fn reply(query: &[u8], code: u8, addresses: &[Ipv4Addr], ttl: u8) -> Vec<u8> {
    let end = end_of_name(query);
    let asks_for_ipv4 = query[end + 1..end + 3] == [0, 1];
    let addresses = if asks_for_ipv4 { addresses } else { &[] };
    let count = u8::try_from(addresses.len()).expect("few addresses");
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(&query[12..end + 5]);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4]);
        reply.extend(address.octets());
    }
    reply
}
