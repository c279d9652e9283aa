//! What the pages say is so: their YAML compiles, their commands exist, their links lead somewhere,
//! their tables are the program's own, and what the README invites to try works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use clap::error::ErrorKind;
use cmp_relay::cli::Cli;
use cmp_relay::config::spec::{backend, profile, route, server};
use cmp_relay::config::{self, Env};
use cmp_relay::diagnostics::text;
use cmp_relay::http::problem;
use cmp_relay::plan::{Database, MariaDb};
use cmp_relay::secret::Secret;
use cmp_relay::store::{self, Journal, Write};
use cmp_relay::telemetry::metrics;
use cmp_relay::trial;
use regex::Regex;
use sqlx::Executor;

use crate::demo::{Demo, free_port};

/// A fenced block: what stands behind the fence, and the text.
struct Block {
    word: String,
    text: String,
}

fn page(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages whose YAML and commands readers copy.
fn guides() -> Vec<String> {
    let mut guides = vec!["README.md".to_owned()];
    guides.extend(markdown("docs"));
    assert!(guides.len() > 4, "{guides:?}");
    guides
}

/// The Markdown files of a folder, not below it.
fn markdown(folder: &str) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".md"))
        .collect();
    found.sort();
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(word), None) => {
                open = Some(Block {
                    word: word.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The rows of the table under this heading, cell by cell.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = text
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let rows: Vec<Vec<String>> = below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table under {heading}");
    rows
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<String> {
    let code = Regex::new("`([^`]+)`").unwrap();
    code.captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

// --- YAML -----------------------------------------------------------------------------------------

#[test]
fn every_yaml_block_compiles_with_the_others_of_its_page() {
    let kind = Regex::new("(?m)^kind: (.+)$").unwrap();
    let mut seen = 0;
    for path in guides() {
        let has = |text: &str, key: &str| text.lines().any(|line| line.starts_with(key));
        let (mut shared, mut servers) = (Vec::new(), Vec::new());
        for (number, block) in blocks(&page(&path)).into_iter().enumerate() {
            if block.word != "yaml" {
                continue;
            }
            seen += 1;
            if has(&block.text, "resource:") {
                shared.push((format!("routes.d/block_{number}.yaml"), block.text));
            } else if has(&block.text, "profile:") {
                shared.push((
                    format!("backends.d/profiles/block_{number}.yaml"),
                    block.text,
                ));
            } else if has(&block.text, "driver:") {
                shared.push((format!("backends.d/block_{number}.yaml"), block.text));
            } else {
                servers.push(block.text);
            }
        }
        let kinds = |folder: &str| -> BTreeSet<String> {
            let files = shared.iter().filter(|(path, _)| path.starts_with(folder));
            files
                .flat_map(|(_, text)| kind.captures_iter(text))
                .map(|found| found[1].to_owned())
                .collect()
        };
        let stubs: Vec<(String, String)> = kinds("routes.d/")
            .difference(&kinds("backends.d/"))
            .map(|kind| {
                let text = format!(
                    "name: {kind}\nkind: {kind}\nlabels: {{ region: r, site: s }}\ndriver: {{ https: {{ url: 'https://{kind}.example' }} }}\n"
                );
                (format!("backends.d/{kind}.yaml"), text)
            })
            .collect();
        if servers.is_empty() {
            servers.push("version: 1\n".to_owned());
        }
        for server in &servers {
            let files: Vec<(&str, &str)> = shared
                .iter()
                .chain(&stubs)
                .map(|(path, text)| (path.as_str(), text.as_str()))
                .chain([("relay.yaml", server.as_str())])
                .collect();
            let mut loaded = config::load_from_memory(&files, &Env::new([]).without_secrets());
            let plan = trial::check(&mut loaded).unwrap();
            let said = text::render_text(&loaded.diagnostics, &loaded.files, false);
            assert!(plan.is_some(), "{path}\n{server}\n{said}");
            // What only the reader's machine has is not here.
            let elsewhere = ["unresolved-secret", "missing-file"];
            let here = |code: &str| !elsewhere.contains(&code);
            assert!(
                !loaded.diagnostics.iter().any(|said| here(said.code)),
                "{path}\n{said}"
            );
        }
    }
    assert!(seen > 8, "found only {seen} blocks");
}

/// `docs/serve.md` shows relay.yaml with its defaults: it means what an absent file means.
#[test]
fn the_defaults_of_relay_yaml_are_the_ones_that_are_shown() {
    let serve = page("docs/serve.md");
    let shown = blocks(&serve)
        .into_iter()
        .find(|block| block.word == "yaml")
        .unwrap();
    let server = |files: &[(&str, &str)]| {
        let loaded = config::load_from_memory(files, &Env::new([]).node("a"));
        format!("{:#?}", loaded.plan.unwrap().server)
    };
    assert_eq!(server(&[("relay.yaml", &shown.text)]), server(&[]));
}

/// Every key that the files take is named on its page.
#[test]
fn every_key_is_on_its_page() {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(properties) = map.get("properties").and_then(|it| it.as_object()) {
                    let later = |it: &serde_json::Value| {
                        it["description"]
                            .as_str()
                            .is_some_and(|words| words.contains("Not in this version"))
                    };
                    found.extend(
                        properties
                            .iter()
                            .filter(|(_, property)| !later(property))
                            .map(|(name, _)| name.clone()),
                    );
                }
                map.values().for_each(|value| keys(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }
    for (path, schema) in [
        ("docs/serve.md", schemars::schema_for!(server::ServerSpec)),
        (
            "docs/language.md",
            schemars::schema_for!(backend::BackendSpec),
        ),
        (
            "docs/language.md",
            schemars::schema_for!(route::RouteFileSpec),
        ),
        (
            "docs/language.md",
            schemars::schema_for!(profile::ProfileSpec),
        ),
    ] {
        let mut found = BTreeSet::new();
        keys(&serde_json::to_value(schema).unwrap(), &mut found);
        assert!(found.len() > 10, "{path}: {found:?}");
        let text = page(path);
        let words: BTreeSet<&str> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .collect();
        let missing: Vec<_> = found
            .iter()
            .filter(|key| !words.contains(key.as_str()))
            .collect();
        assert!(missing.is_empty(), "{path} does not name {missing:?}");
    }
}

/// The README's broken route is a case of `tests/config`, and its answer is that case's answer.
#[test]
fn the_diagnostic_of_the_readme_is_what_is_printed() {
    let readme = page("README.md");
    let route = blocks(&readme)
        .into_iter()
        .find(|block| block.word == "yaml")
        .unwrap();
    let case = page("tests/config/readme/routes.d/network.yaml");
    assert!(
        case.starts_with(&route.text),
        "the case begins with the README's route"
    );
    let expected = page("tests/config/readme/expected.txt");
    let said = expected.split("exit status").next().unwrap().trim_end();
    let shown = format!("```\n$ cmp-relay validate-config\n{said}\n```\n");
    assert!(readme.contains(&shown), "not in the README:\n{shown}");
}

/// The accounts of `docs/serve.md` can do what they are for: one migrates, the other serves.
#[tokio::test]
async fn the_grants_that_are_documented_are_enough() {
    let Some(server) = crate::support::mariadb::database().await else {
        return;
    };
    let serve = page("docs/serve.md");
    let sql = blocks(&serve)
        .into_iter()
        .find(|block| block.word == "sql")
        .unwrap();
    let mut root = crate::support::mariadb::raw(server.port, None).await;
    let sql = sql.text.replace("10.0.0.%", "127.0.0.1");
    for statement in sql.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        root.execute(sqlx::AssertSqlSafe(statement.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let account = |user: &str| {
        Database::MariaDb(MariaDb {
            user: user.into(),
            password: Some(Secret::new("...".to_owned(), "env PASSWORD")),
            database: "relay".into(),
            ..server.clone()
        })
    };
    let store = store::open(&account("relay_migrate")).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;

    let store = store::open(&account("relay")).await.unwrap();
    store.check_schema().await.unwrap();
    assert!(store.is_writable().await.unwrap());
    let journal = Journal::start(store);
    for write in [
        Write::RecoverPending {
            now: 1,
            owned: Vec::new(),
        },
        Write::Prune {
            before: 1,
            limit: 1,
        },
    ] {
        journal.write(write).await.unwrap();
    }
    journal.close().await;
}

// --- commands, links ------------------------------------------------------------------------------

/// The words behind `cmp-relay` on a line of shell, as `clap` gets them.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let line = line.split("  #").next()?.split(" > ").next()?;
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.contains('='));
    let mut arguments = vec!["cmp-relay"];
    match words.next()? {
        "cmp-relay" => arguments.extend(words),
        "cargo" if line.contains(" run ") => {
            arguments.extend(words.skip_while(|word| *word != "--").skip(1));
        }
        _ => return None,
    }
    Some(arguments)
}

#[test]
fn every_command_exists() {
    let mut seen = 0;
    let mut pages = guides();
    pages.extend([
        "CONTRIBUTING.md".into(),
        "ARCHITECTURE.md".into(),
        "CHANGELOG.md".into(),
    ]);
    for path in pages {
        let text = page(&path);
        let blocks = blocks(&text);
        let lines = blocks
            .iter()
            .filter(|block| block.word == "sh")
            .flat_map(|block| block.text.lines());
        for arguments in lines.filter_map(arguments) {
            seen += 1;
            if let Err(error) = Cli::try_parse_from(&arguments) {
                panic!("{path}: {arguments:?}\n{error}");
            }
        }
        // In running text a command may be named without what it needs.
        for span in quoted(&text) {
            let Some(arguments) = arguments(&span) else {
                continue;
            };
            seen += 1;
            let kind = Cli::try_parse_from(&arguments).err().map(|e| e.kind());
            let short = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::MissingSubcommand,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ];
            assert!(
                kind.is_none_or(|kind| short.contains(&kind)),
                "{path}: {arguments:?}: {kind:?}"
            );
        }
    }
    assert!(seen > 20, "found only {seen} commands");
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept: String = heading.trim().to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    for folder in [
        ".",
        "docs",
        "docs/backends",
        "docs/decisions",
        "tests/relay",
    ] {
        for path in markdown(folder) {
            let text = page(&path);
            for found in link.captures_iter(&text) {
                let target = &found[1];
                if target.contains("://") {
                    continue;
                }
                seen += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = match file {
                    "" => Path::new(&path).to_owned(),
                    file => Path::new(folder).join(file),
                };
                assert!(file.exists(), "{path}: {target} is not there");
                if !heading.is_empty() {
                    let linked = fs::read_to_string(&file).unwrap();
                    let there = linked.lines().any(|line| {
                        line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading
                    });
                    assert!(there, "{path}: {target} names no heading");
                }
            }
        }
    }
    assert!(seen > 10, "found only {seen} links");
}

/// The files and folders that the map of the code names.
#[test]
fn every_file_that_is_named_is_there() {
    let path = Regex::new(r"^[a-z_0-9./-]+(\.rs|\.md|\.txt|\.yaml|/)$").unwrap();
    let mut seen = 0;
    for file in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/decisions/README.md",
    ] {
        // The three backquotes of a fence would pair with those of the text behind it.
        let text = page(file);
        let prose: Vec<&str> = text.split("```").step_by(2).collect();
        for span in quoted(&prose.concat()) {
            // `expected.txt` is a name in a folder that is still to be made, and so is `templates/`.
            if !path.is_match(&span) || !span.contains('/') || span == "templates/" {
                continue;
            }
            seen += 1;
            let there = ["", "src/"]
                .iter()
                .any(|root| Path::new(&format!("{root}{span}")).exists());
            assert!(there, "{file}: {span} is not there");
        }
    }
    assert!(seen > 15, "found only {seen} names");
}

// --- the README -----------------------------------------------------------------------------------

#[test]
fn the_readme_has_two_commands() {
    let readme = page("README.md");
    let commands: Vec<String> = blocks(&readme)
        .iter()
        .filter(|block| block.word == "sh")
        .flat_map(|block| block.text.lines())
        .filter(|line| !line.starts_with("curl "))
        .map(str::to_owned)
        .collect();
    assert_eq!(commands, ["cargo run --release -- demo", "./tests/run"]);
}

/// Each `curl` line of the README is one of the demo's, and answers as the demo says.
#[test]
fn the_curl_lines_of_the_readme_work_as_they_stand() {
    let readme = page("README.md");
    let lines: Vec<String> = blocks(&readme)
        .iter()
        .filter(|block| block.word == "sh")
        .flat_map(|block| block.text.lines())
        .filter(|line| line.starts_with("curl "))
        .map(str::to_owned)
        .collect();
    assert!(lines.len() >= 3, "{lines:?}");
    let data = tempfile::tempdir().unwrap();
    let demo = Demo::start(data.path(), free_port());
    let [relay, admin] = ["The relay ", "its admin side "].map(|name| {
        let line = demo.preface.iter().find_map(|line| line.strip_prefix(name));
        let url = line.unwrap().trim().trim_end_matches("/console");
        url.to_owned()
    });
    for line in lines {
        let command = line
            .replace("http://127.0.0.1:8080", &relay)
            .replace("http://127.0.0.1:8081", &admin);
        let step = demo.steps.iter().find(|step| step.command == command);
        let step = step.unwrap_or_else(|| panic!("not a line of the demo: {line}"));
        let ran = Command::new("sh").args(["-c", &command]).output().unwrap();
        let answer = String::from_utf8(ran.stdout).unwrap();
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some(&*step.expect_status), "{line}\n{answer}");
    }
    assert!(demo.interrupt());
}

// --- tables ---------------------------------------------------------------------------------------

#[test]
fn the_problems_that_are_documented_are_the_ones_that_there_are() {
    let documented: Vec<(String, String)> = table(&page("docs/problems.md"), "## Every code")
        .into_iter()
        .map(|row| (quoted(&row[0]).remove(0), row[1].clone()))
        .collect();
    let real: Vec<(String, String)> = problem::TABLE
        .iter()
        .map(|(status, code, _)| ((*code).to_owned(), status.as_u16().to_string()))
        .collect();
    assert_eq!(documented, real);
}

#[test]
fn at_three_in_the_morning_every_failure_of_ours_has_an_entry() {
    let entries: BTreeSet<String> = table(&page("docs/serve.md"), "### What a CMP reports")
        .iter()
        .flat_map(|row| quoted(&row[0]))
        .collect();
    let codes: BTreeMap<&str, u16> = problem::TABLE
        .iter()
        .map(|(status, code, _)| (*code, status.as_u16()))
        .collect();
    for entry in &entries {
        assert!(codes.contains_key(entry.as_str()), "{entry} is no code");
    }
    for (code, status) in codes {
        assert!(
            status < 500 || entries.contains(code),
            "{code} has no entry"
        );
    }
}

#[test]
fn the_log_lines_that_are_documented_are_written() {
    fn sources(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else {
                all.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = String::new();
    sources(Path::new("src"), &mut all);
    // A literal that goes on after `\` at the end of a line is one text.
    let all = Regex::new(r"\\\n\s*").unwrap().replace_all(&all, "");
    let serve = page("docs/serve.md");
    let mut seen = 0;
    for heading in ["### The database", "### Other lines of the log"] {
        for row in table(&serve, heading) {
            for line in quoted(&row[0]) {
                seen += 1;
                for part in line.split("...").map(str::trim) {
                    assert!(all.contains(part), "no line of the log says `{part}`");
                }
            }
        }
    }
    assert!(seen > 12, "found only {seen} lines");
}

#[test]
fn the_metrics_that_are_documented_are_the_ones_on_the_page() {
    metrics::RouteMetrics::new("docs").record(200, std::time::Duration::from_millis(1));
    metrics::BackendMetrics::new("docs").record(
        metrics::CallOutcome::Success,
        std::time::Duration::from_millis(1),
    );
    metrics::backend_load("docs", 0, 0);
    metrics::breaker("docs", 0);
    metrics::logins("docs", 1);
    metrics::host_key_mismatch("docs");
    metrics::operation("succeeded");
    metrics::operations_now("succeeded", 1);
    metrics::commit(1);
    metrics::confirmed(std::time::Duration::from_millis(1));
    metrics::confirm_age(std::time::Duration::ZERO);
    metrics::unconfirmed_acknowledgement();
    metrics::refused_write("standby");
    metrics::active(true);
    metrics::role("active", ["active"], 1);
    metrics::take_over("given");
    metrics::lag(Some(0));
    metrics::reload("reloaded");
    metrics::configuration(true, "abc", 1);
    ::metrics::gauge!(metrics::IN_FLIGHT).set(0.0);
    ::metrics::counter!(metrics::ABANDONED).increment(1);

    let source = page("src/telemetry/metrics.rs");
    let named: BTreeSet<String> = Regex::new("= \"(cmp_relay_[a-z_]+)\";")
        .unwrap()
        .captures_iter(&source)
        .map(|found| found[1].to_owned())
        .collect();
    let shown = metrics::page();
    let types: BTreeSet<(String, String)> = Regex::new("(?m)^# TYPE (cmp_relay_[a-z_]+) ([a-z]+)$")
        .unwrap()
        .captures_iter(&shown)
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect();
    assert_eq!(named, types.iter().map(|(name, _)| name.clone()).collect());

    let rows = table(&page("docs/serve.md"), "## Metrics");
    let documented: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| (quoted(&row[0]).remove(0), row[1].clone()))
        .collect();
    assert_eq!(documented, types);
    for row in rows {
        let name = &quoted(&row[0])[0];
        let samples = [name.clone(), format!("{name}_count")];
        let sample = shown.lines().find(|line| {
            let named = line.split(['{', ' ']).next().unwrap_or_default();
            samples.iter().any(|sample| sample == named)
        });
        let sample = sample.unwrap().split_once('{');
        let labels = sample
            .and_then(|(_, rest)| rest.split_once('}'))
            .map_or("", |(labels, _)| labels);
        for label in labels
            .split("\",")
            .filter_map(|pair| pair.split('=').next())
        {
            let said = label.is_empty() || quoted(&row[2]).contains(&label.to_owned());
            assert!(said, "{name} has the label {label}");
        }
    }
}
