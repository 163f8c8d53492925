//! The message itself (RFC 8446 section 4.1.2).

use super::HelloError;
use crate::reader::Reader;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a client offers. Lists keep the client's order and its GREASE values (RFC 8701).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// `legacy_version`, such as 0x0303.
    pub legacy_version: u16,
    /// Cipher suites by number.
    pub cipher_suites: Vec<u16>,
    /// Types of extensions in their order.
    pub extensions: Vec<u16>,
    /// The name that the client asks for, in lower case.
    pub server_name: Option<String>,
    /// Application protocols, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// `supported_versions`; empty for a client of TLS 1.2 and older.
    pub supported_versions: Vec<u16>,
    /// Key exchange groups by number.
    pub groups: Vec<u16>,
    /// Point formats by number.
    pub point_formats: Vec<u8>,
    /// Signature schemes by number.
    pub signature_schemes: Vec<u16>,
}

impl ClientHello {
    /// The highest version on offer that is not GREASE.
    pub fn max_version(&self) -> u16 {
        let offered =
            self.supported_versions.iter().copied().filter(|version| !is_grease(*version));
        offered.max().unwrap_or(self.legacy_version)
    }
}

/// RFC 8701: both bytes equal, low nibble 0xa.
pub(super) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Parses the body of the handshake message, all of it.
pub(super) fn client_hello(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut reader = Reader(body);
    let mut hello = ClientHello::default();
    let fixed = fixed(&mut reader, &mut hello);
    fixed.ok_or(HelloError::Malformed("fields before the extensions"))?;
    if reader.is_empty() {
        return Ok(hello);
    }
    let block = reader.vector16().filter(|_| reader.is_empty());
    let mut block = Reader(block.ok_or(HelloError::Malformed("length of the extensions"))?);
    while !block.is_empty() {
        let extension = block.u16().zip(block.vector16());
        let (kind, data) = extension.ok_or(HelloError::Malformed("length of an extension"))?;
        // RFC 8446 section 4.2: no type may stand twice. At most 4096 types fit a hello of 16 KiB;
        // those that matter are few, so only they are looked for.
        if is_known(kind) && hello.extensions.contains(&kind) {
            return Err(HelloError::Malformed("extension stands twice"));
        }
        hello.extensions.push(kind);
        take_extension(&mut hello, kind, data).ok_or(HelloError::Malformed(name(kind)))?;
    }
    Ok(hello)
}

fn fixed(reader: &mut Reader<'_>, hello: &mut ClientHello) -> Option<()> {
    hello.legacy_version = reader.u16()?;
    reader.array::<32>()?;
    let session = reader.vector8()?;
    hello.cipher_suites = numbers(reader.vector16()?)?;
    let compressions = reader.vector8()?;
    let sound = session.len() <= 32 && !hello.cipher_suites.is_empty() && !compressions.is_empty();
    sound.then_some(())
}

fn is_known(kind: u16) -> bool {
    let known = [
        SERVER_NAME,
        SUPPORTED_GROUPS,
        POINT_FORMATS,
        SIGNATURE_ALGORITHMS,
        ALPN,
        SUPPORTED_VERSIONS,
    ];
    known.contains(&kind)
}

fn name(kind: u16) -> &'static str {
    match kind {
        SERVER_NAME => "server_name",
        SUPPORTED_GROUPS => "supported_groups",
        POINT_FORMATS => "ec_point_formats",
        SIGNATURE_ALGORITHMS => "signature_algorithms",
        ALPN => "application_layer_protocol_negotiation",
        _ => "supported_versions",
    }
}

fn take_extension(hello: &mut ClientHello, kind: u16, data: &[u8]) -> Option<()> {
    let mut reader = Reader(data);
    match kind {
        SERVER_NAME => hello.server_name = Some(server_name(&mut reader)?),
        SUPPORTED_GROUPS => hello.groups = numbers(reader.vector16()?)?,
        POINT_FORMATS => hello.point_formats = reader.vector8()?.to_vec(),
        SIGNATURE_ALGORITHMS => hello.signature_schemes = numbers(reader.vector16()?)?,
        ALPN => hello.alpn = protocols(reader.vector16()?)?,
        SUPPORTED_VERSIONS => hello.supported_versions = numbers(reader.vector8()?)?,
        _ => return Some(()),
    }
    reader.is_empty().then_some(())
}

/// RFC 6066 section 3. One name, as every client sends it; a NUL could hide the rest of a name from
/// whoever compares it as a C string.
fn server_name(reader: &mut Reader<'_>) -> Option<String> {
    let mut list = Reader(reader.vector16()?);
    let host_name = list.u8()? == 0;
    let name = list.vector16()?;
    let sound = host_name && list.is_empty() && (1..=255).contains(&name.len());
    let printable = name.iter().all(|byte| byte.is_ascii_graphic());
    (sound && printable).then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// RFC 7301 section 3.1: no empty list and no empty name.
fn protocols(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(list);
    let mut names = Vec::new();
    while !reader.is_empty() {
        names.push(reader.vector8().filter(|name| !name.is_empty())?.to_vec());
    }
    (!names.is_empty()).then_some(names)
}

fn numbers(bytes: &[u8]) -> Option<Vec<u16>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}
