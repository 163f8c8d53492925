//! The proxy's own log of what becomes of connections and requests, at debug and trace level.
//!
//! Targets are the names of Envoy's loggers (`conn_handler`, `connection`, `http`, `router`,
//! `pool`, `upstream`), and lines begin with Envoy's tags, so that one connection or one stream
//! can be followed through all of them. A line whose logger is quiet costs a load and a comparison:
//! nothing of it is formatted.

/// A line about a downstream connection, by its number.
macro_rules! about_connection {
    ($level:ident, $target:literal, $id:expr, $($text:tt)+) => {
        if $crate::tell::is_wanted() {
            $crate::tell::apart(|| {
                tracing::$level!(
                    target: $target,
                    "[Tags: \"ConnectionId\":\"{}\"] {}",
                    $id,
                    format_args!($($text)+)
                )
            })
        }
    };
}

/// A line about a request, by the exchange that serves it.
macro_rules! about_stream {
    ($level:ident, $target:literal, $exchange:expr, $($text:tt)+) => {
        if $crate::tell::is_wanted() {
            $crate::tell::apart(|| {
                tracing::$level!(
                    target: $target,
                    "[Tags: \"ConnectionId\":\"{}\",\"StreamId\":\"{}\"] {}",
                    $exchange.down.info.id,
                    $exchange.random,
                    format_args!($($text)+)
                )
            })
        }
    };
}

pub(crate) use {about_connection, about_stream};

use std::fmt;

use ringway_http::Fields;
use tracing::level_filters::LevelFilter;

/// Whether any logger writes at debug level: one load, asked before anything of a line is made.
#[inline]
pub(crate) fn is_wanted() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// Keeps what makes a line out of the way of the code around it.
#[cold]
#[inline(never)]
pub(crate) fn apart(line: impl FnOnce()) {
    line();
}

/// Bytes from the wire, with what is not printable as an escape.
pub(crate) struct Text<'b>(pub(crate) &'b [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// All fields of a head, one per line, as Envoy writes them.
pub(crate) struct Lines<'f>(pub(crate) &'f Fields);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.iter() {
            write!(f, "\n'{}', '{}'", Text(name), Text(value))?;
        }
        Ok(())
    }
}
