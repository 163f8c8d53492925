//! `http.admin.*` and `listener.admin.*`: what the admin server counts of itself.

use std::sync::Arc;

use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, CounterId, Page};
use ringway_model::stats::{ListenerHttpStats, status_class};

stat_group! {
    /// `http.admin.*`
    pub struct AdminHttpStats {
        counters {
            downstream_cx_total, downstream_cx_http1_total, downstream_cx_destroy,
            downstream_rq_total, downstream_rq_http1_total, downstream_rq_completed,
            downstream_rq_1xx, downstream_rq_2xx, downstream_rq_3xx, downstream_rq_4xx,
            downstream_rq_5xx,
        }
        gauges { downstream_cx_active, downstream_cx_http1_active, downstream_rq_active }
        histograms {}
    }
}

stat_group! {
    /// `listener.admin.*`
    pub struct AdminListenerStats {
        counters { downstream_cx_total, downstream_cx_destroy, downstream_global_cx_overflow }
        gauges { downstream_cx_active }
        histograms {}
    }
}

stat_group! {
    /// `listener.admin.main_thread.*`: the control thread accepts alone.
    pub struct MainThreadStats {
        counters { downstream_cx_total }
        gauges { downstream_cx_active }
        histograms {}
    }
}

const LISTENER: &str = "listener.admin";
const MAIN_THREAD: &str = "listener.admin.main_thread";

/// Written on the control thread only.
#[derive(Debug)]
pub(super) struct Tally {
    page: Arc<Page>,
    http: AdminHttpStats,
    listener: AdminListenerStats,
    main_thread: MainThreadStats,
    listener_http: ListenerHttpStats,
}

impl Tally {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let prefix = [("envoy.http_conn_manager_prefix", "admin".to_owned())];
        Self {
            page: catalog.new_page(),
            http: AdminHttpStats::register(catalog, "http.admin", "http", &prefix),
            listener: AdminListenerStats::register(catalog, LISTENER, LISTENER, &[]),
            main_thread: MainThreadStats::register(catalog, MAIN_THREAD, MAIN_THREAD, &[]),
            listener_http: ListenerHttpStats::register(
                catalog,
                "listener.admin.http.admin",
                "listener.admin.http",
                &prefix,
            ),
        }
    }

    /// A connection was one too many.
    pub(super) fn refused(&self) {
        self.page.inc(self.listener.downstream_global_cx_overflow);
    }

    pub(super) fn opened(&self) {
        self.page.inc(self.listener.downstream_cx_total);
        self.page.inc(self.main_thread.downstream_cx_total);
        self.page.raise(self.main_thread.downstream_cx_active, 1);
        self.page.raise(self.listener.downstream_cx_active, 1);
        self.page.inc(self.http.downstream_cx_total);
        self.page.inc(self.http.downstream_cx_http1_total);
        self.page.raise(self.http.downstream_cx_active, 1);
        self.page.raise(self.http.downstream_cx_http1_active, 1);
    }

    pub(super) fn closed(&self) {
        self.page.inc(self.listener.downstream_cx_destroy);
        self.page.lower(self.main_thread.downstream_cx_active, 1);
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

impl AdminHttpStats {
    /// Counters of `downstream_rq_1xx` to `downstream_rq_5xx`.
    fn by_class(&self) -> [CounterId; 5] {
        [
            self.downstream_rq_1xx,
            self.downstream_rq_2xx,
            self.downstream_rq_3xx,
            self.downstream_rq_4xx,
            self.downstream_rq_5xx,
        ]
    }
}
