//! What a run looks like when it is over: text, JSON, CSV, HdrHistogram log, a comparison.
//!
//! Everything here turns figures into bytes; nothing measures.

pub(crate) mod compare;
pub(crate) mod series;
pub(crate) mod text;
