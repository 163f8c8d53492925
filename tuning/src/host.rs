//! A snapshot of a host, read from `/proc` and `/sys` below a root directory.
//!
//! Nothing here judges, and nothing fails: what cannot be read is `None`, since a container or an
//! older kernel hides much of it and the rest still deserves advice.

mod cpu;
mod net;
mod process;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

pub use cpu::Cpus;
pub use net::{Counters, Nic, Offload, Offloads};
pub use process::Process;
pub(crate) use read::sysctl_path;

use crate::rules::SYSCTLS;

/// What the doctor knows of a host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `kernel.hostname`.
    pub name: Option<String>,
    /// `kernel.osrelease`, such as `6.8.0-45-generic`.
    pub release: Option<String>,
    /// Kernel settings that exist on this host, by their dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Processors, their clocks and what a container may use of them.
    pub cpus: Cpus,
    /// Network cards. Virtual interfaces without a device of their own are left out.
    pub nics: Vec<Nic>,
    /// What the network stack has counted since boot.
    pub counters: Counters,
    /// The running Ringway if there is one, else the doctor itself.
    pub process: Process,
}

impl Host {
    /// Reads the host below `root`: `/` for this one.
    pub fn read(root: &Path) -> Self {
        Self {
            name: read::sysctl(root, "kernel.hostname"),
            release: read::sysctl(root, "kernel.osrelease"),
            sysctls: sysctls(root),
            cpus: Cpus::read(root),
            nics: net::nics(root),
            counters: Counters::read(root),
            process: Process::read(root),
        }
    }

    /// The value of a kernel setting, with runs of white space as one space.
    pub fn sysctl(&self, name: &str) -> Option<&str> {
        self.sysctls.get(name).map(String::as_str)
    }

    /// The value of a kernel setting that is one number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.sysctl(name)?.parse().ok()
    }

    /// Major and minor version of the kernel.
    pub fn kernel(&self) -> Option<(u32, u32)> {
        let release = self.release.as_deref()?;
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

fn sysctls(root: &Path) -> BTreeMap<String, String> {
    let known = |name: &&str| Some((name.to_string(), read::sysctl(root, name)?));
    SYSCTLS.iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_version_is_the_first_two_numbers() {
        let host = |release: &str| Host { release: Some(release.into()), ..Host::default() };
        assert_eq!(host("6.8.0-45-generic").kernel(), Some((6, 8)));
        assert_eq!(host("5.14.0-503.el9").kernel(), Some((5, 14)));
        assert_eq!(host("7.0-rc1").kernel(), Some((7, 0)));
        assert_eq!(host("").kernel(), None);
        assert_eq!(host("six").kernel(), None);
        assert_eq!(Host::default().kernel(), None);
    }

    #[test]
    fn a_root_without_anything_is_a_host_of_unknowns() {
        let empty = tempfile::tempdir().unwrap();
        let host = Host::read(empty.path());
        assert!(host.sysctls.is_empty() && host.nics.is_empty() && host.release.is_none());
    }
}
