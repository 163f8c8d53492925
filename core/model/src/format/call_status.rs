//! `%GRPC_STATUS%`: what a call of gRPC came to, by number or by name.

use super::FormatContext;
use super::operator::{number, text_of};
use crate::grpc;

/// How a status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `NotFound`
    Camel,
    /// `NOT_FOUND`
    Snake,
    /// `5`
    Number,
}

const CAMEL: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const SNAKE: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Appends the status; false where the request was no call.
pub(super) fn write(cx: &FormatContext<'_>, spelling: Spelling, out: &mut Vec<u8>) -> bool {
    if !cx.request.is_some_and(|head| grpc::is_grpc(&head.fields)) {
        return false;
    }
    let status = grpc::status_of(cx);
    let names = match spelling {
        Spelling::Number => return number(u64::from(status), out),
        Spelling::Camel => CAMEL,
        Spelling::Snake => SNAKE,
    };
    text_of(names.get(usize::from(status)).map(|name| name.as_bytes()), out)
}
