//! What rustls decides inside of a handshake and does not tell: which certificate was presented,
//! what the peer showed even when it was refused, and why it was.
//!
//! The callbacks of rustls (certificate selection, verification) run inside of the engine's calls,
//! on the same thread: they leave notes there, and the engine collects them after each call.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::SignatureScheme;

use crate::certificate::Certificate;
use crate::error::Counter;

/// The notes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Our own certificate, as presented.
    pub(crate) local: Option<Arc<Certificate>>,
    /// The name that the client has asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// With what the peer has signed.
    pub(crate) scheme: Option<SignatureScheme>,
    /// The chain that the peer showed, in DER, if it was refused or let pass unverified.
    pub(crate) shown: Vec<Vec<u8>>,
    /// The authority that has signed the peer's certificate, where the peer did not show it.
    pub(crate) issuer: Option<Vec<u8>>,
    /// The chain led to an authority, and everything else that is asked of it was met.
    pub(crate) validated: bool,
    /// Why a certificate was refused, or would have been without `ACCEPT_UNTRUSTED`.
    pub(crate) refused: Option<(Counter, String)>,
}

thread_local! {
    static NOTES: RefCell<Notes> = RefCell::default();
}

/// Adds to the notes of the engine that is at work on this thread.
pub(crate) fn note(add: impl FnOnce(&mut Notes)) {
    NOTES.with_borrow_mut(add);
}

/// Runs a call of rustls with these notes.
pub(crate) fn with<T>(notes: &mut Notes, call: impl FnOnce() -> T) -> T {
    NOTES.with_borrow_mut(|inside| std::mem::swap(inside, notes));
    let result = call();
    NOTES.with_borrow_mut(|inside| std::mem::swap(inside, notes));
    result
}

/// The scheme as Envoy's `ssl.sigalgs.` names it (RFC 8446 section 4.2.3).
pub(crate) fn scheme_name(scheme: SignatureScheme) -> Option<&'static str> {
    Some(match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => "ecdsa_secp256r1_sha256",
        SignatureScheme::ECDSA_NISTP384_SHA384 => "ecdsa_secp384r1_sha384",
        SignatureScheme::ECDSA_NISTP521_SHA512 => "ecdsa_secp521r1_sha512",
        SignatureScheme::RSA_PSS_SHA256 => "rsa_pss_rsae_sha256",
        SignatureScheme::RSA_PSS_SHA384 => "rsa_pss_rsae_sha384",
        SignatureScheme::RSA_PSS_SHA512 => "rsa_pss_rsae_sha512",
        SignatureScheme::RSA_PKCS1_SHA256 => "rsa_pkcs1_sha256",
        SignatureScheme::RSA_PKCS1_SHA384 => "rsa_pkcs1_sha384",
        SignatureScheme::RSA_PKCS1_SHA512 => "rsa_pkcs1_sha512",
        SignatureScheme::ED25519 => "ed25519",
        _ => return None,
    })
}
