//! The names of what calls are counted by: `cluster.<name>.grpc.<service>.<method>.<what>`, as
//! Envoy 1.40 writes and tags them.

use ringway_http::RequestHead;
use ringway_model::filter::StreamCx;
use ringway_model::grpc;
use ringway_model::named_stats::{NamedStats, StatName};

/// A call, as its statistics name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// `grpc` or `grpc-web`
    kind: &'static str,
    /// `<service>.<method>.`, or nothing where methods are counted together.
    method: String,
}

impl Names {
    /// All methods together.
    pub(super) fn together(kind: &'static str) -> Self {
        Self { kind, method: String::new() }
    }

    /// The method of this request; `None` when its path names none.
    pub(super) fn of(kind: &'static str, head: &RequestHead, replace_dots: bool) -> Option<Self> {
        let (service, method) = grpc::service_and_method(head)?;
        let (service, method) = (std::str::from_utf8(service).ok()?, std::str::from_utf8(method));
        let service = match replace_dots {
            true => service.replace('.', "_"),
            false => service.to_owned(),
        };
        Some(Self { kind, method: format!("{service}.{}.", method.ok()?) })
    }

    /// Adds to a counter of this call.
    pub(super) fn add(&self, cx: &StreamCx<'_>, what: &str, n: u64) {
        self.visit(cx, |stats, scope| {
            let name = |_: &str| self.name(scope, what);
            stats.add(scope, &[self.kind, ".", &self.method, what], name, n);
        });
    }

    /// Records a time of this call.
    pub(super) fn record(&self, cx: &StreamCx<'_>, what: &str, millis: u64) {
        self.visit(cx, |stats, scope| {
            let name = |_: &str| self.name(scope, what);
            stats.record(scope, &[self.kind, ".", &self.method, what], name, millis);
        });
    }

    /// Counts how the call has ended.
    pub(super) fn end(&self, cx: &StreamCx<'_>, status: Option<u8>) {
        let Some(status) = status else { return };
        self.add(cx, STATUSES[usize::from(status)], 1);
        self.add(cx, if status == 0 { "success" } else { "failure" }, 1);
        self.add(cx, "total", 1);
    }

    fn visit(&self, cx: &StreamCx<'_>, count: impl FnOnce(&NamedStats, &StatName)) {
        if let Some(scope) = cx.cluster {
            count(cx.stats, scope);
        }
    }

    /// Envoy's tags take the two parts behind `grpc`, wherever the service's name has its dots.
    fn name(&self, scope: &StatName, what: &str) -> StatName {
        let mut parts = self.method.splitn(3, '.');
        let (first, second) = (parts.next(), parts.next());
        let rest = parts.next().unwrap_or_default();
        let mut tags = scope.tags.clone();
        if let (Some(service), Some(method)) = (first, second.filter(|text| !text.is_empty())) {
            tags.insert(0, ("envoy.grpc_bridge_service", service.to_owned()));
            tags.insert(0, ("envoy.grpc_bridge_method", method.to_owned()));
        }
        StatName {
            full: format!("{}.{}.{}{what}", scope.full, self.kind, self.method),
            base: format!("{}.{}.{rest}{what}", scope.base, self.kind),
            tags,
        }
    }
}

const STATUSES: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 prints them.
    #[test]
    fn names_are_split_as_envoy_splits_them() {
        let tags = vec![("envoy.cluster_name", "c".to_owned())];
        let scope = StatName { full: "cluster.c".into(), base: "cluster".into(), tags };
        let mut head = RequestHead::new();
        head.set_path(b"/demo.Echo/Unary");
        for (dots, full, base, service, method) in [
            (false, "cluster.c.grpc.demo.Echo.Unary.0", "cluster.grpc.Unary.0", "demo", "Echo"),
            (true, "cluster.c.grpc.demo_Echo.Unary.0", "cluster.grpc.0", "demo_Echo", "Unary"),
        ] {
            let name = Names::of("grpc", &head, dots).expect("a method").name(&scope, "0");
            assert_eq!((name.full.as_str(), name.base.as_str()), (full, base));
            assert_eq!((name.tags[0].1.as_str(), name.tags[1].1.as_str()), (method, service));
        }
        let together = Names::together("grpc").name(&scope, "total");
        assert_eq!((together.full.as_str(), together.tags.len()), ("cluster.c.grpc.total", 1));
    }
}
