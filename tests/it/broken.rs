//! Broken bundles: each folder of `tests/broken/` is laid over `tests/broken/base/`, which is fine, and
//! breaks one thing in it. `validate-config` must say that one thing, at the place of the fault itself.
//!
//! What it must say is written by hand, where the fault is: the first line of the faulty file is a comment
//! `# fault: CODE at LINE:COLUMN`, with ``, did you mean `NAME`?`` behind it where a name is a typing
//! error (and where there is none, none may be suggested). A fault in a file that cannot hold the comment, or
//! that the case leaves as the base has it, is told by a file `fault` of the case, ``CODE at
//! PATH:LINE:COLUMN``; one without a place by its code alone. `removed` lists files of the base that the case
//! has not, and `env` and `args` are as in `tests/config/`. `expected.txt` is the whole text:
//! `UPDATE_EXPECTED=1` writes it, and never the line of the fault.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use cmp_relay::cli::validate::{self, Format, ValidateArgs};
use cmp_relay::config::{self, Env, Loaded};
use cmp_relay::diagnostics::{Diagnostic, Sources, place};
use tempfile::TempDir;

const FOLDER: &str = "tests/broken";
/// What a case's folder holds that is no file of the bundle.
const OWN: [&str; 5] = ["expected.txt", "fault", "removed", "env", "args"];

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ValidateArgs,
}

/// The base with something laid over it, in a folder of its own.
pub(crate) struct Bundle {
    dir: TempDir,
    env: Vec<(String, String)>,
}

impl Bundle {
    /// The base as it is.
    pub(crate) fn base() -> Self {
        let bundle = Self {
            dir: tempfile::tempdir().unwrap(),
            env: variables(&Path::new(FOLDER).join("base")).unwrap(),
        };
        bundle.lay(&Path::new(FOLDER).join("base"));
        bundle
    }

    /// A case over the base.
    pub(crate) fn of(case: &Path) -> Self {
        let mut bundle = Self::base();
        for path in lines(case, "removed") {
            fs::remove_file(bundle.dir.path().join(&path)).unwrap_or_else(|error| {
                panic!("{}: `removed` names {path}: {error}", case.display())
            });
        }
        bundle.lay(case);
        if let Some(env) = variables(case) {
            bundle.env = env;
        }
        bundle
    }

    /// Writes one file.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn lay(&self, folder: &Path) {
        for path in files(folder) {
            self.write(&path, &fs::read(folder.join(&path)).unwrap());
        }
    }

    fn env(&self) -> Env {
        Env::new(self.env.clone())
    }

    /// What is said, as values.
    pub(crate) fn load(&self) -> Loaded {
        let mut loaded = config::load(self.dir.path(), &self.env().without_secrets());
        cmp_relay::trial::check(&mut loaded).unwrap();
        loaded
    }

    /// What `validate-config` prints; the folder is called `CONFIG`.
    pub(crate) fn validate(&self, more: &[String]) -> String {
        let dir = self.dir.path().to_str().unwrap();
        let argv = ["validate-config", "--config", dir].map(str::to_owned);
        let args = Command::parse_from(argv.into_iter().chain(more.iter().cloned())).args;
        assert_eq!(args.format, Format::Text);
        let mut out = Vec::new();
        let verdict = validate::run(&args, &self.env(), false, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap().replace(dir, "CONFIG");
        format!("{out}exit status {}\n", verdict.status())
    }
}

