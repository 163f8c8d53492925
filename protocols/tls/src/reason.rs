//! Why a handshake failed, in the words that operators of Envoy look for:
//! `TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED...:TLS_error_end`

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::error::TlsError;

/// Reasons of BoringSSL's `ERR_LIB_SSL` have numbers from here on.
const SSL: u32 = 16 << 24;
/// Alerts of the peer are reasons from here on.
const ALERT: u32 = 1000;

/// The text of `%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`. `first` are the first bytes of the peer,
/// `details` what the verification said; `is_first_answer` says that it is all that a server has
/// said to our hello. Empty when the peer just went away.
pub(crate) fn reason(
    error: &TlsError,
    first: &[u8],
    details: Option<&str>,
    is_first_answer: bool,
) -> String {
    let TlsError::Protocol(error) = error else { return String::new() };
    let (number, name) = boring(error, first);
    if is_first_answer && matches!(error, Error::AlertReceived(AlertDescription::HandshakeFailure))
    {
        let (inner, outer) = (SSL + number, SSL + 154);
        return format!(
            "TLS_error:|{inner}:SSL routines:OPENSSL_internal:{name}|{outer}:SSL \
             routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO:TLS_error_end"
        );
    }
    let details = match (details, error) {
        (Some(details), Error::InvalidCertificate(_)) => format!(":verify cert failed: {details}"),
        (_, Error::NoCertificatesPresented) => {
            ":peer did not provide required client certificate".to_owned()
        }
        _ => String::new(),
    };
    text(number, name, &details)
}

/// No certificate may be presented to this client.
pub(crate) fn rejected() -> String {
    text(133, "CONNECTION_REJECTED", "")
}

fn text(number: u32, name: &str, details: &str) -> String {
    let number = SSL + number;
    format!("TLS_error:|{number}:SSL routines:OPENSSL_internal:{name}{details}:TLS_error_end")
}

/// BoringSSL's number and name.
fn boring(error: &Error, first: &[u8]) -> (u32, &'static str) {
    match error {
        Error::InvalidCertificate(_) => (125, "CERTIFICATE_VERIFY_FAILED"),
        Error::NoCertificatesPresented => (192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        Error::AlertReceived(alert) => received(*alert),
        Error::PeerIncompatible(what) => incompatible(what),
        Error::DecryptError => (146, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
        Error::PeerSentOversizedRecord => (136, "ENCRYPTED_LENGTH_TOO_LONG"),
        Error::NoApplicationProtocol => (307, "NO_APPLICATION_PROTOCOL"),
        Error::InappropriateMessage { .. } => (223, "UNEXPECTED_RECORD"),
        Error::InappropriateHandshakeMessage { .. } => (222, "UNEXPECTED_MESSAGE"),
        Error::InvalidMessage(_) => no_record(first),
        Error::PeerMisbehaved(_) => (144, "DECODE_ERROR"),
        // Our own side had nothing to offer, such as a certificate for this name.
        _ => (184, "NO_SHARED_CIPHER"),
    }
}

/// What the peer speaks instead of TLS.
fn no_record(first: &[u8]) -> (u32, &'static str) {
    let begins = |text: &[u8]| first.starts_with(text);
    if begins(b"GET ") || begins(b"POST ") || begins(b"HEAD ") || begins(b"PUT ") {
        (156, "HTTP_REQUEST")
    } else if begins(b"CONNE") {
        (157, "HTTPS_PROXY_REQUEST")
    } else if matches!(first, [20..=24, 3, ..]) {
        (137, "DECODE_ERROR")
    } else {
        (247, "WRONG_VERSION_NUMBER")
    }
}

fn incompatible(what: &PeerIncompatible) -> (u32, &'static str) {
    match what {
        PeerIncompatible::NoCipherSuitesInCommon => (184, "NO_SHARED_CIPHER"),
        PeerIncompatible::NoKxGroupsInCommon => (266, "NO_SHARED_GROUP"),
        PeerIncompatible::NoSignatureSchemesInCommon => (253, "NO_COMMON_SIGNATURE_ALGORITHMS"),
        _ => (240, "UNSUPPORTED_PROTOCOL"),
    }
}

/// An alert of the peer, by its number.
fn received(alert: AlertDescription) -> (u32, &'static str) {
    let number = u8::from(alert);
    let name = match number {
        0 => "SSLV3_ALERT_CLOSE_NOTIFY",
        10 => "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        20 => "SSLV3_ALERT_BAD_RECORD_MAC",
        22 => "TLSV1_ALERT_RECORD_OVERFLOW",
        40 => "SSLV3_ALERT_HANDSHAKE_FAILURE",
        41 => "SSLV3_ALERT_NO_CERTIFICATE",
        42 => "SSLV3_ALERT_BAD_CERTIFICATE",
        43 => "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        44 => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        45 => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        46 => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        47 => "SSLV3_ALERT_ILLEGAL_PARAMETER",
        48 => "TLSV1_ALERT_UNKNOWN_CA",
        49 => "TLSV1_ALERT_ACCESS_DENIED",
        50 => "TLSV1_ALERT_DECODE_ERROR",
        51 => "TLSV1_ALERT_DECRYPT_ERROR",
        70 => "TLSV1_ALERT_PROTOCOL_VERSION",
        71 => "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        80 => "TLSV1_ALERT_INTERNAL_ERROR",
        86 => "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
        90 => "TLSV1_ALERT_USER_CANCELLED",
        100 => "TLSV1_ALERT_NO_RENEGOTIATION",
        110 => "TLSV1_ALERT_UNSUPPORTED_EXTENSION",
        112 => "TLSV1_ALERT_UNRECOGNIZED_NAME",
        113 => "TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
        115 => "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY",
        116 => "TLSV1_ALERT_CERTIFICATE_REQUIRED",
        120 => "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        _ => "UNKNOWN_ALERT_TYPE",
    };
    (ALERT + u32::from(number), name)
}

/// The text of `X509_verify_cert_error_string` for a chain that was refused.
pub(crate) fn chain(error: &CertificateError, self_signed: bool) -> String {
    let what = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid"
        }
        CertificateError::Revoked => "certificate revoked",
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL",
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "CRL has expired",
        CertificateError::UnknownIssuer if self_signed => "self signed certificate",
        CertificateError::UnknownIssuer => "unable to get local issuer certificate",
        CertificateError::BadSignature => "certificate signature failure",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "unsupported certificate purpose"
        }
        CertificateError::UnhandledCriticalExtension => "unhandled critical extension",
        _ => "unspecified certificate verification error",
    };
    format!("X509_verify_cert: certificate verification error at depth 0: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_boringssls_numbers() {
        let text =
            |error: Error, first: &[u8]| reason(&TlsError::Protocol(error), first, None, false);
        let broken = || Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        for (given, expected) in [
            (text(broken(), b"GET / HTTP"), "268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST"),
            (
                text(broken(), b"HTTP/1.1 400"),
                "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
            ),
            (
                text(Error::AlertReceived(AlertDescription::UnknownCA), b""),
                "268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA",
            ),
        ] {
            assert_eq!(given, format!("TLS_error:|{expected}:TLS_error_end"));
        }
        assert_eq!(reason(&TlsError::Truncated, b"", None, false), "");
    }
}
