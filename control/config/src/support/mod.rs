//! What of Envoy's API is built here, and the error for what is not.
//!
//! Owns the table of supported fields, the walk that holds a configuration against it, and the
//! page docs/parity.md that is made from it. A field that is in no table is refused as soon as it
//! is set, so nothing can be read and then ignored. The tables must say exactly what the
//! compiler does.

mod newer;
mod parity;
mod tables;
mod walk;

use std::collections::HashMap;

pub(crate) use newer::is_newer;
pub use parity::parity_markdown;
pub(crate) use walk::check;

use tables::{AREAS, Field, HTTP_FILTERS, Message};

/// The fields that this build supports: those of the tables, and those of the HTTP filters that
/// the binary brings.
#[derive(Debug)]
pub struct Support {
    messages: HashMap<&'static str, Fields>,
    http_filters: Vec<&'static str>,
    /// What routes may say to them.
    of_routes: Vec<&'static str>,
}

/// The supported fields of one message.
#[derive(Debug)]
enum Fields {
    Table(&'static [Field]),
    /// Those of a filter that another crate implements: all values are accepted.
    Filter(&'static [&'static str]),
}

impl Support {
    /// What the tables list, without any filter from outside.
    pub fn built_in() -> Support {
        let messages = AREAS.iter().flat_map(|area| area.messages);
        let messages = messages.map(|Message { name, fields }| (*name, Fields::Table(fields)));
        let (http_filters, of_routes) = (HTTP_FILTERS.to_vec(), Vec::new());
        Support { messages: messages.collect(), http_filters, of_routes }
    }

    /// Adds a type of what routes may say to an HTTP filter (`typed_per_filter_config`).
    #[must_use]
    pub fn with_route_config(mut self, type_name: &'static str) -> Support {
        self.of_routes.push(type_name);
        self
    }

    /// Adds an HTTP filter: its type without `type.googleapis.com/`, and the fields that it
    /// supports by message (the type's own message among them).
    #[must_use]
    pub fn with_http_filter(
        mut self,
        type_name: &'static str,
        messages: &'static [(&'static str, &'static [&'static str])],
    ) -> Support {
        self.http_filters.push(type_name);
        for (message, fields) in messages {
            // A message of the tables, such as a header matcher, stays as the tables have it.
            self.messages.entry(message).or_insert(Fields::Filter(fields));
        }
        self
    }

    fn fields(&self, message: &str) -> Option<&Fields> {
        self.messages.get(message)
    }
}

impl Fields {
    /// How a field is supported; `None` when it is not.
    fn get(&self, name: &str) -> Option<Accept> {
        match self {
            Fields::Table(fields) => {
                fields.iter().find(|field| field.name == name).map(|field| field.accept)
            }
            Fields::Filter(fields) => fields.contains(&name).then_some(Accept::All),
        }
    }
}

/// Which values of a field are supported.
#[derive(Debug, Clone, Copy)]
enum Accept {
    /// All that the API allows; of a message, what its own table lists.
    All,
    /// These names of enum values, or numbers or booleans as text.
    Only(&'static [&'static str]),
    /// An `Any` that carries one of these messages.
    Types(&'static [&'static str]),
    /// An `Any` that carries an HTTP filter: the types are known at run time.
    HttpFilters,
    /// A map of `Any`s that carry what a route says to HTTP filters, as above.
    RouteConfigs,
}

#[cfg(test)]
mod tests;
