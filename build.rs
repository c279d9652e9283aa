//! Embeds the pages of docs/codes: a page that is written is in the binary, and no list of them is kept by hand. And how the
//! program is linked.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

const FOLDER: &str = "docs/codes";

#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no other way of being told"
)]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=build.rs");
    if knows_packed_relocations() {
        // Relocations as bits of a word instead of 24 bytes each: 2 MiB of the file.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let mut codes: Vec<String> = fs::read_dir(FOLDER)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    codes.retain(|name| name.ends_with(".md") && name != "README.md");
    codes.sort();
    let mut list = String::from("&[\n");
    for name in codes {
        let code = name.trim_end_matches(".md");
        let _ = writeln!(
            list,
            "    ({code:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{FOLDER}/{name}\"))),"
        );
    }
    list.push_str("]\n");
    let out = env::var_os("OUT_DIR").expect("cargo gives a build script its folder");
    fs::write(Path::new(&out).join("code_pages.rs"), list)
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
