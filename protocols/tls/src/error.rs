//! Failures of a connection, with the counter and the reason that Envoy gives them.

use rustls::{CertificateError, Error, OtherError};

use crate::verify::VerifyFailure;

/// The `ssl.` counter that a failure belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Anything that no other counter names.
    ConnectionError,
    /// The chain does not lead to an authority, is expired or revoked.
    FailVerifyError,
    /// A certificate is required and none came.
    FailVerifyNoCert,
    /// No name fits.
    FailVerifySan,
    /// No pin fits.
    FailVerifyCertHash,
}

impl Counter {
    /// Its name under the listener's or the cluster's `ssl.`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionError => "connection_error",
            Self::FailVerifyError => "fail_verify_error",
            Self::FailVerifyNoCert => "fail_verify_no_cert",
            Self::FailVerifySan => "fail_verify_san",
            Self::FailVerifyCertHash => "fail_verify_cert_hash",
        }
    }
}

/// Why a connection ends. Whatever alert is due waits in the engine and can still be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The peer broke the protocol, sent an alert, or showed a bad certificate.
    #[error("TLS_error: {0}")]
    Protocol(#[from] Error),
    /// The handshake took longer than its limit.
    #[error("TLS_error: handshake timeout")]
    HandshakeTimeout,
    /// The handshake took more bytes than its limit.
    #[error("TLS_error: handshake of more than {0} bytes")]
    HandshakeTooLong(usize),
    /// The peer closed without `close_notify`: what came may have been cut short.
    #[error("TLS_error: connection closed without close_notify")]
    Truncated,
}

impl TlsError {
    /// Which counter it adds to.
    pub fn counter(&self) -> Counter {
        match self {
            Self::Protocol(error) => counter_of(error),
            _ => Counter::ConnectionError,
        }
    }
}

pub(crate) fn counter_of(error: &Error) -> Counter {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => own(other),
        Error::InvalidCertificate(_) => Counter::FailVerifyError,
        Error::NoCertificatesPresented => Counter::FailVerifyNoCert,
        _ => Counter::ConnectionError,
    }
}

fn own(error: &OtherError) -> Counter {
    match error.0.downcast_ref::<VerifyFailure>() {
        Some(VerifyFailure::Name) => Counter::FailVerifySan,
        Some(VerifyFailure::Hash) => Counter::FailVerifyCertHash,
        // A chain of another domain, or one that webpki refuses for a reason of its own.
        _ => Counter::FailVerifyError,
    }
}
