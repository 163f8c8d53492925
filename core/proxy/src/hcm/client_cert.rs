//! `x-forwarded-client-cert`: what an upstream is told of the client's certificate.
//!
//! Follows Envoy's `ConnectionManagerUtility::mutateXfccRequestHeader`.

use ringway_http::Known;
use ringway_model::http::{ClientCertDetails, ForwardClientCert};
use ringway_tls::certificate::write_hex;
use ringway_tls::{Handshake, write_escaped_pem};

use super::exchange::Exchange;
use super::sides::ClientSide;

/// Sets, passes or removes the header by `forward_client_cert_details`.
pub(super) fn forward<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let manager = exchange.manager;
    let mode = manager.forward_client_cert;
    if mode == ForwardClientCert::AlwaysForwardOnly {
        return;
    }
    let down = &mut *exchange.down;
    let presented = down.info.tls.as_deref().filter(|tls| tls.peer.presented());
    let (fields, Some(tls)) = (&mut down.request.fields, presented) else {
        // Without mutual TLS nobody vouches for what the client says of itself.
        down.request.fields.remove_known(Known::XForwardedClientCert);
        return;
    };
    let details = &manager.client_cert_details;
    match mode {
        ForwardClientCert::Sanitize => {
            fields.remove_known(Known::XForwardedClientCert);
        }
        ForwardClientCert::SanitizeSet => {
            fields.set_known_with(Known::XForwardedClientCert, |out| element(tls, details, out));
        }
        ForwardClientCert::AppendForward => {
            down.text.clear();
            element(tls, details, &mut down.text);
            fields.append_known(Known::XForwardedClientCert, b",", &down.text);
        }
        ForwardClientCert::ForwardOnly | ForwardClientCert::AlwaysForwardOnly => {}
    }
}

/// Appends the element of this hop.
fn element(tls: &Handshake, wanted: &ClientCertDetails, out: &mut Vec<u8>) {
    let Some(leaf) = tls.peer.leaf() else { return };
    for uri in tls.local.iter().flat_map(|local| &local.names.uri) {
        pair(out, "By", uri.as_bytes());
    }
    key(out, "Hash");
    write_hex(&leaf.sha256, out);
    let first = tls.peer.chain.first().map_or(&[][..], std::slice::from_ref);
    for (asked, name, chain) in
        [(wanted.cert, "Cert", first), (wanted.chain, "Chain", &tls.peer.chain[..])]
    {
        if asked {
            quoted(out, name, |out| chain.iter().for_each(|der| write_escaped_pem(der, out)));
        }
    }
    if wanted.subject {
        quoted(out, "Subject", |out| out.extend_from_slice(leaf.subject.as_bytes()));
    }
    if wanted.uri {
        names(out, "URI", &leaf.names.uri);
        if leaf.names.uri.is_empty() {
            key(out, "URI");
        }
    }
    if wanted.dns {
        names(out, "DNS", &leaf.names.dns);
    }
}

fn names(out: &mut Vec<u8>, name: &str, list: &[String]) {
    for value in list {
        pair(out, name, value.as_bytes());
    }
}

fn pair(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.extend_from_slice(value);
}

fn quoted(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    key(out, name);
    out.push(b'"');
    value(out);
    out.push(b'"');
}

fn key(out: &mut Vec<u8>, name: &str) {
    if !out.is_empty() {
        out.push(b';');
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
}
