//! `CertificateValidationContext`: what the certificate of a peer has to be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use ringway_model::transport::LoadedCertificate;
use ringway_tls::{ContextError, Source, TrustBundle, Validation};

use super::super::at::At;
use super::super::proto::tls;
use super::super::reads::From;
use super::super::{Cx, stat_names};
use super::{Scope, identity, names, secret, source, spiffe};

/// The name that stands for authorities without one, as Envoy makes it.
const UNNAMED: &str = "unnamed_ca_cert_e3b0c442";
/// Where systems keep their authorities; Envoy looks at these in turn.
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The largest of them, in bytes.
const SYSTEM_ROOTS_MAX: usize = 16 << 20;

/// A validation that was found good, with what is shown of its authorities.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) validation: Validation,
    pub(super) authorities: Vec<LoadedCertificate>,
    /// There is a validation context, whatever it asks for.
    pub(super) given: bool,
}

/// The validation context of a context; without one, nothing is verified. `at` is the place of
/// `common_tls_context`.
pub(super) fn of(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    common: &tls::CommonTlsContext,
) -> Option<Loaded> {
    use tls::common_tls_context::ValidationContextType as Type;
    match &common.validation_context_type {
        None => Some(Loaded::default()),
        Some(Type::ValidationContext(message)) => {
            load(scope, &at.field("validation_context"), message, UNNAMED)
        }
        Some(Type::ValidationContextSdsSecretConfig(config)) => {
            let at = at.field("validation_context_sds_secret_config");
            secret::with(scope.cx, &at, config, |at, message| {
                load(scope, at, message, &config.name)
            })
        }
        Some(Type::CombinedValidationContext(combined)) => {
            self::combined(scope, &at.field("combined_validation_context"), combined)
        }
        // The support table refuses these.
        Some(_) => {
            at.unsupported("");
            None
        }
    }
}

/// What the secret says over what stands here, merged as protobuf does it: what both set is taken
/// from the secret, lists are added.
fn combined(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    combined: &tls::common_tls_context::CombinedCertificateValidationContext,
) -> Option<Loaded> {
    let mut merged = combined.default_validation_context.clone().unwrap_or_default();
    // The rules of the API ask for both.
    let config = combined.validation_context_sds_secret_config.as_ref()?;
    let at_config = at.field("validation_context_sds_secret_config");
    secret::with(scope.cx, &at_config, config, |at, message: &tls::CertificateValidationContext| {
        at.take(merged.merge(message.encode_to_vec().as_slice()))?;
        load(scope, at, &merged, &config.name)
    })
}

fn load(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
    name: &str,
) -> Option<Loaded> {
    let cx = scope.cx;
    secret::watched_directory(cx, at, message.watched_directory.as_ref())?;
    let spiffe = spiffe::bundles(cx, at, message)?;
    let trusted_ca = match spiffe {
        Some(_) => None,
        None => trusted_ca(cx, at, message)?,
    };
    let crl = match &message.crl {
        Some(source) => Some(source::read(cx, &at.field("crl"), source)?),
        None => None,
    };
    if spiffe.is_none() {
        check_needs(at, message, trusted_ca.as_ref(), crl.as_ref())?;
    }
    let names = names::all(at, message);
    let hashes = pins(&at.field("verify_certificate_hash"), &message.verify_certificate_hash, hex);
    let spki_hashes =
        pins(&at.field("verify_certificate_spki"), &message.verify_certificate_spki, base64);
    let validation = Validation {
        trusted_ca,
        only_leaf_crl: message.only_verify_leaf_cert_crl && crl.is_some(),
        crl,
        names: names?,
        hashes: hashes?,
        spki_hashes: spki_hashes?,
        allow_expired: message.allow_expired_certificate,
        accept_untrusted: spiffe.is_none() && accepts_untrusted(message),
        max_depth: match spiffe {
            // The validator of SPIFFE does not look at it.
            Some(_) => None,
            None => message.max_verify_depth.map(|wrapper| wrapper.value as usize),
        },
        spiffe,
        suppress_client_ca_list: message.suppress_client_ca_list,
        server_name: false,
    };
    let mut authorities = Vec::new();
    let inspected = validation.inspect().map_err(|error| refuse(at, &error)).ok()?;
    for bundle in validation.spiffe.iter().flatten() {
        authorities_of(scope, at, bundle, name, &mut authorities)?;
    }
    let path = validation.trusted_ca.as_ref().map_or_else(String::new, |ca| ca.name.clone());
    // Envoy shows and counts the first of a bundle.
    if let Some(certificate) = inspected.into_iter().next() {
        let expiration = stat_names::expiration(&cx.env.catalog, scope.name, name);
        identity::check_expiration(cx, &at.field("trusted_ca"), &path, &certificate)?;
        authorities.push(LoadedCertificate { path, certificate, expiration, ocsp: None });
    }
    Some(Loaded { validation, authorities, given: true })
}

