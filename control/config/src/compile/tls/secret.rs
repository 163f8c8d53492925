//! Secrets by name: of `static_resources`, or of a file that `path_config_source` names.
//!
//! Owns: where a secret is found and how its updates are counted. A file is read as a whole, when
//! a configuration is compiled and whenever the file changes, so that there is never a listener
//! that waits for its certificate. Does not own: watching.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::super::at::{At, Report};
use super::super::proto::{core, google, tls};
use super::super::reads::{From, kind_of};
use super::super::value::{unpack, without_number};
use super::super::{Cause, Cx, stat_names};
use crate::source::Source;
use crate::support::Support;
use crate::{ConfigError, load};

/// The largest file of secrets, in bytes.
const MAX: usize = 16 << 20;

static SUPPORT: LazyLock<Support> = LazyLock::new(Support::built_in);

/// A kind of secret.
pub(super) trait Kind: Sized {
    /// The field of a `Secret` that holds it.
    const FIELD: &'static str;

    /// It, if the secret is of this kind.
    fn of(secret: &tls::Secret) -> Option<&Self>;
}

macro_rules! kind {
    ($type:ident, $variant:ident, $field:literal) => {
        impl Kind for tls::$type {
            const FIELD: &'static str = $field;

            fn of(secret: &tls::Secret) -> Option<&Self> {
                match secret.r#type.as_ref()? {
                    tls::secret::Type::$variant(inner) => Some(inner),
                    _ => None,
                }
            }
        }
    };
}

kind!(TlsCertificate, TlsCertificate, "tls_certificate");
kind!(TlsSessionTicketKeys, SessionTicketKeys, "session_ticket_keys");
kind!(CertificateValidationContext, ValidationContext, "validation_context");

/// Refuses secrets that nobody could tell apart or use, wherever they are not used.
pub(crate) fn check(at: &At<'_>, secrets: &[tls::Secret]) {
    let mut seen = HashMap::new();
    for (index, secret) in secrets.iter().enumerate() {
        let at = at.index(index);
        match kind_of(secret) {
            "" => at.invalid("Secret type not implemented"),
            "generic_secret" => at.field("generic_secret").unsupported(""),
            kind if seen.insert((kind, &secret.name), index).is_some() => at
                .field("name")
                .invalid(format_args!("Duplicate static {kind} secret name {}", secret.name)),
            _ => {}
        }
    }
}

/// Compiles the secret that a configuration names, at the place where it stands.
pub(super) fn with<K: Kind, T>(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &tls::SdsSecretConfig,
    compile: impl FnOnce(&At<'_>, &K) -> Option<T>,
) -> Option<T> {
    match &config.sds_config {
        None => of_bootstrap(cx, at, &config.name, compile),
        Some(source) => {
            let at = at.field("sds_config");
            let path = path(cx, &at, source)?;
            from_file(cx, &at, &path, &config.name, compile)
        }
    }
}

fn of_bootstrap<K: Kind, T>(
    cx: &Cx<'_>,
    at: &At<'_>,
    name: &str,
    compile: impl FnOnce(&At<'_>, &K) -> Option<T>,
) -> Option<T> {
    // For whoever asks later whether anything changed.
    let _ = cx.read(From::Secret(K::FIELD, name.to_owned()));
    let found = cx.secrets.find(K::FIELD, name);
    let Some((index, found)) = found.and_then(|(index, found)| Some((index, K::of(found)?))) else {
        if !cx.unread.secrets {
            at.invalid(format_args!("Unknown static secret: {name}"));
        }
        return None;
    };
    let root = at.root();
    let at = root.field("static_resources");
    let at = at.field("secrets");
    let at = at.index(index);
    compile(&at.field(K::FIELD), found)
}

/// The file that holds the secret.
fn path(cx: &Cx<'_>, at: &At<'_>, source: &core::ConfigSource) -> Option<String> {
    use core::config_source::ConfigSourceSpecifier as Specifier;
    let path = match &source.config_source_specifier {
        Some(Specifier::Path(path)) => path,
        Some(Specifier::PathConfigSource(source)) => {
            let at = at.field("path_config_source");
            watched_directory(cx, &at, source.watched_directory.as_ref())?;
            &source.path
        }
        // The support table refuses all others.
        _ => {
            at.unsupported("");
            return None;
        }
    };
    Some(path.clone())
}

/// `watched_directory`, which has to exist.
pub(super) fn watched_directory(
    cx: &Cx<'_>,
    at: &At<'_>,
    directory: Option<&core::WatchedDirectory>,
) -> Option<()> {
    let Some(directory) = directory else { return Some(()) };
    if let Err(error) = std::fs::read_dir(&directory.path) {
        at.field("watched_directory").field("path").io(format_args!(
            "unable to add filesystem watch for file {}/: {}",
            directory.path,
            without_number(&error)
        ));
        return None;
    }
    cx.reads.borrow_mut().watch_folder(&directory.path);
    Some(())
}

fn from_file<K: Kind, T>(
    cx: &Cx<'_>,
    at: &At<'_>,
    path: &str,
    name: &str,
    compile: impl FnOnce(&At<'_>, &K) -> Option<T>,
) -> Option<T> {
    let stats = stat_names::secret(&cx.env.catalog, name);
    // Several contexts may be made of one secret, and each makes its own of it.
    let first = cx.updates.borrow_mut().counted.insert(format!("{path} {name}"));
    let count = |id| {
        if first {
            cx.updates.borrow_mut().counts.push(id);
        }
    };
    count(stats.update_attempt);
    let Ok(bytes) = cx.read(From::File(PathBuf::from(path), MAX, true)) else {
        count(stats.update_failure);
        at.io(format_args!(
            "paths must refer to an existing path in the system: '{path}' does not exist"
        ));
        return None;
    };
    let parsed = Source::of_file(path, bytes).map_err(|error| vec![error]);
    let (response, located) = match parsed.and_then(|source| load::resources(&source, &SUPPORT)) {
        Ok(parsed) => parsed,
        Err(errors) => {
            count(stats.update_failure);
            at.elsewhere(errors);
            return None;
        }
    };
    let report = Report::new(&located);
    let compiled = one_of(&report.root(), path, name, &response.resources, compile);
    let finished = report.finish();
    count(if finished.is_ok() { stats.update_success } else { stats.update_rejected });
    // The file was read before: it, or what it names, was turned into something that is no use.
    if finished.is_err() && cx.cause == Cause::Secrets {
        count(stats.key_rotation_failed);
    }
    finished.map_err(|errors: Vec<ConfigError>| at.elsewhere(errors)).ok()?;
    compiled
}

fn one_of<K: Kind, T>(
    at: &At<'_>,
    path: &str,
    name: &str,
    resources: &[google::Any],
    compile: impl FnOnce(&At<'_>, &K) -> Option<T>,
) -> Option<T> {
    let at_list = at.field("resources");
    for (index, any) in resources.iter().enumerate() {
        let at = at_list.index(index);
        let secret: tls::Secret = unpack(&at, any)?;
        if secret.name != name {
            continue;
        }
        if let Some(inner) = K::of(&secret) {
            return compile(&at.field(K::FIELD), inner);
        }
    }
    at_list.invalid(format_args!("{path} has no {} of the name {name}", K::FIELD));
    None
}
