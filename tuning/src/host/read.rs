//! Reading of small files that may not be there.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// No file that is read here is longer on a real host; the rest of a longer one is ignored.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Entries of a directory that are looked at, such as CPUs or network queues.
const MAX_ENTRIES: usize = 4096;

/// The text of a file without white space at its ends.
pub(super) fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// A file that holds one value.
pub(super) fn value<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// Names of a directory's entries that begin with `prefix`, in order.
pub(super) fn names(directory: &Path, prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// A kernel setting, with runs of white space as one space.
pub(super) fn sysctl(root: &Path, name: &str) -> Option<String> {
    let text = text(&sysctl_path(root, name))?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Where a kernel setting lives. None of the names used here has a dot inside a component.
pub(crate) fn sysctl_path(root: &Path, name: &str) -> PathBuf {
    root.join("proc/sys").join(name.replace('.', "/"))
}

/// The number of CPUs in a list such as `0-3,8`, and its members up to a bound.
pub(super) fn cpu_list(list: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { continue };
        cpus.extend((first..=last).take(MAX_ENTRIES.saturating_sub(cpus.len())));
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_have_ranges_and_gaps() {
        assert_eq!(cpu_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(cpu_list("5"), [5]);
        assert_eq!(cpu_list(""), [0_u32; 0]);
        assert_eq!(cpu_list("x-3,1"), [1]);
        assert_eq!(cpu_list("0-4294967295").len(), MAX_ENTRIES);
    }
}
