//! Keys under a password: PKCS#8 and OpenSSL's older form in PEM, and PKCS#12.
//!
//! Owns: what is read; everything is written out in the forms without a password that the rest of
//! this crate knows. Does not own: where the password comes from.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use md5::{Digest as _, Md5};
use p12_keystore::Pkcs12Archive;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::load::{ContextError, Source};

const PKCS8: &str = "ENCRYPTED PRIVATE KEY";
/// RFC 1421 section 4.6.1.1, as OpenSSL writes it.
const OLD: &str = "4,ENCRYPTED";
const WRONG: &str = "the password is wrong (BAD_DECRYPT)";

/// The key without its password; a key that has none comes back as it is.
pub fn unsealed_key(key: Source, password: &[u8]) -> Result<Source, ContextError> {
    let Some(section) = std::str::from_utf8(&key.bytes).ok().and_then(Section::find) else {
        return Ok(key);
    };
    let opened = match section.label {
        PKCS8 => open_pkcs8(&section, password),
        _ => open_old(&section, password),
    };
    let bytes = opened.map_err(|reason| key.refuse("private_key", reason))?;
    Ok(Source { name: key.name, bytes })
}

/// The certificates of a PKCS#12 file, that of its key first, and the key.
pub fn unsealed_pkcs12(source: &Source, password: &str) -> Result<(Source, Source), ContextError> {
    let refuse = |reason: &str| source.refuse("pkcs12", reason);
    let archive = Pkcs12Archive::from_pkcs12(&source.bytes, password);
    let archive = archive.map_err(|error| refuse(&error.to_string()))?;
    let key = archive.keys.first().ok_or_else(|| refuse("holds no private key"))?;
    let of_key = key.local_key_id.as_ref().map(AsRef::as_ref);
    let is_of_key = |id: &Option<Vec<u8>>| id.is_some() && id.as_deref() == of_key;
    let place = archive.certs.iter().position(|one| is_of_key(&one.local_key_id)).unwrap_or(0);
    let leaf = archive.certs.get(place).ok_or_else(|| refuse("holds no certificate"))?;
    let others = archive.certs.iter().enumerate().filter(|(at, _)| *at != place);
    let mut chain = pem(leaf.cert.as_der());
    for (_, other) in others {
        chain.extend(pem(other.cert.as_der()));
    }
    let named = |bytes| Source { name: source.name.clone(), bytes };
    Ok((named(chain), named(key.key.as_der().to_vec())))
}

fn pem(der: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    crate::pem::write_pem(der, &mut text);
    text
}

/// A section of PEM with a key under a password.
struct Section<'a> {
    label: &'a str,
    /// Algorithm and initialisation vector of the older form.
    cipher: Option<(&'a str, &'a str)>,
    der: Vec<u8>,
}

impl<'a> Section<'a> {
    /// The first of them, if there is one.
    fn find(text: &'a str) -> Option<Self> {
        let sections = text.split("-----BEGIN ").skip(1);
        sections.filter_map(Self::read).find(|one| one.label == PKCS8 || one.cipher.is_some())
    }

    /// What stands behind `BEGIN`.
    fn read(section: &'a str) -> Option<Self> {
        let (label, rest) = section.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        let fields: Vec<(&str, &str)> =
            body.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name| fields.iter().find(|one| one.0 == name).map(|one| one.1.trim());
        let is_old = label.ends_with("PRIVATE KEY") && field("Proc-Type") == Some(OLD);
        let cipher = field("DEK-Info").filter(|_| is_old).and_then(|info| info.split_once(','));
        let lines = body.lines().filter(|line| !line.contains(':'));
        // Another label: what reads it is about the Base64 only.
        let plain: String = lines.flat_map(|line| [line, "\n"]).collect();
        let plain = format!("-----BEGIN PRIVATE KEY-----\n{plain}-----END PRIVATE KEY-----\n");
        let der = PrivatePkcs8KeyDer::from_pem_slice(plain.as_bytes()).ok()?;
        Some(Self { label, cipher, der: der.secret_pkcs8_der().to_vec() })
    }
}

fn open_pkcs8(section: &Section<'_>, password: &[u8]) -> Result<Vec<u8>, String> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(section.der.as_slice());
    let sealed = sealed.map_err(|error| error.to_string())?;
    match sealed.decrypt(password) {
        Ok(opened) => Ok(opened.as_bytes().to_vec()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)) => {
            Err(WRONG.to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn open_old(section: &Section<'_>, password: &[u8]) -> Result<Vec<u8>, String> {
    let (name, iv) = section.cipher.ok_or("has no DEK-Info")?;
    let iv = unhex(iv).filter(|iv| iv.len() >= SALT).ok_or("has a broken DEK-Info")?;
    let opened = match name {
        "AES-128-CBC" => open_aes(&AES_128, 16, &section.der, &iv, password),
        "AES-192-CBC" => open_aes(&AES_192, 24, &section.der, &iv, password),
        "AES-256-CBC" => open_aes(&AES_256, 32, &section.der, &iv, password),
        "DES-EDE3-CBC" => open_des(&section.der, &iv, password),
        _ => return Err(format!("is under {name}, which is not supported")),
    };
    // A wrong password may leave a padding that looks right; the key does not.
    let is_key = |der: &Vec<u8>| rustls::pki_types::PrivateKeyDer::try_from(der.as_slice()).is_ok();
    opened.filter(is_key).ok_or_else(|| WRONG.to_owned())
}

fn open_aes(
    algorithm: &'static Algorithm,
    length: usize,
    sealed: &[u8],
    iv: &[u8],
    password: &[u8],
) -> Option<Vec<u8>> {
    let key = UnboundCipherKey::new(algorithm, &derive(password, iv, length)).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let mut bytes = sealed.to_vec();
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    key.decrypt(&mut bytes, context).ok().map(|opened| opened.to_vec())
}

fn open_des(sealed: &[u8], iv: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let key = derive(password, iv, 24);
    let opener = cbc::Decryptor::<des::TdesEde3>::new_from_slices(&key, iv).ok()?;
    opener.decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

/// Bytes of the vector that salt the key.
const SALT: usize = 8;

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round.
fn derive(password: &[u8], iv: &[u8], length: usize) -> Vec<u8> {
    let mut key: Vec<u8> = Vec::with_capacity(length + 16);
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        let sum = Md5::new().chain_update(&last).chain_update(password);
        last = sum.chain_update(&iv[..SALT]).finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |at| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(digits).collect()
}
