//! The descriptors of Envoy's API, embedded by the build script.
//!
//! Owns the one pool of the process. It does not know what a field means: that is the business of
//! `decode`, `validate` and `support`.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

/// Every message and enum of the v3 API, with the options that carry the validation rules.
pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The bytes come from the build script, and a unit test decodes them.
    DescriptorPool::decode(EMBEDDED).expect("the embedded descriptors decode")
});

static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The descriptor of a message by its full name, such as `envoy.config.cluster.v3.Cluster`.
pub(crate) fn message(full_name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(full_name)
}

/// The descriptor of the message that a configuration file holds.
pub(crate) fn bootstrap() -> MessageDescriptor {
    // The API without its bootstrap would be a broken build; a unit test looks for it.
    message("envoy.config.bootstrap.v3.Bootstrap").expect("the API has a bootstrap")
}

/// The descriptor of the message that a file of resources holds.
pub(crate) fn discovery_response() -> MessageDescriptor {
    // As above.
    message("envoy.service.discovery.v3.DiscoveryResponse").expect("the API has discovery")
}

/// The message inside an `Any`; `None` when its type is not part of the API or its bytes are no
/// such message.
pub(crate) fn open_any(any: &DynamicMessage) -> Option<DynamicMessage> {
    let url = any.get_field_by_name("type_url")?;
    let name = url.as_str()?.rsplit_once('/').map(|(_, name)| name)?;
    let bytes = any.get_field_by_name("value")?.as_bytes()?.clone();
    DynamicMessage::decode(message(name)?, bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_bootstrap_and_its_rules() {
        let bootstrap = message("envoy.config.bootstrap.v3.Bootstrap").unwrap();
        assert!(bootstrap.get_field_by_name("static_resources").is_some());
        assert!(discovery_response().get_field_by_name("resources").is_some());
        assert!(POOL.get_extension_by_name("validate.rules").is_some());
    }
}
