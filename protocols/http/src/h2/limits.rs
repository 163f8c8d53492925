//! What a connection allows, with Envoy 1.40's defaults (`Http2ProtocolOptions` and the limits of
//! the connection manager).

use crate::h1::Underscores;

/// How one side behaves. All of it stays as it is for the life of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is announced to the peer.
    pub settings: Settings,
    /// What the peer may not exceed.
    pub limits: Limits,
    /// `connection_keepalive`.
    pub keepalive: Option<Keepalive>,
    /// `headers_with_underscores_action`; requests only.
    pub underscores: Underscores,
    /// `override_stream_error_on_invalid_http_message`: a malformed message ends its stream only.
    pub stream_error_on_invalid_message: bool,
    /// `enable_huffman_encoding`.
    pub use_huffman: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            limits: Limits::default(),
            keepalive: None,
            underscores: Underscores::Allow,
            stream_error_on_invalid_message: false,
            use_huffman: true,
        }
    }
}

/// What is announced to the peer in SETTINGS and by the first WINDOW_UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `hpack_table_size`: bytes, for either direction.
    pub header_table_size: u32,
    /// `max_concurrent_streams`. A client announces it too, though nobody may push.
    pub max_concurrent_streams: u32,
    /// `initial_stream_window_size`: bytes, 65535 to 2^31 - 1.
    pub initial_stream_window: u32,
    /// `initial_connection_window_size`: bytes, 65535 to 2^31 - 1.
    pub initial_connection_window: u32,
    /// `allow_connect`: RFC 8441.
    pub allow_connect: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_concurrent_streams: 1024,
            initial_stream_window: 16 * 1024 * 1024,
            initial_connection_window: 24 * 1024 * 1024,
            allow_connect: false,
        }
    }
}

/// What the peer may not exceed. Each is answered by a [`super::Flood`] or
/// [`super::MessageError`] of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_request_headers_kb`, in bytes: names and values of a head or of trailers, decoded.
    pub max_head_bytes: usize,
    /// `max_headers_count`: lines of a head or of trailers, before any are joined.
    pub max_fields: usize,
    /// `max_header_field_size_kb`, in bytes: one name or value on the wire.
    pub max_field_bytes: usize,
    /// CONTINUATION frames behind one HEADERS frame.
    pub max_continuations: u32,
    /// Entries in one SETTINGS frame.
    pub max_settings_entries: usize,
    /// `max_outbound_frames`: frames that wait to be sent.
    pub max_outbound_frames: u32,
    /// `max_outbound_control_frames`: the same of PING, SETTINGS and RST_STREAM.
    pub max_outbound_control_frames: u32,
    /// Bytes that wait to be sent, above which no more data is taken.
    pub max_outbound_bytes: usize,
    /// `max_consecutive_inbound_frames_with_empty_payload`.
    pub max_consecutive_empty_frames: u32,
    /// `max_inbound_priority_frames_per_stream`.
    pub max_priority_frames_per_stream: u64,
    /// `max_inbound_window_update_frames_per_data_frame_sent`.
    pub max_window_updates_per_data_frame: u64,
    /// `stream_reset_burst`; servers only.
    pub stream_reset_burst: u64,
    /// `stream_reset_rate`: each second; servers only.
    pub stream_reset_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_bytes: 60 * 1024,
            max_fields: 100,
            max_field_bytes: 64 * 1024,
            max_continuations: 8,
            max_settings_entries: 32,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_outbound_bytes: 1024 * 1024,
            max_consecutive_empty_frames: 1,
            max_priority_frames_per_stream: 100,
            max_window_updates_per_data_frame: 10,
            stream_reset_burst: 1000,
            stream_reset_rate: 33,
        }
    }
}

impl Limits {
    /// Bytes of one encoded header block: what the largest head takes, and some for its framing.
    pub(super) fn max_block_bytes(&self) -> usize {
        self.max_head_bytes.max(self.max_field_bytes) + 16 * 1024
    }
}

/// `connection_keepalive`. What needs random numbers or the time of a request is the caller's:
/// `interval_jitter` is applied to the `interval_ms` of each connection, and
/// `connection_idle_interval` is a [`super::Connection::probe`] before the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `interval`: milliseconds from one PING to the next; none are sent unasked without it.
    pub interval_ms: Option<u64>,
    /// `timeout`: milliseconds to wait for the answer.
    pub timeout_ms: u64,
}
