//! The shape and the names of code.

use std::collections::BTreeMap;

use proc_macro2::Span;
use ringway_tidy::{Source, report, root, sources};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Lines of a function, from its first to its last brace.
const FUNCTION: usize = 70;
/// Lines of a file, without its inline tests.
const FILE: usize = 800;
const COLUMNS: usize = 100;

/// What a file declares.
#[derive(Default)]
struct Declarations {
    /// Name, first line and length of each function that is not a test's.
    functions: Vec<(String, usize, usize)>,
    /// Kind and name of each item.
    names: Vec<(&'static str, String, usize)>,
    macros: Vec<(String, usize)>,
}

impl Declarations {
    fn of(source: &Source) -> Self {
        let file = syn::parse_file(&source.text);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", source.path));
        let mut declarations = Self::default();
        declarations.visit_file(&file);
        declarations
    }

    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line + 1 - block.span().start().line;
        self.functions.push((name.to_string(), line(name.span()), lines));
        self.names.push(("function", name.to_string(), line(name.span())));
    }

    fn name(&mut self, kind: &'static str, name: &syn::Ident) {
        self.names.push((kind, name.to_string(), line(name.span())));
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let cfg = path.is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"));
        cfg || path.segments.last().is_some_and(|last| last.ident == "test")
    })
}

impl<'ast> Visit<'ast> for Declarations {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            self.name("module", &item.ident);
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.function(&item.sig.ident, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.name("type", &item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.name("type", &item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.name("type", &item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.name("type", &item.ident);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if let Some(last) = item.path.segments.last() {
            self.macros.push((last.ident.to_string(), line(last.ident.span())));
        }
    }
}

/// Excess that is on record: `lines kind name`. It may only shrink.
fn ratchet() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("tests/tidy/ratchet.txt"));
    let text = text.expect("the ratchet can be read");
    let entries = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parse = |entry: &str| {
        let (lines, what) = entry.split_once(' ').expect("`lines kind name`");
        (what.to_owned(), lines.parse().expect("a number of lines"))
    };
    entries.map(parse).collect()
}

/// Compares what is too long with the ratchet: nothing new, nothing grown, nothing forgotten.
fn against_ratchet(kind: &str, found: &BTreeMap<String, usize>, limit: usize) -> Vec<String> {
    let prefix = format!("{kind} ");
    let mut recorded = ratchet();
    recorded.retain(|what, _| what.starts_with(&prefix));
    let mut complaints = Vec::new();
    for (what, lines) in found {
        match recorded.remove(what) {
            Some(allowed) if allowed == *lines => {}
            Some(allowed) if allowed > *lines => {
                complaints.push(format!("{what}: shrank from {allowed} to {lines}: record it"));
            }
            _ => complaints.push(format!("{what}: {lines} lines, {limit} at most")),
        }
    }
    let forgotten = recorded.keys().map(|what| format!("{what}: is short now: strike it out"));
    complaints.extend(forgotten);
    complaints
}

#[test]
fn functions_are_read_in_one_screen() {
    let mut long = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (name, _, lines) in Declarations::of(source).functions {
            if lines > FUNCTION {
                long.insert(format!("function {}::{name}", source.path), lines);
            }
        }
    }
    report(
        "a function longer than a screen",
        "what does not fit on a screen is not read as a whole",
        "split it by step or by state; tests/tidy/ratchet.txt records old excess and only shrinks",
        &against_ratchet("function", &long, FUNCTION),
    );
}

#[test]
fn files_have_one_matter() {
    let mut long = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.lines().count();
        if lines > FILE {
            long.insert(format!("file {}", source.path), lines);
        }
    }
    report(
        "a file with more than one matter",
        "files about 400 lines are found by name and read in one go; 800 is the limit",
        "split it by stage of the pipeline; tests/tidy/ratchet.txt records old excess",
        &against_ratchet("file", &long, FILE),
    );
}

#[test]
fn lines_fit_a_window() {
    // A word that long (a type URL, a link) cannot be broken.
    let unbreakable = |line: &str| line.split_whitespace().any(|word| word.chars().count() > 60);
    let mut complaints = Vec::new();
    // A table of inputs in a test reads better in rows.
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.lines() {
            if line.chars().count() > COLUMNS && !unbreakable(line) {
                complaints.push(format!("{}:{number}", source.path));
            }
        }
    }
    report(
        "a line of more than 100 columns",
        "two files side by side fit a screen",
        "rustfmt, and a break in what it leaves alone: strings and comments",
        &complaints,
    );
}

#[test]
fn names_say_what_a_thing_is() {
    const TYPES: &[&str] = &["Manager", "Helper", "Util"];
    const MODULES: &[&str] =
        &["common", "util", "utils", "helper", "helpers", "misc", "manager", "managers"];
    // Envoy's own terms: the HTTP connection manager, and the statistics of `listener_manager` and
    // `cluster_manager`.
    const TERMS: &[&str] = &["ConnectionManager", "ManagerStats"];
    let mut complaints = Vec::new();
    for source in sources() {
        let stem = source.path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
        if MODULES.contains(&stem) {
            complaints.push(source.path.clone());
        }
        for (kind, name, line) in Declarations::of(&source).names {
            let banned = match kind {
                "type" => {
                    let name = TERMS.iter().fold(name.clone(), |name, term| name.replace(term, ""));
                    TYPES.iter().any(|part| name.contains(part))
                }
                "module" => MODULES.contains(&name.as_str()),
                _ => false,
            };
            if banned {
                complaints.push(format!("{}:{line}: {kind} {name}", source.path));
            }
        }
    }
    report(
        "a name that says nothing",
        "Manager, Helper, Util and common fit everything, so everything gathers there",
        "the field's own term: what it owns (a pool, a table) or what it does (a picker, a reader)",
        &complaints,
    );
}

