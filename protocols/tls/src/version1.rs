//! Certificates of the first version of X.509, which have no extensions.
//!
//! Owns: what of a verification webpki refuses to do for them: Envoy takes such a certificate as a
//! leaf that an authority has issued itself. As an authority in between it is refused, here as
//! there; as an authority that is trusted, webpki knows it.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use webpki::RawPublicKeyEntity;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::der::Items;

/// Whether it is one.
pub(crate) fn is_it(certificate: &[u8]) -> bool {
    /// RFC 5280 section 4.1: the number of a later version comes first, in a tag of its own.
    const LATER: u8 = 0xa0;
    let body = Items(certificate).of(Tag::Sequence).map(|whole| whole.data);
    let signed = body.and_then(|body| Items(body).of(Tag::Sequence));
    signed.is_some_and(|signed| signed.data.first() != Some(&LATER))
}

/// Which of the authorities has issued it, and whether its signature holds.
pub(crate) fn issuer<'t>(
    leaf: &[u8],
    trusted: &'t [CertificateDer<'static>],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<&'t CertificateDer<'static>, Error> {
    let broken = || Error::from(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| broken())?;
    let mut reason = CertificateError::UnknownIssuer;
    for authority in trusted {
        let Ok((_, issuer)) = X509Certificate::from_der(authority) else { continue };
        let is_authority = issuer.version() == X509Version::V1 || issuer.is_ca();
        if !is_authority || issuer.subject().as_raw() != parsed.issuer().as_raw() {
            continue;
        }
        if is_signed(leaf, issuer.public_key().raw, algorithms).ok_or_else(broken)? {
            return Ok(authority);
        }
        reason = CertificateError::BadSignature;
    }
    Err(reason.into())
}

/// RFC 5280 section 4.1: what is signed, how, and the signature; `None` when it has another form.
fn is_signed(leaf: &[u8], key: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> Option<bool> {
    let mut parts = Items(Items(leaf).of(Tag::Sequence)?.data);
    let from = parts.0;
    parts.of(Tag::Sequence)?;
    let signed = &from[..from.len() - parts.0.len()];
    let algorithm = parts.of(Tag::Sequence)?.data;
    // The first byte counts bits that are not used.
    let signature = parts.of(Tag::BitString)?.data.strip_prefix(&[0])?;
    let key = SubjectPublicKeyInfoDer::from(key);
    let key = RawPublicKeyEntity::try_from(&key).ok()?;
    let mut fitting =
        algorithms.all.iter().filter(|one| one.signature_alg_id().as_ref() == algorithm);
    Some(fitting.any(|one| key.verify_signature(*one, signed, signature).is_ok()))
}

/// Whether the holder of its key has signed a handshake; of the given version of TLS.
pub(crate) fn verify_handshake(
    message: &[u8],
    certificate: &[u8],
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    is_tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    if is_tls13 {
        use rustls::crypto::verify_tls13_signature_with_raw_key as verify;
        return verify(message, &key, signature, algorithms);
    }
    let key = RawPublicKeyEntity::try_from(&key);
    let key = key.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
    let (_, known) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let holds = |one: &_| key.verify_signature(*one, message, signature.signature()).is_ok();
    match known.iter().any(holds) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}
