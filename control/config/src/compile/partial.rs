//! A configuration that is broken in places: what else is wrong with it.
//!
//! Owns the choice between errors of their own and those that only follow from what is broken
//! already. Nothing is kept of such a compilation, no socket and no log file is opened. Here, and
//! only here, the compiler sees messages that break the rules of the API.

use std::cell::RefCell;

use super::generation::Generation;
use super::proto::bootstrap::Bootstrap;
use super::{Cause, Compiler, Cx, NoSinks, Report, ResolvedEndpoints, overload};
use crate::error::{ConfigError, ErrorKind};
use crate::findings::{Finding, Findings};
use crate::load::{Partial, Refused};
use crate::path::{Path, Step};
use crate::source::Node;

/// How far above a broken field its absence may be noticed: by its message, by the list of that,
/// by what holds the list.
const NOTICED_ABOVE: usize = 3;

/// Lists of which some name could not be read, so that any name may be one of theirs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unread {
    pub(super) clusters: bool,
    pub(super) secrets: bool,
}

impl Compiler {
    /// All that is wrong with a bootstrap that reading has refused: what reading has found, and
    /// what the compiler finds in the rest of it. The generation in force is not touched.
    pub fn errors_of(&self, cause: Cause, refused: Refused) -> Vec<ConfigError> {
        let partial = match refused.into_partial() {
            Ok(partial) => partial,
            Err(errors) => return errors,
        };
        let Partial { bootstrap, located, mut findings } = *partial;
        let unread = Unread::of(&bootstrap, &findings);
        let report = Report::new(&located);
        let (ids, limits, tls) = (RefCell::default(), RefCell::default(), RefCell::default());
        let mut sinks = NoSinks;
        let overload = overload::compile(&report.root(), &bootstrap);
        let cx = Cx {
            ids: &ids,
            limits: &limits,
            tls: &tls,
            unread,
            ..self.cx(cause, &bootstrap, &overload, &mut sinks)
        };
        // Everything is compiled anew: what was kept would not be looked at.
        let last = Generation::default();
        super::parts(&cx, &report.root(), &bootstrap, &last, &ResolvedEndpoints::new());
        let (mut found, elsewhere) = report.into_found();
        found.retain(|finding| !follows(finding, &findings, located.root()));
        findings.extend(found);
        let mut errors = located.errors(findings);
        errors.extend(elsewhere);
        errors
    }
}

/// Whether a finding of the compiler says no more than that something is broken already.
fn follows(finding: &Finding, known: &Findings, root: &Node) -> bool {
    let path = &finding.path;
    let follows_from = |broken: &Finding| {
        let broken = &broken.path;
        broken.contains(path) || misses(path, broken) || decides(broken, path)
    };
    known.may_misspell(path, root) || known.iter().any(follows_from)
}

/// The finding is about what the broken field is a part of, and near enough to be about its
/// absence.
fn misses(path: &Path, broken: &Path) -> bool {
    path.contains(broken) && broken.steps().len() - path.steps().len() <= NOTICED_ABOVE
}

/// A `type` decides what its neighbours mean, as in a cluster, whose endpoints are addresses or
/// names.
fn decides(broken: &Path, path: &Path) -> bool {
    broken.steps().last() == Some(&Step::Field("type".to_owned()))
        && path.steps().starts_with(broken.parent())
}

impl Unread {
    fn of(bootstrap: &Bootstrap, broken: &Findings) -> Self {
        let statics = bootstrap.static_resources.as_ref();
        let names = |list: &str, names: Option<Vec<&str>>| {
            broken.iter().any(|finding| hides_a_name(finding, list, names.as_deref()))
        };
        let clusters =
            statics.map(|statics| statics.clusters.iter().map(|one| one.name.as_str()).collect());
        let secrets =
            statics.map(|statics| statics.secrets.iter().map(|one| one.name.as_str()).collect());
        Self { clusters: names("clusters", clusters), secrets: names("secrets", secrets) }
    }
}

/// Whether `finding` may be the reason why a name of `static_resources.<list>` is not known.
/// `names` are those that are, empty where there is none; `None` without `static_resources`.
fn hides_a_name(finding: &Finding, list: &str, names: Option<&[&str]>) -> bool {
    let field = |name: &str| Step::Field(name.to_owned());
    let place = [field("static_resources"), field(list)];
    let is_unknown = finding.kind == ErrorKind::UnknownField;
    match finding.path.steps() {
        // A key that was meant for one of the two.
        [Step::Field(_)] if is_unknown => names.is_none(),
        [above, Step::Field(_)] if is_unknown && *above == place[0] => {
            names.is_none_or(<[&str]>::is_empty)
        }
        [above, here, Step::Index(index), rest @ ..] if [above, here] == [&place[0], &place[1]] => {
            // Whatever is wrong with it, its name is known if it could be read.
            let name = names.and_then(|names| names.get(*index));
            rest.len() <= 1 && name.is_none_or(|name| name.is_empty())
        }
        whole => place.starts_with(whole),
    }
}
