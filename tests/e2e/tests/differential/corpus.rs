//! The corpora: one file for each configuration.

mod plain;
