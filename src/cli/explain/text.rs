//! The account for people: a label, what it is, and below it what it follows from.

use super::account::{
    Account, BackendAccount, CallAccount, ClientAccount, KeyAccount, NearAccount, RecordAccount,
    RefusedAccount, RouteAccount, RowAccount,
};

/// Where what is told begins; the labels stand before it.
const MARGIN: usize = 10;

/// The whole account.
pub fn render(account: &Account) -> String {
    let mut page = Page::default();
    headline(account, &mut page);
    match &account.route {
        Some(found) => route(found, &mut page),
        None => page.part("route", "none"),
    }
    near(&account.near, &mut page);
    client(&account.client, &mut page);
    rows(&account.rows, &mut page);
    if let Some(chosen) = &account.backend {
        backend(chosen, &mut page);
    }
    if let Some(made) = &account.call {
        call(made, &mut page);
    }
    if let Some(record) = &account.record {
        recorded(record, &mut page);
    }
    if let Some(used) = &account.idempotency {
        key(used, &mut page);
    }
    if let Some(failure) = &account.refused {
        refused(failure, &mut page);
    }
    for note in &account.notes {
        page.part("note", note);
    }
    page.text
}

/// Lines behind their labels.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn part(&mut self, label: &str, words: &str) {
        let line = format!("{label:<MARGIN$}{}", visible(words));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn line(&mut self, words: &str) {
        self.part("", words);
    }

    /// As it is, blanks at its end included.
    fn verbatim(&mut self, line: &str) {
        let line = format!("{:<MARGIN$}{}\n", "", visible(line));
        self.text.push_str(&line);
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }
}

/// Without what a terminal would obey.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() && c != '\t' {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

fn headline(account: &Account, page: &mut Page) {
    let outcome = match (&account.refused, &account.backend) {
        (Some(refused), _) => {
            let code = refused.problem["code"].as_str().unwrap_or("an error");
            format!("{} {code}, and no call", refused.status)
        }
        (
            None,
            Some(BackendAccount {
                name: Some(name), ..
            }),
        ) => format!("one call to {name}"),
        (None, _) => "no call".to_owned(),
    };
    let request = &account.request;
    let asked = format!("{} {}", request.method, request.target);
    page.text.push_str(&visible(&asked));
    page.text.push_str(&format!(": {outcome}\n\n"));
}

fn route(route: &RouteAccount, page: &mut Page) {
    let place = route.place.as_deref().unwrap_or_default();
    page.part("route", &format!("{}  {place}", route.name));
    page.line(&format!("{} {}", route.method, route.path));
    for (name, value) in &route.params {
        page.line(&format!(
            "{{{name}}} is `{}`",
            value.as_str().unwrap_or_default()
        ));
    }
}

fn near(near: &[NearAccount], page: &mut Page) {
    let columns: Vec<String> = near
        .iter()
        .map(|miss| format!("{} {}", miss.method, miss.path))
        .collect();
    let width = columns.iter().map(|text| text.chars().count()).max();
    let width = width.unwrap_or(0);
    for (index, (miss, column)) in near.iter().zip(&columns).enumerate() {
        let label = if index == 0 { "near" } else { "" };
        let words: Vec<&str> = miss.differs.iter().map(|d| d.words.as_str()).collect();
        page.part(label, &format!("{column:<width$}  {}", words.join("; ")));
    }
}

fn client(client: &ClientAccount, page: &mut Page) {
    let name = client.name.as_deref().unwrap_or("nobody");
    page.part("client", &format!("{name}  {}", client.words));
}

fn rows(rows: &[RowAccount], page: &mut Page) {
    let object = |row: &RowAccount| match &row.cmp_id {
        Some(cmp_id) => format!("{} {cmp_id}", row.resource),
        None => row.resource.clone(),
    };
    let widest = |of: &dyn Fn(&RowAccount) -> String| {
        let widths = rows.iter().map(|row| of(row).chars().count());
        widths.max().unwrap_or(0)
    };
    let purposes = widest(&|row| row.purpose.clone());
    let objects = widest(&object);
    for (index, row) in rows.iter().enumerate() {
        let what = match (&row.backend, &row.backend_id) {
            (Some(backend), Some(id)) if row.found => format!("{id} on {backend}"),
            (Some(backend), None) if row.found => format!("on {backend}, its id still to come"),
            // Looked for by its backend id.
            (Some(backend), Some(id)) => format!("{id} on {backend}: not mapped"),
            _ if row.purpose == "create" => "not mapped, as it must be".to_owned(),
            _ => "not mapped".to_owned(),
        };
        let attributes = match row.attributes.is_empty() {
            true => String::new(),
            false => format!("  {}", serde_json::Value::Object(row.attributes.clone())),
        };
        let label = if index == 0 { "rows" } else { "" };
        let object = object(row);
        page.part(
            label,
            &format!(
                "{:<purposes$}  {object:<objects$}  {what}{attributes}",
                row.purpose
            ),
        );
        if let Some(remedy) = &row.remedy {
            page.line(&format!("{:<purposes$}  {remedy}", ""));
        }
    }
}

