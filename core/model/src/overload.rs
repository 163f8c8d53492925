//! What a process does about overload (Envoy `config.overload.v3.OverloadManager`).
//!
//! When to act is the control thread's to find out, by its [`OverloadPolicy`]. Workers have to know
//! how far each action is taken, and which times it shortens.

mod policy;

use std::time::Duration;

use ringway_bridge::levels::Levels;

pub use policy::{ActionPolicy, Monitor, OverloadPolicy, Resource, Trigger};

/// What can be done about overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Requests get 503 and are not routed.
    StopAcceptingRequests,
    /// HTTP connections end with their next response.
    DisableHttpKeepalive,
    /// Clients wait in the kernel's queue.
    StopAcceptingConnections,
    /// Connections are closed when they are accepted.
    RejectIncomingConnections,
    /// Times that clients may take get shorter.
    ReduceTimeouts,
    /// Memory that nobody uses goes back to the system.
    ShrinkHeap,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::StopAcceptingRequests,
        Self::DisableHttpKeepalive,
        Self::StopAcceptingConnections,
        Self::RejectIncomingConnections,
        Self::ReduceTimeouts,
        Self::ShrinkHeap,
    ];

    /// Envoy's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StopAcceptingRequests => "envoy.overload_actions.stop_accepting_requests",
            Self::DisableHttpKeepalive => "envoy.overload_actions.disable_http_keepalive",
            Self::StopAcceptingConnections => "envoy.overload_actions.stop_accepting_connections",
            Self::RejectIncomingConnections => "envoy.overload_actions.reject_incoming_connections",
            Self::ReduceTimeouts => "envoy.overload_actions.reduce_timeouts",
            Self::ShrinkHeap => "envoy.overload_actions.shrink_heap",
        }
    }

    /// The action of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// How far each action is taken: 0 not at all, 1 always, and between them with that probability.
/// The control thread writes it, and all others read it.
#[derive(Debug, Default)]
pub struct Overload(Levels<{ Action::ALL.len() }>);

impl Overload {
    /// How far an action is taken.
    pub fn level(&self, action: Action) -> f32 {
        self.0.get(action as usize)
    }

    /// Says how far an action is taken from now on, and returns how far it was.
    pub fn set(&self, action: Action, level: f32) -> f32 {
        self.0.set(action as usize, level)
    }

    /// Whether an action is taken to its full extent.
    pub fn is_full(&self, action: Action) -> bool {
        self.level(action) >= 1.0
    }

    /// Whether an action is to be taken this time. `random` is asked only where it is of use.
    pub fn strikes(&self, action: Action, random: impl FnOnce() -> u64) -> bool {
        let level = self.level(action);
        level > 0.0 && (level >= 1.0 || (random() as f64) < f64::from(level) * 2_f64.powi(64))
    }
}

/// Times that `reduce_timeouts` shortens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// `common_http_protocol_options.idle_timeout` of clients.
    ConnectionIdle,
    /// `stream_idle_timeout`.
    StreamIdle,
    /// `transport_socket_connect_timeout`.
    TransportConnect,
    /// `common_http_protocol_options.max_connection_duration` of clients.
    ConnectionMax,
}

/// The shortest that a time may get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shortest {
    /// `min_timeout`
    Time(Duration),
    /// `min_scale`, as a share from 0 to 1.
    Share(f64),
}

/// How short each time may get; none for one that stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimerScales([Option<Shortest>; 4]);

impl TimerScales {
    /// Says how short a time may get; `false` if that was said before.
    pub fn set(&mut self, timer: Timer, shortest: Shortest) -> bool {
        self.0[timer as usize].replace(shortest).is_none()
    }

    /// What is left of a time at that level of overload.
    pub fn scaled(&self, timer: Timer, time: Duration, level: f32) -> Duration {
        let shortest = match self.0[timer as usize] {
            Some(Shortest::Time(shortest)) => shortest.min(time),
            Some(Shortest::Share(share)) => time.mul_f64(share.clamp(0.0, 1.0)),
            None => return time,
        };
        shortest + (time - shortest).mul_f32(1.0 - level.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_strikes_as_often_as_its_level_says() {
        let overload = Overload::default();
        let action = Action::DisableHttpKeepalive;
        assert!(!overload.strikes(action, || unreachable!("it is never taken")));
        overload.set(action, 0.25);
        let struck = |part: u64| overload.strikes(action, || u64::MAX / 100 * part);
        assert_eq!((0..100).filter(|part| struck(*part)).count(), 25);
        overload.set(action, 1.0);
        assert!(overload.strikes(action, || unreachable!("it is always taken")));
        assert!(overload.is_full(action) && !overload.is_full(Action::ShrinkHeap));
    }

    #[test]
    fn times_get_shorter_as_far_as_they_may() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        let mut scales = TimerScales::default();
        assert!(scales.set(Timer::ConnectionIdle, Shortest::Time(20 * second)));
        assert!(scales.set(Timer::StreamIdle, Shortest::Share(0.1)));
        assert!(!scales.set(Timer::StreamIdle, Shortest::Share(0.2)), "it was said before");
        assert_eq!(scales.scaled(Timer::ConnectionIdle, minute, 0.0), minute);
        assert_eq!(scales.scaled(Timer::ConnectionIdle, minute, 0.5), 40 * second);
        assert_eq!(scales.scaled(Timer::ConnectionIdle, minute, 1.0), 20 * second);
        assert_eq!(scales.scaled(Timer::ConnectionIdle, second, 1.0), second, "never longer");
        assert_eq!(scales.scaled(Timer::StreamIdle, minute, 1.0), 12 * second);
        assert_eq!(scales.scaled(Timer::TransportConnect, minute, 1.0), minute);
    }

    #[test]
    fn actions_are_known_by_their_names() {
        for action in Action::ALL {
            assert_eq!(Action::of_name(action.name()), Some(action));
        }
        assert_eq!(Action::of_name("envoy.overload_actions.rest"), None);
    }
}
