//! Verification of the peer's certificate, on either side: `CertificateValidationContext`.
//!
//! Owns: names, pins, and what may be forgiven. Does not own: the chain to an authority, and proof
//! of possession of the key, which rustls checks with the provider's algorithms and which no option
//! turns off.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use webpki::KeyUsage;

use crate::certificate::Certificate;
use crate::chain::Chain;
use crate::error::counter_of;
use crate::load::{self, ContextError, Source};
use crate::name::{NameMatcher, dns_name_matches};
use crate::notes;
use crate::reason;
use crate::spiffe::{TrustBundle, TrustDomains};
use crate::version1;

/// How often a chain may be tried again at an earlier time with `allow_expired_certificate`.
const EXPIRED_TRIES: usize = 4;

/// What a peer's certificate has to be. The default asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct Validation {
    /// `trusted_ca`. Without it no chain is verified, as in Envoy.
    pub trusted_ca: Option<Source>,
    /// `custom_validator_config` with the validator of SPIFFE, in the place of `trusted_ca`.
    pub spiffe: Option<Vec<TrustBundle>>,
    /// `crl`; needs `trusted_ca`.
    pub crl: Option<Source>,
    /// `only_verify_leaf_cert_crl`.
    pub only_leaf_crl: bool,
    /// `match_typed_subject_alt_names`: one of them is enough. Needs `trusted_ca`.
    pub names: Vec<NameMatcher>,
    /// `verify_certificate_hash`: SHA-256 over the leaf.
    pub hashes: Vec<[u8; 32]>,
    /// `verify_certificate_spki`: SHA-256 over the leaf's public key. A leaf that meets one entry
    /// of either list is good.
    pub spki_hashes: Vec<[u8; 32]>,
    /// `allow_expired_certificate`.
    pub allow_expired: bool,
    /// `trust_chain_verification: ACCEPT_UNTRUSTED`: chain, names and pins may fail, so that a
    /// certificate of the peer proves no more than possession of its key.
    pub accept_untrusted: bool,
    /// `max_verify_depth`: how many certificates there may be between the leaf and the authority.
    pub max_depth: Option<usize>,
    /// `suppress_client_ca_list`: clients are not told which authorities are trusted.
    pub suppress_client_ca_list: bool,
    /// The name that was asked for must be in the certificate (`auto_sni_san_validation`); client
    /// side only, needs `trusted_ca`.
    pub server_name: bool,
}

impl Validation {
    /// Checks all that can be wrong with it, and tells what the certificates of `trusted_ca` say.
    pub fn inspect(&self) -> Result<Vec<Certificate>, ContextError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        chain(self, &provider, KeyUsage::server_auth())?;
        TrustDomains::new(self, &provider, KeyUsage::server_auth())?;
        self.trusted_ca.as_ref().map_or(Ok(Vec::new()), |source| load::parsed(source, "trusted_ca"))
    }

    /// Whether something is verified, and what fails is refused.
    pub(crate) fn is_strict(&self) -> bool {
        let asks = self.trusted_ca.is_some() || self.spiffe.is_some() || self.has_pins();
        !self.accept_untrusted && asks
    }

    fn has_pins(&self) -> bool {
        !self.hashes.is_empty() || !self.spki_hashes.is_empty()
    }
}

/// Why a certificate is refused beyond what rustls says of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFailure {
    /// No name of the certificate is one that is wanted.
    #[error("verify SAN list")]
    Name,
    /// It is no identity of SPIFFE.
    #[error("cert precheck")]
    Precheck,
    /// It is of a trust domain that is not known.
    #[error("no trust bundle store")]
    TrustDomain,
    /// Neither hash is pinned.
    #[error("verify cert hash")]
    Hash,
}

/// One verifier for both sides, immutable.
pub(crate) struct PeerVerifier {
    /// `None` without `trusted_ca`.
    chain: Option<Chain>,
    /// In the place of the chain, with the validator of SPIFFE.
    domains: Option<TrustDomains>,
    validation: Validation,
    mandatory: bool,
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
    /// With what a peer may sign; `None` for all that can be verified.
    schemes: Option<Vec<SignatureScheme>>,
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerVerifier").field("validation", &self.validation).finish_non_exhaustive()
    }
}

