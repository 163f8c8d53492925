//! Which CPU does what: the proxy alone on the first, load and origin on the others.

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

/// The CPUs of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) origin: usize,
    pub(crate) load: Vec<usize>,
}

impl Cores {
    /// As the CPUs that this process may use allow.
    ///
    /// # Errors
    ///
    /// There is only one: then proxy and load would take time from each other.
    pub(crate) fn find() -> Result<Self, String> {
        let set = sched_getaffinity(Pid::from_raw(0)).map_err(|error| error.to_string())?;
        let usable: Vec<usize> = (0..nix::sched::CpuSet::count())
            .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
            .collect();
        Self::share(&usable)
    }

    fn share(usable: &[usize]) -> Result<Self, String> {
        match usable {
            [] | [_] => Err("two CPUs are needed: one for the proxy, one for the load".to_owned()),
            [proxy, other] => Ok(Self { proxy: *proxy, origin: *other, load: vec![*other] }),
            [proxy, origin, load @ ..] => {
                // A proxy on one core needs no more than two cores of load.
                let load = load.iter().copied().take(2).collect();
                Ok(Self { proxy: *proxy, origin: *origin, load })
            }
        }
    }

    /// Load and origin share a CPU, so that a load that spins would starve the origin.
    pub(crate) fn origin_shares(&self) -> bool {
        self.load.contains(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_alone() {
        assert!(Cores::share(&[3]).is_err());
        let two = Cores::share(&[0, 1]).expect("enough");
        assert_eq!((two.proxy, two.origin, two.load.as_slice()), (0, 1, &[1][..]));
        assert!(two.origin_shares());
        let four = Cores::share(&[0, 1, 2, 3]).expect("enough");
        assert_eq!((four.proxy, four.origin, four.load.as_slice()), (0, 1, &[2, 3][..]));
        assert!(!four.origin_shares());
    }
}
