//! What a simulated backend remembers from one run to the next: one JSON file.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a simulated backend holds, and the file that keeps it, where the demo is to remember it.
#[derive(Debug, Default)]
pub(super) struct Kept<T> {
    held: T,
    file: Option<PathBuf>,
}

impl<T: Default + Serialize + DeserializeOwned> Kept<T> {
    /// What the file holds; a file that is not there holds nothing.
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let held = read(file.as_ref())?.unwrap_or_default();
        Ok(Self { held, file })
    }

    /// Writes the file, where there is one.
    pub(super) fn save(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => write(file, &self.held),
            None => Ok(()),
        }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

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
