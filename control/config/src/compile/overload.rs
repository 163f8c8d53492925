//! The overload manager (Envoy `config.overload.v3.OverloadManager`): what is watched, and what is
//! done from which pressure on.

use std::collections::HashSet;
use std::time::Duration;

use ringway_model::overload::{
    Action, ActionPolicy, Monitor, OverloadPolicy, Resource, Shortest, Timer, TimerScales, Trigger,
};

use super::at::At;
use super::proto::bootstrap::Bootstrap;
use super::proto::{google, monitors, overload};
use super::value::{duration, is, type_name, unpack};

/// `refresh_interval`
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Often enough for anything; the control thread has more to do.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The monitor whose limit is held where connections are accepted.
pub(super) const GLOBAL_CONNECTIONS: &str =
    "envoy.resource_monitors.global_downstream_max_connections";

/// What `overload_manager` means for each side.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) policy: Option<OverloadPolicy>,
    pub(super) timers: TimerScales,
}

impl Compiled {
    /// The limit on all connections, if there is a monitor for it.
    pub(super) fn max_connections(&self) -> Option<u64> {
        let monitors = self.policy.iter().flat_map(|policy| &policy.monitors);
        monitors.into_iter().find_map(|monitor| match monitor.resource {
            Resource::Connections { max } => Some(max),
            _ => None,
        })
    }
}

pub(super) fn compile(root: &At<'_>, bootstrap: &Bootstrap) -> Compiled {
    let Some(manager) = &bootstrap.overload_manager else { return Compiled::default() };
    let at = root.field("overload_manager");
    let at_interval = at.field("refresh_interval");
    let interval = duration(&at_interval, manager.refresh_interval).unwrap_or(REFRESH_INTERVAL);
    let monitors = monitors(&at.field("resource_monitors"), &manager.resource_monitors);
    let names: Vec<&str> = manager.resource_monitors.iter().map(|one| one.name.as_str()).collect();
    let mut timers = TimerScales::default();
    let actions = actions(&at.field("actions"), &manager.actions, &names, &mut timers);
    let refresh_interval = interval.max(REFRESH_INTERVAL_MIN);
    Compiled { policy: Some(OverloadPolicy { refresh_interval, monitors, actions }), timers }
}

fn monitors(at: &At<'_>, all: &[overload::ResourceMonitor]) -> Vec<Monitor> {
    let mut names = HashSet::new();
    let mut found = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let at = at.index(index);
        if !names.insert(one.name.as_str()) {
            let name = &one.name;
            at.field("name").invalid(format_args!("Duplicate resource monitor {name}"));
        }
        // Its statistics would have the names of the monitors of another resource.
        if let Some(resource) = resource(&at, one) {
            found.push(Monitor { name: one.name.clone(), resource });
        }
    }
    found
}

fn resource(at: &At<'_>, monitor: &overload::ResourceMonitor) -> Option<Resource> {
    use overload::resource_monitor::ConfigType::TypedConfig;
    let Some(TypedConfig(any)) = &monitor.config_type else {
        let name = &monitor.name;
        at.invalid(format_args!(
            "Didn't find a registered implementation for '{name}' with type URL: ''"
        ));
        return None;
    };
    let at = at.field("typed_config");
    if is::<monitors::fixed_heap::v3::FixedHeapConfig>(any) {
        let heap: monitors::fixed_heap::v3::FixedHeapConfig = unpack(&at, any)?;
        if heap.max_heap_size_bytes == 0 {
            at.invalid("fixed_heap: max heap size must be greater than 0");
        }
        return Some(Resource::Heap { max: heap.max_heap_size_bytes });
    }
    if is::<monitors::cgroup_memory::v3::CgroupMemoryConfig>(any) {
        let group: monitors::cgroup_memory::v3::CgroupMemoryConfig = unpack(&at, any)?;
        let max = Some(group.max_memory_bytes).filter(|max| *max > 0);
        return Some(Resource::CgroupMemory { max });
    }
    if is::<monitors::injected_resource::v3::InjectedResourceConfig>(any) {
        let file: monitors::injected_resource::v3::InjectedResourceConfig = unpack(&at, any)?;
        return Some(Resource::File(file.filename.into()));
    }
    connections(&at, monitor, any)
}

/// The API's own rules keep the number of connections above zero.
fn connections(
    at: &At<'_>,
    monitor: &overload::ResourceMonitor,
    any: &google::Any,
) -> Option<Resource> {
    use monitors::downstream_connections::v3::DownstreamConnectionsConfig;
    if !is::<DownstreamConnectionsConfig>(any) {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    }
    let limit: DownstreamConnectionsConfig = unpack(at, any)?;
    if monitor.name != GLOBAL_CONNECTIONS {
        at.invalid(format_args!("the name of this monitor must be {GLOBAL_CONNECTIONS}"));
    }
    let max = u64::try_from(limit.max_active_downstream_connections).unwrap_or(0);
    Some(Resource::Connections { max })
}

