//! The filter itself; it remembers nothing of a stream.

use ringway_http::{RequestHead, ResponseHead};
use ringway_model::filter::{FilterState, HttpFilter, Interest, ResponseStep, Step, StreamCx};
use ringway_model::format::FormatContext;
use ringway_model::route::{HeaderMutations, Scratch};

/// Mutations in their order.
#[derive(Debug)]
pub(super) struct Filter {
    request: Vec<HeaderMutations>,
    response: Vec<HeaderMutations>,
}

impl Filter {
    pub(super) fn new(request: Vec<HeaderMutations>, response: Vec<HeaderMutations>) -> Self {
        Self { request, response }
    }
}

impl HttpFilter for Filter {
    fn interest(&self) -> Interest {
        Interest {
            request_head: !self.request.is_empty(),
            response_head: !self.response.is_empty(),
            ..Interest::default()
        }
    }

    fn request_head(
        &self,
        _: &mut FilterState,
        head: &mut RequestHead,
        cx: &mut StreamCx<'_>,
    ) -> Step {
        let mut scratch = Scratch::new();
        let context = FormatContext::new(cx.info, cx.connection);
        for mutation in &self.request {
            mutation.apply_request(head, &context, &mut scratch);
        }
        Step::Continue
    }

    fn response_head(
        &self,
        _: &mut FilterState,
        request: &RequestHead,
        head: &mut ResponseHead,
        cx: &mut StreamCx<'_>,
    ) -> ResponseStep {
        let mut scratch = Scratch::new();
        let context = FormatContext::new(cx.info, cx.connection).request(request);
        for mutation in &self.response {
            mutation.apply_response(head, &context, &mut scratch);
        }
        ResponseStep::Continue
    }
}
