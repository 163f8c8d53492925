//! What the control thread watches, and when it acts.

use std::path::PathBuf;
use std::time::Duration;

use super::Action;

/// What the control thread watches, and what it does then.
#[derive(Debug, Clone, PartialEq)]
pub struct OverloadPolicy {
    /// `refresh_interval`: how often it looks.
    pub refresh_interval: Duration,
    /// What it looks at.
    pub monitors: Vec<Monitor>,
    /// What it does.
    pub actions: Vec<ActionPolicy>,
}

/// A resource, whose pressure is the used part of it: 1 when nothing is left.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// By which triggers and statistics know it.
    pub name: String,
    /// What it is.
    pub resource: Resource,
}

/// Envoy's kinds of monitors.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// `fixed_heap`: memory of the process.
    Heap {
        /// `max_heap_size_bytes`
        max: u64,
    },
    /// `cgroup_memory`: memory of its control group.
    CgroupMemory {
        /// `max_memory_bytes`; without it the limit of the group itself.
        max: Option<u64>,
    },
    /// `injected_resource`: whatever a file says.
    File(PathBuf),
    /// `global_downstream_max_connections`: held where connections are accepted, so that there is
    /// nothing to watch.
    Connections {
        /// `max_active_downstream_connections`
        max: u64,
    },
}

/// An action, and when it is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionPolicy {
    /// What is done.
    pub action: Action,
    /// Each by the place of its monitor; the one that goes furthest counts.
    pub triggers: Vec<(usize, Trigger)>,
}

/// From which pressure on an action is taken, and how far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trigger {
    /// `threshold`: always from there on.
    Threshold(f64),
    /// `scaled`: the more often, the further the pressure is on its way to `saturation`.
    Scaled {
        /// `scaling_threshold`
        scaling: f64,
        /// `saturation_threshold`
        saturation: f64,
    },
}

impl Trigger {
    /// How far the action is taken, from 0 to 1.
    pub fn level(self, pressure: f64) -> f64 {
        match self {
            Self::Threshold(threshold) if pressure >= threshold => 1.0,
            Self::Threshold(_) => 0.0,
            Self::Scaled { scaling, .. } if pressure <= scaling => 0.0,
            Self::Scaled { saturation, .. } if pressure >= saturation => 1.0,
            Self::Scaled { scaling, saturation } => (pressure - scaling) / (saturation - scaling),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_say_how_far_an_action_is_taken() {
        let threshold = Trigger::Threshold(0.5);
        assert_eq!([0.0, 0.49, 0.5, 3.0].map(|one| threshold.level(one)), [0.0, 0.0, 1.0, 1.0]);
        let scaled = Trigger::Scaled { scaling: 0.5, saturation: 0.75 };
        assert_eq!([0.5, 0.625, 0.75].map(|one| scaled.level(one)), [0.0, 0.5, 1.0]);
    }
}
