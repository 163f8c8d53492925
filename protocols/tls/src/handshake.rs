//! What is known of a connection once its handshake is over, for logs, headers and routes.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::staple::Stapled;

/// The outcome of a handshake.
#[derive(Debug, Default)]
pub struct Handshake {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: Option<&'static str>,
    /// In BoringSSL's spelling.
    pub cipher: Option<&'static str>,
    /// The group of the key exchange.
    pub group: Option<&'static str>,
    /// The protocol that was agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The name that the client asked for, or the one that we sent as a client.
    pub server_name: Option<Box<str>>,
    /// A session was resumed.
    pub resumed: bool,
    /// Of TLS 1.2; later versions have none.
    pub session_id: Box<[u8]>,
    /// What the client got of OCSP, if it asked for it.
    pub stapled: Option<Stapled>,
    /// Our own certificate, if we showed one.
    pub local: Option<Arc<Certificate>>,
    /// With what the peer signed, as `ssl.sigalgs.` names it.
    pub peer_scheme: Option<&'static str>,
    /// What the peer showed.
    pub peer: Peer,
}

/// The peer's certificates, parsed when somebody asks.
#[derive(Debug, Default)]
pub struct Peer {
    /// In DER, the leaf first; empty when it showed none.
    pub chain: Vec<Vec<u8>>,
    /// They were verified and found good.
    pub validated: bool,
    /// Who has signed the leaf, if it was verified and that is known.
    pub issuer: Option<Certificate>,
    parsed: OnceCell<Vec<Certificate>>,
}

impl Peer {
    /// A peer with this chain.
    pub fn new(chain: Vec<Vec<u8>>, validated: bool, issuer: Option<&[u8]>) -> Self {
        let issuer = issuer.or(chain.get(1).map(Vec::as_slice)).filter(|_| validated);
        let issuer = issuer.and_then(Certificate::parse);
        Self { chain, validated, issuer, parsed: OnceCell::new() }
    }

    /// Whether it showed a certificate.
    pub fn presented(&self) -> bool {
        !self.chain.is_empty()
    }

    /// All that can be parsed, the leaf first.
    pub fn certificates(&self) -> &[Certificate] {
        let parse = || self.chain.iter().map_while(|der| Certificate::parse(der)).collect();
        self.parsed.get_or_init(parse)
    }

    /// The leaf.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates().first()
    }
}

/// The session id in a ServerHello that begins a flight (RFC 5246 section 7.4.1.3); empty when
/// this is none.
pub(crate) fn session_id(flight: &[u8]) -> &[u8] {
    const HANDSHAKE: u8 = 22;
    const SERVER_HELLO: u8 = 2;
    // Record header, message header, version, random.
    const BEFORE: usize = 5 + 4 + 2 + 32;
    if flight.first() != Some(&HANDSHAKE) || flight.get(5) != Some(&SERVER_HELLO) {
        return &[];
    }
    let Some((length, rest)) = flight.get(BEFORE..).and_then(<[u8]>::split_first) else {
        return &[];
    };
    rest.get(..usize::from(*length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::session_id;

    #[test]
    fn the_session_id_stands_behind_the_random() {
        let mut hello = vec![22, 3, 3, 0, 50, 2, 0, 0, 46, 3, 3];
        hello.extend([7; 32]);
        assert_eq!(session_id(&hello), b"");
        hello.extend([3, 1, 2, 3]);
        assert_eq!(session_id(&hello), [1, 2, 3]);
        hello[5] = 1;
        assert_eq!(session_id(&hello), b"");
    }
}
