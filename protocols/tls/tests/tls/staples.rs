//! OCSP responses: who gets one, and who is refused without.

use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::CustomExtension;
use ringway_tls::{
    Certificate, ClientContext, ClientOptions, Identity, Parameters, ServerContext, ServerOptions,
    Source, Staple, StaplePolicy, Stapled, TlsVersion,
};

use crate::support::{Authority, Pair, der, server_context, server_with};

/// A value of DER.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let len = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[tag, 0x82], &len[..], &body].concat()
}

fn digits(time_unix_s: i64) -> Vec<u8> {
    let time = time::OffsetDateTime::from_unix_timestamp(time_unix_s).expect("a time");
    let (date, clock) = (time.date(), time.time());
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    tlv(0x18, &[text.as_bytes()])
}

/// RFC 6960 section 4.2.1, without a signature that would hold.
fn response(serial: &[u8], from: i64, until: Option<i64>) -> Vec<u8> {
    let null_hash = tlv(0x30, &[&[6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0]]);
    let id = tlv(0x30, &[&null_hash, &[4, 1, 0, 4, 1, 0], &tlv(2, &[serial])]);
    let until = until.map(|until| tlv(0xa0, &[&digits(until)])).unwrap_or_default();
    let single = tlv(0x30, &[&id, &[0x80, 0], &digits(from), &until]);
    let responder = tlv(0xa2, &[&[4, 1, 0]]);
    let data = tlv(0x30, &[&responder, &digits(from), &tlv(0x30, &[&single])]);
    let basic = tlv(0x30, &[&data, &null_hash, &[3, 1, 0]]);
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let bytes = tlv(0x30, &[&kind, &tlv(4, &[&basic])]);
    tlv(0x30, &[&[0x0a, 1, 0], &tlv(0xa0, &[&bytes])])
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time")
}

fn serial(identity: &Identity) -> Vec<u8> {
    let parsed = x509_parser::parse_x509_certificate(&der(identity))
        .expect("a certificate")
        .1
        .raw_serial()
        .to_vec();
    assert!(Certificate::parse(&der(identity)).is_some());
    parsed
}

fn stapled(mut identity: Identity, until: Option<i64>) -> Identity {
    let bytes = response(&serial(&identity), now() - 60, until.map(|after| now() + after));
    identity.ocsp_staple = Some(Source { name: "staple".to_owned(), bytes });
    identity
}

fn options(policy: StaplePolicy, identities: Vec<Identity>) -> ServerOptions {
    ServerOptions { staple_policy: policy, ..server_with(identities) }
}

/// What a client that asks for a response got, whether it was let in, and whether the response was
/// on the wire. That can be seen in TLS 1.2 only.
fn outcome(server: &ServerContext, max: TlsVersion) -> (Option<Stapled>, bool, bool) {
    let parameters = Parameters { max, ..Parameters::downstream() };
    let client = ClientOptions { parameters, ..ClientOptions::default() };
    let client = ClientContext::new(&client).expect("a context");
    let mut pair = Pair::new(server, &client, Some("a.test"));
    let done = pair.handshake().is_ok();
    let sent = pair.said_by_server(&[6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]);
    (pair.server.conclude().stapled, done, sent)
}

#[test]
fn policies_say_who_is_let_in() {
    use StaplePolicy::{Lenient, Must, Strict};
    use Stapled::{Failed, Omitted, Response};
    let authority = Authority::new();
    let plain = authority.ecdsa(&["a.test"]);
    for (policy, until, expected) in [
        (Lenient, Some(Some(60)), Response),
        (Lenient, Some(Some(-1)), Omitted),
        (Lenient, Some(None), Omitted),
        (Lenient, None, Omitted),
        (Strict, Some(Some(60)), Response),
        (Strict, Some(Some(-1)), Failed),
        (Strict, Some(None), Failed),
        (Strict, None, Omitted),
        (Must, Some(Some(60)), Response),
        (Must, Some(Some(-1)), Failed),
    ] {
        let identity = match until {
            Some(until) => stapled(plain.clone(), until),
            None => plain.clone(),
        };
        let context = server_context(&options(policy, vec![identity]));
        for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let (got, done, sent) = outcome(&context, max);
            assert_eq!(got, Some(expected), "{policy:?} {until:?}");
            assert_eq!(done, expected != Failed, "{policy:?} {until:?}");
            let visible = expected == Response && max == TlsVersion::V1_2;
            assert_eq!(sent, visible, "{policy:?} {until:?}");
        }
    }
}

