//! docs/database.md: every table, column and index of both databases is described there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::support::relay::open;

const PAGE: &str = "docs/database.md";

/// Columns by table.
type Tables = BTreeMap<String, BTreeSet<String>>;

fn page() -> String {
    fs::read_to_string(PAGE).unwrap()
}

/// The text of a dialect's migrations.
fn migrations(dialect: &str) -> String {
    let mut files: Vec<_> = fs::read_dir(format!("migrations/{dialect}"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.collect()
}

/// What `CREATE TABLE` says; a migration that alters a table is seen on SQLite, below.
fn written(text: &str) -> Tables {
    let table = Regex::new(r"(?ms)^CREATE TABLE (\w+) \(\n(.*?)^\)").unwrap();
    let column = Regex::new(r"(?m)^    ([a-z_]+) [A-Z]+").unwrap();
    let tables = table.captures_iter(text).map(|found| {
        let columns = column.captures_iter(&found[2]);
        let columns = columns.map(|found| found[1].to_owned());
        (found[1].to_owned(), columns.collect())
    });
    tables.collect()
}

fn described() -> Tables {
    let text = page();
    let sections = text.split("\n## `").skip(1);
    let tables = sections.map(|section| {
        let (name, below) = section.split_once('`').unwrap();
        let below = below.split("\n## ").next().unwrap();
        let rows = below.lines().filter_map(|line| line.strip_prefix("| `"));
        let columns = rows.map(|row| row.split('`').next().unwrap().to_owned());
        (name.to_owned(), columns.collect())
    });
    tables.collect()
}

#[tokio::test]
async fn every_column_is_described_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    let file = folder.path().join("relay.db");
    let connection = rusqlite::Connection::open(file).unwrap();
    let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '_sqlx_%'";
    let mut columns = connection.prepare(sql).unwrap();
    let mut rows = columns.query([]).unwrap();
    let mut real = Tables::new();
    while let Some(row) = rows.next().unwrap() {
        let table: String = row.get(0).unwrap();
        let column = row.get(1).unwrap();
        real.entry(table).or_default().insert(column);
    }
    assert!(real.len() >= 6, "{real:?}");
    assert_eq!(described(), real);
    assert_eq!(written(&migrations("mysql")), real);
}

#[test]
fn the_indexes_of_both_databases_are_named() {
    let index = Regex::new(r"(?:INDEX|KEY) ([a-z]+_[a-z_]+)").unwrap();
    let of = |text: &str| -> BTreeSet<String> {
        index
            .captures_iter(text)
            .map(|found| found[1].to_owned())
            .collect()
    };
    let (sqlite, mysql) = (of(&migrations("sqlite")), of(&migrations("mysql")));
    assert_eq!(sqlite, mysql);
    assert!(sqlite.len() >= 5, "{sqlite:?}");
    let page = page();
    for name in sqlite {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

/// The example rows are among these, the answer of `/relay/v1/mappings` at the end of the demo.
pub(crate) fn examples_are_among(mappings: &Value) {
    let page = page();
    let (_, below) = page.split_once("\n| situation | ").unwrap();
    let mut lines = below.lines().take_while(|line| !line.is_empty());
    let head: Vec<&str> = lines
        .next()
        .unwrap()
        .split('`')
        .skip(1)
        .step_by(2)
        .collect();
    let items = mappings["items"].as_array().unwrap();
    let shown = |item: &Value, name: &str| match &item[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut seen = 0;
    for line in lines.skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').skip(1).collect();
        assert_eq!(cells.len(), head.len(), "{line}");
        let there = items.iter().any(|item| {
            head.iter().zip(&cells).all(|(name, cell)| {
                let cell = cell.trim().trim_matches('`');
                let pattern = regex::escape(cell).replace('…', "[0-9a-f-]+");
                Regex::new(&format!("^{pattern}$"))
                    .unwrap()
                    .is_match(&shown(item, name))
            })
        });
        assert!(there, "{line}\n{mappings}");
        seen += 1;
    }
    assert!(seen > 5, "found only {seen} rows");
}
