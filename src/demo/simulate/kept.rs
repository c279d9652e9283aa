//! What a simulated backend remembers from one run to the next: one JSON file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the file holds; `None` where there is no file yet.
pub(super) fn read<T: DeserializeOwned>(file: Option<&PathBuf>) -> io::Result<Option<T>> {
    match file.map(fs::read) {
        Some(Ok(bytes)) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

/// Writes the file: beside it first, then in its place, so that a crash leaves a whole one.
pub(super) fn write<T: Serialize>(file: &Path, held: &T) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("json.new");
    fs::write(&beside, serde_json::to_vec(held)?)?;
    fs::rename(beside, file)
}
