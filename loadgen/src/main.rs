//! The binary `ringway-load`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ringway_loadgen::main()
}
