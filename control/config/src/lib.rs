//! wip
#![forbid(unsafe_code)]
mod descriptors;
