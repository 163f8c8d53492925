//! Certificates, keys, authorities and revocation lists from PEM or DER.
//!
//! Owns: the texts of refusals, each with file, field and reason. Does not own: reading of files.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::Certificate;
use crate::staple::Staple;

/// Bytes with the name that errors shall give them.
#[derive(Debug, Clone)]
pub struct Source {
    /// A file, or words such as `inline`.
    pub name: String,
    /// PEM, or DER of one object.
    pub bytes: Vec<u8>,
}

impl Source {
    fn is_pem(&self) -> bool {
        self.bytes.windows(11).any(|window| window == b"-----BEGIN ")
    }

    pub(crate) fn refuse(&self, field: &'static str, reason: impl ToString) -> ContextError {
        let (source, reason) = (self.name.clone(), reason.to_string());
        ContextError { field, source_name: Some(source), name: None, reason }
    }
}

/// A certificate chain with its key, as a context presents it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The leaf first, then its intermediates.
    pub chain: Source,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: Source,
    /// A response of OCSP in DER, for clients that ask for one; what is empty is none.
    pub ocsp_staple: Option<Source>,
}

/// Why a context cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextError {
    /// Envoy's field, such as `certificate_chain`.
    pub field: &'static str,
    /// The file or source that is at fault, if one is.
    pub source_name: Option<String>,
    /// The name in a list that is at fault, if one is.
    pub name: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl ContextError {
    pub(crate) fn of_field(field: &'static str, reason: impl ToString) -> Self {
        Self { field, source_name: None, name: None, reason: reason.to_string() }
    }

    pub(crate) fn about(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

impl std::fmt::Display for ContextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source_name {
            Some(source) => write!(f, "{}: {source}: {}", self.field, self.reason),
            None => write!(f, "{}: {}", self.field, self.reason),
        }
    }
}

impl std::error::Error for ContextError {}

impl Identity {
    /// Checks all that can be wrong with it, and tells what its certificates say, the leaf first.
    /// That one is expired is not wrong: Envoy presents it, and it is for the caller to judge.
    pub fn inspect(&self) -> Result<Vec<Certificate>, ContextError> {
        certified_key(self, &aws_lc_rs::default_provider())?;
        self.staple()?;
        parsed(&self.chain, "certificate_chain")
    }

    /// The response, which must be for the leaf.
    pub fn staple(&self) -> Result<Option<Staple>, ContextError> {
        let Some(source) = self.ocsp_staple.as_ref().filter(|source| !source.bytes.is_empty())
        else {
            return Ok(None);
        };
        let refuse = |reason| source.refuse("ocsp_staple", reason);
        let staple = Staple::parse(&source.bytes).map_err(refuse)?;
        let chain = certificates(&self.chain, "certificate_chain")?;
        match chain.first().is_some_and(|leaf| staple.is_for(leaf)) {
            true => Ok(Some(staple)),
            false => Err(refuse("OCSP response does not match its TLS certificate")),
        }
    }
}

/// What the certificates of a source say, at least one.
pub(crate) fn parsed(
    source: &Source,
    field: &'static str,
) -> Result<Vec<Certificate>, ContextError> {
    let broken = || source.refuse(field, "a certificate cannot be read");
    let list = certificates(source, field)?;
    list.iter().map(|der| Certificate::parse(der).ok_or_else(broken)).collect()
}

/// Loads a chain and its key.
pub(crate) fn certified_key(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ContextError> {
    let chain = certificates(&identity.chain, "certificate_chain")?;
    let der = private_key(&identity.key)?;
    let key = provider.key_provider.load_private_key(der);
    let key = key.map_err(|error| identity.key.refuse("private_key", error))?;
    // rustls compares them as well, but for no certificate of the first version.
    let public = key.public_key();
    let public = public.as_ref().map(AsRef::as_ref);
    let matches = |leaf: &CertificateDer<'_>| {
        let parsed = X509Certificate::from_der(leaf);
        parsed.is_ok_and(|(_, parsed)| Some(parsed.public_key().raw) == public)
    };
    if !chain.first().is_some_and(matches) {
        let reason = format!("does not match the certificate in {}", identity.chain.name);
        return Err(identity.key.refuse("private_key", reason));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// At least one certificate, each of which can be parsed.
pub(crate) fn certificates(
    source: &Source,
    field: &'static str,
) -> Result<Vec<CertificateDer<'static>>, ContextError> {
    let list = objects::<CertificateDer<'static>>(source, field)?;
    if list.is_empty() {
        return Err(source.refuse(field, "holds no certificate"));
    }
    for (index, certificate) in list.iter().enumerate() {
        X509Certificate::from_der(certificate)
            .map_err(|error| source.refuse(field, format!("certificate {index}: {error}")))?;
    }
    Ok(list)
}

fn objects<T: PemObject + From<Vec<u8>>>(
    source: &Source,
    field: &'static str,
) -> Result<Vec<T>, ContextError> {
    if source.bytes.is_empty() {
        return Err(source.refuse(field, "is empty"));
    }
    if !source.is_pem() {
        return Ok(vec![T::from(source.bytes.clone())]);
    }
    let list: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&source.bytes).collect();
    list.map_err(|error| source.refuse(field, error))
}

fn private_key(source: &Source) -> Result<PrivateKeyDer<'static>, ContextError> {
    let refuse = |reason: &str| source.refuse("private_key", reason);
    if source.bytes.is_empty() {
        return Err(refuse("is empty"));
    }
    if !source.is_pem() {
        return PrivateKeyDer::try_from(source.bytes.clone()).map_err(refuse);
    }
    match PrivateKeyDer::from_pem_slice(&source.bytes) {
        Ok(key) => Ok(key),
        Err(_) if contains(&source.bytes, b"ENCRYPTED") => {
            Err(refuse("is encrypted, and there is no password (BAD_PASSWORD_READ)"))
        }
        Err(pem::Error::NoItemsFound) => Err(refuse("holds no private key")),
        Err(error) => Err(refuse(&error.to_string())),
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The revocation lists of `crl`, at least one.
pub(crate) fn revocation_lists(
    source: &Source,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ContextError> {
    let lists = objects::<CertificateRevocationListDer<'static>>(source, "crl")?;
    if lists.is_empty() {
        return Err(source.refuse("crl", "holds no revocation list"));
    }
    Ok(lists)
}
