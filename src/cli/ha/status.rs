//! `ha status`, and the steps of an order while it is carried out.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::cli::api::{self, AdminArgs, Api};
use crate::cli::{Vars, table};

/// How often a long order's step is looked at.
const LOOK: Duration = Duration::from_millis(300);

pub fn run(args: &AdminArgs, vars: &Vars) -> Result<ExitCode> {
    api::run(args, vars, |api| async move {
        let status = api.get(&["ha"], &[]).await?;
        match api.as_json {
            true => api::print_json(&status),
            false => print!("{}", words(&status)),
        }
        Ok(())
    })
}

/// Waits for an order, and prints each new step of this node meanwhile.
pub async fn with_steps(api: &Api, order: impl Future<Output = Result<Value>>) -> Result<Value> {
    let mut order = std::pin::pin!(order);
    let mut last = String::new();
    loop {
        tokio::select! {
            answer = &mut order => return answer,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Ok(status) = api.get(&["ha"], &[]).await else {
            continue;
        };
        let step = status["step"].as_str().unwrap_or_default();
        if !step.is_empty() && step != last {
            eprintln!("{step}");
            last = step.to_owned();
        }
    }
}

/// Both nodes beside each other, then what is in the way.
fn words(status: &Value) -> String {
    let peer = &status["peer"]["status"];
    let cell = |node: &Value, pointer: &str| match node.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other) => other.to_string(),
    };
    let rows = [
        ("role", "/role"),
        ("epoch", "/epoch"),
        ("address", "/vip"),
        ("gate open", "/gate"),
        ("alone", "/alone"),
        ("server read-only", "/server/read_only"),
        ("newest commit", "/server/position"),
        ("replication", "/server/replication/io"),
        ("behind, s", "/server/replication/lag_s"),
        ("confirm", "/confirm/mode"),
        ("standby answers", "/confirm/answering"),
        ("confirmed, ms ago", "/confirm/age_ms"),
        ("may take over", "/promotable"),
        ("paused", "/paused"),
        ("failover blocked, s", "/blocked_s"),
        ("seen, ms ago", "/age_ms"),
    ];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, pointer)| {
            let theirs = match *pointer {
                "/age_ms" => cell(&status["peer"], "/age_ms"),
                other => cell(peer, other),
            };
            vec![(*name).to_owned(), cell(status, pointer), theirs]
        })
        .collect();
    let mut text = table::render(&["", &cell(status, "/node"), &cell(peer, "/node")], &rows);
    for (node, reasons) in [(status, &status["reasons"]), (peer, &peer["reasons"])] {
        for reason in reasons.as_array().into_iter().flatten() {
            text += &format!(
                "{}: {}\n",
                cell(node, "/node"),
                reason.as_str().unwrap_or_default()
            );
        }
    }
    if let Some(error) = status["peer"]["error"].as_str() {
        text += &format!("the peer does not answer: {error}\n");
    }
    text
}
