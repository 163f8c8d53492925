//! What a route does.

use std::sync::Arc;

use super::{Forward, Redirect};
use crate::local_reply::BodyFormat;

/// What a route does with a request.
#[derive(Debug)]
pub enum Action {
    /// `route`: to an upstream.
    Forward(Box<Forward>),
    /// `redirect`: to another URL.
    Redirect(Box<Redirect>),
    /// `direct_response`: answered here.
    Direct(DirectResponse),
    /// `non_forwarding_action`: answered by a filter.
    NonForwarding,
}

/// `direct_response`.
#[derive(Debug)]
pub struct DirectResponse {
    /// 100 to 599. With 201 and 3xx a `location` goes along
    /// ([`DirectResponse::needs_location`]).
    pub status: u16,
    /// The body, at most `max_direct_response_body_size_bytes` of it; empty for none.
    pub body: Arc<[u8]>,
    /// `body_format`; what it writes is the body.
    pub body_format: Option<BodyFormat>,
}

impl DirectResponse {
    /// Whether the response names the URL of the request in `location`, as Envoy does
    /// ([`Redirect::unchanged`] writes it).
    pub fn needs_location(&self) -> bool {
        self.status == 201 || (300..400).contains(&self.status)
    }
}
