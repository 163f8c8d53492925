//! The filter itself. It remembers of a call its names, and how far its messages have come.

use std::collections::HashMap;
use std::time::Instant;

use ringway_http::{Known, RequestHead, ResponseHead};
use ringway_model::filter::{
    End, FilterState, HttpFilter, Interest, Piece, ResponseStep, Step, StreamCx,
};
use ringway_model::grpc;
use ringway_model::stream::LocalReply;

use crate::http::call_stats::Names;
use crate::http::frames::Frames;

#[derive(Debug)]
pub(super) struct Filter {
    pub(super) methods: Methods,
    /// `enable_upstream_stats`
    pub(super) times: bool,
    /// `replace_dots_in_grpc_service_name`
    pub(super) replace_dots: bool,
}

/// Which methods are counted on their own; the others are counted together.
#[derive(Debug)]
pub(super) enum Methods {
    None,
    All,
    /// Methods by the names of their services.
    Listed(HashMap<String, Vec<String>>),
}

#[derive(Debug)]
struct Call {
    names: Names,
    request: Frames,
    response: Frames,
}

fn call(state: &mut FilterState) -> Option<&mut Call> {
    state.as_mut()?.downcast_mut()
}

impl Filter {
    fn names(&self, head: &RequestHead) -> Names {
        let named = match &self.methods {
            Methods::None => false,
            Methods::All => true,
            Methods::Listed(list) => is_listed(list, head),
        };
        let own = named.then(|| Names::of("grpc", head, self.replace_dots)).flatten();
        own.unwrap_or_else(|| Names::together("grpc"))
    }
}

fn is_listed(list: &HashMap<String, Vec<String>>, head: &RequestHead) -> bool {
    let Some((service, method)) = grpc::service_and_method(head) else { return false };
    let methods = std::str::from_utf8(service).ok().and_then(|service| list.get(service));
    methods.is_some_and(|methods| methods.iter().any(|name| name.as_bytes() == method))
}

impl HttpFilter for Filter {
    fn interest(&self) -> Interest {
        Interest {
            request_head: true,
            request_body: true,
            response_head: true,
            response_body: true,
        }
    }

    fn request_head(
        &self,
        state: &mut FilterState,
        head: &mut RequestHead,
        _: &mut StreamCx<'_>,
    ) -> Step {
        if grpc::is_grpc(&head.fields) {
            let (request, response) = (Frames::default(), Frames::default());
            *state = Some(Box::new(Call { names: self.names(head), request, response }));
        }
        Step::Continue
    }

    fn request_data(
        &self,
        state: &mut FilterState,
        piece: &mut Piece<'_>,
        cx: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        if let Some(call) = call(state) {
            let begun = call.request.count(piece.bytes());
            if begun > 0 {
                call.names.add(cx, "request_message_count", begun);
            }
        }
        Ok(())
    }

    fn response_head(
        &self,
        state: &mut FilterState,
        _: &RequestHead,
        head: &mut ResponseHead,
        cx: &mut StreamCx<'_>,
    ) -> ResponseStep {
        // A status in the head is that of a call without an answer.
        if let Some(call) = call(state)
            && head.fields.has(Known::GrpcStatus)
        {
            call.names.end(cx, grpc::status(&head.fields));
        }
        ResponseStep::Continue
    }

    fn response_data(&self, state: &mut FilterState, piece: &mut Piece<'_>, cx: &mut StreamCx<'_>) {
        if let Some(call) = call(state) {
            let begun = call.response.count(piece.bytes());
            if begun > 0 {
                call.names.add(cx, "response_message_count", begun);
            }
        }
    }

    fn response_end(&self, state: &mut FilterState, end: &mut End<'_>, cx: &mut StreamCx<'_>) {
        let Some(call) = call(state) else { return };
        call.names.end(cx, grpc::status(end.trailers));
        if let Some(received) = cx.info.request_received.filter(|_| self.times) {
            let time = Instant::now().saturating_duration_since(cx.info.start + received);
            call.names.record(cx, "upstream_rq_time", time.as_millis() as u64);
        }
    }
}
