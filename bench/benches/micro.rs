//! The cases of `ringway_bench::cases` by the clock: `cargo bench -p ringway-bench`.

use std::fmt;

use ringway_bench::cases::{self, Case};

fn main() {
    divan::main();
}

/// A case as divan prints it.
struct Named(Case);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

// Half a second each, so that all of them take some ten seconds.
#[divan::bench(args = cases::all().map(Named), max_time = 0.5)]
fn case(bencher: divan::Bencher, named: &Named) {
    let work = (named.0.make)();
    bencher.bench_local(work);
}
