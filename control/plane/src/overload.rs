//! The overload manager: looks at resources in turn, and says how far each action is taken.
//!
//! What is watched and when to act is the configuration's ([`OverloadPolicy`]). Workers read the
//! levels each time that one concerns them; only what they would not notice by themselves they
//! have to be told. This thread gives memory back itself.

mod monitor;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, CounterId, GaugeId, HistogramId, Page, StatName};
use ringway_model::overload::{
    Action, ActionPolicy, Monitor, Overload, OverloadPolicy, Resource, Trigger,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often memory is given back while it is short, as in Envoy.
const SHRINK_PAUSE: Duration = Duration::from_secs(10);

stat_group! {
    /// `overload.<action>.*`
    pub struct ActionStats {
        counters {}
        gauges { active, scale_percent }
        histograms {}
    }
}

/// Watches over resources, and acts.
#[derive(Debug)]
pub struct OverloadWatch {
    catalog: Arc<Catalog>,
    page: Arc<Page>,
    overload: Arc<Overload>,
    /// Gives memory that nobody uses back to the system.
    shrink: fn(),
    /// None where there is nothing to watch.
    ticks: Option<Interval>,
    delay: Option<HistogramId>,
    looked: Option<Instant>,
    monitors: Vec<Watched>,
    actions: Vec<Followed>,
    shrunk: Option<Instant>,
}

#[derive(Debug)]
struct Watched {
    monitor: Monitor,
    stats: MonitorStats,
    /// The last that is known: a look that fails changes nothing.
    pressure: f64,
    failing: bool,
}

/// `overload.<monitor>.*`. The limit on connections has no `skipped_updates`, since it is not
/// looked at; nor is any look skipped here.
#[derive(Debug)]
struct MonitorStats {
    pressure: GaugeId,
    failed_updates: CounterId,
}

#[derive(Debug)]
struct Followed {
    policy: ActionPolicy,
    stats: ActionStats,
    /// `shrink_count` of the action that gives memory back.
    shrink_count: Option<CounterId>,
}

impl OverloadWatch {
    /// One that watches nothing yet. `page` belongs to the calling thread.
    pub fn new(
        catalog: &Arc<Catalog>,
        page: Arc<Page>,
        overload: Arc<Overload>,
        shrink: fn(),
    ) -> Self {
        Self {
            catalog: Arc::clone(catalog),
            page,
            overload,
            shrink,
            ticks: None,
            delay: None,
            looked: None,
            monitors: Vec::new(),
            actions: Vec::new(),
            shrunk: None,
        }
    }

    /// Watches what the configuration says from now on. Returns whether workers have to be told.
    /// To be called within the runtime.
    pub fn follow(&mut self, policy: Option<&OverloadPolicy>) -> bool {
        self.actions.iter().for_each(|action| action.rest(&self.page));
        let all = policy.map(|policy| policy.monitors.as_slice()).unwrap_or_default();
        let known = std::mem::take(&mut self.monitors);
        self.monitors = all.iter().map(|one| Watched::new(&self.catalog, one, &known)).collect();
        let all = policy.map(|policy| policy.actions.as_slice()).unwrap_or_default();
        self.actions = all.iter().map(|one| Followed::new(&self.catalog, one)).collect();
        self.ticks = policy.map(|policy| {
            let mut ticks = interval(policy.refresh_interval);
            // A late look is one look, and not several of which all but one are too early.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let name = || StatName::new("overload", "overload", "refresh_interval_delay", &[]);
        self.delay = policy.map(|_| self.catalog.histogram(name()));
        self.looked = None;
        self.act()
    }

    /// Waits until it is time to look.
    pub async fn due(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Looks at each resource, and acts. Returns whether workers have to be told.
    pub fn refresh(&mut self) -> bool {
        let now = Instant::now();
        if let (Some(delay), Some(looked)) = (self.delay, self.looked.replace(now)) {
            self.page.record(delay, now.duration_since(looked).as_millis() as u64);
        }
        self.monitors.iter_mut().for_each(|one| one.look(&self.page));
        let tell = self.act();
        self.shrink(now);
        tell
    }

    /// Sets the level of each action. Returns whether one has changed that workers would not
    /// notice by themselves.
    fn act(&mut self) -> bool {
        let mut tell = false;
        for action in Action::ALL {
            let followed = self.actions.iter().find(|one| one.policy.action == action);
            let level = followed.map_or(0.0, |one| one.level(&self.monitors));
            let before = self.overload.set(action, level);
            if let Some(followed) = followed {
                followed.show(&self.page, level);
            }
            if level != before {
                let (name, percent) = (action.name(), percent(f64::from(level)));
                tracing::info!(target: "main", "overload action {name} at {percent} %");
            }
            tell |= match action {
                Action::ReduceTimeouts => level != before,
                Action::StopAcceptingConnections => (level >= 1.0) != (before >= 1.0),
                _ => false,
            };
        }
        tell
    }

    /// Gives memory back, at once and then from time to time, while it is short.
    fn shrink(&mut self, now: Instant) {
        if !self.overload.is_full(Action::ShrinkHeap) {
            self.shrunk = None;
        } else if self.shrunk.is_none_or(|last| now.duration_since(last) >= SHRINK_PAUSE) {
            self.shrunk = Some(now);
            (self.shrink)();
            let counters = self.actions.iter().filter_map(|one| one.shrink_count);
            counters.for_each(|count| self.page.inc(count));
        }
    }
}

impl Watched {
    /// One that was watched before goes on with what is known of it: a change of configuration is
    /// no relief.
    fn new(catalog: &Catalog, monitor: &Monitor, known: &[Self]) -> Self {
        let scope = format!("overload.{}", monitor.name);
        let name = |leaf: &str| StatName::new(&scope, &scope, leaf, &[]);
        if !matches!(monitor.resource, Resource::Connections { .. }) {
            // Always 0: a look is over before the next one begins.
            catalog.counter(name("skipped_updates"));
        }
        let stats = MonitorStats {
            pressure: catalog.gauge(name("pressure")),
            failed_updates: catalog.counter(name("failed_updates")),
        };
        let before = known.iter().find(|one| one.monitor == *monitor);
        let (pressure, failing) = before.map_or((0.0, false), |one| (one.pressure, one.failing));
        Self { monitor: monitor.clone(), stats, pressure, failing }
    }

    fn look(&mut self, page: &Page) {
        let name = &self.monitor.name;
        match monitor::pressure(&self.monitor.resource) {
            Ok(pressure) => {
                self.pressure = pressure;
                self.failing = false;
                page.set(self.stats.pressure, percent(pressure));
            }
            Err(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(target: "main", "resource monitor {name}: {why}");
                }
                page.inc(self.stats.failed_updates);
            }
        }
    }
}

impl Followed {
    fn new(catalog: &Catalog, policy: &ActionPolicy) -> Self {
        let scope = format!("overload.{}", policy.action.name());
        let stats = ActionStats::register(catalog, &scope, &scope, &[]);
        let shrinks = policy.action == Action::ShrinkHeap;
        let count = || catalog.counter(StatName::new(&scope, &scope, "shrink_count", &[]));
        Self { policy: policy.clone(), stats, shrink_count: shrinks.then(count) }
    }

    /// The trigger that goes furthest counts.
    fn level(&self, monitors: &[Watched]) -> f32 {
        let level = |(place, trigger): &(usize, Trigger)| {
            monitors.get(*place).map_or(0.0, |one| trigger.level(one.pressure))
        };
        self.policy.triggers.iter().map(level).fold(0.0, f64::max) as f32
    }

    fn show(&self, page: &Page, level: f32) {
        page.set(self.stats.active, u64::from(level >= 1.0));
        page.set(self.stats.scale_percent, percent(f64::from(level)));
    }

    /// No configuration has it any more.
    fn rest(&self, page: &Page) {
        self.show(page, 0.0);
    }
}

/// As Envoy shows it: what is behind the point is cut off.
fn percent(share: f64) -> u64 {
    (share * 100.0) as u64
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use ringway_bridge::stats::Total;

    static SHRUNK: AtomicU32 = AtomicU32::new(0);

    fn action(action: Action, trigger: Trigger) -> ActionPolicy {
        ActionPolicy { action, triggers: vec![(0, trigger)] }
    }

    #[tokio::test]
    async fn actions_follow_the_pressure_that_a_file_tells() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pressure");
        let monitor = Monitor { name: "file".to_owned(), resource: Resource::File(file.clone()) };
        let scaled = Trigger::Scaled { scaling: 0.2, saturation: 0.6 };
        let policy = OverloadPolicy {
            refresh_interval: Duration::from_secs(3600),
            monitors: vec![monitor],
            actions: vec![
                action(Action::StopAcceptingConnections, Trigger::Threshold(0.9)),
                action(Action::DisableHttpKeepalive, scaled),
                action(Action::ShrinkHeap, Trigger::Threshold(0.5)),
            ],
        };
        let (catalog, overload) = (Arc::new(Catalog::default()), Arc::<Overload>::default());
        let shrink = || {
            SHRUNK.fetch_add(1, Ordering::Relaxed);
        };
        let page = catalog.new_page();
        let mut watch = OverloadWatch::new(&catalog, page, Arc::clone(&overload), shrink);
        assert!(!watch.follow(Some(&policy)));
        let mut tell = |text: &str| {
            fs::write(&file, text).unwrap();
            watch.refresh()
        };
        let shown = |name: &str| match catalog.total(&format!("overload.{name}")) {
            Some(Total::Gauge(value) | Total::Counter(value)) => value,
            other => panic!("{name} is {other:?}"),
        };
        assert!(!tell("0.4\n"), "nobody has to be told of what is asked for each time");
        assert!((overload.level(Action::DisableHttpKeepalive) - 0.5).abs() < 1e-6);
        let keepalive = "envoy.overload_actions.disable_http_keepalive";
        assert_eq!(shown(&format!("{keepalive}.scale_percent")), 50);
        assert_eq!((shown(&format!("{keepalive}.active")), shown("file.pressure")), (0, 40));
        assert!(tell("0.95"), "accepting stops");
        assert!(!tell("0.97"), "it has stopped already");
        assert!(overload.is_full(Action::StopAcceptingConnections));
        assert_eq!(shown(&format!("{keepalive}.active")), 1);
        assert_eq!(SHRUNK.load(Ordering::Relaxed), 1, "not at each look");
        assert_eq!(shown("envoy.overload_actions.shrink_heap.shrink_count"), 1);
        assert!(!tell("much") && !tell("2"), "what cannot be read changes nothing");
        assert_eq!((shown("file.failed_updates"), shown("file.pressure")), (2, 97));
        assert!(!watch.follow(Some(&policy)), "a change of configuration is no relief");
        assert!(overload.is_full(Action::StopAcceptingConnections));
        assert!(watch.follow(None), "there is nothing to act on any more");
        assert_eq!(overload.level(Action::StopAcceptingConnections), 0.0);
        assert_eq!(shown(&format!("{keepalive}.active")), 0);
    }
}
