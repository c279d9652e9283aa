//! The files of one configuration folder: read once, parsed once, in the order of their names.
//!
//! What a file is follows from where it stands. Nothing here knows what a document means.

use std::fs;
use std::path::{Path, PathBuf};

use super::{codes, parallel, yaml};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity, Sources};
use crate::document::{FileId, Node, Span};

/// The largest file that is read.
pub const MAX_FILE: u64 = 4 << 20;
/// Folders inside each other; a loop of symbolic links ends here.
const MAX_DEPTH: usize = 16;

/// What a file is, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// `relay.yaml`.
    Relay,
    /// `backends.d/*.yaml`.
    Backend,
    /// `backends.d/profiles/*.yaml`.
    Profile,
    /// `routes.d/*.yaml`.
    Route,
    /// Whatever a `$ref` may name: YAML and JSON in the folders of `routes.d/`.
    Shared,
    /// `templates/**/*.hbs`.
    Template,
    /// `templates/**/*.textfsm`.
    TextFsm,
}

impl FileRole {
    /// Whether it is text to us, and no document.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Template | Self::TextFsm)
    }
}

/// One file of a load.
#[derive(Clone)]
pub struct SourceFile {
    /// Below the configuration folder, with `/`: `routes.d/network.yaml`.
    pub path: Box<str>,
    pub role: FileRole,
    pub text: Box<str>,
    /// `None` for a template, and for what could not be read or parsed (which was reported).
    pub node: Option<Node>,
}

impl std::fmt::Debug for SourceFile {
    /// Without the text, in which a secret may stand in the clear.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("path", &self.path)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Every file of a load; a [`FileId`] is an index.
#[derive(Clone, Debug, Default)]
pub struct SourceFiles {
    /// What relative paths in the configuration start from.
    dir: PathBuf,
    files: Vec<SourceFile>,
}

impl SourceFiles {
    /// Reads a configuration folder.
    pub fn read(dir: &Path, diags: &mut Diagnostics) -> Self {
        let mut found = Vec::new();
        match fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => walk(dir, "", 0, &mut found),
            Ok(_) => no_folder(dir, "it is not a folder", diags),
            Err(error) => no_folder(dir, &error.to_string(), diags),
        }
        found.sort();
        let found: Vec<_> = found.iter().map(|path| (&**path, role_of(path))).collect();
        Self {
            dir: dir.to_owned(),
            files: parsed(&found, |at| read_bounded(&dir.join(found[at].0)), diags),
        }
    }

    /// Takes files that are in memory: an embedded pack, or a test's.
    pub fn from_memory(sources: &[(&str, &str)], diags: &mut Diagnostics) -> Self {
        let mut sources = sources.to_vec();
        sources.sort_by_key(|(path, _)| *path);
        let found: Vec<_> = sources
            .iter()
            .map(|(path, _)| (*path, role_of(path)))
            .collect();
        Self {
            dir: PathBuf::new(),
            files: parsed(&found, |at| Ok(sources[at].1.as_bytes().to_vec()), diags),
        }
    }

    /// What relative paths in the configuration start from; empty for files in memory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of an id that this load made.
    pub fn get(&self, file: FileId) -> &SourceFile {
        &self.files[file.0 as usize]
    }

    /// The file at a path below the configuration folder.
    pub fn find(&self, path: &str) -> Option<FileId> {
        // They are in the order of their names.
        let found = self.files.binary_search_by(|file| (*file.path).cmp(path));
        Some(FileId(u32::try_from(found.ok()?).ok()?))
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// `relay.yaml`, where there is one.
    pub fn relay(&self) -> Option<(FileId, &SourceFile)> {
        self.of(FileRole::Relay).next()
    }

    pub fn backends(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::Backend)
    }

    /// CLI profiles of `ssh` backends.
    pub fn profiles(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::Profile)
    }

    pub fn routes(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::Route)
    }

    /// What a `$ref` of a route file may name.
    pub fn shared(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::Shared)
    }

    pub fn templates(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::Template)
    }

    pub fn textfsm(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.of(FileRole::TextFsm)
    }

    fn of(&self, role: FileRole) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.iter().filter(move |(_, file)| file.role == role)
    }

    /// SHA-256 over names and contents, in hex: equal digests, equal behaviour.
    pub fn digest(&self) -> Box<str> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in self.files.iter().flat_map(|f| [&*f.path, &*f.text]) {
            // Lengths keep two parts from reading as one.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let hex: String = context
            .finish()
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.into()
    }
}

/// A file's path, size, inode and times: what differs once it has been written anew.
pub type Stamp = (String, [u64; 6]);

