//! What TLS tells a line. Certificates are compared with Envoy's in the differential test.

use ringway_tls::Handshake;

use super::*;
use crate::stream::Preamble;

fn handshake() -> Rc<Handshake> {
    Rc::new(Handshake {
        version: Some("TLSv1.2"),
        cipher: Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
        group: Some("X25519"),
        server_name: Some("a.test".into()),
        session_id: [0x0a, 0xff].into(),
        ..Handshake::default()
    })
}

#[test]
fn each_side_has_its_own_values() {
    let mut stream = Stream::finished();
    stream.connection.tls = Some(handshake());
    for (format, expected) in [
        ("%DOWNSTREAM_TLS_VERSION%", "TLSv1.2"),
        ("%DOWNSTREAM_TLS_CIPHER%", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("%DOWNSTREAM_TLS_GROUP%", "X25519"),
        ("%DOWNSTREAM_TLS_SESSION_ID%", "0aff"),
        ("%DOWNSTREAM_PEER_SUBJECT%", "-"),
        ("%DOWNSTREAM_PEER_CERT_V_START(%Y)%", "-"),
        ("%UPSTREAM_TLS_VERSION%", "-"),
        ("%UPSTREAM_SERVER_NAME%", "-"),
    ] {
        assert_eq!(stream.text(format), expected, "{format}");
    }
    stream.info.upstream_tls = Some(handshake());
    assert_eq!(stream.text("%UPSTREAM_TLS_VERSION% %UPSTREAM_SERVER_NAME%"), "TLSv1.2 a.test");
}

#[test]
fn what_envoy_does_not_know_of_upstreams_is_refused() {
    for name in ["UPSTREAM_PEER_SERIAL", "UPSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_SERVER_NAME"] {
        assert!(Format::text(&format!("%{name}%")).is_err(), "{name}");
    }
}

#[test]
fn the_name_that_was_asked_for_may_fall_back_to_the_host() {
    let mut stream = Stream::finished();
    assert_eq!(stream.text("%REQUESTED_SERVER_NAME%"), "-");
    assert_eq!(stream.text("%REQUESTED_SERVER_NAME(SNI_FIRST)%"), "h");
    let preamble = Preamble { server_name: "a.test".into(), ..Preamble::default() };
    stream.connection.preamble = Some(Rc::new(preamble));
    assert_eq!(stream.text("%REQUESTED_SERVER_NAME%"), "a.test");
    assert_eq!(stream.text("%REQUESTED_SERVER_NAME(SNI_FIRST)%"), "a.test");
    assert_eq!(stream.text("%REQUESTED_SERVER_NAME(HOST_FIRST)%"), "h");
}

#[test]
fn reasons_are_one_word() {
    let mut stream = Stream::finished();
    stream.connection.transport_failure = Some(Rc::new("TLS_error:|1:SSL routines:X".into()));
    let text = stream.text("%DOWNSTREAM_TRANSPORT_FAILURE_REASON%");
    assert_eq!(text, "TLS_error:|1:SSL_routines:X");
}
