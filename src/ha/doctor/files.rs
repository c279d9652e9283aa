//! The files that `ha doctor` reads: MariaDB's option files, systemd's drop-ins, the kernel's settings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where they are; the defaults are Debian's.
#[derive(Clone, Debug)]
pub struct Files {
    pub keepalived: PathBuf,
    /// A copy of the other node's keepalived.conf.
    pub peer_keepalived: Option<PathBuf>,
    pub my_cnf: PathBuf,
    pub systemd: PathBuf,
    pub proc_sys: PathBuf,
    /// Who must own the scripts of keepalived: root.
    pub owner: u32,
}

/// The groups of an option file that the server reads (mariadb.com/kb/en/configuring-mariadb-with-option-files).
const GROUPS: [&str; 4] = ["mysqld", "server", "mariadb", "mariadbd"];
/// An include that includes itself ends here.
const DEPTH: u32 = 8;

/// The server's options of a file and what it includes, later ones over earlier ones: names with `-`, the value,
/// the file that has it.
pub fn options(file: &Path) -> io::Result<BTreeMap<String, (String, PathBuf)>> {
    let mut found = BTreeMap::new();
    read(file, DEPTH, &mut found)?;
    Ok(found)
}

fn read(
    file: &Path,
    depth: u32,
    found: &mut BTreeMap<String, (String, PathBuf)>,
) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let mut ours = false;
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[') {
            ours = is_ours(group.trim_end_matches(']'));
        } else if let Some(folder) = line.strip_prefix("!includedir") {
            if depth > 0 {
                for file in sorted(Path::new(folder.trim()), "cnf") {
                    read(&file, depth - 1, found)?;
                }
            }
        } else if let Some(other) = line.strip_prefix("!include") {
            if depth > 0 {
                read(Path::new(other.trim()), depth - 1, found)?;
            }
        } else if ours && !line.is_empty() && !line.starts_with(['#', ';']) {
            let (name, value) = line.split_once('=').unwrap_or((line, "1"));
            let name = name.trim().to_ascii_lowercase().replace('_', "-");
            let value = value.split(" #").next().unwrap_or_default().trim();
            let value = value.trim_matches(['"', '\'']).to_owned();
            let name = name.strip_prefix("loose-").unwrap_or(&name).to_owned();
            found.insert(name, (value, file.to_owned()));
        }
    }
    Ok(())
}

/// With a version behind it, too: `mariadb-10.11`.
fn is_ours(group: &str) -> bool {
    let (name, version) = group.split_once('-').unwrap_or((group, ""));
    let is_version = version.chars().all(|c| c.is_ascii_digit() || c == '.');
    GROUPS.contains(&name) && is_version
}

/// An option that is there and on.
pub fn is_on(options: &BTreeMap<String, (String, PathBuf)>, name: &str) -> bool {
    let value = options
        .get(name)
        .map(|(value, _)| value.to_ascii_lowercase());
    value.is_some_and(|value| ["1", "on", "true"].contains(&value.as_str()))
}

/// What the unit's files below `folder` say of a key of `[Service]`; the last one holds (systemd.unit(5)).
pub fn unit_value(folder: &Path, unit: &str, key: &str) -> Option<String> {
    let own = std::iter::once(folder.join(unit));
    let drop_ins = sorted(&folder.join(format!("{unit}.d")), "conf");
    let mut value = None;
    for text in own
        .chain(drop_ins)
        .filter_map(|file| fs::read_to_string(file).ok())
    {
        for line in text.lines() {
            if let Some((name, said)) = line.split_once('=')
                && name.trim() == key
            {
                value = Some(said.trim().to_owned());
            }
        }
    }
    value
}

fn sorted(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_option_of_the_servers_groups_holds() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("my.cnf");
        let more = folder.path().join("d");
        fs::create_dir(&more).unwrap();
        fs::write(
            &main,
            format!("[client]\nread-only=1\n[mysqld]\nread_only = OFF\nskip-slave-start\n!includedir {}\n", more.display()),
        )
        .unwrap();
        fs::write(
            more.join("b.cnf"),
            "[mariadb-10.11]\nread-only = ON # yes\n",
        )
        .unwrap();
        fs::write(
            more.join("a.cnf"),
            "[mariadb-dump]\nserver-id=9\n[server]\nserver-id = \"2\"\n",
        )
        .unwrap();
        fs::write(more.join("c.txt"), "[mysqld]\nread-only=0\n").unwrap();
        let found = options(&main).unwrap();
        assert!(is_on(&found, "read-only") && is_on(&found, "skip-slave-start"));
        assert_eq!(found["read-only"].1, more.join("b.cnf"));
        assert_eq!(found["server-id"].0, "2");
        assert!(!is_on(&found, "log-slave-updates"));
        assert!(options(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_drop_in_holds_over_the_unit() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("k.service.d")).unwrap();
        fs::write(folder.path().join("k.service"), "[Service]\nRestart=no\n").unwrap();
        fs::write(
            folder.path().join("k.service.d/a.conf"),
            "[Service]\nRestart=always\n",
        )
        .unwrap();
        assert_eq!(
            unit_value(folder.path(), "k.service", "Restart").as_deref(),
            Some("always")
        );
        assert_eq!(unit_value(folder.path(), "j.service", "Restart"), None);
    }
}
