//! How much load a host is prepared for. Most settings are right or wrong only for a size of load.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// The load that the host is to carry, by connections open at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Up to 1,000 connections: one service, an office, a test host.
    Small,
    /// Up to 50,000 connections: a busy site.
    #[default]
    Medium,
    /// Up to 1,000,000 connections: an edge.
    Large,
}

impl Size {
    /// Downstream connections open at the same time.
    pub fn connections(self) -> u64 {
        match self {
            Self::Small => 1_000,
            Self::Medium => 50_000,
            Self::Large => 1_000_000,
        }
    }

    /// Connections that may wait to be accepted on one listening socket.
    pub fn backlog(self) -> u64 {
        match self {
            Self::Small => 4_096,
            Self::Medium => 16_384,
            Self::Large => 65_535,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        })
    }
}
