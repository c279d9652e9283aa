//! What the program carries: the shipped packs and the pages of docs/codes, so that no list of files is kept by hand. And how it
//! is linked.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Folders and files, each with all that is in it.
const EMBEDDED: [&str; 5] = [
    "backends.d",
    "docs/codes",
    "docs/problems.md",
    "routes.d",
    "templates",
];

#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no other way of being told"
)]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if knows_packed_relocations() {
        // Relocations as bits of a word instead of 24 bytes each: 2 MiB of the file.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let mut texts = BTreeMap::new();
    for path in EMBEDDED {
        println!("cargo::rerun-if-changed={path}");
        collect(path, &mut texts)?;
    }
    let lengths: Vec<_> = texts
        .iter()
        .map(|(path, text)| (path, text.len()))
        .collect();
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    for text in texts.values() {
        packed.write_all(text.as_bytes())?;
    }
    let out = env::var_os("OUT_DIR").expect("cargo gives a build script its folder");
    fs::write(Path::new(&out).join("embedded.rs"), format!("&{lengths:?}"))?;
    fs::write(Path::new(&out).join("embedded.deflate"), packed.finish()?)
}

/// The texts at and below a path, without what an editor leaves there.
fn collect(path: &str, texts: &mut BTreeMap<String, String>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        texts.insert(path.to_owned(), fs::read_to_string(path)?);
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with('~') {
            collect(&format!("{path}/{name}"), texts)?;
        }
    }
    Ok(())
}

/// Whether the program is for this very system, and that has the loader for them: glibc from 2.36 on (DT_RELR).
#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no other way of being told"
)]
fn knows_packed_relocations() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let version = told.unwrap_or_default();
    let minor = version.trim().strip_prefix("glibc 2.");
    let minor = minor.and_then(|minor| minor.split('.').next()?.parse::<u32>().ok());
    env::var_os("HOST") == env::var_os("TARGET") && minor.is_some_and(|minor| minor >= 36)
}