/// The stamps of all that [`SourceFiles::read`] would read, in the order of their names.
pub fn stamps(dir: &Path) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    walk(dir, "", 0, &mut found);
    found.sort();
    let stamp = |path: String| {
        let stamp = fs::metadata(dir.join(&path)).map_or([0; 6], |meta| {
            // The bits alone are compared: a time before 1970 is one like any other.
            let [modified, changed] = [meta.mtime(), meta.ctime()].map(i64::cast_unsigned);
            let [modified_ns, changed_ns] =
                [meta.mtime_nsec(), meta.ctime_nsec()].map(i64::cast_unsigned);
            [
                meta.size(),
                meta.ino(),
                modified,
                modified_ns,
                changed,
                changed_ns,
            ]
        });
        (path, stamp)
    };
    found.into_iter().map(stamp).collect()
}

impl Sources for SourceFiles {
    fn path(&self, file: FileId) -> &str {
        &self.get(file).path
    }

    fn text(&self, file: FileId) -> &str {
        &self.get(file).text
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// The files among these whose place gives them a meaning, each read and parsed; `read` is asked for the bytes of one.
fn parsed(
    found: &[(&str, Option<FileRole>)],
    read: impl Fn(usize) -> Result<Vec<u8>, Unreadable> + Sync,
    diags: &mut Diagnostics,
) -> Vec<SourceFile> {
    let mut ids = (0u32..).map(FileId);
    let wanted: Vec<_> = found
        .iter()
        .enumerate()
        .map(|(at, (path, role))| {
            (
                at,
                *path,
                role.map(|role| (role, ids.next().expect("a file"))),
            )
        })
        .collect();
    let one = |at: usize| {
        let (at, path, role) = wanted[at];
        let mut said = Diagnostics::default();
        let file = match role {
            Some((role, id)) => Some(parse(id, path, role, read(at), &mut said)),
            None => {
                ignored(path, &mut said);
                None
            }
        };
        (file, said)
    };
    let parsed = parallel::map(wanted.len(), one).into_iter();
    let files = parsed.filter_map(|(file, said)| {
        diags.append(said);
        file
    });
    files.collect()
}

fn parse(
    id: FileId,
    path: &str,
    role: FileRole,
    bytes: Result<Vec<u8>, Unreadable>,
    diags: &mut Diagnostics,
) -> SourceFile {
    let text = match bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| Unreadable {
            code: codes::NOT_UTF8,
            message: format!(
                "this file is not UTF-8 (from byte {} on)",
                error.utf8_error().valid_up_to()
            ),
        })
    }) {
        Ok(text) => Some(text),
        Err(why) => {
            let span = Span::new(id, 0, 0);
            diags.push(Diagnostic::error(why.code, span, why.message));
            None
        }
    };
    let node = match &text {
        Some(text) if !role.is_text() => yaml::parse(id, text, diags),
        _ => None,
    };
    SourceFile {
        path: path.into(),
        role,
        text: text.unwrap_or_default().into(),
        node,
    }
}

/// Says of a file with a likely name why it counts for nothing; other files are the user's own.
fn ignored(path: &str, diags: &mut Diagnostics) {
    let (_, extension) = path.rsplit_once('.').unwrap_or((path, ""));
    let (wanted, likely) = match path.split('/').next() {
        Some("templates") => (".hbs", !matches!(extension, "md" | "txt")),
        _ => (
            ".yaml",
            matches!(extension, "yml" | "json" | "YAML" | "YML"),
        ),
    };
    if !likely {
        return;
    }
    diags.push(Diagnostic {
        severity: Severity::Warning,
        code: codes::IGNORED_FILE,
        message: format!("`{path}` is not read: files here end in `{wanted}`"),
        span: None,
        label: None,
        suggestion: None,
        help: Some("rename it, or move it elsewhere".into()),
        related: Vec::new(),
    });
}

/// Why a file has no text.
struct Unreadable {
    code: &'static str,
    message: String,
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let unreadable = |error: std::io::Error| Unreadable {
        code: codes::UNREADABLE,
        message: format!("this file cannot be read: {error}"),
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE {
        return Err(Unreadable {
            code: codes::FILE_TOO_BIG,
            message: format!("this file has {size} bytes; at most {MAX_FILE} are read"),
        });
    }
    fs::read(path).map_err(unreadable)
}

fn no_folder(dir: &Path, why: &str, diags: &mut Diagnostics) {
    diags.push(Diagnostic {
        severity: Severity::Error,
        code: codes::UNREADABLE,
        message: format!(
            "the configuration folder `{}` cannot be read: {why}",
            dir.display()
        ),
        span: None,
        label: None,
        suggestion: None,
        help: Some("name it with `--config DIR`".into()),
        related: Vec::new(),
    });
}

/// Collects the files below `dir/prefix` that may be of the configuration.
fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir.join(prefix)) else {
        return;
    };
    for entry in entries.flatten() {
        // A name that is not UTF-8 is none that a configuration can mention.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Editors leave `.x.swp` and `x~`; a mounted ConfigMap has `..data`.
        if name.starts_with('.') || name.ends_with('~') || name.starts_with('#') {
            continue;
        }
        let path = match prefix {
            "" => name,
            prefix => format!("{prefix}/{name}"),
        };
        // Symbolic links are followed: a mounted ConfigMap is made of them.
        match fs::metadata(dir.join(&path)) {
            Ok(meta) if meta.is_dir() => {
                if depth < MAX_DEPTH && is_folder_of_interest(&path) {
                    walk(dir, &path, depth + 1, found);
                }
            }
            _ if prefix.is_empty() && path != "relay.yaml" => {}
            _ => found.push(path),
        }
    }
}

