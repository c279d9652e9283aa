//! A comparison for people, and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Compared, Comparison, Difference, Verdict, what};
use crate::relay::orphans::Orphans;

/// The whole of it, one line a part or key.
pub(super) fn as_text(comparison: &Comparison, verdict: Verdict) -> String {
    let mut text = String::new();
    for (sort, compared) in [
        ("route", &comparison.routes),
        ("backend", &comparison.backends),
    ] {
        add_parts(&mut text, sort, compared);
    }
    match &comparison.server {
        Some(keys) if keys.is_empty() => {}
        Some(keys) => {
            text.push_str("~ relay.yaml\n");
            add_keys(&mut text, keys);
        }
        None => text.push_str(
            "? relay.yaml: the folder of --config is not what the relay serves, so its settings are not known\n",
        ),
    }
    if !comparison.restart_needed.is_empty() {
        let keys = comparison.restart_needed.join(", ");
        let _ = writeln!(text, "\nonly at the next start: {keys}");
    }
    add_risks(&mut text, comparison);
    match verdict {
        Verdict::Same => text.push_str("nothing differs\n"),
        Verdict::Harmless => text.push_str("\na reload would take it\n"),
        Verdict::Refused => {
            text.push_str("\na reload would be refused; `cmp-relay reload --force` does it nevertheless\n");
        }
        Verdict::Unknown => text.push_str(
            "\na reload is refused if mappings depend on that: only the running relay knows, `--live` asks it\n",
        ),
    }
    text
}

fn add_parts(text: &mut String, sort: &str, compared: &Compared) {
    for part in &compared.added {
        let _ = writeln!(
            text,
            "+ {sort} {} ({}) in {}",
            part.name,
            what(part),
            part.file
        );
    }
    for line in &compared.removed {
        let _ = writeln!(text, "- {sort} {} ({})", line.name, line.what);
    }
    for (line, keys) in &compared.changed {
        let _ = writeln!(text, "~ {sort} {} ({})", line.name, line.what);
        match keys {
            Some(keys) => add_keys(text, keys),
            None => text.push_str(
                "    which keys is not known: the folder of --config is not what the relay serves\n",
            ),
        }
    }
}

fn add_keys(text: &mut String, keys: &[Difference]) {
    let width = keys.iter().map(|key| key.path.chars().count()).max();
    let width = width.unwrap_or(0).min(48);
    for key in keys {
        let change = match (&key.from, &key.to) {
            (Some(from), Some(to)) => format!("{from} -> {to}"),
            (None, Some(to)) => format!("added: {to}"),
            (Some(from), None) => format!("removed: {from}"),
            (None, None) => String::new(),
        };
        let _ = writeln!(text, "    {:<width$}  {change}", key.path);
    }
}

fn add_risks(text: &mut String, comparison: &Comparison) {
    let mut risks = comparison.risks.iter().peekable();
    if risks.peek().is_none() {
        return;
    }
    text.push_str("\nmappings concerned:\n");
    for risk in risks {
        let Some(orphans) = &comparison.orphans else {
            let _ = writeln!(text, "    {}: not known", risk.words());
            continue;
        };
        let mut concerned = orphans.iter().filter(|one| one.risk == *risk).peekable();
        if concerned.peek().is_none() {
            let _ = writeln!(text, "    {}: none", risk.words());
        }
        for one in concerned {
            let _ = writeln!(text, "    {}", one.words());
        }
    }
}

/// The same for programs.
pub(super) fn as_json(comparison: &Comparison, verdict: Verdict) -> Value {
    let orphans = |orphans: &Vec<Orphans>| orphans.iter().map(Orphans::to_json).collect::<Value>();
    let risks = comparison.risks.iter().map(
        |risk| json!({ "change": risk.code(), "words": risk.words(), "refuses": risk.refuses() }),
    );
    json!({
        "verdict": match verdict {
            Verdict::Same => "same",
            Verdict::Harmless => "harmless",
            Verdict::Refused => "refused",
            Verdict::Unknown => "unknown",
        },
        "routes": parts(&comparison.routes),
        "backends": parts(&comparison.backends),
        "relay": comparison.server.as_deref().map(keys),
        "restart_needed": comparison.restart_needed,
        "risks": risks.collect::<Value>(),
        "orphans": comparison.orphans.as_ref().map(orphans),
    })
}

fn parts(compared: &Compared) -> Value {
    let added = compared
        .added
        .iter()
        .map(|part| json!({ "name": part.name, "what": what(part), "file": part.file }));
    let removed = compared
        .removed
        .iter()
        .map(|line| json!({ "name": line.name, "what": line.what }));
    let changed = compared.changed.iter().map(|(line, differ)| {
        json!({ "name": line.name, "what": line.what, "keys": differ.as_deref().map(keys) })
    });
    json!({
        "added": added.collect::<Value>(),
        "removed": removed.collect::<Value>(),
        "changed": changed.collect::<Value>(),
    })
}

fn keys(keys: &[Difference]) -> Value {
    keys.iter()
        .map(|key| json!({ "path": key.path, "from": key.from, "to": key.to }))
        .collect()
}
