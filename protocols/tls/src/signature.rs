//! Algorithms of signatures: their names, and keys that use only some of them.

use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

/// Those of `FIPS_202205`, in BoringSSL's order.
pub(crate) const FIPS_202205: &[SignatureScheme] = &[
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// The name of RFC 8446 section 4.2.3, and BoringSSL's other name for it.
const NAMES: &[(SignatureScheme, &str, &str)] = &[
    (SignatureScheme::ECDSA_NISTP256_SHA256, "ecdsa_secp256r1_sha256", "ECDSA+SHA256"),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "ecdsa_secp384r1_sha384", "ECDSA+SHA384"),
    (SignatureScheme::ECDSA_NISTP521_SHA512, "ecdsa_secp521r1_sha512", "ECDSA+SHA512"),
    (SignatureScheme::RSA_PSS_SHA256, "rsa_pss_rsae_sha256", "RSA-PSS+SHA256"),
    (SignatureScheme::RSA_PSS_SHA384, "rsa_pss_rsae_sha384", "RSA-PSS+SHA384"),
    (SignatureScheme::RSA_PSS_SHA512, "rsa_pss_rsae_sha512", "RSA-PSS+SHA512"),
    (SignatureScheme::RSA_PKCS1_SHA256, "rsa_pkcs1_sha256", "RSA+SHA256"),
    (SignatureScheme::RSA_PKCS1_SHA384, "rsa_pkcs1_sha384", "RSA+SHA384"),
    (SignatureScheme::RSA_PKCS1_SHA512, "rsa_pkcs1_sha512", "RSA+SHA512"),
    (SignatureScheme::ED25519, "ed25519", "ed25519"),
];

/// The algorithm of that name.
pub(crate) fn scheme(name: &str) -> Option<SignatureScheme> {
    let rsa = name.strip_prefix("PSS+").map(|hash| format!("RSA-PSS+{hash}"));
    let name = rsa.as_deref().unwrap_or(name);
    NAMES.iter().find(|(_, one, other)| *one == name || *other == name).map(|(scheme, ..)| *scheme)
}

/// Its name in Envoy's `ssl.sigalgs.`.
pub(crate) fn scheme_name(scheme: SignatureScheme) -> Option<&'static str> {
    NAMES.iter().find(|(one, ..)| *one == scheme).map(|(_, name, _)| *name)
}

/// The same certificate with a key that signs with these algorithms alone.
pub(crate) fn limited(
    mut certified: CertifiedKey,
    schemes: Option<&Vec<SignatureScheme>>,
) -> CertifiedKey {
    if let Some(schemes) = schemes {
        certified.key = Arc::new(Limited { key: certified.key, schemes: schemes.clone() });
    }
    certified
}

#[derive(Debug)]
struct Limited {
    key: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl SigningKey for Limited {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let mut common = self.schemes.iter().filter(|scheme| offered.contains(scheme));
        common.find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}
