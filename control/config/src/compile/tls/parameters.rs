//! `TlsParameters`: versions, cipher suites, groups.

use ringway_tls::{ContextError, Parameters, TlsVersion};

use super::super::at::At;
use super::super::proto::tls;

/// Suites and groups of BoringSSL that are not built: without forward secrecy, with CBC, with
/// pre-shared keys, and words for sets of them.
const SUITES_OF_BORINGSSL: &[&str] = &[
    "3DES",
    "AES",
    "AES128",
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "AES256",
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "AESGCM",
    "ALL",
    "CHACHA20",
    "DES-CBC3-SHA",
    "ECDHE",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA",
    "EECDH",
    "FIPS",
    "HIGH",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "RSA",
    "SHA",
    "SHA1",
];
/// With SHA-1, which proves nothing any more.
const SIGNATURES_OF_BORINGSSL: &[&str] =
    &["ECDSA+SHA1", "RSA+SHA1", "ecdsa_sha1", "rsa_pkcs1_md5_sha1", "rsa_pkcs1_sha1"];
const GROUPS_OF_BORINGSSL: &[&str] = &["P-521", "secp521r1"];

/// What the message says over the defaults of its side.
pub(super) fn parameters(
    at: &At<'_>,
    message: Option<&tls::TlsParameters>,
    defaults: Parameters,
) -> Option<Parameters> {
    let Some(message) = message else { return Some(defaults) };
    let lowest = message.tls_minimum_protocol_version;
    let min = version(&at.field("tls_minimum_protocol_version"), lowest);
    let highest = message.tls_maximum_protocol_version;
    let max = version(&at.field("tls_maximum_protocol_version"), highest);
    let fips = tls::tls_parameters::CompliancePolicy::Fips202205 as i32;
    let parameters = Parameters {
        min: min?.unwrap_or(defaults.min),
        max: max?.unwrap_or(defaults.max),
        cipher_suites: parts(&message.cipher_suites),
        ecdh_curves: parts(&message.ecdh_curves),
        signature_algorithms: parts(&message.signature_algorithms),
        fips_202205: message.compliance_policies.contains(&fips),
    };
    parameters.check().map_err(|error| refuse(at, message, &error)).ok()?;
    Some(parameters)
}

/// Says in Envoy's words what the engine found, or that it is not built yet.
fn refuse(at: &At<'_>, message: &tls::TlsParameters, error: &ContextError) {
    let (suites, groups) = (&message.cipher_suites, &message.ecdh_curves);
    match (error.field, &error.name) {
        ("tls_params.cipher_suites", Some(name)) => {
            let at = at.field("cipher_suites");
            match SUITES_OF_BORINGSSL.contains(&name.as_str()) {
                true => at.unsupported(name),
                false => at.invalid(format_args!(
                    "Failed to initialize cipher suites {}. The following ciphers were rejected \
                     when tried individually: {name}",
                    suites.join(":")
                )),
            }
        }
        ("tls_params.ecdh_curves", Some(name)) => {
            let at = at.field("ecdh_curves");
            match GROUPS_OF_BORINGSSL.contains(&name.as_str()) {
                true => at.unsupported(name),
                false => at
                    .invalid(format_args!("Failed to initialize ECDH curves {}", groups.join(":"))),
            }
        }
        ("tls_params.signature_algorithms", Some(name)) => {
            let at = at.field("signature_algorithms");
            match SIGNATURES_OF_BORINGSSL.contains(&name.as_str()) {
                true => at.unsupported(name),
                false => at.invalid(format_args!(
                    "Failed to initialize TLS signature algorithms {}",
                    message.signature_algorithms.join(":")
                )),
            }
        }
        ("tls_params.tls_minimum_protocol_version", _) => {
            at.field("tls_minimum_protocol_version").invalid(&error.reason);
        }
        _ => at.invalid(&error.reason),
    }
}

/// Envoy joins the list with colons, so that an entry may hold several names.
fn parts(list: &[String]) -> Vec<String> {
    let names = list.iter().flat_map(|entry| entry.split(':'));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `TLS_AUTO` is the default of the side.
#[expect(clippy::option_option, reason = "an error is not the default")]
fn version(at: &At<'_>, number: i32) -> Option<Option<TlsVersion>> {
    use tls::tls_parameters::TlsProtocol;
    match TlsProtocol::try_from(number) {
        Ok(TlsProtocol::TlsAuto) => Some(None),
        Ok(TlsProtocol::TlSv12) => Some(Some(TlsVersion::V1_2)),
        Ok(TlsProtocol::TlSv13) => Some(Some(TlsVersion::V1_3)),
        // The support table refuses these first.
        _ => {
            at.unsupported("");
            None
        }
    }
}
