//! What rustls decides inside of a handshake and does not tell: which certificate was presented,
//! what the peer showed even when it was refused, and why it was.
//!
//! The callbacks of rustls (certificate selection, verification) run inside of the engine's calls,
//! on the same thread: they leave notes there, and the engine collects them after each call.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::{KeyLog, SignatureScheme};

use crate::certificate::{Certificate, write_hex};
use crate::error::Counter;
use crate::staple::Stapled;

/// The notes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The client asks for a response of OCSP.
    pub(crate) asks_for_status: bool,
    /// What it got, if it does.
    pub(crate) stapled: Option<Stapled>,
    /// When the session that is resumed began, in seconds since 1970.
    pub(crate) session_began_unix_s: Option<u64>,
    /// Lines of the key log, where one is kept.
    pub(crate) secrets: Vec<u8>,
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

/// Looks into them.
pub(crate) fn noted<T>(look: impl FnOnce(&Notes) -> T) -> T {
    NOTES.with_borrow(look)
}

/// Runs a call of rustls with these notes.
pub(crate) fn with<T>(notes: &mut Notes, call: impl FnOnce() -> T) -> T {
    NOTES.with_borrow_mut(|inside| std::mem::swap(inside, notes));
    let result = call();
    NOTES.with_borrow_mut(|inside| std::mem::swap(inside, notes));
    result
}

/// Keeps the secrets of a connection in the form of the NSS key log, for whoever collects them.
#[derive(Debug)]
pub(crate) struct NoteSecrets;

impl KeyLog for NoteSecrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        note(|notes| {
            notes.secrets.extend_from_slice(label.as_bytes());
            notes.secrets.push(b' ');
            write_hex(client_random, &mut notes.secrets);
            notes.secrets.push(b' ');
            write_hex(secret, &mut notes.secrets);
            notes.secrets.push(b'\n');
        });
    }
}
