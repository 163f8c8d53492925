//! What a network card does in the kernel's place: segmentation, merging, checksums.
//!
//! The kernel tells it by netlink (its ethtool family), not in a file. A stored host has what
//! `ethtool -k` printed instead, as `ethtool/<name of the card>`.

use std::path::Path;

use super::super::read;

mod netlink;

/// The state of one offload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// In use.
    On,
    /// Not in use, though the card or the kernel could.
    Off,
    /// Not in use, and cannot be.
    Impossible,
}

/// What is known of a card's offloads; `None` where nobody told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offloads {
    /// Large sends are cut into packets by the card (TSO).
    pub tso: Option<Offload>,
    /// The same as late as possible by the kernel (GSO).
    pub gso: Option<Offload>,
    /// Received packets of a connection are merged before the stack sees them (GRO).
    pub gro: Option<Offload>,
    /// The card merges received packets in a way that cannot be undone (LRO).
    pub lro: Option<Offload>,
}

/// The offloads of card `name`.
pub(super) fn read(root: &Path, name: &str) -> Offloads {
    if let Some(text) = read::text(&root.join("ethtool").join(name)) {
        return printed(&text);
    }
    // Netlink speaks of this host only.
    if root != Path::new("/") {
        return Offloads::default();
    }
    netlink::features(name).map_or(Offloads::default(), |features| features.offloads())
}

/// Features of a card by the kernel's names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Features {
    changeable: Vec<String>,
    active: Vec<String>,
}

impl Features {
    fn offloads(&self) -> Offloads {
        Offloads {
            tso: self.state("tx-tcp-segmentation"),
            gso: self.state("tx-generic-segmentation"),
            gro: self.state("rx-gro"),
            lro: self.state("rx-lro"),
        }
    }

    fn state(&self, name: &str) -> Option<Offload> {
        let among = |names: &[String]| names.iter().any(|found| found == name);
        Some(match (among(&self.active), among(&self.changeable)) {
            (true, _) => Offload::On,
            (false, true) => Offload::Off,
            (false, false) => Offload::Impossible,
        })
    }
}

/// What `ethtool -k` prints: `generic-receive-offload: off [fixed]`.
fn printed(text: &str) -> Offloads {
    let state = |name: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        Some(match value?.trim() {
            value if value.starts_with("on") => Offload::On,
            "off [fixed]" => Offload::Impossible,
            _ => Offload::Off,
        })
    };
    Offloads {
        tso: state("tcp-segmentation-offload"),
        gso: state("generic-segmentation-offload"),
        gro: state("generic-receive-offload"),
        lro: state("large-receive-offload"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ethtool_prints_is_read() {
        let text = "Features for eth0:\nrx-checksumming: on [fixed]\n\
                    tcp-segmentation-offload: off\n\ttx-tcp-segmentation: off\n\
                    generic-receive-offload: on\nlarge-receive-offload: off [fixed]\n";
        let offloads = printed(text);
        assert_eq!(offloads.tso, Some(Offload::Off));
        assert_eq!(offloads.gro, Some(Offload::On));
        assert_eq!(offloads.lro, Some(Offload::Impossible));
        assert_eq!(offloads.gso, None);
    }

    #[test]
    fn a_feature_that_is_off_and_cannot_be_changed_is_impossible() {
        let features = Features {
            changeable: vec!["rx-gro".to_owned(), "tx-tcp-segmentation".to_owned()],
            active: vec!["rx-gro".to_owned()],
        };
        let offloads = features.offloads();
        assert_eq!(offloads.gro, Some(Offload::On));
        assert_eq!(offloads.tso, Some(Offload::Off));
        assert_eq!(offloads.lro, Some(Offload::Impossible));
    }

    #[test]
    fn a_stored_host_without_the_file_tells_nothing() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(read(empty.path(), "lo").gro, None);
    }

    /// The loopback interface has software offloads on every Linux that tells of any.
    #[test]
    fn this_host_tells_of_its_loopback_interface() {
        let Some(features) = netlink::features("lo") else {
            eprintln!("skipped: the kernel, or a sandbox, has no ethtool netlink");
            return;
        };
        assert_eq!(features.offloads().gro, Some(Offload::On), "{features:?}");
        assert_eq!(netlink::features("no-such-card"), None);
    }
}
