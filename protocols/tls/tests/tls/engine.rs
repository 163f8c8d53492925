//! Two engines in memory, against each other.

use std::time::{Duration, Instant};

use crate::support::{self, Authority, Pair, server, server_with};
use ringway_tls::{
    ClientCertificates, ClientOptions, Counter, Engine, NameKind, NameMatcher, Parameters,
    ServerContext, ServerOptions, Sessions, Text, TicketKey, TicketKeys, TlsError, TlsVersion,
    Validation,
};

fn modern() -> Parameters {
    Parameters { max: TlsVersion::V1_3, ..Parameters::upstream() }
}

fn options() -> ClientOptions {
    ClientOptions { parameters: modern(), ..ClientOptions::default() }
}

fn connect(server: &ServerOptions, client: &ClientOptions, sni: Option<&str>) -> Pair {
    Pair::new(&support::server_context(server), &support::client_context(client), sni)
}

/// As Envoy 1.40 answers `openssl s_client -tls1_2 -cipher`.
#[test]
fn with_tls_1_2_the_order_of_the_server_counts_unless_it_prefers_the_clients() {
    const AES128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const AES256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const CHACHA: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
    let authority = Authority::new();
    let group = format!("[{AES128}|{CHACHA}]");
    let table: [(&[&str], &[&str], bool, &str); 8] = [
        (&[], &[AES256, AES128], false, AES128),
        (&[], &[AES256, CHACHA, AES128], false, CHACHA),
        (&[], &[AES256], false, AES256),
        (&[], &[AES256, AES128], true, AES256),
        (&[AES256, AES128], &[AES128, AES256], false, AES256),
        (&[AES256, AES128], &[AES128, AES256], true, AES128),
        (&[AES256, &group], &[CHACHA, AES128], false, CHACHA),
        (&[CHACHA, AES128], &[AES128, CHACHA], false, CHACHA),
    ];
    let own = |suites: &[&str]| suites.iter().map(|name| (*name).to_owned()).collect();
    for (configured, offered, prefer_client_ciphers, expected) in table {
        // Either side may be the one that does not know TLS 1.3.
        for (ours, theirs) in
            [(TlsVersion::V1_2, TlsVersion::V1_3), (TlsVersion::V1_3, TlsVersion::V1_2)]
        {
            let parameters = Parameters { max: ours, cipher_suites: own(configured), ..modern() };
            let server = ServerOptions {
                parameters,
                prefer_client_ciphers,
                alpn_protocols: vec![b"h2".to_vec()],
                ..server(&authority, &["a.test"])
            };
            let parameters = Parameters { max: theirs, cipher_suites: own(offered), ..modern() };
            for alpn in ["h2", "unknown"] {
                let alpn_protocols = vec![alpn.as_bytes().to_vec()];
                let client =
                    ClientOptions { parameters: parameters.clone(), alpn_protocols, ..options() };
                let mut pair = connect(&server, &client, Some("a.test"));
                pair.handshake().expect("a handshake");
                assert_eq!(pair.server.cipher(), Some(expected), "{configured:?} {offered:?}");
                assert_eq!(pair.server.alpn(), Some(&b"h2"[..]).filter(|_| alpn == "h2"));
                pair.check_echo();
            }
        }
    }
}

