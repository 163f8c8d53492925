//! Certificates made in memory, and two engines with a wire between them.

use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use ringway_tls::{
    ClientContext, ClientOptions, Engine, Identity, ServerContext, ServerOptions, Source, TlsError,
};

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    fixed: Identity,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        let fixed = signed(&issuer, params_of(&["a.test"]), KeyPair::generate().expect("a key"));
        Self { pem, issuer, fixed }
    }

    pub(crate) fn source(&self) -> Source {
        source("ca.pem", &self.pem)
    }

    pub(crate) fn ecdsa(&self, names: &[&str]) -> Identity {
        signed(&self.issuer, params_of(names), KeyPair::generate().expect("a key"))
    }

    pub(crate) fn ecdsa_with(&self, names: &[&str], more: Vec<CustomExtension>) -> Identity {
        let mut params = params_of(names);
        params.custom_extensions = more;
        signed(&self.issuer, params, KeyPair::generate().expect("a key"))
    }

    pub(crate) fn ecdsa_for(&self, names: &[&str], usages: &[KeyUsagePurpose]) -> Identity {
        let mut params = params_of(names);
        params.key_usages = usages.to_vec();
        signed(&self.issuer, params, KeyPair::generate().expect("a key"))
    }

    pub(crate) fn rsa(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        signed(&self.issuer, params_of(names), key)
    }

    /// The same each time.
    pub(crate) fn fixed(&self) -> Identity {
        self.fixed.clone()
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        let mut params = params_of(&[name]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        signed(&self.issuer, params, KeyPair::generate().expect("a key"))
    }

    pub(crate) fn expired_client(&self) -> Identity {
        let mut params = params_of(&["old"]);
        params.not_after = date_time_ymd(2000, 1, 1);
        signed(&self.issuer, params, KeyPair::generate().expect("a key"))
    }

    /// A list that revokes this certificate.
    pub(crate) fn revoke(&self, identity: &Identity) -> Source {
        let parsed = ringway_tls::Certificate::parse(&der(identity)).expect("a certificate");
        let digits = parsed.serial.as_bytes().chunks(2);
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let serial: Vec<u8> = digits.map(byte).collect();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        source("list.pem", &params.signed_by(&self.issuer).expect("a list").pem().expect("PEM"))
    }
}

fn params_of(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.subject_alt_names = names.iter().map(|name| san(name)).collect();
    params
}

fn san(name: &str) -> SanType {
    let text = name.try_into().expect("ASCII");
    match name.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) if name.contains("://") => SanType::URI(text),
        Err(_) if name.contains('@') => SanType::Rfc822Name(text),
        Err(_) => SanType::DnsName(text),
    }
}

fn signed(issuer: &Issuer<'static, KeyPair>, params: CertificateParams, key: KeyPair) -> Identity {
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    Identity {
        chain: source("cert.pem", &certificate.pem()),
        key: source("key.pem", &key.serialize_pem()),
        ocsp_staple: None,
    }
}

pub(crate) fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

pub(crate) fn der(identity: &Identity) -> Vec<u8> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(&identity.chain.bytes).expect("PEM").to_vec()
}

pub(crate) fn server(authority: &Authority, names: &[&str]) -> ServerOptions {
    server_with(vec![authority.ecdsa(names)])
}

pub(crate) fn server_with(identities: Vec<Identity>) -> ServerOptions {
    ServerOptions::new(identities)
}

pub(crate) fn server_context(options: &ServerOptions) -> ServerContext {
    ServerContext::new(options).expect("a server context")
}

pub(crate) fn client_context(options: &ClientOptions) -> ClientContext {
    ClientContext::new(options).expect("a client context")
}

/// What client and server say of a handshake that failed.
type Refusal = (Option<Box<TlsError>>, Option<Box<TlsError>>);

pub(crate) struct Pair {
    pub(crate) client: Engine,
    pub(crate) server: Engine,
    /// Bytes that are delivered at a time.
    pub(crate) piece: usize,
    from_server: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(server: &ServerContext, client: &ClientContext, sni: Option<&str>) -> Self {
        let now = Instant::now();
        let server = Engine::server(server, now, None).expect("a server");
        let client = Engine::client(client, sni, now, None).expect("a name").expect("a client");
        Self { client, server, piece: usize::MAX, from_server: Vec::new() }
    }

    /// Until both are done and nothing is under way; the errors of client and server otherwise.
    pub(crate) fn handshake(&mut self) -> Result<(), Refusal> {
        loop {
            let to_server = self.deliver_to_server();
            let to_client = self.deliver_to_client();
            if to_server.is_err() || to_client.is_err() {
                let client = to_client.err().or_else(|| self.deliver_to_client().err());
                let server = to_server.err().or_else(|| self.deliver_to_server().err());
                return Err((client.map(Box::new), server.map(Box::new)));
            }
            let quiet = !self.client.wants_transmit() && !self.server.wants_transmit();
            if quiet && !self.client.is_handshaking() && !self.server.is_handshaking() {
                return Ok(());
            }
            assert!(!quiet, "both wait for each other");
        }
    }

    pub(crate) fn deliver_to_server(&mut self) -> Result<Vec<u8>, TlsError> {
        carry(&mut self.client, &mut self.server, self.piece, &mut Vec::new())
    }

    pub(crate) fn deliver_to_client(&mut self) -> Result<Vec<u8>, TlsError> {
        carry(&mut self.server, &mut self.client, self.piece, &mut self.from_server)
    }

    /// Whether these bytes came over the wire from the server, unsealed.
    pub(crate) fn said_by_server(&self, bytes: &[u8]) -> bool {
        self.from_server.windows(bytes.len()).any(|window| window == bytes)
    }

    pub(crate) fn check_echo(&mut self) {
        let text: Vec<u8> = (0..40_000_u32).map(|at| at as u8).collect();
        assert_eq!(self.client.send(&text), text.len());
        assert_eq!(self.deliver_to_server().expect("no error"), text);
        assert_eq!(self.server.send(&text), text.len());
        assert_eq!(self.deliver_to_client().expect("no error"), text);
    }
}

/// Moves all that one has to say to the other; what the other then can read.
fn carry(
    from: &mut Engine,
    to: &mut Engine,
    piece: usize,
    seen: &mut Vec<u8>,
) -> Result<Vec<u8>, TlsError> {
    let mut wire = Vec::new();
    from.transmit(&mut wire);
    seen.extend_from_slice(&wire);
    let (mut taken, mut plain) = (0, Vec::new());
    while taken < wire.len() {
        let end = wire.len().min(taken.saturating_add(piece));
        let progress = to.receive(&mut wire[taken..end], Instant::now())?;
        taken += progress.taken;
        loop {
            let piece = to.plaintext();
            let len = piece.len();
            plain.extend_from_slice(piece);
            to.consume(len);
            if len == 0 {
                break;
            }
        }
        if progress.taken == 0 {
            break;
        }
    }
    Ok(plain)
}
