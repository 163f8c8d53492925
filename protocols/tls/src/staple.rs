//! OCSP responses that are stapled to a certificate (RFC 6960, RFC 6066 section 8).
//!
//! Owns: what a response says of itself, and whether it may be presented; the rules are Envoy's.
//! Does not own: its signature, which is for the client to verify.

use x509_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::Items;

/// The longest response that is read, in bytes.
const MAX: usize = 64 << 10;
/// `id-pkix-ocsp-basic` (RFC 6960 section 4.2.1).
const BASIC: &str = "1.3.6.1.5.5.7.48.1.1";
/// `id-pe-tlsfeature` (RFC 7633 section 4).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// `status_request` among its features.
const STATUS_REQUEST: &[u8] = &[5];

/// `ocsp_staple_policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StaplePolicy {
    /// `LENIENT_STAPLING`: what is missing or old is left out.
    #[default]
    Lenient,
    /// `STRICT_STAPLING`: who asks for a response that is old is refused.
    Strict,
    /// `MUST_STAPLE`: who asks is refused without a response that is not old.
    Must,
}

/// What a client that asked for a response got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stapled {
    /// `ssl.ocsp_staple_responses`
    Response,
    /// `ssl.ocsp_staple_omitted`
    Omitted,
    /// `ssl.ocsp_staple_failed`: no certificate.
    Failed,
}

/// A response for one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staple {
    /// As it is sent.
    pub der: Vec<u8>,
    serial: Vec<u8>,
    /// `thisUpdate`, in seconds since 1970.
    pub valid_from_unix_s: i64,
    /// `nextUpdate`; a response without one is old from the beginning, as Envoy has it.
    pub expires_unix_s: Option<i64>,
}

impl Staple {
    /// Reads a response in DER; what is wrong with it in Envoy's words.
    pub fn parse(der: &[u8]) -> Result<Self, &'static str> {
        let single = "Data contained more than a single OCSP response";
        if der.len() > MAX {
            return Err("OCSP response is too long");
        }
        let (rest, outer) = Any::from_der(der).map_err(|_| single)?;
        if !rest.is_empty() {
            return Err(single);
        }
        let mut outer = Items(outer.data);
        let status = outer.of(Tag::Enumerated).ok_or("OCSP response is malformed")?;
        if status.data != [0] {
            return Err("OCSP response was unsuccessful");
        }
        let bytes = outer.tagged(0).ok_or("OCSP response has no body")?;
        let responses = responses(bytes).ok_or("OCSP response is malformed")?;
        let mut responses = Items(responses);
        let one = responses.of(Tag::Sequence).ok_or("OCSP response is malformed")?;
        if !responses.0.is_empty() {
            return Err("OCSP Response must be for one certificate only");
        }
        single_response(one.data, der).ok_or("OCSP response is malformed")
    }

    /// Whether it is for this certificate. As Envoy, by the serial number.
    pub(crate) fn is_for(&self, certificate: &[u8]) -> bool {
        let parsed = X509Certificate::from_der(certificate);
        parsed.is_ok_and(|(_, parsed)| parsed.raw_serial() == self.serial)
    }

    pub(crate) fn is_old(&self, now_unix_s: i64) -> bool {
        self.expires_unix_s.is_none_or(|until| until < now_unix_s)
    }
}

/// The responses of a basic response.
fn responses(bytes: &[u8]) -> Option<&[u8]> {
    let mut bytes = Items(Items(bytes).of(Tag::Sequence)?.data);
    let kind = Oid::try_from(bytes.of(Tag::Oid)?).ok()?;
    let basic = bytes.of(Tag::OctetString)?.data;
    if kind.to_id_string() != BASIC {
        return None;
    }
    let mut data = Items(Items(Items(basic).of(Tag::Sequence)?.data).of(Tag::Sequence)?.data);
    // The version is left out where it is the first.
    let before = data.0;
    if data.tagged(0).is_none() {
        data = Items(before);
    }
    data.next()?;
    data.of(Tag::GeneralizedTime)?;
    Some(data.of(Tag::Sequence)?.data)
}

fn single_response(response: &[u8], whole: &[u8]) -> Option<Staple> {
    let mut response = Items(response);
    let mut id = Items(response.of(Tag::Sequence)?.data);
    id.of(Tag::Sequence)?;
    id.of(Tag::OctetString)?;
    id.of(Tag::OctetString)?;
    let serial = id.of(Tag::Integer)?.data.to_vec();
    // Good, revoked or unknown: Envoy hands on whatever the responder said.
    response.next()?;
    let valid_from_unix_s = response.time()?;
    let expires_unix_s = match response.tagged(0) {
        Some(inner) => Some(Items(inner).time()?),
        None => None,
    };
    Some(Staple { der: whole.to_vec(), serial, valid_from_unix_s, expires_unix_s })
}

/// Whether a certificate says that it is never to be presented without a response.
pub(crate) fn requires_staple(certificate: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let mut extensions = parsed.extensions().iter();
    let feature = extensions.find(|one| one.oid.to_id_string() == TLS_FEATURE);
    let Some(mut list) = feature.and_then(|one| Items(one.value).of(Tag::Sequence)) else {
        return false;
    };
    let mut features = Items(std::mem::take(&mut list.data));
    std::iter::from_fn(|| features.of(Tag::Integer)).any(|feature| feature.data == STATUS_REQUEST)
}
