//! Where the compiler stands in the configuration, and what it finds wrong there.

use std::cell::RefCell;
use std::fmt::Display;

use crate::error::{ConfigError, ErrorKind};
use crate::findings::{Finding, Findings};
use crate::located::Located;
use crate::path::{Path, Step};
use crate::source;

/// The errors of one compilation.
#[derive(Debug)]
pub(super) struct Report<'a> {
    located: &'a Located,
    findings: RefCell<Findings>,
    warnings: RefCell<Findings>,
    /// What is wrong in files that the configuration names.
    elsewhere: RefCell<Vec<ConfigError>>,
}

/// How much was wrong at some point, to tell what came after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    findings: usize,
    elsewhere: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(located: &'a Located) -> Self {
        let (findings, warnings) = (RefCell::default(), RefCell::default());
        Self { located, findings, warnings, elsewhere: RefCell::default() }
    }

    /// All errors in the order of the text; if there are none, all warnings.
    pub(super) fn finish(self) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
        if self.is_clean() {
            return Ok(self.located.errors(self.warnings.into_inner()));
        }
        let mut errors = self.located.errors(self.findings.into_inner());
        errors.append(&mut self.elsewhere.into_inner());
        Err(errors)
    }

    /// All errors, those in other files apart.
    pub(super) fn into_found(self) -> (Findings, Vec<ConfigError>) {
        (self.findings.into_inner(), self.elsewhere.into_inner())
    }

    pub(super) fn is_clean(&self) -> bool {
        self.findings.borrow().is_empty() && self.elsewhere.borrow().is_empty()
    }

    pub(super) fn root(&'a self) -> At<'a> {
        At { report: self, above: None, step: Below::Root }
    }
}

/// A place in the configuration. It lives on the stack of the function that reads the place, so
/// that a path costs nothing as long as nothing is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    report: &'a Report<'a>,
    above: Option<&'a At<'a>>,
    step: Below<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Below<'a> {
    Root,
    Field(&'static str),
    Index(usize),
    Key(&'a str),
    /// A path inside the message of an extension, as its factory writes it.
    Inside(&'a str),
}

impl At<'_> {
    /// A field of the message at this place.
    pub(super) fn field<'b>(&'b self, name: &'static str) -> At<'b> {
        self.below(Below::Field(name))
    }

    /// An element of the list at this place.
    pub(super) fn index<'b>(&'b self, index: usize) -> At<'b> {
        self.below(Below::Index(index))
    }

    /// An entry of the map at this place.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        self.below(Below::Key(key))
    }

    /// A dotted path below this place; empty for the place itself.
    pub(super) fn inside<'b>(&'b self, path: &'b str) -> At<'b> {
        self.below(Below::Inside(path))
    }

    fn below<'b>(&'b self, step: Below<'b>) -> At<'b> {
        At { report: self.report, above: Some(self), step }
    }

    /// The outermost message.
    pub(super) fn root(&self) -> At<'_> {
        self.report.root()
    }

    /// Adds what is wrong in a file that is named here.
    pub(super) fn elsewhere(&self, errors: Vec<ConfigError>) {
        self.report.elsewhere.borrow_mut().extend(errors);
    }

    /// How much is wrong so far, at any place.
    pub(super) fn mark(&self) -> Mark {
        let (findings, elsewhere) = (&self.report.findings, &self.report.elsewhere);
        Mark { findings: findings.borrow().len(), elsewhere: elsewhere.borrow().len() }
    }

    /// Whether nothing was reported after the mark.
    pub(super) fn is_clean_since(&self, mark: Mark) -> bool {
        let now = self.mark();
        now.findings == mark.findings && now.elsewhere == mark.elsewhere
    }

    /// Takes back what was reported after the mark, and returns it.
    pub(super) fn take_back(&self, mark: Mark) -> Vec<ConfigError> {
        let findings = self.report.findings.borrow_mut().split_off(mark.findings);
        let mut errors = self.report.located.errors(findings);
        let mut elsewhere = self.report.elsewhere.borrow_mut();
        let len = elsewhere.len();
        errors.extend(elsewhere.drain(mark.elsewhere.min(len)..));
        errors
    }

    /// Reads something whose errors are reported by somebody else.
    pub(super) fn quietly<T>(&self, read: impl FnOnce(&Self) -> T) -> T {
        let mark = self.mark();
        let found = read(self);
        drop(self.take_back(mark));
        found
    }

    /// The value here cannot be.
    pub(super) fn invalid(&self, message: impl Display) {
        self.report(ErrorKind::Invalid, &message);
    }

    /// The value here is valid for Envoy and not built yet.
    pub(super) fn unsupported(&self, message: impl Display) {
        self.report(ErrorKind::NotSupported, &message);
    }

    /// The outside world refuses what is asked for here: a file, a socket.
    pub(super) fn io(&self, message: impl Display) {
        self.report(ErrorKind::Io, &message);
    }

    /// The value here changes nothing, and whoever wrote it should know: `why`.
    pub(super) fn no_effect(&self, why: impl Display) {
        let finding = self.finding(ErrorKind::NoEffect, &why);
        self.report.warnings.borrow_mut().push(finding);
    }

    /// The value here works, and whoever wrote it should know something about it.
    pub(super) fn warn(&self, message: impl Display) {
        let finding = self.finding(ErrorKind::Warning, &message);
        self.report.warnings.borrow_mut().push(finding);
    }

    /// Takes the value, or reports why there is none.
    pub(super) fn take<T, E: Display>(&self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.invalid(error)).ok()
    }

    fn report(&self, kind: ErrorKind, message: &dyn Display) {
        let finding = self.finding(kind, message);
        self.report.findings.borrow_mut().push(finding);
    }

    fn finding(&self, kind: ErrorKind, message: &dyn Display) -> Finding {
        let path = self.path();
        let position = source::locate(self.report.located.root(), path.steps());
        Finding { kind, path, position, message: message.to_string() }
    }

    fn path(&self) -> Path {
        let mut path = self.above.map_or_else(Path::default, At::path);
        match self.step {
            Below::Root => {}
            Below::Field(name) => path.push_field(name),
            Below::Index(index) => path.push(Step::Index(index)),
            Below::Key(key) => path.push(Step::Key(key.to_owned())),
            Below::Inside(inner) => push_inside(&mut path, inner),
        }
        path
    }
}

/// `a.b[3].c` as steps.
fn push_inside(path: &mut Path, inner: &str) {
    for part in inner.split('.').filter(|part| !part.is_empty()) {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        if !name.is_empty() {
            path.push_field(name);
        }
        let indexes = indexes.split(['[', ']']).filter_map(|index| index.parse().ok());
        indexes.for_each(|index| path.push(Step::Index(index)));
    }
}
