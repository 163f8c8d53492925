//! The path of a field: built step by step while a walk goes down, printed when an error is found.

use std::fmt;

use prost_reflect::MapKey;

/// Where a walk stands, from the root message down. `Display` gives the form
/// `static_resources.clusters[0].metadata.filter_metadata["envoy.lb"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field of a message, by its name in the proto.
    Field(String),
    /// An element of a repeated field.
    Index(usize),
    /// An entry of a map field, or a key of a Struct.
    Key(String),
}

impl Path {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(crate) fn push_field(&mut self, name: &str) {
        self.steps.push(Step::Field(name.to_owned()));
    }

    pub(crate) fn pop(&mut self) {
        self.steps.pop();
    }

    /// The steps to the message or list that this stands in; none for the outermost message.
    pub(crate) fn parent(&self) -> &[Step] {
        self.steps.split_last().map_or(&[], |(_, above)| above)
    }

    /// True when `self` is `other` or stands above it.
    pub(crate) fn contains(&self, other: &Path) -> bool {
        other.steps.starts_with(&self.steps)
    }
}

/// The key of a map entry as it stands in a path and in JSON.
pub(crate) fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_fields_indexes_and_keys() {
        let mut path = Path::default();
        path.push_field("clusters");
        path.push(Step::Index(3));
        path.push_field("metadata");
        path.push(Step::Key("envoy.lb".into()));
        assert_eq!(path.to_string(), r#"clusters[3].metadata["envoy.lb"]"#);
    }

    #[test]
    fn contains_itself_and_what_is_below() {
        let mut above = Path::default();
        above.push_field("admin");
        let mut below = above.clone();
        below.push_field("address");
        assert!(above.contains(&below) && above.contains(&above));
        assert!(!below.contains(&above));
    }
}