#[test]
fn nothing_is_left_half_done() {
    const MACROS: &[&str] = &["dbg", "todo", "unimplemented"];
    let mut complaints = Vec::new();
    for source in sources() {
        for (name, line) in Declarations::of(&source).macros {
            if MACROS.contains(&name.as_str()) {
                complaints.push(format!("{}:{line}: {name}!", source.path));
            }
        }
        if source.text.starts_with("//! (being written)") {
            complaints.push(format!("{}: being written", source.path));
        }
    }
    report(
        "a place that is not done",
        "a stub that panics in production is worse than a field that is refused",
        "an error that names the field (`not supported yet`), or the code",
        &complaints,
    );
}

/// Words that must not stand in the code of some folders.
struct Ban {
    words: &'static [&'static str],
    folders: &'static [&'static str],
    /// Files that may, each with its reason beside it.
    except: &'static [&'static str],
    reason: &'static str,
    instead: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &[
            "Instant::now",
            "SystemTime::now",
            "thread::",
            "TcpStream",
            "UdpSocket",
            "std::fs",
            "fastrand::u",
            "fastrand::f64",
            "rand::random",
        ],
        folders: &["protocols/", "lb/"],
        except: &[],
        reason: "engines and pickers get bytes, time and chance as arguments, so that every case \
                 can be played again",
        instead: "an argument: `now`, a generator, a slice",
    },
    Ban {
        words: &["Mutex", "RwLock", "Condvar", "Atomic", "thread::sleep"],
        folders: &["core/proxy/", "core/model/", "protocols/", "lb/", "filters/"],
        except: &[],
        reason: "threads meet in one place only, and nothing on a worker waits for another thread",
        instead: "a type of core/bridge: the published snapshot, a mailbox, a counter, a lease",
    },
    Ban {
        words: &["thread::sleep", "time::sleep("],
        folders: &["tests/"],
        except: &[
            // Waits until a counter rests, which nothing can announce.
            "tests/e2e/tests/scenarios/bodies.rs",
            // Poll a process, a file and admin, which cannot announce anything.
            "tests/support/src/process.rs",
            "tests/support/src/proxy.rs",
            "tests/tidy/tests/source.rs",
        ],
        reason: "a test that sleeps is slow on a fast machine and wrong on a slow one",
        instead: "await the event: `Proxy::wait_stat`, `Origin::wait_for`, a channel",
    },
];

#[test]
fn bans_are_kept() {
    let sources = sources();
    for ban in BANS {
        let mut complaints = Vec::new();
        let outside = |source: &&Source| {
            let inside = ban.folders.iter().any(|folder| source.path.starts_with(folder));
            let test = source.is_test() && !source.path.starts_with("tests/");
            inside && !test && !ban.except.contains(&source.path.as_str())
        };
        for source in sources.iter().filter(outside) {
            for (number, line) in source.lines() {
                let code = line.split("//").next().unwrap_or("");
                if let Some(word) = ban.words.iter().find(|word| code.contains(**word)) {
                    complaints.push(format!("{}:{number}: {word}", source.path));
                }
            }
        }
        let rule = format!("a word that has no place in {:?}", ban.folders);
        report(&rule, ban.reason, ban.instead, &complaints);
    }
}

#[test]
fn protobuf_types_stay_in_the_config_files_of_filters() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("filters/")) {
        let config = source.path.ends_with("/config.rs") || source.is_test();
        for (number, line) in source.lines() {
            if line.contains("envoy_types") && !config {
                complaints.push(format!("{}:{number}", source.path));
            }
        }
    }
    report(
        "a protobuf type outside a filter's config.rs",
        "the per-stream state of a filter reads its compiled configuration only",
        "compile it in config.rs",
        &complaints,
    );
}

#[test]
fn unsafe_code_is_fenced() {
    const ALLOWED: &[&str] = &["core/bridge/", "core/runtime/", "bench/"];
    let roots = |source: &&Source| {
        let crate_root =
            source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        crate_root && !ALLOWED.iter().any(|folder| source.path.starts_with(folder))
    };
    let complaints: Vec<String> = sources()
        .iter()
        .filter(roots)
        .filter(|source| !source.text.contains("#![forbid(unsafe_code)]"))
        .map(|source| source.path.clone())
        .collect();
    report(
        "a crate that does not forbid unsafe code",
        "memory safety is argued in two crates and given everywhere else",
        "`#![forbid(unsafe_code)]`, or a safe function of core/bridge or core/runtime",
        &complaints,
    );
}

#[test]
fn each_module_says_what_it_owns() {
    let has_document = |source: &Source| {
        let mut lines = source.text.lines();
        lines
            .find(|line| !line.starts_with("#!") && !line.is_empty())
            .is_some_and(|line| line.starts_with("//!"))
    };
    let complaints: Vec<String> = sources()
        .iter()
        // `x/tests.rs` is the tests of `x.rs`.
        .filter(|source| !source.path.ends_with("/tests.rs") && !has_document(source))
        .map(|source| source.path.clone())
        .collect();
    report(
        "a module without a document",
        "the reader must know what a file owns, and what it does not, before reading its code",
        "`//!` lines at the top",
        &complaints,
    );
}

#[test]
fn a_long_function_is_seen_and_a_test_is_not() {
    let body = "    let _ = 0;\n".repeat(80);
    let text = format!("fn long() {{\n{body}}}\n#[test]\nfn test() {{\n{body}}}\n");
    let source = Source { path: "x.rs".into(), text };
    assert_eq!(Declarations::of(&source).functions, [("long".to_owned(), 1, 82)]);
}
