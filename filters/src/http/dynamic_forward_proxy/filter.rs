//! The filter itself; it remembers nothing of a stream.

use std::rc::Rc;
use std::sync::Arc;

use ringway_http::RequestHead;
use ringway_model::dns::{Answer, Authority, Lookup, NameCache, Refused};
use ringway_model::filter::{FilterState, HttpFilter, Interest, Step, StreamCx};
use ringway_model::route::RequestField;
use ringway_model::stream::{LocalReply, ResponseFlags};

/// `PerRouteConfig`: who is meant, whatever the client says.
#[derive(Debug)]
pub(super) enum HostRewrite {
    /// `host_rewrite_literal`
    Literal(Box<str>),
    /// `host_rewrite_header`: the first value of this field, where it is there.
    Header(RequestField),
}

impl HostRewrite {
    fn apply(&self, head: &mut RequestHead) {
        match self {
            Self::Literal(host) => head.set_authority(host.as_bytes()),
            Self::Header(field) => {
                let value = field.first(head).map(<[u8]>::to_vec);
                if let Some(value) = value {
                    head.set_authority(&value);
                }
            }
        }
    }
}

/// Looks names up in a cache.
#[derive(Debug)]
pub(super) struct Filter {
    cache: Arc<NameCache>,
}

impl Filter {
    pub(super) fn new(cache: Arc<NameCache>) -> Self {
        Self { cache }
    }
}

impl HttpFilter for Filter {
    fn interest(&self) -> Interest {
        Interest { request_head: true, ..Interest::default() }
    }

    fn request_head(
        &self,
        _: &mut FilterState,
        head: &mut RequestHead,
        cx: &mut StreamCx<'_>,
    ) -> Step {
        // Other clusters find their hosts by themselves.
        let Some(dynamic) = cx.dynamic.filter(|dynamic| dynamic.known_to_filter) else {
            return Step::Continue;
        };
        let rewrite = cx.route_config.and_then(|config| config.downcast_ref::<HostRewrite>());
        if let Some(rewrite) = rewrite {
            rewrite.apply(head);
        }
        if head.authority().is_empty() {
            let reply = LocalReply::new(400, "empty_host_header").body("Empty host header");
            return Step::Respond(Box::new(reply));
        }
        // As in Envoy, nobody passes while too many wait, not even those who need not wait.
        if self.cache.is_crowded() {
            cx.names.refuse(&self.cache);
            return refused(Refused::Pending);
        }
        let authority = Authority::new(head.authority(), dynamic.default_port);
        match cx.names.look_up(&self.cache, &authority) {
            Lookup::Known(answer) => known(&answer),
            Lookup::Refused(why) => refused(why),
            Lookup::Asked(asking) => Step::Wait(Box::pin(async move {
                match asking.await {
                    Ok(answer) => known(&answer),
                    Err(why) => refused(why),
                }
            })),
        }
    }
}

fn known(answer: &Rc<Answer>) -> Step {
    if answer.address.is_some() {
        return Step::Continue;
    }
    let details = format!("dns_resolution_failure{{{}}}", answer.details);
    let reply = LocalReply::new(503, details).body("DNS resolution failure");
    Step::Respond(Box::new(reply.flag(ResponseFlags::DNS_RESOLUTION_FAILED)))
}

fn refused(why: Refused) -> Step {
    let (details, body) = match why {
        Refused::Hosts => ("dns_cache_overflow", "DNS cache overflow"),
        Refused::Pending => (
            "dynamic_forward_proxy_pending_request_overflow",
            "Dynamic forward proxy pending request overflow",
        ),
    };
    Step::Respond(Box::new(LocalReply::new(503, details).body(body)))
}