#[test]
fn versions_suites_and_groups() {
    use TlsVersion::{V1_2, V1_3};
    let authority = Authority::new();
    let table = [
        ((V1_2, V1_3), "", "", ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768")),
        ((V1_2, V1_2), "", "P-256", ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256")),
        (
            (V1_2, V1_2),
            "[ECDHE-ECDSA-CHACHA20-POLY1305|ECDHE-ECDSA-AES128-GCM-SHA256]",
            "P-384,X25519",
            ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "X25519"),
        ),
        (
            (V1_3, V1_3),
            "",
            "X25519MLKEM768",
            ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768"),
        ),
    ];
    for ((min, max), suites, groups, expected) in table {
        let list = |text: &str| {
            text.split(',').filter(|name| !name.is_empty()).map(String::from).collect()
        };
        let parameters = Parameters {
            min,
            max,
            cipher_suites: list(suites),
            ecdh_curves: list(groups),
            ..modern()
        };
        let client = ClientOptions { parameters, ..options() };
        let mut pair = connect(&server(&authority, &["a.test"]), &client, Some("a.test"));
        pair.handshake().expect("a handshake");
        for side in [&pair.client, &pair.server] {
            let found = (side.version().unwrap(), side.cipher().unwrap(), side.group().unwrap());
            assert_eq!(found, expected);
        }
        pair.check_echo();
    }
}

#[test]
fn versions_that_do_not_meet() {
    let authority = Authority::new();
    let mut strict = server(&authority, &["a.test"]);
    strict.parameters.min = TlsVersion::V1_3;
    let mut pair = connect(&strict, &ClientOptions::default(), None);
    let (client, server) = pair.handshake().expect_err("no version in common");
    assert_eq!(server.expect("the server refuses").counter(), Counter::ConnectionError);
    assert!(client.expect("an alert arrives").to_string().contains("ProtocolVersion"));
}

#[test]
fn protocols() {
    let authority = Authority::new();
    let alpn = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    for (server_has, client_has, agreed) in [
        (vec!["h2", "http/1.1"], vec!["http/1.1", "h2"], Some("h2")),
        (vec!["http/1.1"], vec!["http/1.1", "h2"], Some("http/1.1")),
        (vec![], vec!["h2"], None),
        (vec!["h2"], vec![], None),
        // Envoy goes on without a protocol.
        (vec!["h2"], vec!["http/1.1"], None),
    ] {
        let server =
            ServerOptions { alpn_protocols: alpn(&server_has), ..server(&authority, &["a.test"]) };
        let client = ClientOptions { alpn_protocols: alpn(&client_has), ..options() };
        let mut pair = connect(&server, &client, Some("a.test"));
        pair.handshake().expect("a handshake");
        assert_eq!(pair.server.alpn(), agreed.map(str::as_bytes));
        assert_eq!(pair.client.alpn(), agreed.map(str::as_bytes));
    }
}

/// The answer to the first hello, a request to try again, must not be sent twice.
#[test]
fn no_protocol_in_common_after_a_retry() {
    let authority = Authority::new();
    let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut server = server(&authority, &["a.test"]);
    server.alpn_protocols = vec![b"h2".to_vec()];
    server.parameters.ecdh_curves = groups(&["P-384"]);
    let parameters = Parameters { ecdh_curves: groups(&["X25519", "P-384"]), ..modern() };
    let alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = ClientOptions { parameters, alpn_protocols, ..options() };
    let mut pair = connect(&server, &client, Some("a.test"));
    pair.handshake().expect("a handshake");
    assert_eq!((pair.server.alpn(), pair.server.group()), (None, Some("P-384")));
    pair.check_echo();
}

#[test]
fn certificates_are_chosen_by_name_and_by_key() {
    let authority = Authority::new();
    let identities = vec![
        authority.rsa(&["first.test"]),
        authority.ecdsa(&["a.test"]),
        authority.ecdsa(&["*.b.test"]),
        authority.rsa(&["both.test"]),
        authority.ecdsa(&["both.test"]),
    ];
    let leaf = |at: usize| support::der(&identities[at]);
    let options_of = |full_scan| ServerOptions {
        full_scan_certs_on_sni_mismatch: full_scan,
        ..server_with(identities.clone())
    };
    let rsa_only = Parameters {
        max: TlsVersion::V1_2,
        cipher_suites: vec!["ECDHE-RSA-AES128-GCM-SHA256".into()],
        ..modern()
    };
    for (sni, parameters, full_scan, expected) in [
        (Some("a.test"), modern(), false, 1),
        (Some("A.Test"), modern(), false, 1),
        (Some("x.b.test"), modern(), false, 2),
        (Some("y.x.b.test"), modern(), false, 0),
        (Some("both.test"), modern(), false, 4),
        (Some("unknown.test"), modern(), false, 0),
        (Some("unknown.test"), modern(), true, 1),
        (None, modern(), false, 1),
        (Some("first.test"), rsa_only, false, 0),
    ] {
        let client = ClientOptions { parameters, ..options() };
        let mut pair = connect(&options_of(full_scan), &client, sni);
        pair.handshake().expect("a handshake");
        let shown = pair.client.peer_certificates().next().expect("a leaf").to_vec();
        assert!(shown == leaf(expected), "{sni:?} with full scan {full_scan}");
        assert_eq!(pair.server.server_name(), sni.map(str::to_lowercase).as_deref());
    }
}

#[test]
fn a_name_can_be_required() {
    let authority = Authority::new();
    let strict = ServerOptions { require_sni: true, ..server(&authority, &["a.test"]) };
    assert!(connect(&strict, &options(), None).handshake().is_err());
    assert!(connect(&strict, &options(), Some("a.test")).handshake().is_ok());
    assert!(connect(&strict, &options(), Some("b.test")).handshake().is_err());
}

fn matcher(kind: NameKind, text: Text) -> NameMatcher {
    NameMatcher { kind, text, ignore_case: false }
}

#[test]
fn what_the_upstream_has_to_be() {
    let authority = Authority::new();
    let other = Authority::new();
    let names = ["a.test", "*.w.test", "127.0.0.1", "spiffe://t/ns/x", "me@a.test"];
    let identity = authority.ecdsa(&names);
    let parsed = ringway_tls::Certificate::parse(&support::der(&identity)).expect("a certificate");
    let trusted = || Validation { trusted_ca: Some(authority.source()), ..Validation::default() };
    let named = |kind, text| Validation { names: vec![matcher(kind, text)], ..trusted() };
    let exact = |text: &str| Text::Exact(text.to_owned());
    let san = Err(Counter::FailVerifySan);
    let hash = Err(Counter::FailVerifyCertHash);
    let stranger = Validation { trusted_ca: Some(other.source()), ..Validation::default() };
    let table = [
        (Validation::default(), Ok(())),
        (trusted(), Ok(())),
        (stranger.clone(), Err(Counter::FailVerifyError)),
        (Validation { accept_untrusted: true, ..stranger }, Ok(())),
        (named(NameKind::Dns, exact("a.test")), Ok(())),
        (named(NameKind::Dns, exact("x.w.test")), Ok(())),
        (named(NameKind::Dns, exact("y.x.w.test")), san),
        (named(NameKind::Dns, Text::Suffix(".test".into())), Ok(())),
        (named(NameKind::Dns, Text::Contains("nothing".into())), san),
        (named(NameKind::Uri, Text::Prefix("spiffe://t/".into())), Ok(())),
        (named(NameKind::Uri, Text::regex("spiffe://t/ns/[a-z]").unwrap()), Ok(())),
        (named(NameKind::Uri, Text::regex("spiffe://t").unwrap()), san),
        (named(NameKind::Email, exact("me@a.test")), Ok(())),
        (named(NameKind::Email, exact("a.test")), san),
        (named(NameKind::Ip, exact("127.0.0.1")), Ok(())),
        (named(NameKind::Ip, exact("127.0.0.2")), san),
        (Validation { server_name: true, ..trusted() }, Ok(())),
        (Validation { hashes: vec![parsed.sha256], ..Validation::default() }, Ok(())),
        (Validation { hashes: vec![[0; 32]], ..trusted() }, hash),
        (
            Validation {
                hashes: vec![[0; 32]],
                spki_hashes: vec![parsed.spki_sha256],
                ..trusted()
            },
            Ok(()),
        ),
    ];
    for (validation, expected) in table {
        let said = format!("{:?} {:?}", validation.names, validation.hashes);
        let client = ClientOptions { validation, ..options() };
        let mut pair = connect(&server_with(vec![identity.clone()]), &client, Some("a.test"));
        let result = pair.handshake();
        let counter = result.map_err(|(client, _)| client.expect("the client refuses").counter());
        assert_eq!(counter, expected, "{said}");
    }
}

#[test]
fn the_name_that_is_asked_for_can_be_verified() {
    let authority = Authority::new();
    let validation = Validation {
        trusted_ca: Some(authority.source()),
        server_name: true,
        ..Validation::default()
    };
    let client = ClientOptions { validation, ..options() };
    let mut pair = connect(&server(&authority, &["a.test"]), &client, Some("b.test"));
    let (error, _) = pair.handshake().expect_err("another name");
    assert_eq!(error.expect("the client refuses").counter(), Counter::FailVerifySan);
}

#[test]
fn client_certificates() {
    use ClientCertificates::{Ignored, Optional, Required};
    let authority = Authority::new();
    let good = Some(authority.client("good"));
    let stranger = Some(Authority::new().client("stranger"));
    let revoked = Some(authority.client("revoked"));
    let validation = Validation {
        trusted_ca: Some(authority.source()),
        crl: Some(authority.revoke(revoked.as_ref().unwrap())),
        ..Validation::default()
    };
    let table = [
        (Ignored, good.clone(), Ok(0)),
        (Optional(validation.clone()), None, Ok(0)),
        (Optional(validation.clone()), good.clone(), Ok(1)),
        (Optional(validation.clone()), stranger.clone(), Err(Counter::FailVerifyError)),
        (Required(validation.clone()), good.clone(), Ok(1)),
        (Required(validation.clone()), None, Err(Counter::FailVerifyNoCert)),
        (Required(validation.clone()), revoked, Err(Counter::FailVerifyError)),
        (Required(Validation::default()), stranger, Ok(1)),
    ];
    for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for (asked, identity, expected) in table.clone() {
            let server =
                ServerOptions { client_certificates: asked, ..server(&authority, &["a.test"]) };
            let parameters = Parameters { max, ..modern() };
            let client = ClientOptions { identity, parameters, ..options() };
            let mut pair = connect(&server, &client, Some("a.test"));
            let result = pair.handshake();
            let result =
                result.map_err(|(_, server)| server.expect("the server refuses").counter());
            let shown = result.map(|()| pair.server.peer_certificates().count());
            assert_eq!(shown, expected, "{max:?}");
        }
    }
}

