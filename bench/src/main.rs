//! The program `ringway-bench`; all of it is in the library, so that micro benchmarks see the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringway_bench::main()
}
