//! Tests of the whole proxy as a process. There is no code here: `tests/scenarios` holds what
//! Ringway must do, one file for each matter; `tests/differential` holds the comparison with the
//! real Envoy on the same configurations.
#![forbid(unsafe_code)]