#[test]
fn expired_certificates_can_be_allowed() {
    let authority = Authority::new();
    let validation = |allow_expired| Validation {
        trusted_ca: Some(authority.source()),
        allow_expired,
        ..Validation::default()
    };
    for (allow, expected) in [(false, Err(Counter::FailVerifyError)), (true, Ok(()))] {
        let server = ServerOptions {
            client_certificates: ClientCertificates::Required(validation(allow)),
            ..server(&authority, &["a.test"])
        };
        let identity = Some(authority.expired_client());
        // The client itself is loaded at a time when it was valid.
        let client = ClientOptions { identity, ..options() };
        let result = connect(&server, &client, None).handshake();
        assert_eq!(result.map_err(|(_, server)| server.expect("refused").counter()), expected);
    }
}

fn keyed(authority: &support::Authority, keys: &[u8], asked: ClientCertificates) -> ServerContext {
    let keys = keys.iter().map(|byte| TicketKey::new(&[*byte; 80]).expect("80 bytes")).collect();
    let sessions = Sessions { keys: Some(TicketKeys(keys)), ..Sessions::default() };
    let identities = vec![authority.fixed()];
    support::server_context(&ServerOptions {
        sessions,
        client_certificates: asked,
        ..server_with(identities)
    })
}

/// Whether a session that `first` gave out is resumed by `second`.
fn resumes(first: &ServerContext, second: &ServerContext, max: TlsVersion) -> bool {
    let parameters = Parameters { max, ..modern() };
    let client = support::client_context(&ClientOptions { parameters, ..options() });
    let mut pair = Pair::new(first, &client, Some("a.test"));
    pair.handshake().expect("a full handshake");
    assert_eq!(pair.server.is_resumed(), Some(false));
    pair.check_echo();
    let mut pair = Pair::new(second, &client, Some("a.test"));
    pair.handshake().expect("a second handshake");
    assert_eq!(pair.server.is_resumed(), pair.client.is_resumed());
    pair.check_echo();
    pair.server.is_resumed() == Some(true)
}

