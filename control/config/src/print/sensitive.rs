//! Which fields the API marks as sensitive (`udpa.annotations.sensitive`).

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_reflect::FieldDescriptor;

use crate::descriptors::POOL;

/// Full names of all sensitive fields. Options are decoded anew at each look, so they are read
/// once.
static SENSITIVE: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let Some(option) = POOL.get_extension_by_name("udpa.annotations.sensitive") else {
        return HashSet::new();
    };
    let fields = POOL.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>());
    let marked = |field: &FieldDescriptor| {
        field.options().get_extension(&option).as_bool().unwrap_or_default()
    };
    fields.filter(marked).map(|field| field.full_name().to_owned()).collect()
});

pub(super) fn is_sensitive(field: &FieldDescriptor) -> bool {
    SENSITIVE.contains(field.full_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_sensitive() {
        let tls = "envoy.extensions.transport_sockets.tls.v3.TlsCertificate";
        let tls = crate::descriptors::message(tls).unwrap();
        assert!(is_sensitive(&tls.get_field_by_name("private_key").unwrap()));
        assert!(!is_sensitive(&tls.get_field_by_name("certificate_chain").unwrap()));
    }
}