/// Every file of a bundle, by its path below the folder.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, below: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if below.is_empty() && OWN.contains(&name.as_str()) {
                continue;
            }
            let path = Path::new(below).join(&name).to_str().unwrap().to_owned();
            match folder.join(&path).is_dir() {
                true => walk(folder, &path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}

fn lines(case: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(case.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The `env` of a folder, where it has one.
fn variables(folder: &Path) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(folder.join("env")).ok()?;
    let variables = text.lines().map(|line| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    });
    Some(variables.collect())
}

/// A fault as a line: ``CODE at PATH:LINE:COLUMN, did you mean `NAME`?``
fn declared(case: &Path) -> Result<String, String> {
    let mut found = Vec::new();
    for path in files(case) {
        let bytes = fs::read(case.join(&path)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let first = text.lines().next().unwrap_or_default();
        if let Some((_, fault)) = first.split_once("fault: ") {
            let fault = fault.trim_end().trim_end_matches(['}', '-']).trim_end();
            let with_path = fault.replacen(" at ", &format!(" at {path}:"), 1);
            found.push(with_path);
        }
    }
    found.extend(lines(case, "fault"));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(format!("the case declares {} faults", found.len())),
    }
}

/// What was said, in the form of a declaration.
fn as_fault(said: &Diagnostic, sources: &dyn Sources) -> String {
    let mut fault = said.code.to_owned();
    if let Some(span) = said.span {
        let point = place::point(sources.text(span.file), span.start as usize);
        let path = sources.path(span.file);
        fault += &format!(" at {path}:{}:{}", point.line, point.column);
    }
    if let Some(label) = said
        .label
        .as_deref()
        .filter(|it| it.contains("did you mean"))
    {
        fault += &format!(", {label}");
    }
    fault
}

pub(crate) fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.ends_with("base"))
        .collect();
    cases.sort();
    cases
}

/// What is wrong with a case, if anything.
fn check(case: &Path, update: bool) -> Result<(), String> {
    let bundle = Bundle::of(case);
    let printed = bundle.validate(&lines(case, "args"));
    let expected = fs::read_to_string(case.join("expected.txt")).unwrap_or_default();
    if update {
        fs::write(case.join("expected.txt"), &printed).unwrap();
    } else if expected != printed {
        return Err(format!("--- expected\n{expected}\n--- said\n{printed}"));
    }
    let declared = declared(case)?;
    let loaded = bundle.load();
    let said: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|said| as_fault(said, &loaded.files))
        .collect();
    match said.as_slice() {
        [one] if *one == declared => Ok(()),
        _ => Err(format!(
            "--- declared\n{declared}\n--- said\n{}\n\n{printed}",
            said.join("\n")
        )),
    }
}

#[test]
fn the_base_is_fine() {
    let said = Bundle::base().validate(&[]);
    assert!(said.starts_with("configuration is fine: "), "{said}");
}

#[test]
fn each_fault_is_said_once_and_at_its_own_place() {
    let cases = cases();
    let update = crate::support::told("UPDATE_EXPECTED").is_some();
    // Four at a time: each is loaded twice, once for its text and once for its places.
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(4));
        let threads: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .filter_map(|case| {
                            let error = check(case, update).err()?;
                            Some(format!("{}\n{error}", case.display()))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{}\n{} of {} cases",
        wrong.join("\n\n"),
        wrong.len(),
        cases.len()
    );
    assert!(cases.len() >= 240, "found only {} cases", cases.len());
}

/// What no folder of this repository can hold: a file beyond the limit, one that cannot be read, none at all.
#[test]
fn a_file_that_cannot_be_read_is_said_alone() {
    let too_big = Bundle::base();
    too_big.write("backends.d/fw-2.yaml", &vec![b'#'; (4 << 20) + 1]);
    let unreadable = Bundle::base();
    let link = unreadable.dir.path().join("backends.d/fw-2.yaml");
    std::os::unix::fs::symlink("nowhere.yaml", link).unwrap();
    let empty = Bundle::base();
    for path in files(empty.dir.path()) {
        fs::remove_file(empty.dir.path().join(path)).unwrap();
    }
    for (bundle, expected) in [
        (too_big, "file-too-big at backends.d/fw-2.yaml:1:1"),
        (unreadable, "unreadable at backends.d/fw-2.yaml:1:1"),
        (empty, "empty-folder"),
    ] {
        let loaded = bundle.load();
        let said: Vec<_> = loaded
            .diagnostics
            .iter()
            .map(|said| as_fault(said, &loaded.files))
            .collect();
        assert_eq!(said, [expected]);
    }
}
