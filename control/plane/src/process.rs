//! What the kernel says about this process.

use std::fs;

/// Memory of the process in bytes; zero where the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Anonymous memory in use (`RssAnon`): what allocators hold and touched.
    pub(crate) allocated: u64,
    /// Data segment and private mappings (`VmData`), touched or not.
    pub(crate) heap: u64,
    /// All resident memory (`VmRSS`).
    pub(crate) physical: u64,
}

impl Memory {
    /// Reads `/proc/self/status`.
    pub(crate) fn read() -> Self {
        fs::read_to_string("/proc/self/status")
            .map_or_else(|_| Self::default(), |s| Self::parse(&s))
    }

    fn parse(status: &str) -> Self {
        let of = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Self { allocated: of("RssAnon"), heap: of("VmData"), physical: of("VmRSS") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_become_bytes_and_missing_fields_zero() {
        let memory = Memory::parse("VmPeak:\t 9 kB\nVmRSS:\t  4096 kB\nRssAnon:\tx\n");
        assert_eq!(memory, Memory { allocated: 0, heap: 0, physical: 4096 * 1024 });
    }
}
