//! Session tickets under keys that all workers, and other processes, may share.
//!
//! Owns: the form of a ticket, and how long a session may be resumed, wherever it is kept. Does not
//! own: when keys rotate; a new list in a new context does it, whose first key seals and all of
//! whose keys open.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, RandomizedNonceKey};
use aws_lc_rs::hmac;
use rustls::pki_types::UnixTime;
use rustls::server::{ProducesTickets, StoresServerSessions};

use crate::load::ContextError;
use crate::notes;

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
}

impl Ticketer {
    /// `context` tells contexts apart that share keys: a ticket of one must not open the session of
    /// another, which may verify its clients otherwise (CVE-2025-23419).
    pub(crate) fn new(keys: &TicketKeys, context: &[u8; 32]) -> Result<Self, ContextError> {
        if keys.0.is_empty() {
            return Err(ContextError::of_field("session_ticket_keys.keys", "is empty"));
        }
        let keys = keys.0.iter().map(|key| derive(key, context)).collect::<Result<_, _>>()?;
        Ok(Self { keys })
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

    /// [`Aged`] knows it.
    fn lifetime(&self) -> u32 {
        0
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

/// Sessions that end: `session_timeout` after the handshake in which the peer said who it is,
/// however often they are renewed since. rustls leaves that to whoever keeps them.
pub(crate) struct Aged<S: ?Sized> {
    lifetime_s: u32,
    clock: fn() -> UnixTime,
    sessions: Arc<S>,
}

impl<S: ?Sized> Aged<S> {
    pub(crate) fn new(sessions: Arc<S>, lifetime_s: u32) -> Self {
        Self { sessions, lifetime_s, clock: UnixTime::now }
    }

    /// The session behind the time at which it, or the one that it renews, began.
    fn stamped(&self, session: &[u8]) -> Vec<u8> {
        let began = notes::noted(|notes| notes.session_began_unix_s);
        let began = began.unwrap_or_else(|| (self.clock)().as_secs());
        [&began.to_be_bytes(), session].concat()
    }

    /// The session, unless it is too old or from the future.
    fn fresh(&self, stamped: &[u8]) -> Option<Vec<u8>> {
        let (began, session) = stamped.split_first_chunk()?;
        let began = u64::from_be_bytes(*began);
        let age = (self.clock)().as_secs().checked_sub(began)?;
        if age >= u64::from(self.lifetime_s) {
            return None;
        }
        notes::note(|notes| notes.session_began_unix_s = Some(began));
        Some(session.to_vec())
    }
}

impl<S: ?Sized> fmt::Debug for Aged<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aged").field("lifetime_s", &self.lifetime_s).finish_non_exhaustive()
    }
}

impl ProducesTickets for Aged<dyn ProducesTickets> {
    fn enabled(&self) -> bool {
        self.sessions.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.sessions.encrypt(&self.stamped(plain))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.sessions.decrypt(ticket)?)
    }
}

impl<S: StoresServerSessions + ?Sized> StoresServerSessions for Aged<S> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, self.stamped(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.sessions.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.sessions.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.sessions.can_cache()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use rustls::server::ServerSessionMemoryCache;

    use super::*;
    use crate::notes::Notes;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(1_000_000) };
    }

    fn clock() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(NOW.get()))
    }

    fn at<T>(now: u64, connection: impl FnOnce() -> T) -> T {
        NOW.set(now);
        notes::with(&mut Notes::default(), connection)
    }

    #[test]
    fn a_ticket_ends_with_the_session_that_it_renews() {
        let keys = TicketKeys(vec![TicketKey([7; 80])]);
        let ticketer: Arc<dyn ProducesTickets> = Arc::new(Ticketer::new(&keys, &[1; 32]).unwrap());
        let aged = Aged { sessions: ticketer, lifetime_s: 100, clock };
        let first = at(1000, || aged.encrypt(b"session")).expect("sealed");
        for (now, expected) in [(999, false), (1000, true), (1099, true), (1100, false)] {
            assert_eq!(at(now, || aged.decrypt(&first)).is_some(), expected, "{now}");
        }
        let renewed = at(1090, || {
            assert_eq!(aged.decrypt(&first).as_deref(), Some(&b"session"[..]));
            aged.encrypt(b"again").expect("sealed")
        });
        assert_eq!(at(1099, || aged.decrypt(&renewed)).as_deref(), Some(&b"again"[..]));
        assert_eq!(at(1100, || aged.decrypt(&renewed)), None);
    }

    #[test]
    fn a_session_that_is_kept_ends_as_well() {
        let memory = ServerSessionMemoryCache::new(8);
        let aged = Aged { sessions: memory, lifetime_s: 100, clock };
        assert!(at(1000, || aged.put(b"a".to_vec(), b"session".to_vec())));
        assert_eq!(at(1099, || aged.get(b"a")).as_deref(), Some(&b"session"[..]));
        assert_eq!(at(1100, || aged.get(b"a")), None);
        assert_eq!(at(1100, || aged.take(b"a")), None);
        assert_eq!(at(1000, || aged.take(b"a")), None, "it was taken");
    }
}
