//! `--base-id`: one process per number, held by the kernel for as long as the process lives.
//!
//! As in Envoy, a claim is a datagram socket with an abstract name, so nothing is left behind by a
//! process that was killed, and containers with a network of their own do not meet. The names are
//! Ringway's: an Envoy on the same host would take an answer on its own ones for its parent.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use crate::cli::Options;

/// How often a free number is looked for before something else must be wrong (as in Envoy).
const TRIES_MAX: usize = 100;
/// Numbers that are chosen, as Envoy chooses them.
const CHOSEN: u32 = 0x0fff_ffff;
/// Room in a base id for the epochs of hot restart (Envoy multiplies by it, and says so).
const EPOCHS: u64 = 10;

/// A base id that nobody else has while this lives.
#[derive(Debug)]
pub(crate) struct BaseId {
    number: u32,
    _name: UnixDatagram,
}

impl BaseId {
    /// Takes the number of the command line, or a free one; none where hot restart is disabled.
    /// `--base-id-path` is written.
    ///
    /// # Errors
    /// Envoy's words.
    pub(crate) fn claim(options: &Options) -> Result<Option<Self>, String> {
        if options.disable_hot_restart {
            return Ok(None);
        }
        let claimed =
            if options.use_dynamic_base_id { Self::free()? } else { Self::take(options.base_id)? };
        if let Some(path) = &options.base_id_path {
            claimed.write(path);
        }
        Ok(Some(claimed))
    }

    fn take(number: u32) -> Result<Self, String> {
        Self::bind(number).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(0);
            format!(
                "unable to bind domain socket with base_id={}, id=0, errno={errno} \
                 (see --base-id option)",
                u64::from(number) * EPOCHS
            )
        })
    }

    fn free() -> Result<Self, String> {
        let tries = (0..TRIES_MAX).map(|_| Self::bind(random() & CHOSEN));
        tries
            .filter_map(Result::ok)
            .next()
            .ok_or_else(|| "unable to select a dynamic base id".to_owned())
    }

    fn bind(number: u32) -> io::Result<Self> {
        let name = format!("ringway_domain_socket_{}", u64::from(number) * EPOCHS);
        let address = SocketAddr::from_abstract_name(name)?;
        Ok(Self { number, _name: UnixDatagram::bind_addr(&address)? })
    }

    /// Envoy serves even when it cannot.
    fn write(&self, path: &Path) {
        if let Err(error) = fs::write(path, self.number.to_string()) {
            let path = path.display();
            tracing::error!(
                target: "main",
                critical = true,
                "cannot open base id output file {path} for writing: {error}"
            );
        }
    }
}

/// The standard library seeds each of its maps at random.
fn random() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_until_its_claim_ends() {
        // Free, and so free again when it is given back.
        let first = BaseId::free().expect("a free number");
        let refusal = BaseId::take(first.number).expect_err("it is taken");
        let scaled = u64::from(first.number) * EPOCHS;
        assert_eq!(
            refusal,
            format!(
                "unable to bind domain socket with base_id={scaled}, id=0, errno=98 \
                 (see --base-id option)"
            )
        );
        let number = first.number;
        drop(first);
        BaseId::take(number).expect("it is free again");
    }

    #[test]
    fn the_largest_number_has_a_name_too() {
        let largest = BaseId::take(u32::MAX).expect("nobody takes it");
        assert!(BaseId::take(u32::MAX).is_err());
        drop(largest);
    }
}
