//! What a node must know after a crash: one small file, written whole and with fsync before what it permits.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock::Boottime;
use crate::store::Position;

const FILE: &str = "ha.json";

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The newest epoch that this node has been active in or followed.
    pub epoch: i64,
    pub was: Was,
    /// The step of a take-over that was begun and has not ended, for people.
    pub step: Option<String>,
    /// A person said that there is no standby, and that this node goes on without one, also after a restart.
    pub standalone: bool,
    /// A person said that nothing is to happen by itself.
    pub paused: bool,
    pub failover: Option<Failover>,
}

/// What this node was when it last knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Was {
    /// Nothing yet, or no more: its rows are being replaced, or were not compared yet.
    #[default]
    New,
    /// It may have rows that nobody else has.
    Active,
    /// It handed over: all that it had was asked for, and this was the last of it.
    Yielded {
        at: Option<Position>,
    },
    Standby,
}

/// The last take-over that happened by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    pub epoch: i64,
    /// Of `/proc/sys/kernel/random/boot_id`: the clock below counts from that start.
    pub boot: String,
    /// Of the boottime clock.
    pub at_ms: u64,
    pub acknowledged: bool,
}

impl Failover {
    pub fn now(epoch: i64) -> Self {
        Self {
            epoch,
            boot: boot_id(),
            at_ms: boot_ms(),
            acknowledged: false,
        }
    }

    /// How much longer no other take-over may happen by itself; a start of the machine begins the time anew.
    pub fn blocks_for(&self, block: Duration) -> Option<Duration> {
        if self.acknowledged {
            return None;
        }
        let since = match self.boot == boot_id() {
            true => boot_ms().saturating_sub(self.at_ms),
            false => boot_ms(),
        };
        block
            .checked_sub(Duration::from_millis(since))
            .filter(|left| !left.is_zero())
    }
}

fn boot_ms() -> u64 {
    u64::try_from(Boottime::now().since_boot().as_millis()).unwrap_or(u64::MAX)
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    folder: PathBuf,
}

impl StateFile {
    /// In this folder, which is made where it is missing.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| {
            format!(
                "the folder {} cannot be made (`ha.state`)",
                folder.display()
            )
        })?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What was written last; nothing where there is no file. A file that cannot be read is an error: to
    /// take it for none would forget what this node was.
    pub fn read(&self) -> Result<Memory> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not what this version wrote; look what the node was, then remove the file",
                path.display()
            )
        })
    }

    /// Replaces it; returns once it is durable.
    pub fn write(&self, memory: &Memory) -> Result<()> {
        replace(&self.path(), &serde_json::to_vec_pretty(memory)?)
    }
}

/// Puts a file, which its owner alone may read, in the place of what is there; returns once it is durable. A crash leaves the old
/// one or the new one, and neither by half.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = (|| {
        let mut file = File::create(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_file_is_a_new_node() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::in_folder(&folder.path().join("ha")).unwrap();
        assert_eq!(file.read().unwrap(), Memory::default());
        let memory = Memory {
            epoch: 7,
            was: Was::Yielded {
                at: Position::parse("0-1-9"),
            },
            failover: Some(Failover::now(7)),
            ..Memory::default()
        };
        file.write(&memory).unwrap();
        assert_eq!(file.read().unwrap(), memory);
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(file.path(), "{ cut").unwrap();
        assert!(file.read().is_err());
    }

    #[test]
    fn a_failover_blocks_the_next_one_until_it_is_acknowledged_or_long_ago() {
        let mut failover = Failover::now(2);
        assert!(failover.blocks_for(Duration::from_secs(60)).is_some());
        assert_eq!(failover.blocks_for(Duration::ZERO), None);
        failover.acknowledged = true;
        assert_eq!(failover.blocks_for(Duration::from_secs(60)), None);
    }
}
