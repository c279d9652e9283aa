//! Configuration cases: each folder of `tests/config/` is a configuration and what
//! `validate-config` says of it, to the letter.
//!
//! A case may have `env` (lines of `NAME=value`), `args` (more arguments of the command, one a
//! line) and `expected.json` beside `expected.txt`. `UPDATE_EXPECTED=1` writes what was said.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use cmp_relay::cli::validate::{self, Format, ValidateArgs};
use cmp_relay::config::{self, Env};
use cmp_relay::diagnostics::{json, text};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ValidateArgs,
}

fn cases() -> Vec<PathBuf> {
    // Relative to the package, which is where tests run: no message names the machine.
    let mut cases: Vec<_> = fs::read_dir("tests/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn lines(case: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(case.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn env_of(case: &Path) -> Env {
    Env::new(lines(case, "env").iter().map(|line| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    }))
}

fn validate(case: &Path, format: Format) -> String {
    let mut argv = vec!["validate-config".to_owned(), "--config".to_owned()];
    argv.push(case.to_str().unwrap().to_owned());
    argv.extend(lines(case, "args"));
    let args = ValidateArgs {
        format,
        ..Command::parse_from(argv).args
    };
    let mut out = Vec::new();
    let verdict = validate::run(&args, &env_of(case), false, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    match format {
        Format::Text => format!("{out}exit status {}\n", verdict.status()),
        Format::Json | Format::Sarif => out,
    }
}

#[test]
fn every_case_says_exactly_what_is_expected() {
    let cases = cases();
    assert!(cases.len() >= 20, "found only {} cases", cases.len());
    let update = crate::support::told("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in &cases {
        for (format, name) in [
            (Format::Text, "expected.txt"),
            (Format::Json, "expected.json"),
        ] {
            let expected = fs::read_to_string(case.join(name)).ok();
            if format == Format::Json && expected.is_none() {
                continue;
            }
            let said = validate(case, format);
            if expected.as_deref() == Some(&said) {
                continue;
            }
            if update {
                fs::write(case.join(name), &said).unwrap();
            } else {
                let expected = expected.unwrap_or_default();
                wrong.push(format!(
                    "{}/{name}\n--- expected\n{expected}\n--- said\n{said}",
                    case.file_name().unwrap().to_str().unwrap()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Every value of every case's `env` is a secret, and so is what begins with `S3CR3T` in the clear.
#[test]
fn no_secret_is_ever_shown() {
    let mut secrets_seen = 0;
    for case in cases() {
        let mut secrets: Vec<String> = lines(&case, "env")
            .iter()
            .filter_map(|line| line.split_once('=').map(|(_, value)| value.to_owned()))
            .filter(|value| !value.is_empty())
            .collect();
        secrets.push("S3CR3T".to_owned());
        secrets_seen += secrets.len() - 1;
        for env in [env_of(&case), env_of(&case).without_secrets()] {
            let loaded = config::load(&case, &env);
            let shown = [
                text::render_text(&loaded.diagnostics, &loaded.files, false),
                text::render_text(&loaded.diagnostics, &loaded.files, true),
                json::render_json(&loaded.diagnostics, &loaded.files),
                format!("{:?}", loaded.diagnostics),
                format!("{:?}", loaded.plan),
                format!("{env:?} {loaded:?}"),
            ];
            for secret in &secrets {
                for shown in &shown {
                    let shows = shown.contains(secret.as_str());
                    assert!(!shows, "{} shows {secret}:\n{shown}", case.display());
                }
            }
        }
    }
    assert!(secrets_seen > 5, "found only {secrets_seen} secrets");
}

#[test]
fn a_folder_that_is_not_there_is_a_wrong_use() {
    let args = ValidateArgs {
        config: "/nowhere/at/all".into(),
        format: Format::Text,
        deny_warnings: false,
        no_secrets: false,
        no_examples: false,
    };
    let mut out = Vec::new();
    let verdict = validate::run(&args, &Env::new([]), false, &mut out).unwrap();
    assert_eq!(verdict.status(), 2);
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("error[unreadable]")
    );
}

#[test]
fn a_missing_secret_keeps_a_configuration_from_being_served() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("backends.d")).unwrap();
    fs::write(
        dir.path().join("backends.d/fw.yaml"),
        "name: fw\nkind: fw\ndriver:\n  https:\n    url: https://fw.example\n    auth:\n      bearer: { env: FW_TOKEN }\n",
    )
    .unwrap();
    let loaded = config::load(dir.path(), &Env::new([]));
    assert!(loaded.plan.is_none());
    assert_eq!(
        loaded.diagnostics.iter().next().unwrap().code,
        "unresolved-secret"
    );
    let env = Env::new([("FW_TOKEN".to_owned(), "x".to_owned())]);
    assert!(config::load(dir.path(), &env).plan.is_some());
    assert!(
        config::load(dir.path(), &Env::new([]).without_secrets())
            .plan
            .is_some()
    );
}

#[test]
fn defaults_are_what_the_documentation_says() {
    use cmp_relay::plan::{Auth, Confirm, Database, DriverSpec};
    use std::time::Duration;
    let loaded = config::load_from_memory(
        &[(
            "backends.d/a.yaml",
            "name: a\nkind: fw\ndriver: { https: { url: 'https://a.example/base/' } }\n",
        )],
        &Env::new([]).node("node-a"),
    );
    let plan = loaded.plan.unwrap();
    assert_eq!(plan.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(plan.server.admin_listen.to_string(), "127.0.0.1:8081");
    assert!(
        matches!(&plan.server.database, Database::Sqlite(path) if path.ends_with("data/relay.db"))
    );
    assert_eq!(plan.server.limits.request_body, 1 << 20);
    assert_eq!(
        plan.server.operations.retain,
        Duration::from_secs(2_592_000)
    );
    assert_eq!(plan.server.replication.confirm, Confirm::Preferred);
    assert_eq!(&*plan.server.node, "node-a");
    assert_eq!(plan.digest.len(), 64);
    let backend = &plan.backends[0];
    assert_eq!((backend.limits.concurrency, backend.limits.queue), (8, 64));
    assert_eq!(backend.limits.timeout, Duration::from_secs(15));
    assert_eq!(backend.limits.first_byte_timeout, Duration::from_secs(15));
    assert_eq!(backend.limits.connect_timeout, Duration::from_secs(3));
    assert_eq!(backend.limits.idle_reuse, Duration::from_secs(4));
    assert_eq!(backend.limits.response_body, 8 << 20);
    assert_eq!(
        (backend.breaker.failures, backend.breaker.open_for),
        (5, Duration::from_secs(10))
    );
    let DriverSpec::Https(https) = &backend.driver else {
        panic!("https")
    };
    assert_eq!((&*https.url.path, https.url.port), ("/base", 443));
    assert!(matches!(https.auths.as_slice(), [(_, Auth::None)]));
    assert_eq!(
        *backend.scope,
        serde_json::json!({ "name": "a", "kind": "fw", "labels": {}, "vars": {} })
    );
}

/// What an editor checks by the JSON Schema agrees with what the relay reads.
#[test]
fn the_schemas_take_what_is_fine_and_refuse_what_is_not() {
    use cmp_relay::config::SourceFiles;
    use cmp_relay::config::source::FileRole;
    use cmp_relay::config::spec::{backend::BackendSpec, server::ServerSpec};
    use cmp_relay::diagnostics::Diagnostics;

    let backend = serde_json::to_value(schemars::schema_for!(BackendSpec)).unwrap();
    let relay = serde_json::to_value(schemars::schema_for!(ServerSpec)).unwrap();
    let backend = jsonschema::validator_for(&backend).unwrap();
    let relay = jsonschema::validator_for(&relay).unwrap();
    let wrong = |case: &str| {
        let path = Path::new("tests/config").join(case);
        let files = SourceFiles::read(&path, &mut Diagnostics::default());
        files
            .iter()
            .filter_map(|(_, file)| {
                let schema = match file.role {
                    FileRole::Relay => &relay,
                    FileRole::Backend => &backend,
                    _ => return None,
                };
                let value = file.node.as_ref()?.to_json();
                let errors: Vec<_> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
                (!errors.is_empty()).then(|| format!("{}: {errors:?}", file.path))
            })
            .collect::<Vec<_>>()
    };
    for case in [
        "fine",
        "login_fine",
        "plaintext_backend",
        "limits_without_effect",
    ] {
        assert_eq!(wrong(case), Vec::<String>::new(), "{case}");
    }
    for case in [
        "unknown_key",
        "missing_keys",
        "unknown_auth",
        "wrong_type",
        "secret_reference",
    ] {
        assert!(!wrong(case).is_empty(), "{case}");
    }
}

/// Whatever one line of a case becomes, loading reports it and never panics, and every place that
/// it names can be shown.
#[test]
fn no_broken_line_breaks_the_loader() {
    use cmp_relay::config::SourceFiles;
    use cmp_relay::diagnostics::Diagnostics;

    let (mut seen, mut loads) = (0, 0);
    for case in cases() {
        let files = SourceFiles::read(&case, &mut Diagnostics::default());
        let sources: Vec<(&str, &str)> = files
            .iter()
            .map(|(_, file)| (&*file.path, &*file.text))
            .collect();
        for (at, (path, text)) in sources.iter().enumerate() {
            let lines: Vec<&str> = text.lines().collect();
            for (number, line) in lines.iter().enumerate() {
                // A sample of all lines, which is enough to meet each key with some of these.
                seen += 1;
                if seen % 8 != 0 {
                    continue;
                }
                let value = [
                    "",
                    "é",
                    "[]",
                    "{}",
                    "-1",
                    "true",
                    "\"{{ é\"",
                    "{ a: {{ b }} }",
                    "'",
                ];
                let value = value[loads % value.len()];
                let key = line.split_inclusive(':').next().unwrap_or("");
                let mut broken = lines.clone();
                let replaced = format!("{key} {value}");
                broken[number] = &replaced;
                let broken = broken.join("\n");
                let mut sources = sources.clone();
                sources[at] = (path, &broken);
                let loaded = config::load_from_memory(&sources, &env_of(&case).without_secrets());
                text::render_text(&loaded.diagnostics, &loaded.files, false);
                json::render_json(&loaded.diagnostics, &loaded.files);
                assert_eq!(loaded.plan.is_some(), loaded.diagnostics.no_errors());
                loads += 1;
            }
        }
    }
    assert!(loads > 100, "only {loads} lines were broken");
}

/// The YAML files below a folder.
fn yaml_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_below(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            found.push(path);
        }
    }
}

/// The first line of each file names a schema that is there, and that the file fits: its own under
/// `schema/`, or, where the file is itself a schema, the meta-schema.
#[test]
fn no_shipped_yaml_file_lacks_the_line_that_names_its_schema() {
    const META: &str = "https://json-schema.org/draft/2020-12/schema";
    let mut files = vec![PathBuf::from("relay.yaml")];
    for folder in ["routes.d", "backends.d", "docs/tutorial"] {
        yaml_below(Path::new(folder), &mut files);
    }
    assert!(files.len() > 43, "only {} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let header = text.lines().next().unwrap_or_default();
        let named = header
            .strip_prefix("# yaml-language-server: $schema=")
            .unwrap_or_else(|| panic!("{file:?} names no schema"));
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let below_schemas = file.starts_with("routes.d/schemas");
        assert_eq!(named == META, below_schemas, "{file:?}: {named}");
        let wrong: Vec<String> = if named == META {
            let meta = jsonschema::draft202012::meta::validator();
            meta.iter_errors(&value).map(|e| e.to_string()).collect()
        } else {
            let path = file.parent().unwrap().join(named);
            let schema = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file:?}: {e}"));
            let schema = serde_json::from_str(&schema).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            validator
                .iter_errors(&value)
                .map(|e| e.to_string())
                .collect()
        };
        assert!(wrong.is_empty(), "{file:?}: {wrong:?}");
    }
}

/// `schema/` is what `cmp-relay schema` prints, and what the first line of each shipped file names.
#[test]
fn the_committed_schemas_are_what_the_command_prints_and_shipped_files_fit_them() {
    use cmp_relay::cli::schema::{FileKind, text};

    let mut checked = 0;
    for (kind, name, files) in [
        (FileKind::Routes, "routes", "routes.d"),
        (FileKind::Response, "response", "routes.d/shared"),
        (FileKind::Source, "source", "routes.d/shared"),
        (FileKind::Backend, "backend", "backends.d"),
        (FileKind::Profile, "profile", "profiles"),
        (FileKind::Relay, "relay", "."),
    ] {
        let path = format!("schema/{name}.schema.json");
        let current = text(kind).unwrap();
        if crate::support::told("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all("schema").unwrap();
            fs::write(&path, &current).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == current,
            "{path} is stale: UPDATE_EXPECTED=1 writes it"
        );

        let schema = serde_json::from_str(&current).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for entry in fs::read_dir(files).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let shipped = fs::read_to_string(&file).unwrap();
            let header = shipped.lines().next().unwrap_or_default();
            let is_named = |name: &str| header.ends_with(&format!("schema/{name}.schema.json"));
            // Two sorts of pieces stand beside each other.
            if files == "routes.d/shared"
                && ["response", "source"]
                    .iter()
                    .any(|other| *other != name && is_named(other))
            {
                continue;
            }
            assert!(is_named(name), "{file:?}: {header}");
            let node: serde_json::Value = serde_yaml::from_str(&shipped).unwrap();
            let wrong: Vec<_> = validator
                .iter_errors(&node)
                .map(|error| error.to_string())
                .collect();
            assert!(wrong.is_empty(), "{file:?}: {wrong:?}");
            checked += 1;
        }
    }
    assert!(checked >= 12, "only {checked} files were checked");
}