#[test]
fn sessions_resume_where_keys_are_shared() {
    let authority = Authority::new();
    let ignored = ClientCertificates::Ignored;
    for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let old = keyed(&authority, &[1], ignored.clone());
        let restarted = keyed(&authority, &[1], ignored.clone());
        let rotated = keyed(&authority, &[2, 1], ignored.clone());
        let forgot = keyed(&authority, &[2], ignored.clone());
        assert!(resumes(&old, &restarted, max), "another process with the same keys");
        assert!(resumes(&old, &rotated, max), "an older key still opens");
        assert!(resumes(&rotated, &forgot, max), "the first key seals");
        assert!(!resumes(&old, &forgot, max), "a key that is gone opens nothing");
    }
}

/// CVE-2025-23419: a session of a context that asks for no certificate must not open one that does.
#[test]
fn sessions_stay_in_their_context() {
    let authority = Authority::new();
    let lax = keyed(&authority, &[1], ClientCertificates::Ignored);
    let asking = ClientCertificates::Optional(Validation {
        trusted_ca: Some(authority.source()),
        ..Validation::default()
    });
    let strict = keyed(&authority, &[1], asking);
    for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
        assert!(!resumes(&lax, &strict, max));
    }
}

#[test]
fn ways_of_resumption_can_be_turned_off() {
    let authority = Authority::new();
    for (tickets, stateful, expected) in
        [(true, true, true), (true, false, true), (false, true, true), (false, false, false)]
    {
        let sessions = Sessions { tickets, stateful, ..Sessions::default() };
        let context = ServerOptions { sessions, ..server(&authority, &["a.test"]) };
        let context = support::server_context(&context);
        for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
            assert_eq!(resumes(&context, &context, max), expected, "{tickets} {stateful} {max:?}");
        }
    }
}

