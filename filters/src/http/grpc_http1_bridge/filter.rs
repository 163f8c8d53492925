//! The filter itself. It remembers that a call is bridged, and nothing else.

use ringway_http::{Known, RequestHead, ResponseHead, Version};
use ringway_model::filter::{
    FilterState, HttpFilter, Interest, ResponseStep, Step, StreamCx, Whole,
};
use ringway_model::grpc;

#[derive(Debug)]
pub(super) struct Filter {
    /// `ignore_query_parameters`
    pub(super) ignore_query: bool,
}

/// The mark of a call that is bridged.
struct Bridged;

impl HttpFilter for Filter {
    fn interest(&self) -> Interest {
        Interest { request_head: true, response_head: true, ..Interest::default() }
    }

    fn request_head(
        &self,
        state: &mut FilterState,
        head: &mut RequestHead,
        _: &mut StreamCx<'_>,
    ) -> Step {
        if !grpc::is_grpc(&head.fields) {
            return Step::Continue;
        }
        if head.version() < Version::Http2 {
            *state = Some(Box::new(Bridged));
        }
        let path = head.path_without_query();
        if self.ignore_query && path.len() < head.path().len() {
            let path = path.to_vec();
            head.set_path(&path);
        }
        Step::Continue
    }

    fn response_head(
        &self,
        state: &mut FilterState,
        _: &RequestHead,
        _: &mut ResponseHead,
        _: &mut StreamCx<'_>,
    ) -> ResponseStep {
        // How the call went is known at its end, and stands in the head for such a client.
        if state.is_some() { ResponseStep::Collect } else { ResponseStep::Continue }
    }

    fn response_whole(
        &self,
        _: &mut FilterState,
        _: &RequestHead,
        whole: &mut Whole<'_>,
        _: &mut StreamCx<'_>,
    ) {
        let (head, trailers) = (&mut *whole.head, &*whole.trailers);
        if let Some(status) = trailers.known(Known::GrpcStatus) {
            if grpc::status(trailers) != Some(0) {
                head.status = 503;
            }
            head.fields.set_known(Known::GrpcStatus, status);
        }
        if let Some(message) = trailers.known(Known::GrpcMessage) {
            head.fields.set_known(Known::GrpcMessage, message);
        }
    }
}
