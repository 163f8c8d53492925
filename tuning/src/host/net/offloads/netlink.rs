//! One question by generic netlink: the features of a card (Documentation/networking/
//! ethtool-netlink.rst, `FEATURES_GET`).
//!
//! Whatever goes wrong, or is not as documented, is `None`: an old kernel, a sandbox, no such card.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsRawFd, OwnedFd};

use super::Features;

/// Far more than the names of all features take.
const MAX_REPLY_BYTES: usize = 64 * 1024;
/// The kernel answers within the call; this is for a sandbox that swallows the question.
const PATIENCE_MS: i64 = 200;

const NLM_F_REQUEST: u16 = 1;
const NLMSG_HEADER: usize = 16;
const GENL_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// The kind of an attribute without the bits that say how it is written.
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// The family that names others: `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY` and its attributes.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// `ETHTOOL_MSG_FEATURES_GET` and its attributes.
const FEATURES_GET: u8 = 11;
const HEADER: u16 = 1;
const HEADER_NAME: u16 = 2;
const CHANGEABLE: u16 = 2;
const ACTIVE: u16 = 4;
/// A set of named bits: the list, a bit of it, and of that the name and whether it is set.
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
/// Only bits that are set are listed.
const NO_MASK: u16 = 1;

/// The features of the card of that name.
pub(super) fn features(card: &str) -> Option<Features> {
    let socket = open()?;
    let wanted = attribute(FAMILY_NAME, &named("ethtool"));
    let reply = ask(&socket, CONTROL, GET_FAMILY, &wanted)?;
    let id = find(&reply, FAMILY_ID)?;
    let family = u16::from_ne_bytes(id.get(..2)?.try_into().ok()?);
    let header = attribute(HEADER | NESTED, &attribute(HEADER_NAME, &named(card)));
    let reply = ask(&socket, family, FEATURES_GET, &header)?;
    let names = |kind| find(&reply, kind).map(set_bits);
    Some(Features { changeable: names(CHANGEABLE)?, active: names(ACTIVE)? })
}

fn open() -> Option<OwnedFd> {
    let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, kind, flags, SockProtocol::NetlinkGeneric).ok()?;
    let patience = TimeVal::milliseconds(PATIENCE_MS);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).ok()?;
    Some(socket)
}

/// Sends one message and returns the attributes of the answer.
fn ask(socket: &OwnedFd, family: u16, command: u8, attributes: &[u8]) -> Option<Vec<u8>> {
    let message = message(family, command, attributes);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &message, &kernel, MsgFlags::empty()).ok()?;
    let mut reply = vec![0; MAX_REPLY_BYTES];
    let length = recv(socket.as_raw_fd(), &mut reply, MsgFlags::empty()).ok()?;
    reply.truncate(length);
    payload(&reply, family)
}

fn message(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let length = (NLMSG_HEADER + GENL_HEADER + attributes.len()) as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and sender: there is one question at a time, and the kernel fills in who.
    message.extend([0; 8]);
    // Version and two bytes of padding.
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    message
}

/// The attributes of an answer; an error has the type `NLMSG_ERROR` and not the family's.
fn payload(reply: &[u8], family: u16) -> Option<Vec<u8>> {
    let length = u32::from_ne_bytes(reply.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let body = reply.get(NLMSG_HEADER + GENL_HEADER..length)?;
    (kind == family).then(|| body.to_vec())
}

fn named(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEADER + value.len()) as u16;
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// Attributes one after the other; ends at the first that is not whole.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The names of the bits that are set.
fn set_bits(set: &[u8]) -> Vec<String> {
    let only_set_ones = find(set, NO_MASK).is_some();
    let bits = attributes(find(set, BITS).unwrap_or_default());
    bits.filter(|(kind, _)| *kind == BIT)
        .filter(|(_, bit)| only_set_ones || find(bit, BIT_VALUE).is_some())
        .filter_map(|(_, bit)| find(bit, BIT_NAME))
        .map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(name: &str, set: bool) -> Vec<u8> {
        let value = if set { attribute(BIT_VALUE, &[]) } else { Vec::new() };
        attribute(BIT | NESTED, &[attribute(BIT_NAME, &named(name)), value].concat())
    }

    #[test]
    fn bits_are_named_and_set() {
        let bits = [bit("rx-gro", true), bit("rx-lro", false)].concat();
        let masked = attribute(BITS | NESTED, &bits);
        assert_eq!(set_bits(&masked), ["rx-gro"]);
        let listed = [attribute(NO_MASK, &[]), masked].concat();
        assert_eq!(set_bits(&listed), ["rx-gro", "rx-lro"]);
    }

    #[test]
    fn nonsense_ends_the_reading() {
        for bytes in [&[][..], &[1], &[0, 0, 0, 0], &[255, 255, 1, 0, 1], &[3, 0, 1, 0]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
            assert_eq!(payload(bytes, 16), None);
        }
        let mut answer = message(16, 1, &attribute(7, b"x"));
        assert_eq!(find(&payload(&answer, 16).unwrap(), 7), Some(&b"x"[..]));
        assert_eq!(payload(&answer, 17), None);
        answer[0] = 255;
        assert_eq!(payload(&answer, 16), None);
    }
}
