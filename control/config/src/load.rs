//! The whole way of a bootstrap: texts to one message that is decoded, validated and supported.
//!
//! Owns the order of the steps and the merging of several texts. What the message means for a
//! worker is the business of the compiler.

use std::fmt;

use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message;

use crate::descriptors;
use crate::error::{ConfigError, ErrorKind};
use crate::findings::{Finding, Findings};
use crate::located::Located;
use crate::path::Path;
use crate::source::{self, Node, Source};
use crate::support::{self, Support};
use crate::{decode, print, validate};

/// A bootstrap that passed every check short of compilation.
pub struct Loaded {
    /// The typed message for the compiler.
    pub bootstrap: Bootstrap,
    /// The same with its descriptors, for `config_dump`.
    pub message: DynamicMessage,
    /// From the path of a field to its file and line, for errors that the compiler finds.
    pub located: Located,
}

/// The `Debug` of a dynamic message shows its descriptors, which lead in circles without end.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loaded").field(&print::compact(&self.message)).finish()
    }
}

/// Why a bootstrap was refused, and what could be read of it all the same, since the compiler may
/// find more that is wrong: [`crate::compile::Compiler::errors_of`].
#[derive(Debug)]
pub struct Refused(Reason);

#[derive(Debug)]
enum Reason {
    /// It is not known what the texts say.
    Unread(Vec<ConfigError>),
    Partly(Box<Partial>),
}

/// A bootstrap without what was wrong in it.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) bootstrap: Bootstrap,
    pub(crate) located: Located,
    /// What was wrong.
    pub(crate) findings: Findings,
}

impl Refused {
    /// What could be read, or all that is wrong where that is nothing.
    pub(crate) fn into_partial(self) -> Result<Box<Partial>, Vec<ConfigError>> {
        match self.0 {
            Reason::Unread(errors) => Err(errors),
            Reason::Partly(partial) => Ok(partial),
        }
    }
}

/// What reading has found, in the order of the text.
impl From<Refused> for Vec<ConfigError> {
    fn from(refused: Refused) -> Self {
        match refused.into_partial() {
            Ok(partial) => partial.located.errors(partial.findings),
            Err(errors) => errors,
        }
    }
}

impl From<Vec<ConfigError>> for Refused {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(Reason::Unread(errors))
    }
}

/// Reads the texts, each over those before it as protobuf's `MergeFrom` does: `--config-yaml`
/// after the file of `--config-path`. Without any text the bootstrap is empty, as Envoy's is.
///
/// # Errors
/// All that is wrong without a look at what it means, in the order of the text. When a text is not
/// even YAML or JSON, only that is reported: what it would have said is not known.
pub fn read(sources: &[Source], support: &Support) -> Result<Loaded, Refused> {
    let trees = parse_all(sources)?;
    let mut findings = Findings::default();
    let message = decode_all(&trees, &mut findings);
    let files = sources.iter().map(|source| source.name.clone()).collect();
    let root = trees.into_iter().reduce(source::merge);
    let located = Located::new(root.unwrap_or_default(), files);
    let violations = validate::validate(&message, located.root(), &findings);
    let unsupported = support::check(support, &message, located.root(), &findings);
    findings.extend(violations);
    findings.extend(unsupported);
    match message.transcode_to() {
        Ok(bootstrap) if findings.is_empty() => Ok(Loaded { bootstrap, message, located }),
        Ok(bootstrap) => {
            Err(Refused(Reason::Partly(Box::new(Partial { bootstrap, located, findings }))))
        }
        Err(_) if !findings.is_empty() => Err(located.errors(findings).into()),
        // Types and descriptors are of one package, so again only the depth can be wrong: typed
        // messages count one level more in a Struct.
        Err(_) => {
            let message = decode::TOO_DEEP.to_owned();
            Err(vec![located.error(ErrorKind::Syntax, &Path::default(), message)].into())
        }
    }
}

/// Reads a file of resources, as `path_config_source` names one: a `DiscoveryResponse`, checked
/// as a bootstrap is.
///
/// # Errors
/// As [`read`].
pub(crate) fn resources(
    source: &Source,
    support: &Support,
) -> Result<(DiscoveryResponse, Located), Vec<ConfigError>> {
    let tree = source.parse(0).map_err(|error| vec![error])?;
    let mut findings = Findings::default();
    let message = decode::decode(&tree, &descriptors::discovery_response(), &mut findings);
    let located = Located::new(tree, vec![source.name.clone()]);
    let violations = validate::validate(&message, located.root(), &findings);
    let unsupported = support::check(support, &message, located.root(), &findings);
    findings.extend(violations);
    findings.extend(unsupported);
    if !findings.is_empty() {
        return Err(located.errors(findings));
    }
    match message.transcode_to() {
        Ok(response) => Ok((response, located)),
        Err(_) => {
            let message = decode::TOO_DEEP.to_owned();
            Err(vec![located.error(ErrorKind::Syntax, &Path::default(), message)])
        }
    }
}

fn parse_all(sources: &[Source]) -> Result<Vec<Node>, Vec<ConfigError>> {
    let (mut trees, mut errors) = (Vec::new(), Vec::new());
    for (number, source) in (0..).zip(sources) {
        match source.parse(number) {
            Ok(tree) => trees.push(tree),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(trees) } else { Err(errors) }
}

/// Each tree is a whole message of its own before they are merged, as in Envoy: a scalar that is
/// zero in the overlay does not replace one of the base, lists are appended.
fn decode_all(trees: &[Node], findings: &mut Findings) -> DynamicMessage {
    let descriptor = descriptors::bootstrap();
    let mut merged = DynamicMessage::new(descriptor.clone());
    for tree in trees {
        let message = decode::decode(tree, &descriptor, findings);
        // The bytes come from a message of the same type: only their depth can be wrong.
        if merged.merge(message.encode_to_vec().as_slice()).is_err() {
            findings.push(Finding {
                kind: ErrorKind::Syntax,
                path: Path::default(),
                position: tree.position,
                message: decode::TOO_DEEP.to_owned(),
            });
        }
    }
    merged
}

#[cfg(test)]
mod tests;
