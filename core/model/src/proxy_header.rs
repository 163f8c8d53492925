//! The PROXY header in front of connections to endpoints (Envoy `ProxyProtocolConfig`).

use std::borrow::Cow;
use std::sync::Arc;

use ringway_bridge::stats::CounterId;

use crate::format::{Format, FormatContext};

/// What a PROXY header to an endpoint says.
#[derive(Debug)]
pub struct ProxyHeader {
    /// `version`.
    pub version: ProxyVersion,
    /// `pass_through_tlvs`: which of the downstream connection's additions are passed on.
    pub pass: PassTlvs,
    /// `added_tlvs`; they take the place of those that are passed on under the same type.
    pub added: Vec<AddedTlv>,
    /// `cluster.<name>.upstream.proxyprotocol.v2_tlvs_exceed_max_length`, of transport sockets.
    pub tlvs_exceed_max_length: Option<CounterId>,
}

/// The form of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// `V1`, a line of text without additions.
    V1,
    /// `V2`.
    V2,
}

/// `ProxyProtocolPassThroughTLVs`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PassTlvs {
    /// Not set.
    #[default]
    None,
    /// `INCLUDE_ALL`
    All,
    /// `INCLUDE` with its types.
    Only(Vec<u8>),
}

/// `TlvEntry`
#[derive(Debug)]
pub struct AddedTlv {
    /// `type`.
    pub kind: u8,
    /// `value` or `format_string`.
    pub value: TlvValue,
}

/// Additions that an endpoint has of its own (`PerHostConfig`): types and values.
pub type EndpointTlvs = Arc<[(u8, Box<[u8]>)]>;

/// Where the value of an addition comes from.
#[derive(Debug)]
pub enum TlvValue {
    /// `value`
    Bytes(Box<[u8]>),
    /// `format_string`
    Format(Format),
}

/// `ProxyProtocolTlvMergePolicy`: what becomes of `proxy_protocol_tlvs` where the client's own
/// proxy has sent additions as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlvMerge {
    /// `ADD_IF_ABSENT`
    #[default]
    AddIfAbsent,
    /// `OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD`
    OverwriteByType,
    /// `APPEND_IF_EXISTS_OR_ADD`
    Append,
}

impl PassTlvs {
    /// Whether an addition of this type is passed on.
    pub fn takes(&self, kind: u8) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

impl AddedTlv {
    /// Its value on this connection.
    pub fn value<'a>(&'a self, cx: &FormatContext<'_>) -> Cow<'a, [u8]> {
        match &self.value {
            TlvValue::Bytes(bytes) => Cow::Borrowed(bytes),
            TlvValue::Format(format) => {
                let mut text = Vec::new();
                format.write(cx, &mut text);
                Cow::Owned(text)
            }
        }
    }
}
