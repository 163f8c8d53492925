//! `TlsCertificate`: a chain and its key.

use ringway_model::transport::LoadedCertificate;
use ringway_tls::{ContextError, Identity};

use super::super::Cx;
use super::super::at::At;
use super::super::proto::tls;
use super::source;

/// A certificate that was read and found good, with what is shown of it.
pub(super) struct Loaded {
    pub(super) identity: Identity,
    pub(super) shown: LoadedCertificate,
}

pub(super) fn each<'m>(
    cx: &Cx<'_>,
    at: &At<'_>,
    certificates: impl IntoIterator<Item = &'m tls::TlsCertificate>,
) -> Option<Vec<Loaded>> {
    let each = certificates.into_iter().enumerate();
    // All are looked at before the first error ends it.
    let all: Vec<_> = each.map(|(index, one)| load(cx, &at.index(index), one)).collect();
    all.into_iter().collect()
}

pub(super) fn load(cx: &Cx<'_>, at: &At<'_>, message: &tls::TlsCertificate) -> Option<Loaded> {
    let (Some(chain), Some(key)) = (&message.certificate_chain, &message.private_key) else {
        incomplete(at, message);
        return None;
    };
    let chain = source::read(cx, &at.field("certificate_chain"), chain);
    let key = source::read(cx, &at.field("private_key"), key);
    let identity = Identity { chain: chain?, key: key?, ocsp_staple: None };
    let certificates = identity.inspect().map_err(|error| refuse(at, &error)).ok()?;
    let path = identity.chain.name.clone();
    let leaf = certificates.into_iter().next()?;
    Some(Loaded { identity, shown: LoadedCertificate { path, certificate: leaf } })
}

fn incomplete(at: &At<'_>, message: &tls::TlsCertificate) {
    match (&message.certificate_chain, &message.private_key) {
        (None, None) => at.invalid("Server TlsCertificates must have a certificate specified"),
        (None, _) => {
            at.invalid("Failed to load incomplete certificate from : certificate chain not set")
        }
        _ => at.invalid("Failed to load incomplete private key from path: "),
    }
}

/// Says in Envoy's words what the engine found.
fn refuse(at: &At<'_>, error: &ContextError) {
    let ContextError { field, source_name, reason } = error;
    let source = source_name.as_deref().unwrap_or_default();
    match (*field, reason.as_str()) {
        ("certificate_chain", "is empty") => at.field("certificate_chain").invalid(format_args!(
            "Failed to load incomplete certificate from {source}: certificate chain not set"
        )),
        ("certificate_chain", _) => at
            .field("certificate_chain")
            .invalid(format_args!("Failed to load certificate chain from {source}: {reason}")),
        ("private_key", "is empty") => at
            .field("private_key")
            .invalid(format_args!("Failed to load incomplete private key from path: {source}")),
        ("private_key", _) => at
            .field("private_key")
            .invalid(format_args!("Failed to load private key from {source}, Cause: {reason}")),
        _ => at.invalid(error),
    }
}