#[test]
fn another_certificate_takes_the_place_of_one_that_may_not_be_shown() {
    let authority = Authority::new();
    let old = stapled(authority.ecdsa(&["a.test"]), Some(-1));
    let good = stapled(authority.rsa(&["a.test"]), Some(60));
    let shown = der(&good);
    let context = server_context(&options(StaplePolicy::Must, vec![old, good]));
    let client = ClientContext::new(&ClientOptions::default()).expect("a context");
    let mut pair = Pair::new(&context, &client, Some("a.test"));
    pair.handshake().expect("a handshake");
    assert_eq!(pair.client.peer_certificates().next(), Some(&shown[..]));
    assert_eq!(pair.server.conclude().stapled, Some(Stapled::Response));
}

#[test]
fn a_refusal_is_told_as_envoy_tells_it() {
    let authority = Authority::new();
    let old = stapled(authority.ecdsa(&["a.test"]), Some(-1));
    let context = server_context(&options(StaplePolicy::Strict, vec![old]));
    let client = ClientContext::new(&ClientOptions::default()).expect("a context");
    let mut pair = Pair::new(&context, &client, Some("a.test"));
    let (_, refused) = pair.handshake().expect_err("no handshake");
    let said = pair.server.failure_reason(&refused.expect("an error"));
    let expected =
        "TLS_error:|268435589:SSL routines:OPENSSL_internal:CONNECTION_REJECTED:TLS_error_end";
    assert_eq!(said, expected);
}

#[test]
fn what_cannot_be_presented_is_refused_at_once() {
    let authority = Authority::new();
    let refused = |policy, identity| {
        let context = ServerContext::new(&options(policy, vec![identity]));
        context.expect_err("a refusal").reason
    };
    let plain = authority.ecdsa(&["a.test"]);
    let with = |bytes: Vec<u8>| {
        let ocsp_staple = Some(Source { name: "staple".to_owned(), bytes });
        Identity { ocsp_staple, ..plain.clone() }
    };
    // TLS features (RFC 7633): status_request.
    let feature =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
    let bound = authority.ecdsa_with(&["a.test"], vec![feature]);
    let good = response(&serial(&plain), now(), Some(now()));
    let mut long = good.clone();
    long.push(0);
    for (identity, policy, reason) in [
        (plain.clone(), StaplePolicy::Must, "Required OCSP response is missing from TLS context"),
        (bound, StaplePolicy::Lenient, "OCSP response is required for must-staple certificate"),
        (
            with(response(&[9], now(), None)),
            StaplePolicy::Lenient,
            "OCSP response does not match its TLS certificate",
        ),
        (with(vec![0x30, 3, 10, 1, 6]), StaplePolicy::Lenient, "OCSP response was unsuccessful"),
        (with(long), StaplePolicy::Lenient, "Data contained more than a single OCSP response"),
        (
            with(b"hello".to_vec()),
            StaplePolicy::Lenient,
            "Data contained more than a single OCSP response",
        ),
    ] {
        assert_eq!(refused(policy, identity), reason);
    }
    server_context(&options(StaplePolicy::Lenient, vec![with(Vec::new())]));
}

#[test]
fn a_response_that_is_cut_is_none() {
    let whole = response(&[1], 1_700_000_000, Some(1_700_000_060));
    let staple = Staple::parse(&whole).expect("a response");
    assert_eq!(staple.valid_from_unix_s, 1_700_000_000);
    assert_eq!(staple.expires_unix_s, Some(1_700_000_060));
    for at in 0..whole.len() {
        assert!(Staple::parse(&whole[..at]).is_err(), "{at}");
        // Any byte may be another; nothing panics.
        let mut other = whole.clone();
        other[at] ^= 0xff;
        let _ = Staple::parse(&other);
    }
}
