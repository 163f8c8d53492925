//! `SPIFFECertValidatorConfig`: the authorities of trust domains, each from a source of its own or
//! all from one map.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringway_tls::{Source, TrustBundle};
use serde_json::Value;

use super::super::Cx;
use super::super::at::At;
use super::super::proto::tls;
use super::super::value::unpack;
use super::source;

/// The trust domains of `custom_validator_config`; within it, `None` where there is none. `at` is
/// the place of the validation context.
#[expect(clippy::option_option, reason = "an error is not the absence of a validator")]
pub(super) fn bundles(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
) -> Option<Option<Vec<TrustBundle>>> {
    let Some(config) = &message.custom_validator_config else { return Some(None) };
    let at_custom = at.field("custom_validator_config");
    let at_config = at_custom.field("typed_config");
    // The rules of the API ask for it.
    let any = config.typed_config.as_ref()?;
    let config: tls::SpiffeCertValidatorConfig = unpack(&at_config, any)?;
    let bundles = match &config.trust_bundles {
        Some(map) => {
            if !config.trust_domains.is_empty() {
                at_config.field("trust_domains").no_effect("beside trust_bundles");
            }
            let at = at_config.field("trust_bundles");
            at.take(of_map(&source::read(cx, &at, map)?))?
        }
        None => of_domains(cx, &at_config.field("trust_domains"), &config)?,
    };
    if bundles.is_empty() {
        at_config.warn("there is no trust domain: no certificate is let in");
    }
    check_rest(at, message)?;
    Some(Some(bundles))
}

fn of_domains(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &tls::SpiffeCertValidatorConfig,
) -> Option<Vec<TrustBundle>> {
    let mut seen = HashSet::new();
    let each = config.trust_domains.iter().enumerate().map(|(index, one)| {
        let (at, name) = (at.index(index), &one.name);
        if !seen.insert(name) {
            at.invalid(format_args!(
                "Multiple trust bundles are given for one trust domain for {name}"
            ));
            return None;
        }
        let Some(bundle) = &one.trust_bundle else {
            at.invalid(format_args!("Failed to load trusted CA certificate for {name}"));
            return None;
        };
        let authorities = source::read(cx, &at.field("trust_bundle"), bundle)?;
        Some(TrustBundle { domain: name.clone(), authorities })
    });
    let all: Vec<_> = each.collect();
    all.into_iter().collect()
}

/// The map of the SPIFFE federation in JSON: `{"trust_domains": {"<name>": {"keys": [...]}}}`.
fn of_map(source: &Source) -> Result<Vec<TrustBundle>, String> {
    let map: Value = serde_json::from_slice(&source.bytes)
        .map_err(|_| "Invalid JSON found in SPIFFE bundle".to_owned())?;
    let domains = map.get("trust_domains").and_then(Value::as_object);
    let domains = domains.filter(|domains| !domains.is_empty());
    let domains = domains.ok_or("No trust domains found in SPIFFE bundle")?;
    domains.iter().map(|(domain, bundle)| of_domain(source, domain, bundle)).collect()
}

fn of_domain(source: &Source, domain: &str, bundle: &Value) -> Result<TrustBundle, String> {
    let keys = bundle.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(|| format!("missing 'keys' field found for domain '{domain}'"))?;
    let mut text = String::new();
    for key in keys {
        if key.get("use").and_then(Value::as_str) != Some("x509-svid") {
            return Err(format!(
                "missing or invalid 'use' field found in cert for domain '{domain}'"
            ));
        }
        let chain = key.get("x5c").and_then(Value::as_array);
        let chain = chain
            .ok_or_else(|| format!("missing 'x5c' field found in keys for domain '{domain}'"))?;
        for one in chain {
            let der = one.as_str().and_then(|text| STANDARD.decode(text).ok());
            let der =
                der.ok_or_else(|| format!("Invalid x509 object in certs for domain '{domain}'"))?;
            push_pem(&mut text, &der);
        }
    }
    let authorities = Source { name: source.name.clone(), bytes: text.into_bytes() };
    Ok(TrustBundle { domain: domain.to_owned(), authorities })
}

fn push_pem(out: &mut String, der: &[u8]) {
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let text = STANDARD.encode(der);
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
}

/// What this validator does not look at. In Envoy it has no effect; where a certificate would be
/// let in that somebody meant to keep out, it is an error here.
fn check_rest(at: &At<'_>, message: &tls::CertificateValidationContext) -> Option<()> {
    use tls::subject_alt_name_matcher::SanType;
    let mark = at.mark();
    let why = "the validator of SPIFFE does not look at it";
    for (is_given, field) in [
        (message.crl.is_some(), "crl"),
        (!message.verify_certificate_hash.is_empty(), "verify_certificate_hash"),
        (!message.verify_certificate_spki.is_empty(), "verify_certificate_spki"),
        (!message.match_subject_alt_names.is_empty(), "match_subject_alt_names"),
    ] {
        if is_given {
            at.field(field).unsupported(why);
        }
    }
    let untrusted = message.trust_chain_verification != 0;
    for (is_given, field) in [
        (message.trusted_ca.is_some(), "trusted_ca"),
        (message.system_root_certs.is_some(), "system_root_certs"),
        (message.max_verify_depth.is_some(), "max_verify_depth"),
        (untrusted, "trust_chain_verification"),
    ] {
        if is_given {
            at.field(field).no_effect(why);
        }
    }
    let at_names = at.field("match_typed_subject_alt_names");
    for (index, one) in message.match_typed_subject_alt_names.iter().enumerate() {
        if one.san_type != SanType::Uri as i32 {
            at_names.index(index).unsupported("the validator of SPIFFE looks at URIs alone");
        }
    }
    at.is_clean_since(mark).then_some(())
}