fn backend(backend: &BackendAccount, page: &mut Page) {
    let name = backend.name.as_deref().unwrap_or("none");
    page.part("backend", &format!("{name}  {}", backend.words));
    let names = backend
        .considered
        .iter()
        .map(|one| one.name.chars().count());
    let width = names.max().unwrap_or(0);
    for one in &backend.considered {
        page.line(&format!("{:<width$}  {}", one.name, one.words));
    }
    match backend.variant.as_deref() {
        Some("") => page.line("the call is its variant for all that are left"),
        Some(when) => page.line(&format!("the call is its variant for {when}")),
        None => {}
    }
}

fn call(call: &CallAccount, page: &mut Page) {
    let timeout_ms = match call {
        CallAccount::Https {
            method,
            url,
            headers,
            body,
            login,
            timeout_ms,
        } => {
            page.part("call", &format!("{method} {url}"));
            for (name, value) in headers {
                page.line(&format!("{name}: {value}"));
            }
            if let Some(body) = body {
                // Line by line as it is: what stands here is what is sent.
                content(body.split('\n'), page);
            }
            if let Some(login) = login {
                page.line(&format!("*** is {login}"));
            }
            timeout_ms
        }
        CallAccount::Cli {
            address,
            profile,
            mode,
            lines,
            save,
            timeout_ms,
        } => {
            page.part("call", &format!("cli {address}"));
            let profile = profile.as_deref().unwrap_or("none");
            let mode = match mode {
                Some(mode) => format!(", in its mode {mode}"),
                None => String::new(),
            };
            page.line(&format!("by the profile {profile}{mode}"));
            content(lines.iter().map(String::as_str), page);
            if *save {
                page.line("and the profile's save command");
            }
            timeout_ms
        }
        CallAccount::Exec {
            address,
            command,
            stdin,
            timeout_ms,
        } => {
            page.part("call", &format!("exec {address}"));
            content(std::iter::once(command.as_str()), page);
            if let Some(stdin) = stdin {
                page.line("which reads");
                content(stdin.split('\n'), page);
            }
            timeout_ms
        }
        CallAccount::Netconf {
            address,
            operation,
            target,
            xml,
            timeout_ms,
        } => {
            let target = target
                .map(|target| format!(" {target}"))
                .unwrap_or_default();
            page.part("call", &format!("{operation}{target} {address}"));
            if !xml.is_empty() {
                content(xml.iter().map(String::as_str), page);
            }
            timeout_ms
        }
    };
    page.line(&format!("answered within {}", span(*timeout_ms)));
}

/// What is sent, as it is, set off by blank lines.
fn content<'l>(lines: impl Iterator<Item = &'l str>, page: &mut Page) {
    page.blank();
    lines.for_each(|line| page.verbatim(line));
    page.blank();
}

fn span(milliseconds: u64) -> String {
    match milliseconds % 1000 {
        0 => format!("{} s", milliseconds / 1000),
        _ => format!("{milliseconds} ms"),
    }
}

fn recorded(record: &RecordAccount, page: &mut Page) {
    page.part(
        "record",
        &format!(
            "before the call: an operation of {} by {} on {}",
            record.route, record.client, record.backend
        ),
    );
    if let Some(confirm) = &record.confirm {
        let at_most = span(confirm.timeout_ms);
        let (call, answer) = match confirm.rule {
            "required" => (
                format!("or is not made ({at_most} at most, then 503 standby_unconfirmed)"),
                "or is 504 standby_unconfirmed",
            ),
            _ => (
                format!("where it confirms ({at_most} at most)"),
                "and says in Relay-Replicated whether it has",
            ),
        };
        let rule = confirm.rule;
        page.line(&format!(
            "confirm is {rule}: the call waits until the standby has that, {call}"
        ));
        page.line(&format!(
            "and the answer to a success until it has the outcome, {answer}"
        ));
    }
    if let Some(claim) = &record.claim {
        let words = format!("which alone may change {} {}", claim.resource, claim.cmp_id);
        page.line(&words);
    }
    if record.effects.is_empty() {
        page.line("after a success: no mapping changes");
    }
    for effect in &record.effects {
        let when = match effect.conditional {
            true => " that fulfils its `when`",
            false => "",
        };
        let id = match effect.backend_id_from.as_deref() {
            Some("pending") => ", its backend id still to come".to_owned(),
            Some(from) => format!(", its backend id {from}"),
            None => String::new(),
        };
        let verb = effect.verb;
        let object = &effect.object;
        page.line(&format!(
            "after a success{when}: {verb} {} {}{id}",
            object.resource, object.cmp_id
        ));
        for (name, from) in &effect.attributes_from {
            let from = from.as_str().unwrap_or_default();
            page.line(&format!("its attribute {name} {from}"));
        }
    }
}

fn key(key: &KeyAccount, page: &mut Page) {
    let name = key.key.as_deref().unwrap_or("none");
    page.part("key", &format!("{name}  {}", key.words));
}

fn refused(refused: &RefusedAccount, page: &mut Page) {
    page.part(
        "refused",
        &format!("at step {}, where {}", refused.step, refused.words),
    );
    let reason = http::StatusCode::from_u16(refused.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    page.blank();
    page.line(&format!("{} {reason}", refused.status));
    for (name, value) in &refused.headers {
        page.line(&format!("{name}: {value}"));
    }
    page.blank();
    let problem = format!("{:#}", refused.problem);
    problem.lines().for_each(|line| page.line(line));
    page.blank();
}
