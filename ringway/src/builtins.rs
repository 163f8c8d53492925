//! The extensions that this build has: the one table that names them all.

use ringway_model::filter::Registry;

/// Every filter of this build, beside the router and the connection manager.
pub(crate) fn registry() -> Registry {
    Registry { http_filters: ringway_filters::http::all() }
}
