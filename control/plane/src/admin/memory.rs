//! `/memory`, from what the kernel accounts.

use serde_json::json;

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;
use crate::process::Memory;

/// Proto-JSON prints 64-bit numbers as strings (Envoy `admin.v3.Memory`). What only tcmalloc
/// knows is 0.
pub(crate) fn memory(_: &AdminState, _: &Request) -> Reply {
    let memory = Memory::read();
    Reply::pretty(&json!({
        "allocated": memory.allocated.to_string(),
        "heap_size": memory.heap.to_string(),
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": memory.physical.to_string(),
    }))
}