impl PeerVerifier {
    /// For certificates of clients.
    pub(crate) fn of_clients(
        validation: &Validation,
        mandatory: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ContextError> {
        if validation.server_name {
            let reason = "a client certificate has no server name to be compared with";
            return Err(ContextError::of_field("auto_sni_san_validation", reason));
        }
        Self::new(validation, mandatory, provider, KeyUsage::client_auth())
    }

    /// For certificates of servers.
    pub(crate) fn of_servers(
        validation: &Validation,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ContextError> {
        Self::new(validation, true, provider, KeyUsage::server_auth())
    }

    fn new(
        validation: &Validation,
        mandatory: bool,
        provider: &Arc<CryptoProvider>,
        usage: KeyUsage,
    ) -> Result<Self, ContextError> {
        let chain = chain(validation, provider, usage)?;
        let domains = TrustDomains::new(validation, provider, usage)?;
        let hints = match (&chain, &domains) {
            _ if validation.suppress_client_ca_list => Vec::new(),
            (_, Some(domains)) => domains.subjects(),
            (Some(chain), None) => chain.subjects(),
            (None, None) => Vec::new(),
        };
        let (validation, provider) = (validation.clone(), Arc::clone(provider));
        Ok(Self { chain, domains, validation, mandatory, hints, provider, schemes: None })
    }

    /// Who has to vouch for a certificate, if anybody has.
    fn chain_for(&self, leaf: &[u8]) -> Option<&Chain> {
        match &self.domains {
            Some(domains) => domains.chain_for(leaf).ok(),
            None => self.chain.as_ref(),
        }
    }

    /// The same for peers that sign with these algorithms (`signature_algorithms`).
    pub(crate) fn limited(self, schemes: Option<Vec<SignatureScheme>>) -> Self {
        Self { schemes, ..self }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = self
            .verify_chain_at_some_time(leaf, intermediates, now)
            .and_then(|()| self.verify_leaf(leaf, name));
        let verified = verified.inspect_err(|error| note_refusal(error, leaf));
        notes::note(|notes| {
            notes.shown =
                std::iter::once(leaf).chain(intermediates).map(|der| der.to_vec()).collect();
            notes.issuer = match (self.chain_for(leaf), intermediates) {
                (Some(chain), []) if verified.is_ok() => chain.issuer_of(leaf),
                _ => None,
            };
            let asks = self.validation.has_pins() || self.chain.is_some() || self.domains.is_some();
            notes.validated = verified.is_ok() && asks;
        });
        if self.validation.accept_untrusted { Ok(()) } else { verified }
    }

    fn verify_chain_at_some_time(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut result = self.verify_chain(leaf, intermediates, now);
        for _ in 0..EXPIRED_TRIES {
            // The chain was good when the certificate that is expired still was.
            let time = match &result {
                Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                    not_after,
                    ..
                })) if self.validation.allow_expired => *not_after,
                _ => break,
            };
            result = self.verify_chain(leaf, intermediates, time);
        }
        result
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if let Some(domains) = &self.domains {
            return domains.verify(leaf, intermediates, now);
        }
        let Some(chain) = &self.chain else { return Ok(()) };
        chain.verify(leaf, intermediates, now)
    }

    fn verify_leaf(&self, der: &[u8], name: Option<&ServerName<'_>>) -> Result<(), Error> {
        let wanted = &self.validation;
        let pins = wanted.has_pins();
        if !pins && wanted.names.is_empty() && !wanted.server_name {
            return Ok(());
        }
        let leaf = Certificate::parse(der)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let named = wanted.names.is_empty()
            || wanted.names.iter().any(|matcher| matcher.matches(&leaf.names));
        if !named || wanted.server_name && !is_for(&leaf, name) {
            return Err(failure(VerifyFailure::Name));
        }
        let pinned =
            wanted.hashes.contains(&leaf.sha256) || wanted.spki_hashes.contains(&leaf.spki_sha256);
        if pins && !pinned { Err(failure(VerifyFailure::Hash)) } else { Ok(()) }
    }

    fn algorithms(&self) -> &rustls::crypto::WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Whether the holder of the certificate's key has signed the handshake.
    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_scheme(signature.scheme)?;
        let algorithms = self.algorithms();
        if version1::is_it(certificate) {
            version1::verify_handshake(message, certificate, signature, algorithms, is_tls13)
        } else if is_tls13 {
            verify_tls13_signature(message, certificate, signature, algorithms)
        } else {
            verify_tls12_signature(message, certificate, signature, algorithms)
        }
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone().unwrap_or_else(|| supported_schemes(self.algorithms()))
    }

    /// Notes with what the peer has signed, which must be one of what it was offered.
    fn check_scheme(&self, scheme: SignatureScheme) -> Result<(), Error> {
        notes::note(|notes| notes.scheme = Some(scheme));
        match &self.schemes {
            Some(schemes) if !schemes.contains(&scheme) => {
                Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
            }
            _ => Ok(()),
        }
    }
}

