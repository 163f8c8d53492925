//! The validator of SPIFFE (`SPIFFECertValidatorConfig`): authorities by trust domain.
//!
//! Owns: which certificate is an identity, of which domain it is, and who may vouch for it. Does
//! not own: names beyond the domain, and where bundles come from.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use webpki::KeyUsage;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::Certificate;
use crate::chain::Chain;
use crate::load::{self, ContextError, Source};
use crate::verify::{Validation, VerifyFailure};

/// The authorities of one trust domain.
#[derive(Debug, Clone)]
pub struct TrustBundle {
    /// Its name, such as `example.org`.
    pub domain: String,
    /// Certificates in PEM.
    pub authorities: Source,
}

impl TrustBundle {
    /// What its certificates say, at least one.
    pub fn inspect(&self) -> Result<Vec<Certificate>, ContextError> {
        load::parsed(&self.authorities, "custom_validator_config")
    }
}

/// All domains, immutable.
pub(crate) struct TrustDomains(HashMap<String, Chain>);

impl TrustDomains {
    /// `None` where no domains are given: then another validator is in charge.
    pub(crate) fn new(
        validation: &Validation,
        provider: &CryptoProvider,
        usage: KeyUsage,
    ) -> Result<Option<Self>, ContextError> {
        let Some(bundles) = &validation.spiffe else { return Ok(None) };
        let mut domains = HashMap::with_capacity(bundles.len());
        for bundle in bundles {
            let chain = Chain::new(&bundle.authorities, validation, provider, usage);
            let refuse = |error: ContextError| {
                let domain = &bundle.domain;
                let reason =
                    format!("Failed to load trusted CA certificate for {domain}: {}", error.reason);
                ContextError { reason, field: "custom_validator_config", ..error }
            };
            domains.insert(bundle.domain.clone(), chain.map_err(refuse)?);
        }
        Ok(Some(Self(domains)))
    }

    /// The names of the authorities, which a server tells its clients.
    pub(crate) fn subjects(&self) -> Vec<DistinguishedName> {
        self.0.values().flat_map(Chain::subjects).collect()
    }

    /// The authorities for a certificate, which has to be an identity of theirs.
    pub(crate) fn chain_for(&self, leaf: &[u8]) -> Result<&Chain, Error> {
        if !is_identity(leaf) {
            return Err(failure(VerifyFailure::Precheck));
        }
        let certificate = Certificate::parse(leaf);
        let uri = certificate.as_ref().and_then(|one| one.names.uri.first());
        let domain = uri.and_then(|uri| trust_domain(uri));
        let chain = domain.and_then(|domain| self.0.get(domain));
        chain.ok_or_else(|| failure(VerifyFailure::TrustDomain))
    }

    /// Whether the certificate is an identity for which its own domain vouches.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.chain_for(leaf)?.verify(leaf, intermediates, now)
    }
}

fn failure(failure: VerifyFailure) -> Error {
    CertificateError::Other(OtherError(Arc::new(failure))).into()
}

/// X.509-SVID section 4: no authority, and a key that is for use and signs neither certificates nor
/// lists.
fn is_identity(leaf: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return false };
    let usage = parsed.key_usage().ok().flatten();
    let usage = usage.is_some_and(|usage| !usage.value.key_cert_sign() && !usage.value.crl_sign());
    usage && !parsed.is_ca()
}

/// SPIFFE-ID section 2: `spiffe://domain/path`.
fn trust_domain(uri: &str) -> Option<&str> {
    let (domain, _) = uri.strip_prefix("spiffe://")?.split_once('/')?;
    (!domain.is_empty()).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::trust_domain;

    #[test]
    fn the_domain_ends_at_the_path() {
        for (uri, expected) in [
            ("spiffe://one.test/a/b", Some("one.test")),
            ("spiffe://one.test/", Some("one.test")),
            ("spiffe://one.test:80/a", Some("one.test:80")),
            ("spiffe://one.test", None),
            ("spiffe:///a", None),
            ("SPIFFE://one.test/a", None),
            ("https://one.test/a", None),
        ] {
            assert_eq!(trust_domain(uri), expected, "{uri}");
        }
    }
}
