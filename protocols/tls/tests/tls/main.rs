//! The engine and its contexts, with certificates made in memory.

mod engine;
mod loading;
mod sealed;
mod spiffe;
mod staples;
mod support;
mod version1;
