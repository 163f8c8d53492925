//! Hostile and broken texts: each gives a message or errors, never a panic, and every error points
//! into the text.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use ringway_bridge::stats::Catalog;
use ringway_config::compile::{
    Cause, Compiler, Environment, NoSinks, NoSockets, ResolvedEndpoints,
};
use ringway_config::{Format, Loaded, Source, Support, load, print};
use ringway_model::filter::Registry;

/// Words that mean something to YAML, JSON or the decoder.
const WORDS: &[&str] = &[
    "- ",
    ": ",
    "\n",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!ignore ",
    "!!int ",
    "|\n  ",
    ">-\n  ",
    "'",
    "\"",
    "#",
    "---\n",
    "...",
    "<<",
    "? ",
    "%TAG",
    "\t",
    "~",
    "null",
    "yes",
    "0x10",
    "-1",
    "1e400",
    "1.5s",
    "\\u0000",
    "\u{feff}",
    "é",
    "\0",
    "'@type': ",
    "type.googleapis.com/",
    "envoy.config.cluster.v3.Cluster",
    "xds.type.v3.TypedStruct",
    "google.protobuf.Duration",
    "google.protobuf.Any",
    "type_url",
    "value",
    "static_resources",
    "clusters",
    "listeners",
    "name",
    "admin",
    "address",
    "metadata",
    "filter_metadata",
    "typed_config",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999s",
    "NaN",
    "Infinity",
];

fn read(text: &str, format: Format) {
    let source = Source { name: "x".into(), text: text.into(), format };
    let lines = text.lines().count() as u32 + 1;
    match load::read(&[source], &Support::built_in()) {
        Ok(loaded) => {
            let text = print::compact(&loaded.message);
            let printed = Source { name: "y".into(), text: text.clone(), format: Format::Json };
            let again = load::read(&[printed], &Support::built_in());
            let again = again.unwrap_or_else(|errors| panic!("what was printed: {errors:?}"));
            // Messages have no readable `Debug` form to compare by `assert_eq!`.
            let same = loaded.message == again.message;
            assert!(same, "{text}\nis read as\n{}", print::compact(&again.message));
            compile(&loaded);
        }
        Err(refused) => {
            let errors = compiler().errors_of(Cause::Start, refused);
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.line <= lines, "{error} in a text of {lines} lines");
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

/// All valid bootstraps of the corpus.
fn corpus() -> Vec<(String, Format)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let folders =
        ["supported", "warned", "not_yet"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let texts = paths.filter(|path| path.extension().unwrap() != "txt");
    let format = |path: &Path| match path.extension().unwrap().to_str() {
        Some("json") => Format::Json,
        _ => Format::Yaml,
    };
    texts.map(|path| (fs::read_to_string(&path).unwrap(), format(&path))).collect()
}

/// One change of a text: at a place (a share of its length), cut some bytes, put in a word.
fn mutated(text: &str, (place, cut, word): (f64, usize, &str)) -> String {
    let at = (text.len() as f64 * place) as usize;
    let boundary = |at: usize| (at..text.len()).find(|at| text.is_char_boundary(*at));
    let start = boundary(at).unwrap_or(text.len());
    let end = boundary(start + cut).unwrap_or(text.len());
    format!("{}{word}{}", &text[..start], &text[end..])
}

/// Compiles twice, so that the second finds what the first left. What is refused has a reason.
fn compiler() -> Compiler {
    Compiler::new(Environment {
        catalog: Arc::new(Catalog::default()),
        registry: Registry::default(),
        workers: 1,
        local_ip: "192.0.2.1".parse().unwrap(),
    })
}

fn compile(loaded: &Loaded) {
    let mut compiler = compiler();
    for _ in 0..2 {
        let answers = ResolvedEndpoints::new();
        let result = compiler.compile(loaded, &answers, &mut NoSockets, &mut NoSinks);
        assert!(result.err().is_none_or(|errors| !errors.is_empty()));
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), proptest::sample::select(WORDS)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        read(&text, Format::Yaml);
        read(&text, Format::Json);
    }

    #[test]
    fn any_words_are_answered(words in proptest::collection::vec(word(), 0..60)) {
        read(&words.concat(), Format::Yaml);
        read(&words.concat(), Format::Json);
    }

    #[test]
    fn mutated_bootstraps_are_answered(
        (text, format) in proptest::sample::select(corpus()),
        changes in proptest::collection::vec((0.0..1.0, 0_usize..12, word()), 1..6),
    ) {
        read(&changes.into_iter().fold(text, |text, change| mutated(&text, change)), format);
    }

    #[test]
    fn json_of_any_shape_is_answered(value in json(5)) {
        read(&value, Format::Json);
        read(&value, Format::Yaml);
    }
}

/// JSON of random shapes under keys that the API has.
fn json(depth: u32) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<i64>().prop_map(|number| number.to_string()),
        proptest::sample::select(WORDS).prop_map(|word| format!("{word:?}")),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(depth, 64, 6, |inner| {
        let key = proptest::sample::select(WORDS);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::hash_map(key, inner, 0..6).prop_map(|entries| {
                let entries = entries.iter().map(|(key, value)| format!("{key:?}:{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}
