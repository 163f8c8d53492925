//! `CertificateValidationContext`: what the certificate of a peer has to be.

use ringway_model::transport::LoadedCertificate;
use ringway_tls::Validation;

use super::super::Cx;
use super::super::at::At;
use super::super::proto::tls;
use super::source;

/// A validation that was found good, with what is shown of its authorities.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) validation: Validation,
    pub(super) authorities: Vec<LoadedCertificate>,
}

/// The validation context of a context; without one, nothing is verified.
pub(super) fn of(cx: &Cx<'_>, at: &At<'_>, common: &tls::CommonTlsContext) -> Option<Loaded> {
    use tls::common_tls_context::ValidationContextType;
    match &common.validation_context_type {
        Some(ValidationContextType::ValidationContext(message)) => {
            load(cx, &at.field("validation_context"), message)
        }
        _ => Some(Loaded::default()),
    }
}

fn load(cx: &Cx<'_>, at: &At<'_>, message: &tls::CertificateValidationContext) -> Option<Loaded> {
    let trusted_ca = match &message.trusted_ca {
        Some(source) => Some(source::read(cx, &at.field("trusted_ca"), source)?),
        None => None,
    };
    let validation = Validation { trusted_ca, ..Validation::default() };
    let path = validation.trusted_ca.as_ref().map_or_else(String::new, |ca| ca.name.clone());
    let certificates = validation.inspect().map_err(|error| at.inside(error.field).invalid(&error));
    let shown = |certificate| LoadedCertificate { path: path.clone(), certificate };
    let authorities = certificates.ok()?.into_iter().map(shown).collect();
    Some(Loaded { validation, authorities })
}
