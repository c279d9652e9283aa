//! `reload`: a running relay takes its folder anew, or says why not.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::Vars;
use super::api::{self, AdminArgs, Refusal};

/// Let a running relay take its folder anew.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Though mappings would be left without a route or a backend
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let force = args.force;
    api::run(&args.admin, vars, |api| async move {
        let told = api.post(&["reload"], &json!({ "force": force })).await;
        let report = told.map_err(explained)?;
        match api.as_json {
            true => api::print_json(&report),
            false => print!("{}", words(&report)),
        }
        Ok(())
    })
}

/// A refusal with what it brings: the diagnostics, or what would be stranded.
fn explained(error: anyhow::Error) -> anyhow::Error {
    let Some(refusal) = error.downcast_ref::<Refusal>() else {
        return error;
    };
    if let Some(text) = refusal.problem["text"].as_str() {
        let words = "the configuration does not compile; the one before it goes on";
        return anyhow::anyhow!("{words}:\n{}", text.trim_end());
    }
    let Some(orphans) = refusal.problem["orphans"].as_array() else {
        return error;
    };
    let mut words =
        "the reload would leave mappings without a route or a backend; the configuration \
        before it goes on:"
            .to_owned();
    for one in orphans {
        words += &format!("\n  {}", stranded(one));
    }
    words += "\nbring the routes and backends back, or move the objects elsewhere; \
        `cmp-relay reload --force` does it nevertheless";
    anyhow::anyhow!(words)
}

/// What changed, for people.
fn words(report: &Value) -> String {
    let digest = report["digest"].as_str().unwrap_or_default();
    let mut words = format!("reloaded: plan {}\n", digest.get(..12).unwrap_or(digest));
    for what in ["routes", "backends"] {
        for how in ["added", "removed", "changed"] {
            let names = names(&report[what][how]);
            if !names.is_empty() {
                words += &format!("  {what} {how}: {names}\n");
            }
        }
    }
    if words.lines().count() == 1 {
        words += "  no route and no backend differs\n";
    }
    for (key, how) in [("orphans", "stranded"), ("moved", "found elsewhere now")] {
        for one in report[key].as_array().into_iter().flatten() {
            words += &format!("  {how}: {}\n", stranded(one));
        }
    }
    let restart = names(&report["restart_needed"]);
    if !restart.is_empty() {
        words += &format!("  takes effect at the next start: {restart}\n");
    }
    words
}

fn names(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    names.join(", ")
}

fn stranded(one: &Value) -> String {
    format!(
        "{}: {} mappings and {} unsettled operations of {} on {}: {}",
        one["words"].as_str().unwrap_or_default(),
        one["mappings"],
        one["unsettled"],
        one["resource"].as_str().unwrap_or_default(),
        one["backend"].as_str().unwrap_or_default(),
        names(&one["first"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_changed_and_nothing_else() {
        let mut report = json!({
            "digest": "0123456789abcdef",
            "routes": { "added": ["create_port", "get_port"], "removed": [], "changed": [] },
            "backends": { "added": [], "removed": [], "changed": ["neutron-1"] },
            "restart_needed": ["listen"],
            "orphans": [],
            "moved": [],
        });
        assert_eq!(
            words(&report),
            "reloaded: plan 0123456789ab\n  routes added: create_port, get_port\n  \
             backends changed: neutron-1\n  takes effect at the next start: listen\n"
        );
        report["routes"]["added"] = json!([]);
        report["backends"]["changed"] = json!([]);
        report["restart_needed"] = json!([]);
        assert_eq!(
            words(&report),
            "reloaded: plan 0123456789ab\n  no route and no backend differs\n"
        );
    }
}
