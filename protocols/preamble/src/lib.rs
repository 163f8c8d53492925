//! The first bytes of a connection: who sent it, and what it is going to speak.
//!
//! Owns: the PROXY protocol (versions 1 and 2, both ways), the peek at a TLS ClientHello with its
//! JA3 and JA4 fingerprints, the guess at plain HTTP. Does not own: sockets, deadlines, which peers
//! are trusted to send a PROXY header, or what becomes of an answer (the listener filters do).
//! All parsers look at the bytes from the start of the connection, may be asked again with more of
//! them, and never panic on hostile ones.
#![forbid(unsafe_code)]

pub mod hello;
pub mod http;
pub mod proxy;
mod reader;

/// How far a parser came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// At least this many bytes more (one or more) are needed to say anything.
    NeedMore(usize),
    /// The answer, and how many bytes from the start it stands on.
    Done(T, usize),
}
