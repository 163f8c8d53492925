//! Embeds the descriptors of Envoy's API.
//!
//! The package `envoy-types` carries, beside its Rust types, the descriptor set that they were
//! generated from (`src/generated/types.bin`), options included. This script finds that package,
//! drops the comments of the protos (four fifths of the size), and leaves the rest as
//! `$OUT_DIR/descriptors.bin`. So there is no protobuf compiler in the build and no copy of the
//! protos in the tree, and types and descriptors cannot drift apart.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Field number of `file` in `google.protobuf.FileDescriptorSet`.
const FILE: u64 = 1;
/// Field number of `source_code_info` (the comments) in `google.protobuf.FileDescriptorProto`.
const SOURCE_CODE_INFO: u64 = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let set = envoy_types_dir()?.join("src/generated/types.bin");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", set.display());
    println!("cargo::rerun-if-changed={}", workspace_lock().display());
    let full = fs::read(&set).map_err(|error| format!("{}: {error}", set.display()))?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, without_comments(&full)?)?;
    Ok(())
}

/// The lock file decides the version of `envoy-types`; when it changes, the script runs again.
fn workspace_lock() -> PathBuf {
    Path::new("../../Cargo.lock").to_path_buf()
}

/// The folder of the package `envoy-types`, as cargo itself resolves it.
fn envoy_types_dir() -> Result<PathBuf, Box<dyn Error>> {
    // Offline and locked first: all packages are there while a build runs, and a build must not
    // change the lock file. The second form serves a lock file that lists more than this build
    // fetched.
    let metadata = cargo_metadata(&["--offline", "--locked"]).or_else(|_| cargo_metadata(&[]))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata does not list envoy-types")?;
    Ok(Path::new(manifest).parent().ok_or("envoy-types has no folder")?.to_path_buf())
}

fn cargo_metadata(flags: &[&str]) -> Result<serde_json::Value, Box<dyn Error>> {
    let output = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?)
        .args(["metadata", "--format-version", "1", "--filter-platform"])
        .arg(env::var("TARGET")?)
        .arg("--manifest-path")
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .args(flags)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Copies a `FileDescriptorSet` without the comments of each file.
///
/// This works on the wire format, so that options which no Rust type of the build knows (the
/// validation rules) stay as they are.
fn without_comments(set: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut out = Vec::with_capacity(set.len() / 4);
    for field in fields(set)? {
        if field.number != FILE {
            return Err(format!("field {} in a FileDescriptorSet", field.number).into());
        }
        let kept: Vec<&[u8]> = fields(field.content)?
            .iter()
            .filter(|field| field.number != SOURCE_CODE_INFO)
            .map(|field| field.raw)
            .collect();
        put_delimited(&mut out, FILE, &kept.concat());
    }
    Ok(out)
}

/// One field on the wire: its number, all its bytes, and what a length-delimited one carries.
struct Field<'a> {
    number: u64,
    raw: &'a [u8],
    content: &'a [u8],
}

/// Splits a message into its fields. Only the wire types that a descriptor uses are known.
fn fields(mut bytes: &[u8]) -> Result<Vec<Field<'_>>, Box<dyn Error>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let start = bytes;
        let key = varint(&mut bytes)?;
        let value = varint(&mut bytes)?;
        let content = match key & 7 {
            0 => &[],
            2 => {
                let (content, rest) =
                    bytes.split_at_checked(usize::try_from(value)?).ok_or("truncated field")?;
                bytes = rest;
                content
            }
            other => return Err(format!("wire type {other} of field {}", key >> 3).into()),
        };
        let raw = &start[..start.len() - bytes.len()];
        fields.push(Field { number: key >> 3, raw, content });
    }
    Ok(fields)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("truncated varint")?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("varint of more than ten bytes".into())
}

fn put_delimited(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
