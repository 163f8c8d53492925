//! The engine and its contexts, with certificates made in memory.

mod engine;
mod loading;
mod support;
