//! `http.admin.*` and `listener.admin.*`: what the admin server counts of itself.

use std::sync::Arc;

use ringway_bridge::stats::{Catalog, Page};
use ringway_model::stats::{HttpStats, ListenerHttpStats, ListenerStats, status_class};

/// Written on the control thread only.
#[derive(Debug)]
pub(super) struct Tally {
    page: Arc<Page>,
    http: HttpStats,
    listener: ListenerStats,
    listener_http: ListenerHttpStats,
}

impl Tally {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let prefix = [("envoy.http_conn_manager_prefix", "admin".to_owned())];
        Self {
            page: catalog.new_page(),
            http: HttpStats::register(catalog, "http.admin", "http", &prefix),
            listener: ListenerStats::register(catalog, "listener.admin", "listener.admin", &[]),
            listener_http: ListenerHttpStats::register(
                catalog,
                "listener.admin.http.admin",
                "listener.admin.http",
                &prefix,
            ),
        }
    }

    pub(super) fn opened(&self) {
        self.page.inc(self.listener.downstream_cx_total);
        self.page.raise(self.listener.downstream_cx_active, 1);
        self.page.inc(self.http.downstream_cx_total);
        self.page.inc(self.http.downstream_cx_http1_total);
        self.page.raise(self.http.downstream_cx_active, 1);
        self.page.raise(self.http.downstream_cx_http1_active, 1);
    }

    pub(super) fn closed(&self) {
        self.page.inc(self.listener.downstream_cx_destroy);
        self.page.lower(self.listener.downstream_cx_active, 1);
        self.page.inc(self.http.downstream_cx_destroy);
        self.page.lower(self.http.downstream_cx_active, 1);
        self.page.lower(self.http.downstream_cx_http1_active, 1);
    }

    /// A request came; commands answer at once, so it is active only while they read this.
    pub(super) fn requested(&self) {
        self.page.inc(self.http.downstream_rq_total);
        self.page.inc(self.http.downstream_rq_http1_total);
        self.page.raise(self.http.downstream_rq_active, 1);
    }

    pub(super) fn answered(&self, status: u16) {
        self.page.lower(self.http.downstream_rq_active, 1);
        self.page.inc(self.http.downstream_rq_completed);
        self.page.inc(self.listener_http.downstream_rq_completed);
        if let Some(class) = status_class(status) {
            self.page.inc(self.http.by_class()[class]);
            self.page.inc(self.listener_http.by_class()[class]);
        }
    }
}