fn actions(
    at: &At<'_>,
    all: &[overload::OverloadAction],
    names: &[&str],
    timers: &mut TimerScales,
) -> Vec<ActionPolicy> {
    let mut found: Vec<ActionPolicy> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let (at, name) = (at.index(index), &one.name);
        let Some(action) = known_action(&at, name) else { continue };
        if found.iter().any(|other| other.action == action) {
            at.field("name").invalid(format_args!("Duplicate overload action {name}"));
        }
        match (&one.typed_config, action) {
            (Some(any), Action::ReduceTimeouts) => {
                scale_timers(&at.field("typed_config"), any, timers);
            }
            (None, Action::ReduceTimeouts) => {
                at.invalid(format_args!("Overload action \"{name}\" requires typed_config"));
            }
            (Some(_), _) => at.field("typed_config").invalid(format_args!(
                "Overload action \"{name}\" has an unexpected value for the typed_config field"
            )),
            (None, _) => {}
        }
        let triggers = triggers(&at.field("triggers"), one, names);
        found.push(ActionPolicy { action, triggers });
    }
    found
}

fn known_action(at: &At<'_>, name: &str) -> Option<Action> {
    /// What Envoy knows beside those that are known here.
    const OTHERS: [&str; 2] = [
        "envoy.overload_actions.reset_high_memory_stream",
        "envoy.overload_actions.close_idle_http_connections",
    ];
    let action = Action::of_name(name);
    if action.is_none() {
        let at = at.field("name");
        match OTHERS.contains(&name) {
            true => at.unsupported(format_args!("the action {name}")),
            false => at.invalid(format_args!("Unknown Overload Manager Action {name}")),
        }
    }
    action
}

/// The API's own rules hold that there is at least one, and keep thresholds between 0 and 1.
fn triggers(
    at: &At<'_>,
    action: &overload::OverloadAction,
    names: &[&str],
) -> Vec<(usize, Trigger)> {
    use overload::trigger::TriggerOneof;
    let mut found: Vec<(usize, Trigger)> = Vec::new();
    for (index, one) in action.triggers.iter().enumerate() {
        let (at, name, of) = (at.index(index), &one.name, &action.name);
        let Some(place) = names.iter().position(|other| other == name) else {
            let at = at.field("name");
            at.invalid(format_args!("Unknown trigger resource {name} for overload action {of}"));
            continue;
        };
        if found.iter().any(|(other, _)| *other == place) {
            let at = at.field("name");
            at.invalid(format_args!("Duplicate trigger resource for overload action {of}"));
        }
        match &one.trigger_oneof {
            Some(TriggerOneof::Threshold(one)) => {
                found.push((place, Trigger::Threshold(one.value)));
            }
            Some(TriggerOneof::Scaled(one)) => {
                let (scaling, saturation) = (one.scaling_threshold, one.saturation_threshold);
                if scaling >= saturation {
                    let at = at.field("scaled");
                    at.invalid("scaling_threshold must be less than saturation_threshold");
                }
                found.push((place, Trigger::Scaled { scaling, saturation }));
            }
            None => {}
        }
    }
    found
}

fn scale_timers(at: &At<'_>, any: &google::Any, timers: &mut TimerScales) {
    use overload::scale_timers_overload_action_config::scale_timer::OverloadAdjust;
    let config: Option<overload::ScaleTimersOverloadActionConfig> = unpack(at, any);
    let at = at.field("timer_scale_factors");
    for (index, one) in config.iter().flat_map(|config| &config.timer_scale_factors).enumerate() {
        let at = at.index(index);
        let Some(timer) = known_timer(&at.field("timer"), one.timer()) else { continue };
        let shortest = match &one.overload_adjust {
            Some(OverloadAdjust::MinTimeout(time)) => {
                let time = duration(&at.field("min_timeout"), Some(*time));
                Shortest::Time(time.unwrap_or_default())
            }
            Some(OverloadAdjust::MinScale(percent)) => Shortest::Share(percent.value / 100.0),
            None => continue,
        };
        if !timers.set(timer, shortest) {
            at.field("timer").invalid("Found duplicate entry for timer type");
        }
    }
}

fn known_timer(
    at: &At<'_>,
    timer: overload::scale_timers_overload_action_config::TimerType,
) -> Option<Timer> {
    use overload::scale_timers_overload_action_config::TimerType;
    match timer {
        TimerType::HttpDownstreamConnectionIdle => Some(Timer::ConnectionIdle),
        TimerType::HttpDownstreamStreamIdle => Some(Timer::StreamIdle),
        TimerType::TransportSocketConnect => Some(Timer::TransportConnect),
        TimerType::HttpDownstreamConnectionMax => Some(Timer::ConnectionMax),
        TimerType::HttpDownstreamStreamFlush => {
            at.unsupported("the timer HTTP_DOWNSTREAM_STREAM_FLUSH");
            None
        }
        TimerType::Unspecified => {
            at.invalid("Unknown timer type");
            None
        }
    }
}
