//! The compiler as a whole: snapshots from YAML, errors with their places, and what generations
//! share.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_model::filter::Registry;

use super::*;
use crate::{ConfigError, Source, Support, load};

pub(super) fn compiler() -> Compiler {
    Compiler::new(Environment {
        catalog: Arc::new(Catalog::default()),
        registry: Registry::default(),
        workers: 2,
        local_ip: "192.0.2.1".parse().unwrap(),
    })
}

pub(super) fn loaded(yaml: &str) -> Loaded {
    load::read(&[Source::inline(yaml)], &Support::built_in())
        .unwrap_or_else(|errors| panic!("{}", lines(&errors)))
}

pub(super) fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

#[test]
fn the_corpus_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/supported");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = Source::open(path.to_str().unwrap()).unwrap();
        let loaded = load::read(&[source], &Support::built_in())
            .unwrap_or_else(|errors| panic!("{}", lines(&errors)));
        let compiled =
            compiler().compile(&loaded, &ResolvedEndpoints::new(), &mut NoSockets, &mut NoSinks);
        if let Err(errors) = compiled {
            panic!("{}:\n{}", path.display(), lines(&errors));
        }
    }
}