#[test]
fn both_sides_keep_the_same_secrets() {
    let authority = Authority::new();
    let sorted = |log: Vec<u8>| {
        let text = String::from_utf8(log).expect("text");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for (max, labels) in [
        (TlsVersion::V1_2, &["CLIENT_RANDOM"][..]),
        (
            TlsVersion::V1_3,
            &[
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_TRAFFIC_SECRET_0",
            ],
        ),
    ] {
        let server = ServerOptions { key_log: true, ..server(&authority, &["a.test"]) };
        let parameters = Parameters { max, ..modern() };
        let client = ClientOptions { key_log: true, parameters, ..options() };
        let mut pair = connect(&server, &client, Some("a.test"));
        pair.handshake().expect("a handshake");
        let kept = sorted(pair.server.take_key_log());
        assert_eq!(kept, sorted(pair.client.take_key_log()));
        let found: Vec<_> = kept.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(found, labels);
        assert!(kept.iter().all(|line| line.split(' ').nth(1).map(str::len) == Some(64)));
    }
    let mut pair = connect(&server(&authority, &["a.test"]), &options(), None);
    pair.handshake().expect("a handshake");
    assert!(pair.server.take_key_log().is_empty());
}

#[test]
fn signatures_are_limited_on_both_sides() {
    let authority = Authority::new();
    let only = |names: &[&str], max| {
        let signature_algorithms = names.iter().map(|name| (*name).to_owned()).collect();
        Parameters { signature_algorithms, max, ..modern() }
    };
    let run = |server: Parameters, client: Parameters| {
        let both = vec![authority.rsa(&["a.test"]), authority.ecdsa(&["a.test"])];
        let server = ServerOptions { parameters: server, ..server_with(both) };
        let client = ClientOptions { parameters: client, ..options() };
        let mut pair = connect(&server, &client, Some("a.test"));
        pair.handshake().ok().and_then(|()| pair.client.conclude().peer_scheme)
    };
    for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let any = || only(&[], max);
        let pss = || only(&["RSA-PSS+SHA384", "rsa_pss_rsae_sha256"], max);
        let ecdsa = || only(&["ecdsa_secp256r1_sha256"], max);
        assert_eq!(run(any(), any()), Some("ecdsa_secp256r1_sha256"));
        assert_eq!(run(pss(), any()), Some("rsa_pss_rsae_sha384"));
        assert_eq!(run(any(), pss()), Some("rsa_pss_rsae_sha384"));
        assert_eq!(run(ecdsa(), pss()), None);
    }
    // With TLS 1.2 alone, RSA may sign in its old way.
    let old = || only(&["rsa_pkcs1_sha256"], TlsVersion::V1_2);
    assert_eq!(run(old(), only(&[], TlsVersion::V1_2)), Some("rsa_pkcs1_sha256"));
}

