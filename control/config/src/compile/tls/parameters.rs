//! `TlsParameters`: versions, cipher suites, groups.

use ringway_tls::{ContextError, Parameters, TlsVersion};

use super::super::at::At;
use super::super::proto::tls;

/// What the message says over the defaults of its side.
pub(super) fn parameters(
    at: &At<'_>,
    message: Option<&tls::TlsParameters>,
    defaults: Parameters,
) -> Option<Parameters> {
    let Some(message) = message else { return Some(defaults) };
    let min =
        version(&at.field("tls_minimum_protocol_version"), message.tls_minimum_protocol_version);
    let max =
        version(&at.field("tls_maximum_protocol_version"), message.tls_maximum_protocol_version);
    Some(Parameters {
        min: min?.unwrap_or(defaults.min),
        max: max?.unwrap_or(defaults.max),
        cipher_suites: parts(&message.cipher_suites),
        ecdh_curves: parts(&message.ecdh_curves),
    })
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

/// Says what of a context is wrong beside its certificates, which were looked at before. `at` is
/// the place of `common_tls_context`.
pub(super) fn refuse(at: &At<'_>, error: &ContextError) {
    at.inside(error.field).invalid(&error.reason);
}