fn is_folder_of_interest(path: &str) -> bool {
    match path.split_once('/') {
        None => matches!(path, "backends.d" | "routes.d" | "templates"),
        Some(("backends.d", rest)) => rest == "profiles",
        Some(_) => true,
    }
}

fn role_of(path: &str) -> Option<FileRole> {
    let yaml = path.ends_with(".yaml");
    match path.split_once('/') {
        None => (path == "relay.yaml").then_some(FileRole::Relay),
        Some(("backends.d", rest)) => match rest.split_once('/') {
            None => yaml.then_some(FileRole::Backend),
            Some(("profiles", rest)) => (yaml && !rest.contains('/')).then_some(FileRole::Profile),
            Some(_) => None,
        },
        Some(("routes.d", rest)) if !rest.contains('/') => yaml.then_some(FileRole::Route),
        Some(("routes.d", _)) => (yaml || path.ends_with(".json")).then_some(FileRole::Shared),
        Some(("templates", _)) if path.ends_with(".textfsm") => Some(FileRole::TextFsm),
        Some(("templates", _)) => path.ends_with(".hbs").then_some(FileRole::Template),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_by_name_and_leftovers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("relay.yaml", "version: 1\n"),
            ("backends.d/b.yaml", "name: b\n"),
            ("backends.d/a.yaml", "name: a\n"),
            ("backends.d/a.yaml~", "name: old\n"),
            ("backends.d/.a.yaml.swp", "\u{0}"),
            ("backends.d/profiles/ios.yaml", "profile: ios\n"),
            ("routes.d/network.yaml", "resource: network\n"),
            ("routes.d/schemas/network.yaml", "type: object\n"),
            ("routes.d/README.md", "# mine\n"),
            ("routes.d/old.yml", "resource: old\n"),
            ("templates/fw/rule.xml.hbs", "<entry/>"),
            ("elsewhere/x.yaml", "x: 1\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut diags = Diagnostics::default();
        let files = SourceFiles::read(dir.path(), &mut diags);
        let names: Vec<_> = files.iter().map(|(_, file)| &*file.path).collect();
        assert_eq!(
            names,
            [
                "backends.d/a.yaml",
                "backends.d/b.yaml",
                "backends.d/profiles/ios.yaml",
                "relay.yaml",
                "routes.d/network.yaml",
                "routes.d/schemas/network.yaml",
                "templates/fw/rule.xml.hbs",
            ]
        );
        let warnings: Vec<_> = diags.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            warnings,
            ["`routes.d/old.yml` is not read: files here end in `.yaml`"]
        );
        assert_eq!(files.backends().count(), 2);
        let relay = files.find("relay.yaml").unwrap();
        assert_eq!(&*files.get(relay).text, "version: 1\n");
    }

    #[test]
    fn what_cannot_be_read_is_reported_and_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("backends.d")).unwrap();
        fs::write(dir.path().join("backends.d/a.yaml"), b"name: \xff\n").unwrap();
        let big = vec![b'#'; usize::try_from(MAX_FILE).unwrap() + 1];
        fs::write(dir.path().join("backends.d/b.yaml"), big).unwrap();
        let mut diags = Diagnostics::default();
        let files = SourceFiles::read(dir.path(), &mut diags);
        let found: Vec<_> = diags
            .iter()
            .map(|d| (d.code, d.span.unwrap().file))
            .collect();
        assert_eq!(
            found,
            [
                (codes::NOT_UTF8, FileId(0)),
                (codes::FILE_TOO_BIG, FileId(1))
            ]
        );
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn the_digest_knows_names_and_bytes() {
        let digest = |sources: &[(&str, &str)]| {
            SourceFiles::from_memory(sources, &mut Diagnostics::default()).digest()
        };
        let one = digest(&[("routes.d/a.yaml", "x: 1"), ("routes.d/b.yaml", "")]);
        let swapped = digest(&[("routes.d/b.yaml", ""), ("routes.d/a.yaml", "x: 1")]);
        assert_eq!(one, swapped);
        assert_eq!(one.len(), 64);
        assert_ne!(
            one,
            digest(&[("routes.d/a.yaml", "x: 2"), ("routes.d/b.yaml", "")])
        );
        assert_ne!(
            one,
            digest(&[("routes.d/a.yaml", ""), ("routes.d/b.yaml", "x: 1")])
        );
    }
}
