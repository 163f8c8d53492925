//! `TlsCertificate`: a chain and its key.

use ringway_model::transport::LoadedCertificate;
use ringway_tls::{Certificate, ContextError, Identity};

use super::super::at::At;
use super::super::proto::tls;
use super::super::{Cause, Cx, stat_names};
use super::{Scope, secret, source};

/// The name that stands for a certificate without one: Envoy takes the digest of the empty name.
const UNNAMED: &str = "unnamed_cert_e3b0c442";

/// A certificate that was read and found good, with what is shown of it.
pub(super) struct Loaded {
    pub(super) identity: Identity,
    pub(super) shown: LoadedCertificate,
}

/// The certificates of a context, wherever they are. `at` is the place of `common_tls_context`.
pub(super) fn all(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    common: &tls::CommonTlsContext,
) -> Option<Vec<Loaded>> {
    let (inline, named) = (&common.tls_certificates, &common.tls_certificate_sds_secret_configs);
    if !inline.is_empty() && !named.is_empty() {
        at.invalid("SDS and non-SDS TLS certificates may not be mixed in server contexts");
        return None;
    }
    let at_inline = at.field("tls_certificates");
    let inline = inline
        .iter()
        .enumerate()
        .map(|(index, message)| load(scope, &at_inline.index(index), message, UNNAMED));
    let at_named = at.field("tls_certificate_sds_secret_configs");
    let named = named.iter().enumerate().map(|(index, config)| {
        secret::with(scope.cx, &at_named.index(index), config, |at, message| {
            load(scope, at, message, &config.name)
        })
    });
    // All are looked at before the first error ends it.
    let all: Vec<_> = inline.chain(named).collect();
    let all: Option<Vec<_>> = all.into_iter().collect();
    all.map(|all| all.into_iter().flatten().collect())
}

/// Within it, `None` for a message that says nothing, which clients may have.
#[expect(clippy::option_option, reason = "an error is not the absence of a certificate")]
fn load(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    message: &tls::TlsCertificate,
    name: &str,
) -> Option<Option<Loaded>> {
    let cx = scope.cx;
    if !scope.is_server && *message == tls::TlsCertificate::default() {
        return Some(None);
    }
    secret::watched_directory(cx, at, message.watched_directory.as_ref())?;
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
    check_expiration(cx, &at.field("certificate_chain"), &path, &leaf)?;
    let expiration = stat_names::expiration(&cx.env.catalog, scope.name, name);
    let shown = LoadedCertificate { path, certificate: leaf, expiration };
    Some(Some(Loaded { identity, shown }))
}

/// Envoy presents certificates that are expired, and so does this: but whoever looks at a
/// configuration wants to know, and a good certificate is not given up for one that is expired.
pub(super) fn check_expiration(
    cx: &Cx<'_>,
    at: &At<'_>,
    path: &str,
    certificate: &Certificate,
) -> Option<()> {
    if certificate.not_after_unix_s >= cx.now_unix_s {
        return Some(());
    }
    let said = format!("the certificate in {path} expired on {}", certificate.not_after_text);
    if cx.cause == Cause::Start {
        at.warn(said);
        return Some(());
    }
    at.invalid(said);
    None
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
    let ContextError { field, source_name, reason, .. } = error;
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
