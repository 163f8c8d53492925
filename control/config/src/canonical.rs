//! Messages to bytes with the entries of maps in order.
//!
//! An `Any` holds its message as bytes, and two readings of one text must give equal bytes: what
//! did not change in a new generation of the configuration is found by comparing. The encoder of
//! prost-reflect writes maps in the order of a hash table, which differs from run to run.

use prost_reflect::prost::Message;
use prost_reflect::prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// The wire form of a message, the same for equal messages.
pub(crate) fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, value) in message.fields() {
        put_field(&mut out, &field, value);
    }
    out
}

fn put_field(out: &mut Vec<u8>, field: &FieldDescriptor, value: &Value) {
    match value {
        Value::Message(inner) => put_delimited(out, field, &encode(inner)),
        Value::List(items) if matches!(field.kind(), Kind::Message(_)) => {
            for inner in items.iter().filter_map(Value::as_message) {
                put_delimited(out, field, &encode(inner));
            }
        }
        Value::Map(entries) => {
            let Kind::Message(entry_type) = field.kind() else { return };
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|one, other| one.0.cmp(other.0));
            for (key, value) in entries {
                put_delimited(out, field, &entry(&entry_type, key, value));
            }
        }
        // Scalars and lists of them have one form; prost-reflect knows about packing.
        scalar => {
            let mut alone = DynamicMessage::new(field.parent_message().clone());
            alone.set_field(field, scalar.clone());
            out.extend(alone.encode_to_vec());
        }
    }
}

/// An entry of a map is a message of a key and a value on the wire.
fn entry(entry_type: &MessageDescriptor, key: &MapKey, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_field(&mut out, &entry_type.map_entry_key_field(), &Value::from(key.clone()));
    put_field(&mut out, &entry_type.map_entry_value_field(), value);
    out
}

fn put_delimited(out: &mut Vec<u8>, field: &FieldDescriptor, bytes: &[u8]) {
    encode_key(field.number(), WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Findings;
    use crate::source::Source;

    fn metadata() -> DynamicMessage {
        let text = "filter_metadata: {a: {x: 1, y: [true, {z: ~}]}, b: {}, c: {p: q, r: s, t: u}}";
        let tree = Source::inline(text).parse(0).unwrap();
        let descriptor = crate::descriptors::message("envoy.config.core.v3.Metadata").unwrap();
        crate::decode::decode(&tree, &descriptor, &mut Findings::default())
    }

    #[test]
    fn two_readings_give_equal_bytes() {
        let first = encode(&metadata());
        for _ in 0..20 {
            assert_eq!(encode(&metadata()), first);
        }
    }

    #[test]
    fn bytes_decode_to_the_same_message() {
        let message = metadata();
        let descriptor = prost_reflect::ReflectMessage::descriptor(&message);
        let again = DynamicMessage::decode(descriptor, encode(&message).as_slice()).unwrap();
        assert_eq!(crate::print::compact(&again), crate::print::compact(&message));
    }
}
