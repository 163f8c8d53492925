//! JA3 and JA4: names for what a client offers.

use std::fmt::Write;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::parse::{ClientHello, is_grease};

/// The text under a JA3 fingerprint: version, ciphers, extensions, groups, point formats, each
/// without GREASE.
pub fn ja3_text(hello: &ClientHello) -> String {
    let formats: Vec<u16> = hello.point_formats.iter().copied().map(u16::from).collect();
    let lists = [&hello.cipher_suites, &hello.extensions, &hello.groups, &formats];
    let mut text = hello.legacy_version.to_string();
    for list in lists {
        text.push(',');
        text.push_str(&joined(list.iter().copied(), "-", |value| value.to_string()));
    }
    text
}

/// JA3: MD5 of [`ja3_text`], 32 hexadecimal digits.
pub fn ja3(hello: &ClientHello) -> String {
    hex(&Md5::digest(ja3_text(hello)))
}

/// JA4 for TLS over TCP, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub fn ja4(hello: &ClientHello) -> String {
    let ciphers = sorted(hello.cipher_suites.iter().copied());
    let extensions = hello.extensions.iter().copied().filter(|kind| !is_grease(*kind));
    // Server name and ALPN are in the first part already.
    let named = sorted(extensions.clone().filter(|kind| !matches!(kind, 0 | 16)));
    let mut second = joined(named.into_iter(), ",", hex16);
    if !hello.signature_schemes.is_empty() {
        second.push('_');
        second.push_str(&joined(hello.signature_schemes.iter().copied(), ",", hex16));
    }
    format!(
        "t{}{}{:02}{:02}{}_{}_{}",
        version(hello.max_version()),
        if hello.server_name.is_some() { 'd' } else { 'i' },
        ciphers.len().min(99),
        extensions.count().min(99),
        protocol(hello.alpn.first()),
        short(&joined(ciphers.into_iter(), ",", hex16)),
        short(&second),
    )
}

fn version(number: u16) -> &'static str {
    match number {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hexadecimal form when they are not
/// letters or digits.
fn protocol(first: Option<&Vec<u8>>) -> String {
    let Some((&head, &tail)) = first.and_then(|name| name.first().zip(name.last())) else {
        return "00".to_owned();
    };
    if head.is_ascii_alphanumeric() && tail.is_ascii_alphanumeric() {
        return [head, tail].map(char::from).iter().collect();
    }
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    [digit(head >> 4), digit(tail & 0xf)].iter().collect()
}

fn sorted(values: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut values: Vec<u16> = values.filter(|value| !is_grease(*value)).collect();
    values.sort_unstable();
    values
}

fn joined(
    values: impl Iterator<Item = u16>,
    separator: &str,
    text: impl Fn(u16) -> String,
) -> String {
    let values: Vec<String> = values.filter(|value| !is_grease(*value)).map(text).collect();
    values.join(separator)
}

fn hex16(value: u16) -> String {
    format!("{value:04x}")
}

/// The first twelve digits of the SHA-256; twelve zeros for nothing.
fn short(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    hex(&Sha256::digest(text)[..6])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
