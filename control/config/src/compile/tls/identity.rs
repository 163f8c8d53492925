//! `TlsCertificate`: a chain and its key.

use ringway_model::transport::{LoadedCertificate, OcspDetails};
use ringway_tls::{Certificate, ContextError, Identity, Source, unsealed_key, unsealed_pkcs12};

use super::super::at::At;
use super::super::proto::{core, tls};
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
    let (chain, key) = match &message.pkcs12 {
        Some(both) => pkcs12(cx, at, message, both)?,
        None => pair(cx, at, message)?,
    };
    let ocsp_staple = staple(cx, at, message.ocsp_staple.as_ref())?;
    let identity = Identity { chain, key, ocsp_staple };
    let certificates = identity.inspect().map_err(|error| refuse(at, &error)).ok()?;
    let path = identity.chain.name.clone();
    let leaf = certificates.into_iter().next()?;
    check_expiration(cx, &at.field("certificate_chain"), &path, &leaf)?;
    let expiration = stat_names::expiration(&cx.env.catalog, scope.name, name);
    let ocsp = identity.staple().ok()?.map(|staple| OcspDetails {
        valid_from_unix_s: staple.valid_from_unix_s,
        expires_unix_s: staple.expires_unix_s,
    });
    if ocsp.is_some() && !scope.is_server {
        at.field("ocsp_staple").no_effect("no server asks for it");
    }
    let shown = LoadedCertificate { path, certificate: leaf, expiration, ocsp };
    Some(Some(Loaded { identity, shown }))
}

/// `certificate_chain` and `private_key`, the latter without its password.
fn pair(cx: &Cx<'_>, at: &At<'_>, message: &tls::TlsCertificate) -> Option<(Source, Source)> {
    let (Some(chain), Some(key)) = (&message.certificate_chain, &message.private_key) else {
        incomplete(at, message);
        return None;
    };
    let chain = source::read(cx, &at.field("certificate_chain"), chain);
    let key = source::read(cx, &at.field("private_key"), key);
    let password = password(cx, at, message);
    let (chain, key) = (chain?, key?);
    let key = match password? {
        Some(password) => unsealed_key(key, &password).map_err(|error| refuse(at, &error)).ok()?,
        None => key,
    };
    Some((chain, key))
}

/// `pkcs12`: both in one file.
fn pkcs12(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::TlsCertificate,
    both: &core::DataSource,
) -> Option<(Source, Source)> {
    for (is_given, field) in [
        (message.private_key.is_some(), "private_key"),
        (message.certificate_chain.is_some(), "certificate_chain"),
    ] {
        if is_given {
            at.invalid(format_args!(
                "Certificate configuration can't have both pkcs12 and {field}"
            ));
            return None;
        }
    }
    let both = source::read(cx, &at.field("pkcs12"), both);
    let password = password(cx, at, message);
    let (both, password) = (both?, password?.unwrap_or_default());
    let Ok(password) = std::str::from_utf8(&password) else {
        at.field("password").invalid("is not UTF-8");
        return None;
    };
    unsealed_pkcs12(&both, password).map_err(|error| refuse(at, &error)).ok()
}

#[expect(clippy::option_option, reason = "an error is not the absence of a password")]
fn password(cx: &Cx<'_>, at: &At<'_>, message: &tls::TlsCertificate) -> Option<Option<Vec<u8>>> {
    let Some(password) = &message.password else { return Some(None) };
    source::read(cx, &at.field("password"), password).map(|source| Some(source.bytes))
}

/// `ocsp_staple`, which is no text.
#[expect(clippy::option_option, reason = "an error is not the absence of a response")]
fn staple(cx: &Cx<'_>, at: &At<'_>, given: Option<&core::DataSource>) -> Option<Option<Source>> {
    use core::data_source::Specifier;
    let Some(given) = given else { return Some(None) };
    let at = at.field("ocsp_staple");
    if let Some(Specifier::InlineString(_)) = given.specifier {
        at.invalid("OCSP staple cannot be provided via inline_string");
        return None;
    }
    source::read(cx, &at, given).map(Some)
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
        ("pkcs12", _) => at
            .field("pkcs12")
            .invalid(format_args!("Failed to load pkcs12 from {source}: {reason}")),
        ("ocsp_staple", _) => at.field("ocsp_staple").invalid(reason),
        _ => at.invalid(error),
    }
}