fn is_for(leaf: &Certificate, name: Option<&ServerName<'_>>) -> bool {
    match name {
        Some(ServerName::DnsName(name)) => {
            leaf.names.dns.iter().any(|pattern| dns_name_matches(name.as_ref(), pattern))
        }
        Some(ServerName::IpAddress(ip)) => leaf.names.ip.contains(&(*ip).into()),
        _ => false,
    }
}

/// The provider's schemes in BoringSSL's order: a peer takes the first that it can, and the shorter
/// hash is the cheaper one.
fn supported_schemes(
    algorithms: &rustls::crypto::WebPkiSupportedAlgorithms,
) -> Vec<SignatureScheme> {
    const FIRST: [SignatureScheme; 8] = [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
        SignatureScheme::RSA_PKCS1_SHA512,
    ];
    let mut schemes = algorithms.supported_schemes();
    let rank = |scheme: &SignatureScheme| FIRST.iter().position(|first| first == scheme);
    schemes.sort_by_key(|scheme| rank(scheme).unwrap_or(FIRST.len()));
    schemes
}

/// Keeps why a certificate is refused, for counters and logs.
fn note_refusal(error: &Error, leaf: &[u8]) {
    let Error::InvalidCertificate(inner) = error else { return };
    let parsed = Certificate::parse(leaf);
    let details = match inner {
        CertificateError::Other(other) => match other.0.downcast_ref::<VerifyFailure>() {
            Some(VerifyFailure::Name) => {
                let names = parsed.map(|leaf| leaf.names.list().join(", ")).unwrap_or_default();
                format!("SAN matcher, certificate SANs are [{names}]")
            }
            Some(VerifyFailure::Hash) => "cert hash and spki".to_owned(),
            Some(other) => other.to_string(),
            None => reason::chain(inner, false),
        },
        inner => reason::chain(inner, parsed.is_some_and(|leaf| leaf.subject == leaf.issuer)),
    };
    let counter = counter_of(error);
    notes::note(|notes| notes.refused = Some((counter, details)));
}

fn failure(failure: VerifyFailure) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(failure))))
}

/// The chain that is wanted. Refuses what would promise a verification that does not take place.
fn chain(
    validation: &Validation,
    provider: &CryptoProvider,
    usage: KeyUsage,
) -> Result<Option<Chain>, ContextError> {
    if validation.only_leaf_crl && validation.crl.is_none() {
        return Err(ContextError::of_field("only_verify_leaf_cert_crl", "needs crl"));
    }
    if let Some(source) = &validation.trusted_ca {
        return Chain::new(source, validation, provider, usage).map(Some);
    }
    if validation.spiffe.is_some() {
        return Ok(None);
    }
    let insecure = "needs trusted_ca: without it any certificate can claim any name";
    if !validation.names.is_empty() || validation.server_name {
        return Err(ContextError::of_field("match_typed_subject_alt_names", insecure));
    }
    match &validation.crl {
        Some(source) => Err(source.refuse("crl", "needs trusted_ca")),
        None => Ok(None),
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, intermediates, None, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, intermediates, Some(name), now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
