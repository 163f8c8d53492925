//! Session tickets under keys that all workers, and other processes, may share.
//!
//! Owns: the form of a ticket. Does not own: when keys rotate; a new list in a new context does it,
//! whose first key seals and all of whose keys open.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, RandomizedNonceKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;

use crate::load::ContextError;

const NAME: usize = 16;
const NONCE: usize = 12;

/// The 80 bytes of Envoy's `session_ticket_keys`: name, HMAC key, AES key.
#[derive(Clone)]
pub struct TicketKey([u8; 80]);

impl TicketKey {
    /// Takes exactly 80 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ContextError> {
        let length = |_| {
            let reason = format!("a key has 80 bytes, this one {}", bytes.len());
            ContextError::of_field("session_ticket_keys.keys", reason)
        };
        bytes.try_into().map(Self).map_err(length)
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

/// Keys in the order of their age, the newest first.
#[derive(Debug, Clone)]
pub struct TicketKeys(pub Vec<TicketKey>);

/// Seals sessions for one context only.
pub(crate) struct Ticketer {
    keys: Vec<([u8; NAME], RandomizedNonceKey)>,
    lifetime_s: u32,
}

impl Ticketer {
    /// `context` tells contexts apart that share keys: a ticket of one must not open the session of
    /// another, which may verify its clients otherwise (CVE-2025-23419).
    pub(crate) fn new(
        keys: &TicketKeys,
        context: &[u8; 32],
        lifetime_s: u32,
    ) -> Result<Self, ContextError> {
        if keys.0.is_empty() {
            return Err(ContextError::of_field("session_ticket_keys.keys", "is empty"));
        }
        let keys = keys.0.iter().map(|key| derive(key, context)).collect::<Result<_, _>>()?;
        Ok(Self { keys, lifetime_s })
    }
}

fn derive(
    key: &TicketKey,
    context: &[u8; 32],
) -> Result<([u8; NAME], RandomizedNonceKey), ContextError> {
    let mut name = [0; NAME];
    name.copy_from_slice(&key.0[..NAME]);
    let mut derivation =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key.0[NAME..]));
    derivation.update(b"ringway session ticket");
    derivation.update(context);
    let sealing = RandomizedNonceKey::new(&AES_256_GCM_SIV, derivation.sign().as_ref());
    let broken = |_| ContextError::of_field("session_ticket_keys.keys", "cannot be used");
    Ok((name, sealing.map_err(broken)?))
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticketer with {} keys", self.keys.len())
    }
}

/// A ticket is the name of its key, a nonce, and the sealed session.
impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (name, key) = self.keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([name.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let mut sealed = sealed.to_vec();
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        let (_, key) = self.keys.iter().find(|(known, _)| known == name)?;
        let len = key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?.len();
        sealed.truncate(len);
        Some(sealed)
    }
}

/// Tickets of another make, for which clients are told another lifetime.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) tickets: Arc<dyn ProducesTickets>,
    pub(crate) lifetime_s: u32,
}

impl ProducesTickets for Kept {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.tickets.decrypt(ticket)
    }
}