/// All certificates of a trust domain, numbered as Envoy numbers them.
fn authorities_of(
    scope: &Scope<'_, '_>,
    at: &At<'_>,
    bundle: &TrustBundle,
    name: &str,
    authorities: &mut Vec<LoadedCertificate>,
) -> Option<()> {
    let name = if name == UNNAMED { "unnamed_ca_cert" } else { name };
    for certificate in bundle.inspect().map_err(|error| refuse(at, &error)).ok()? {
        let path = format!("{}:{}", bundle.domain, bundle.authorities.name);
        identity::check_expiration(
            scope.cx,
            &at.field("custom_validator_config"),
            &path,
            &certificate,
        )?;
        let name = format!("{name}_{}", authorities.len());
        let expiration = stat_names::expiration(&scope.cx.env.catalog, scope.name, &name);
        authorities.push(LoadedCertificate { path, certificate, expiration, ocsp: None });
    }
    Some(())
}

fn accepts_untrusted(message: &tls::CertificateValidationContext) -> bool {
    use tls::certificate_validation_context::TrustChainVerification;
    message.trust_chain_verification == TrustChainVerification::AcceptUntrusted as i32
}

/// `trusted_ca`, or the authorities of the system where they are asked for instead.
#[expect(clippy::option_option, reason = "an error is not the absence of authorities")]
fn trusted_ca(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
) -> Option<Option<Source>> {
    if let Some(source) = &message.trusted_ca {
        return source::read(cx, &at.field("trusted_ca"), source).map(Some);
    }
    if message.system_root_certs.is_none() {
        return Some(None);
    }
    for path in SYSTEM_ROOTS {
        let from = From::File(path.into(), SYSTEM_ROOTS_MAX, true);
        if let Ok(bytes) = cx.read(from) {
            return Some(Some(Source { name: path.to_owned(), bytes }));
        }
    }
    at.field("system_root_certs").io("this system has no file of authorities");
    None
}

/// What means nothing without authorities; in Envoy's words.
fn check_needs(
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
    trusted_ca: Option<&Source>,
    crl: Option<&Source>,
) -> Option<()> {
    if message.only_verify_leaf_cert_crl && crl.is_none() {
        at.field("only_verify_leaf_cert_crl").no_effect("without crl");
    }
    if trusted_ca.is_some() {
        return Some(());
    }
    let mark = at.mark();
    if let Some(crl) = crl {
        at.field("crl")
            .invalid(format_args!("Failed to load CRL from {} without trusted CA", crl.name));
    }
    let (typed, plain) = (&message.match_typed_subject_alt_names, &message.match_subject_alt_names);
    if !typed.is_empty() || !plain.is_empty() {
        at.invalid(
            "SAN-based verification of peer certificates without trusted CA is insecure and not \
             allowed",
        );
    }
    if message.allow_expired_certificate {
        at.field("allow_expired_certificate")
            .invalid("Certificate validity period is always ignored without trusted CA");
    }
    if message.max_verify_depth.is_some() {
        at.field("max_verify_depth").no_effect("without trusted_ca");
    }
    at.is_clean_since(mark).then_some(())
}

fn pins(
    at: &At<'_>,
    list: &[String],
    read: fn(&str) -> Result<[u8; 32], String>,
) -> Option<Vec<[u8; 32]>> {
    let each = list.iter().enumerate().map(|(index, text)| at.index(index).take(read(text)));
    let all: Vec<_> = each.collect();
    all.into_iter().collect()
}

/// 64 digits, or pairs of them with colons between.
fn hex(text: &str) -> Result<[u8; 32], String> {
    let wrong = || format!("Invalid hex-encoded SHA-256 {text}");
    let colons = text.len() == 95 && text.bytes().skip(2).step_by(3).all(|byte| byte == b':');
    let digits = if colons { text.replace(':', "") } else { text.to_owned() };
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut sum = [0; 32];
    for (byte, at) in sum.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(sum)
}

fn base64(text: &str) -> Result<[u8; 32], String> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("Invalid base64-encoded SHA-256 {text}"))
}

/// Says in Envoy's words what the engine found.
fn refuse(at: &At<'_>, error: &ContextError) {
    let ContextError { field, source_name, reason, .. } = error;
    let source = source_name.as_deref().unwrap_or_default();
    match (*field, reason.as_str()) {
        ("trusted_ca", "is empty") => {
            at.field("trusted_ca").invalid(format_args!("file {source} is empty"));
        }
        ("trusted_ca", _) => at.field("trusted_ca").invalid(format_args!(
            "Failed to load trusted CA certificates from {source}: {reason}"
        )),
        ("crl", _) => {
            at.field("crl").invalid(format_args!("Failed to load CRL from {source}: {reason}"));
        }
        (field, _) => at.field(field).invalid(reason),
    }
}