#[test]
fn fips_stands_above_the_lists() {
    let authority = Authority::new();
    let fips = Parameters {
        fips_202205: true,
        ecdh_curves: vec!["X25519".to_owned()],
        cipher_suites: vec!["ECDHE-ECDSA-CHACHA20-POLY1305".to_owned()],
        ..Parameters::downstream()
    };
    let server = ServerOptions { parameters: fips, ..server(&authority, &["a.test"]) };
    let client = |parameters| ClientOptions { parameters, ..options() };
    let mut pair = connect(&server, &client(modern()), Some("a.test"));
    pair.handshake().expect("a handshake");
    assert_eq!((pair.server.group(), pair.server.cipher()), (Some("P-256"), AES));
    for refused in [
        Parameters { ecdh_curves: vec!["X25519".to_owned()], ..modern() },
        Parameters {
            cipher_suites: vec!["ECDHE-ECDSA-CHACHA20-POLY1305".to_owned()],
            ..Parameters::upstream()
        },
    ] {
        let mut pair = connect(&server, &client(refused), Some("a.test"));
        pair.handshake().expect_err("nothing in common");
    }
}

const AES: Option<&str> = Some("TLS_AES_128_GCM_SHA256");

#[test]
fn malformed_hellos_get_an_alert() {
    let authority = Authority::new();
    let context = support::server_context(&server(&authority, &["a.test"]));
    let now = Instant::now();
    let hello: &[u8] = &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    for bytes in
        [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[23, 3, 3, 0, 1, 0], &[22, 3, 1, 255, 255], hello]
    {
        let mut engine = Engine::server(&context, now, None).expect("an engine");
        let (mut said, mut taken) = (bytes.to_vec(), 0);
        let error = loop {
            match engine.receive(&mut said[taken..], now) {
                Err(error) => break error,
                Ok(progress) => taken += progress.taken,
            }
            assert!(taken < said.len(), "{bytes:02x?} is accepted");
        };
        assert_eq!(error.counter(), Counter::ConnectionError);
        let mut out = Vec::new();
        engine.transmit(&mut out);
        assert_eq!(out.first(), Some(&21), "no alert to {bytes:02x?}: {error}");
    }
}

#[test]
fn the_handshake_has_a_deadline() {
    let authority = Authority::new();
    let context = support::server_context(&server(&authority, &["a.test"]));
    let (now, limit) = (Instant::now(), Duration::from_secs(10));
    let mut engine = Engine::server(&context, now, Some(limit)).expect("an engine");
    assert_eq!(engine.next_timeout(), Some(now + limit));
    assert_eq!(engine.handle_timeout(now), Ok(()));
    assert_eq!(engine.handle_timeout(now + limit), Err(TlsError::HandshakeTimeout));
    assert_eq!(engine.receive(&mut [22], now + limit), Err(TlsError::HandshakeTimeout));
}

