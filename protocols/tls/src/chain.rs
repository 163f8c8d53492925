//! The chain from a peer's certificate to an authority.
//!
//! Owns: what of OpenSSL's verification Envoy relies on and webpki alone does not have: a limit of
//! the length, lists that expire, and a leaf that is itself what is trusted. Does not own: names,
//! pins, and whether a failure counts.

use std::fmt;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath, anchor_from_trusted_cert,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::load::{self, ContextError, Source};
use crate::verify::Validation;
use crate::version1;

/// What a chain has to be; immutable.
pub(crate) struct Chain {
    anchors: Vec<TrustAnchor<'static>>,
    /// The same as certificates: Envoy sets `X509_V_FLAG_PARTIAL_CHAIN`, by which a leaf that is
    /// trusted itself needs no chain.
    trusted: Vec<CertificateDer<'static>>,
    lists: Vec<CertRevocationList<'static>>,
    depth_of_lists: RevocationCheckDepth,
    max_depth: usize,
    usage: KeyUsage,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("authorities", &self.trusted.len()).finish_non_exhaustive()
    }
}

impl Chain {
    /// To one of the certificates of `trusted_ca`.
    pub(crate) fn new(
        trusted_ca: &Source,
        validation: &Validation,
        provider: &CryptoProvider,
        usage: KeyUsage,
    ) -> Result<Self, ContextError> {
        let trusted = load::certificates(trusted_ca, "trusted_ca")?;
        let mut anchors = Vec::with_capacity(trusted.len());
        for (index, certificate) in trusted.iter().enumerate() {
            let anchor = anchor_from_trusted_cert(certificate).map_err(|error| {
                trusted_ca.refuse("trusted_ca", format!("certificate {index}: {error}"))
            })?;
            anchors.push(anchor.to_owned());
        }
        let lists = match &validation.crl {
            Some(source) => revocation_lists(source)?,
            None => Vec::new(),
        };
        Ok(Self {
            anchors,
            trusted,
            lists,
            depth_of_lists: match validation.only_leaf_crl {
                true => RevocationCheckDepth::EndEntity,
                false => RevocationCheckDepth::Chain,
            },
            // Envoy's default.
            max_depth: validation.max_depth.unwrap_or(100),
            usage,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// The names of the authorities, which a server tells its clients.
    pub(crate) fn subjects(&self) -> Vec<DistinguishedName> {
        self.anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect()
    }

    /// The authority of the name that has issued a certificate, in DER.
    pub(crate) fn issuer_of(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let issued = |der: &&CertificateDer<'_>| {
            let parsed = X509Certificate::from_der(der);
            parsed.is_ok_and(|(_, one)| one.subject().as_raw() == leaf.issuer().as_raw())
        };
        self.trusted.iter().find(issued).map(|der| der.to_vec())
    }

    /// Whether the chain is good at that time.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.lists.is_empty() && self.trusted.iter().any(|trusted| **trusted == **leaf) {
            return check_validity(leaf, now);
        }
        if version1::is_it(leaf) {
            return self.verify_version1(leaf, now);
        }
        let parsed = EndEntityCert::try_from(leaf).map_err(said)?;
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let verified = parsed.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            self.usage,
            self.revocation(&lists),
            Some(&|path: &VerifiedPath<'_>| self.check_length(path)),
        );
        verified.map(drop).map_err(said)
    }

    /// Such a certificate has no extensions, nor one between it and its authority.
    fn verify_version1(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let authority = version1::issuer(leaf, &self.trusted, &self.algorithms)?;
        check_validity(leaf, now)?;
        check_validity(authority, now)?;
        match self.lists.is_empty() {
            true => Ok(()),
            // Which of the lists speaks of it is not looked for.
            false => Err(CertificateError::UnknownRevocationStatus.into()),
        }
    }

    fn check_length(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        match path.intermediate_certificates().count() <= self.max_depth {
            true => Ok(()),
            false => Err(webpki::Error::MaximumPathDepthExceeded),
        }
    }

    /// As OpenSSL with `X509_V_FLAG_CRL_CHECK`: a list of each issuer, and not an old one.
    fn revocation<'l>(
        &self,
        lists: &'l [&'l CertRevocationList<'l>],
    ) -> Option<RevocationOptions<'l>> {
        let builder = RevocationOptionsBuilder::new(lists).ok()?;
        let builder = builder.with_depth(self.depth_of_lists);
        let builder = builder.with_status_policy(UnknownStatusPolicy::Deny);
        Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build())
    }
}

/// The lists of `crl`, at least one.
fn revocation_lists(source: &Source) -> Result<Vec<CertRevocationList<'static>>, ContextError> {
    let list = |der: &[u8]| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from);
    let lists = load::revocation_lists(source)?;
    let lists: Result<Vec<_>, _> = lists.iter().map(|der| list(der)).collect();
    lists.map_err(|error| source.refuse("crl", error))
}

fn check_validity(leaf: &[u8], now: UnixTime) -> Result<(), Error> {
    let parsed = X509Certificate::from_der(leaf);
    let (_, parsed) = parsed.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    let (from, until) = (parsed.validity().not_before, parsed.validity().not_after);
    let (not_before, not_after) = (time(from.timestamp()), time(until.timestamp()));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}

/// The error for which rustls has the right alert.
fn said(error: webpki::Error) -> Error {
    use webpki::Error as E;
    match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding.into(),
        E::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }.into()
        }
        E::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }.into()
        }
        E::InvalidCertValidity => CertificateError::Expired.into(),
        E::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        E::CertRevoked => CertificateError::Revoked.into(),
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus.into(),
        E::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }.into()
        }
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose.into(),
        other => CertificateError::Other(OtherError(std::sync::Arc::new(other))).into(),
    }
}
