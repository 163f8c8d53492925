//! The pressure on a resource: the part of it that is used.

use std::fs;
use std::io::Read;
use std::path::Path;

use ringway_model::overload::Resource;

use crate::process::Memory;

/// More than any number takes.
const FILE_MAX: u64 = 64;

/// Where the files of control groups are, and what the two generations of them call the same.
const GROUPS: &str = "/sys/fs/cgroup";
const SECOND: [&str; 2] = ["memory.current", "memory.max"];
const FIRST: [&str; 2] = ["memory/memory.usage_in_bytes", "memory/memory.limit_in_bytes"];

/// How much of a resource is used: 1 is all of it.
pub(super) fn pressure(resource: &Resource) -> Result<f64, String> {
    match resource {
        Resource::Heap { max } => {
            let used = Memory::read().allocated;
            if used == 0 {
                return Err("the kernel does not say how much memory is used".to_owned());
            }
            Ok(used as f64 / *max as f64)
        }
        Resource::CgroupMemory { max } => group_pressure(Path::new(GROUPS), *max),
        Resource::File(path) => share(&read(path)?),
        Resource::Connections { .. } => Ok(0.0),
    }
}

/// A number from 0 to 1, as Envoy reads it.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) => Err(format!("'{text}' is not between 0 and 1")),
        Err(_) => Err(format!("'{text}' is no number")),
    }
}

fn group_pressure(groups: &Path, max: Option<u64>) -> Result<f64, String> {
    let files = [SECOND, FIRST].into_iter().find(|[used, _]| groups.join(used).exists());
    let Some([used, limit]) = files else {
        return Err(format!("no control group for memory in {}", groups.display()));
    };
    let used = bytes(&read(&groups.join(used))?)?;
    // The root has no limit, and no file that says so.
    let own = read(&groups.join(limit)).ok().filter(|limit| limit != "max");
    let own = own.map(|limit| bytes(&limit)).transpose()?;
    match [own, max].into_iter().flatten().min() {
        Some(limit) if limit > 0 => Ok(used as f64 / limit as f64),
        Some(_) => Ok(1.0),
        None => Ok(0.0),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no number of bytes"))
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read '{}': {error}", path.display());
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_measured_against_the_smaller_limit() {
        let folder = tempfile::tempdir().unwrap();
        let groups = folder.path();
        assert!(group_pressure(groups, Some(100)).is_err(), "there is no group");
        let write = |name: &str, text: &str| fs::write(groups.join(name), text).unwrap();
        write("memory.current", "600\n");
        assert_eq!(group_pressure(groups, None), Ok(0.0));
        write("memory.max", "max\n");
        assert_eq!(group_pressure(groups, None), Ok(0.0));
        assert_eq!(group_pressure(groups, Some(1000)), Ok(0.6));
        write("memory.max", "800\n");
        assert_eq!(group_pressure(groups, Some(1000)), Ok(0.75));
        assert_eq!(group_pressure(groups, Some(300)), Ok(2.0));
        write("memory.current", "much\n");
        assert_eq!(group_pressure(groups, None), Err("'much' is no number of bytes".to_owned()));
    }

    #[test]
    fn the_first_generation_of_groups_is_read_as_well() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("memory")).unwrap();
        for (name, text) in FIRST.into_iter().zip(["50\n", "200\n"]) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(group_pressure(folder.path(), None), Ok(0.25));
    }

    #[test]
    fn this_process_uses_memory() {
        let pressure = pressure(&Resource::Heap { max: 1 << 40 }).unwrap();
        assert!(pressure > 0.0 && pressure < 1.0, "{pressure}");
    }
}