#[test]
fn closing_is_said_and_its_absence_seen() {
    let authority = Authority::new();
    let mut pair = connect(&server(&authority, &["a.test"]), &options(), None);
    pair.handshake().expect("a handshake");
    assert_eq!(pair.server.end_of_stream(), Err(TlsError::Truncated));
    assert_eq!(pair.client.send(b"last words"), 10);
    pair.client.close();
    pair.client.close();
    assert_eq!(pair.deliver_to_server().expect("no error"), b"last words");
    assert!(pair.server.peer_closed());
    assert_eq!(pair.server.end_of_stream(), Ok(()));
    // The other direction is still open.
    assert_eq!(pair.server.send(b"answer"), 6);
    assert_eq!(pair.deliver_to_client().expect("no error"), b"answer");
}

#[test]
fn records_come_in_any_pieces() {
    let authority = Authority::new();
    // A message of the handshake that needs several records.
    let names: Vec<String> = (0..3000).map(|number| format!("n{number:04}.a.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let identity = authority.ecdsa(&names);
    for (piece, max) in [(1, TlsVersion::V1_3), (7, TlsVersion::V1_2), (1000, TlsVersion::V1_3)] {
        let parameters = Parameters { max, ..modern() };
        let client = ClientOptions { parameters, ..options() };
        let mut pair = connect(&server_with(vec![identity.clone()]), &client, Some("a.test"));
        pair.piece = piece;
        pair.handshake().expect("a handshake");
        pair.check_echo();
        pair.client.relax();
        pair.check_echo();
        if max == TlsVersion::V1_3 {
            pair.client.update_keys().expect("new keys");
            pair.check_echo();
        }
    }
}

#[test]
fn keys_can_be_updated() {
    let authority = Authority::new();
    let mut pair = connect(&server(&authority, &["a.test"]), &options(), None);
    assert!(pair.client.update_keys().is_err(), "no keys yet");
    pair.handshake().expect("a handshake");
    pair.check_echo();
    pair.client.update_keys().expect("TLS 1.3 has updates");
    pair.check_echo();
    pair.server.update_keys().expect("both sides may");
    pair.check_echo();
}

#[test]
fn broken_records_end_the_connection() {
    let authority = Authority::new();
    let mut pair = connect(&server(&authority, &["a.test"]), &options(), None);
    pair.handshake().expect("a handshake");
    pair.client.send(b"whatever");
    let mut out = Vec::new();
    pair.client.transmit(&mut out);
    *out.last_mut().expect("a record") ^= 1;
    assert!(pair.server.receive(&mut out, Instant::now()).is_err());
    assert!(pair.deliver_to_client().is_err(), "the client is told");
}

#[test]
fn nobody_can_fill_memory() {
    let authority = Authority::new();
    let mut pair = connect(&server(&authority, &["a.test"]), &options(), None);
    pair.handshake().expect("a handshake");
    let block = vec![7; 1 << 20];
    let accepted = pair.client.send(&block);
    assert!(accepted < 100_000, "{accepted} bytes wait to be sealed");
    let mut wire = Vec::new();
    while wire.len() < 1 << 20 {
        pair.client.transmit(&mut wire);
        pair.client.send(&block);
    }
    // A reader that does not read takes a bounded part of it.
    let (mut taken, now) = (0, Instant::now());
    loop {
        match pair.server.receive(&mut wire[taken..], now).expect("sound records").taken {
            0 => break,
            len => taken += len,
        }
    }
    assert!(taken < 64 * 1024, "{taken} bytes are held");
    assert!(!pair.server.plaintext().is_empty());
}
