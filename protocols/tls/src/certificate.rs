//! What a certificate says, for matching, for `x-forwarded-client-cert` and for access logs.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Subject alternative names by kind. A name with a control character is left out: as a C string it
/// would read as another (CVE-2009-2408).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names, with their wildcards.
    pub dns: Vec<String>,
    /// URIs, such as SPIFFE identities.
    pub uri: Vec<String>,
    /// Mail addresses.
    pub email: Vec<String>,
    /// Addresses.
    pub ip: Vec<IpAddr>,
    /// Other names that are texts, each with its object identifier in dotted decimals.
    pub other: Vec<(String, String)>,
}

impl Names {
    /// All of them, as Envoy lists them.
    pub fn list(&self) -> Vec<String> {
        let texts = [&self.dns, &self.uri].into_iter().flatten().cloned();
        let ips = self.ip.iter().map(ToString::to_string);
        texts.chain(ips).chain(self.email.iter().cloned()).collect()
    }
}

/// A certificate, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// RFC 2253 form.
    pub subject: String,
    /// The first common name of the subject, if there is one.
    pub common_name: Option<String>,
    /// RFC 2253 form.
    pub issuer: String,
    /// Lower-case hexadecimal, without separators.
    pub serial: String,
    /// Seconds since 1970.
    pub not_before_unix_s: i64,
    /// Seconds since 1970.
    pub not_after_unix_s: i64,
    /// The same for people: `Jan  1 00:00:00 2000 +00:00`.
    pub not_after_text: String,
    /// Alternative names.
    pub names: Names,
    /// SHA-256 over the DER form, as `verify_certificate_hash` wants it.
    pub sha256: [u8; 32],
    /// SHA-1 over the DER form: a name for the certificate, no proof of anything.
    pub sha1: [u8; 20],
    /// SHA-256 over the SubjectPublicKeyInfo, as `verify_certificate_spki` wants it.
    pub spki_sha256: [u8; 32],
}

impl Certificate {
    /// Parses DER; `None` when it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: reversed(parsed.subject()),
            common_name: common_name(&parsed),
            issuer: reversed(parsed.issuer()),
            serial: serial(parsed.raw_serial()),
            not_before_unix_s: parsed.validity().not_before.timestamp(),
            not_after_unix_s: parsed.validity().not_after.timestamp(),
            not_after_text: parsed.validity().not_after.to_string(),
            names: names(&parsed)?,
            sha256: sha256(der),
            sha1: sha1(der),
            spki_sha256: sha256(parsed.public_key().raw),
        })
    }
}

fn common_name(parsed: &X509Certificate<'_>) -> Option<String> {
    let first = parsed.subject().iter_common_name().next()?;
    first.as_str().ok().map(ToOwned::to_owned)
}

/// RFC 2253 section 2.1: the last relative name comes first, commas between without spaces.
fn reversed(name: &x509_parser::x509::X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let one = rdn.iter().map(|attribute| {
                let kind = attribute.attr_type();
                let registry = x509_parser::objects::oid_registry();
                let short = x509_parser::objects::oid2abbrev(kind, registry);
                let kind = short.map_or_else(|_| kind.to_id_string(), ToOwned::to_owned);
                format!("{kind}={}", escaped(attribute.as_str().unwrap_or("")))
            });
            one.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

/// RFC 2253 section 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        let edge = index == 0 && matches!(character, ' ' | '#');
        if edge || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

fn names(parsed: &X509Certificate<'_>) -> Option<Names> {
    let mut names = Names::default();
    let Some(extension) = parsed.subject_alternative_name().ok()? else { return Some(names) };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => push(&mut names.dns, name),
            GeneralName::URI(name) => push(&mut names.uri, name),
            GeneralName::RFC822Name(name) => push(&mut names.email, name),
            GeneralName::IPAddress(bytes) => names.ip.extend(address(bytes)),
            GeneralName::OtherName(oid, value) => {
                let text = other_name(value).filter(|text| !has_control(text));
                names.other.extend(text.map(|text| (oid.to_id_string(), text)));
            }
            _ => {}
        }
    }
    Some(names)
}

fn push(list: &mut Vec<String>, name: &str) {
    if !has_control(name) {
        list.push(name.to_owned());
    }
}

fn has_control(name: &str) -> bool {
    name.contains(|character: char| character.is_control())
}

/// RFC 5280 section 4.2.1.6: `[0] EXPLICIT`, here with one of the kinds of text.
fn other_name(value: &[u8]) -> Option<String> {
    let (_, outer) = Any::from_der(value).ok()?;
    let (_, inner) = Any::from_der(outer.data).ok()?;
    match inner.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString => {
            String::from_utf8(inner.data.to_vec()).ok()
        }
        Tag::BmpString => {
            let units = inner.data.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

/// Without the byte 0 that keeps a number positive in DER.
fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex(&bytes[zeros.min(bytes.len().saturating_sub(1))..])
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut sum = [0; 20];
    sum.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    sum
}

/// Lower-case hexadecimal, without separators.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    write_hex(bytes, &mut text);
    text.into_iter().map(char::from).collect()
}

/// The same, appended.
pub fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        out.extend_from_slice(&digits);
    }
}
