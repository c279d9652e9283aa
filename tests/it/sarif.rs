//! `validate-config --format sarif`, held against the schema of SARIF 2.1.0 by a validator that knows
//! nothing of the relay: every broken bundle's log fits it.

use std::fs;
use std::path::{Path, PathBuf};

use cmp_relay::diagnostics::sarif;
use serde_json::{Value, json};

use crate::broken::Bundle;
use crate::openapi::{python, tool, words};

/// The log of a case of `tests/broken/`, or of the base alone.
fn log_of(case: Option<&Path>) -> String {
    let bundle = match case {
        Some(case) => Bundle::of(case),
        None => Bundle::base(),
    };
    let loaded = bundle.load();
    sarif::render_sarif(&loaded.diagnostics, &loaded.files)
}

#[test]
fn every_log_fits_the_schema_of_sarif() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut logs = vec![write("base.sarif".into(), &log_of(None))];
    for (number, case) in crate::broken::cases().iter().enumerate() {
        logs.push(write(format!("{number}.sarif"), &log_of(Some(case))));
    }
    assert!(logs.len() > 50, "only {} logs", logs.len());
    let output = tool(python, "sarif.py", &logs);
    assert!(output.status.success(), "{}", words(&output));

    // The validator sees what is wrong.
    let mut log: Value = serde_json::from_str(&log_of(None)).unwrap();
    log["runs"][0]["columnKind"] = json!("bytes");
    log["runs"][0]["results"] = json!([{ "ruleId": "x" }]);
    let wrong = write("wrong.sarif".into(), &log.to_string());
    let output = tool(python, "sarif.py", &[wrong]);
    let said = words(&output);
    assert!(
        said.contains("columnKind") && said.contains("'message' is a required property"),
        "{said}"
    );
}

/// Whether a fix that is offered makes the text right: applied as a tool would apply it.
#[test]
fn a_fix_puts_the_right_name_where_the_wrong_one_is() {
    let case = Path::new("tests/broken/key_of_a_route");
    let log: Value = serde_json::from_str(&log_of(Some(case))).unwrap();
    let result = &log["runs"][0]["results"][0];
    let change = &result["fixes"][0]["artifactChanges"][0];
    let path = change["artifactLocation"]["uri"].as_str().unwrap();
    let replacement = &change["replacements"][0];
    let region = |key: &str| {
        let number = replacement["deletedRegion"][key].as_u64().unwrap();
        usize::try_from(number).unwrap() - 1
    };
    let name = replacement["insertedContent"]["text"].as_str().unwrap();
    let text = fs::read_to_string(case.join(path)).unwrap();
    let fixed: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(line, text)| {
            if line != region("startLine") {
                return text.to_owned();
            }
            let chars: Vec<char> = text.chars().collect();
            let (before, behind) = (
                &chars[..region("startColumn")],
                &chars[region("endColumn")..],
            );
            before.iter().collect::<String>() + name + &behind.iter().collect::<String>()
        })
        .collect();
    let bundle = Bundle::base();
    bundle.write(path, (fixed.join("\n") + "\n").as_bytes());
    let left = bundle.load().diagnostics;
    assert_eq!(left.iter().count(), 0, "{left:?}");
}
