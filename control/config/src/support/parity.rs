//! The page docs/parity.md, made from the tables.

use std::fmt::Write;

use prost_reflect::FieldDescriptor;

use super::Accept;
use super::newer::newer;
use super::tables::{AREAS, Area, HTTP_FILTERS, Message};
use crate::descriptors;

/// What is different from Envoy on purpose, and why.
const DIFFERENCES: &[&str] = &[
    "A key that is given twice in one map of YAML or JSON is an error. Envoy takes one of the \
     two in silence.",
    "A second YAML document in a file is an error. Envoy reads the first and leaves the others \
     aside in silence.",
    "A field written both in snake_case and in camelCase is an error. Envoy takes one of the two.",
    "All errors are reported at once, each with file, line and full path. Envoy stops at the \
     first.",
    "A list inside a list where the API has only one is an error. Envoy flattens it.",
    "The rules of the API hold in every typed configuration. Envoy leaves some of them out, such \
     as `choice_count` of at least 2 in the typed least request policy.",
    "A value that changes nothing where it stands is a warning when the configuration is \
     loaded. Envoy says nothing.",
    "Two listeners of one name are an error. Envoy takes the second in place of the first.",
    "A substitution that names a group which its pattern does not have, a header whose name is \
     none, and a port above 65535 are errors. Envoy takes them, and they never work.",
    "When a listener's Unix socket is bound, an old file in its place is removed only if it is a \
     socket. Envoy removes any file.",
    "A `crl` that holds no list, and a lowest TLS version above the highest are errors. Envoy \
     takes them: nothing is revoked, and no handshake succeeds.",
    "A file of secrets must hold the secret when the configuration is read. Envoy waits for it.",
    "A certificate that is expired is an error of `--mode validate`. Envoy says nothing; both \
     present it when they run.",
    "Configuration files in protobuf's own formats (`.pb`, `.pb_text`) are not read.",
];

/// The text of docs/parity.md: what of Envoy 1.40 is supported, field by field.
pub fn parity_markdown() -> String {
    let mut page = String::from(
        "# Parity with Envoy 1.40\n\n\
         This page is made from the tables in `control/config/src/support`; a test keeps it\n\
         fresh (`UPDATE_EXPECT=1 cargo test -p ringway-config` writes it anew). A field that is\n\
         not listed as supported is refused with `not supported yet` and its path; no field is\n\
         read and then ignored.\n\n\
         ## Different on purpose\n\n",
    );
    for difference in DIFFERENCES {
        page += &wrapped(&format!("- {difference}"), "  ");
    }
    for area in AREAS {
        push_area(&mut page, area);
    }
    page
}

fn push_area(page: &mut String, area: &Area) {
    push(page, format_args!("\n## {}\n", area.title));
    for message in area.messages {
        push_message(page, message);
    }
}

fn push_message(page: &mut String, message: &Message) {
    push(page, format_args!("\n### `{}`\n\n", message.name));
    let all: Vec<FieldDescriptor> =
        descriptors::message(message.name).map(|d| d.fields().collect()).unwrap_or_default();
    if all.is_empty() {
        page.push_str("Supported; it has no fields.\n");
        return;
    }
    let supported = |name: &str| message.fields.iter().any(|field| field.name == name);
    let yes: Vec<String> = message.fields.iter().map(|f| described(f.name, f.accept)).collect();
    // Envoy refuses what is deprecated and hidden; it is not missing here.
    let newer = newer(message.name).iter().copied();
    let no = all.iter().map(FieldDescriptor::name).chain(newer).filter(|name| !supported(name));
    let no: Vec<String> = no.map(|name| format!("`{name}`")).collect();
    if !yes.is_empty() {
        *page += &wrapped(&format!("Supported: {}.", yes.join(", ")), "");
    }
    if !no.is_empty() {
        let gap = if yes.is_empty() { "" } else { "\n" };
        push(page, format_args!("{gap}{}", wrapped(&format!("Not yet: {}.", no.join(", ")), "")));
    }
}

fn described(name: &str, accept: Accept) -> String {
    match accept {
        Accept::All => format!("`{name}`"),
        Accept::RouteConfigs => format!("`{name}` (of the filters that say so)"),
        Accept::Only(values) => format!("`{name}` ({})", values.join(", ")),
        Accept::Types(types) => format!("`{name}` ({})", quoted(types)),
        Accept::HttpFilters => format!("`{name}` ({})", quoted(HTTP_FILTERS)),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Lines of at most 100 columns where words allow it.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() > 100 {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
    out
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = page.write_fmt(text);
}
