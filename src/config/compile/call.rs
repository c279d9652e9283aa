//! `call`: the one request that a route sends to a backend, by the action that it is.

mod cli;
mod exec;
mod http;
mod netconf;

use super::codes;
use super::names::{Names, Stage, Surroundings};
use crate::config::spec::call::{CallSpec, CliLinesSpec, StdinSpec};
use crate::config::spec::part::{Written, right, wrong};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::{Action, Backend, Call, CliProfile};

pub(super) use http::headers;

/// What a call is about to be compiled against.
struct Ground<'a> {
    kind: &'a str,
    around: &'a Surroundings<'a>,
    /// Every instance that may be called, in the order of their names.
    backends: Vec<&'a Backend>,
}

/// What a call can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Http,
    Cli,
    Exec,
    Netconf,
}

impl Sort {
    /// Its key.
    fn key(self) -> &'static str {
        match self {
            Sort::Http => "http",
            Sort::Cli => "cli",
            Sort::Exec => "exec",
            Sort::Netconf => "netconf",
        }
    }

    /// The driver that sends it.
    fn driver(self) -> &'static str {
        match self {
            Sort::Http => "https",
            Sort::Cli | Sort::Exec => "ssh",
            Sort::Netconf => "netconf",
        }
    }
}

/// Which calls a key goes with.
const KEYS: [(&str, &[Sort]); 10] = [
    ("query", &[Sort::Http]),
    ("headers", &[Sort::Http]),
    ("body", &[Sort::Http]),
    ("form", &[Sort::Http]),
    ("auth", &[Sort::Http]),
    ("template", &[Sort::Http, Sort::Netconf]),
    ("mode", &[Sort::Cli]),
    ("save", &[Sort::Cli]),
    ("stdin", &[Sort::Exec]),
    ("target", &[Sort::Netconf]),
];

/// Compiles the call of a route that calls these backends of a kind.
pub(super) fn compile(
    spec: &CallSpec,
    span: Span,
    (kind, backends): (&str, Vec<&Backend>),
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Call> {
    let errors = diags.errors();
    let ground = Ground {
        kind,
        around,
        backends,
    };
    let sort = sort(spec, span, &ground, diags);
    if let Some((sort, at)) = sort {
        foreign_keys(spec, sort, at, diags);
        ground.check_driver(sort, at, diags);
    }
    let roots = names.roots(Stage::Call);
    let env = names.env(around, Stage::Call, &roots);
    let action = match sort.map(|(sort, _)| sort) {
        // What is written beside a key that is missing is checked all the same.
        None | Some(Sort::Http) => http::compile(spec, &ground, &env, diags).map(Action::Http),
        Some(Sort::Cli) => cli::compile(spec, &ground, &env, diags).map(Action::Cli),
        Some(Sort::Exec) => exec::compile(spec, &env, diags).map(Action::Exec),
        Some(Sort::Netconf) => netconf::compile(spec, &env, diags).map(Action::Netconf),
    };
    if let Some(at) = right(&spec.timeout).filter(|at| at.value.0.is_zero()) {
        diags.push(Diagnostic::error(
            codes::BAD_VALUE,
            at.span,
            "a call without time cannot be answered",
        ));
    }
    if wrong(&spec.timeout) || diags.errors() > errors {
        return None;
    }
    Some(Call {
        action: action?,
        timeout: right(&spec.timeout).map(|at| at.value.0),
    })
}

/// What the call is, and where that is said; what is missing or said twice is reported.
fn sort(
    spec: &CallSpec,
    span: Span,
    ground: &Ground<'_>,
    diags: &mut Diagnostics,
) -> Option<(Sort, Span)> {
    let written = [
        (Sort::Http, spec.http.is_some()),
        (Sort::Cli, spec.cli.is_some()),
        (Sort::Exec, spec.exec.is_some()),
        (Sort::Netconf, spec.netconf.is_some()),
    ];
    let written: Vec<(Sort, Span)> = written
        .into_iter()
        .filter(|(_, written)| *written)
        // What is wrong has been reported, and stands somewhere in the call.
        .map(|(sort, _)| (sort, place(spec, sort.key()).unwrap_or(span)))
        .collect();
    match written.as_slice() {
        [] => {
            missing(span, ground, diags);
            None
        }
        [one] => Some(*one),
        [first, rest @ ..] => {
            for (sort, at) in rest {
                diags.push(
                    Diagnostic::error(
                        codes::CONFLICTING_KEYS,
                        *at,
                        format!(
                            "a call is one request: `{}` or `{}`",
                            sort.key(),
                            first.0.key()
                        ),
                    )
                    .related(first.1, format!("`{}` is here", first.0.key())),
                );
            }
            None
        }
    }
}

fn missing(span: Span, ground: &Ground<'_>, diags: &mut Diagnostics) {
    let drivers = |name: &str| {
        let mut backends = ground.backends.iter();
        !ground.backends.is_empty() && backends.all(|backend| backend.driver.name() == name)
    };
    let (key, help) = if drivers("ssh") {
        (
            "`cli` or `exec`",
            "write `cli:` with a list of lines, or `exec: [program, argument]`",
        )
    } else if drivers("netconf") {
        (
            "`netconf`",
            "write `netconf: get-config` or `netconf: edit-config`, and its `template`",
        )
    } else {
        (
            "`http`",
            "write `http: METHOD /path`, such as `http: GET /v2.0/networks`",
        )
    };
    let message = format!("{key} is missing");
    diags.push(Diagnostic::error(codes::MISSING_KEY, span, message).help(help));
}

/// Keys that belong to another sort of call.
fn foreign_keys(spec: &CallSpec, sort: Sort, at: Span, diags: &mut Diagnostics) {
    for (key, sorts) in KEYS {
        let Some(span) = place(spec, key).filter(|_| !sorts.contains(&sort)) else {
            continue;
        };
        let with: Vec<_> = sorts.iter().map(|s| format!("`{}`", s.key())).collect();
        let problem = Diagnostic::error(
            codes::CONFLICTING_KEYS,
            span,
            format!(
                "`{key}` goes with {}, and this call is `{}`",
                with.join(" or "),
                sort.key()
            ),
        )
        .related(at, format!("`{}` is here", sort.key()));
        diags.push(match (key, sort) {
            ("template", Sort::Cli) => problem.help("write `cli: { template: NAME.cli.hbs }`"),
            ("template", Sort::Exec) => problem.help("write `stdin: { template: NAME.txt.hbs }`"),
            _ => problem.help("remove it"),
        });
    }
}

/// Where a key of the call is written: at its value.
fn place(spec: &CallSpec, key: &str) -> Option<Span> {
    let text = |written: &Written| written.span();
    match key {
        "http" => right(&spec.http).map(text),
        "query" => right(&spec.query).and_then(|q| q.0.first().map(|(key, _)| key.span)),
        "headers" => right(&spec.headers).and_then(|h| h.0.first().map(|(key, _)| key.span)),
        "body" => spec.body.as_ref().map(|node| node.span),
        "form" => right(&spec.form).and_then(|f| f.0.first().map(|(key, _)| key.span)),
        "template" => right(&spec.template).map(text),
        "auth" => right(&spec.auth).map(text),
        "cli" => right(&spec.cli).map(|lines| match lines {
            CliLinesSpec::Lines(lines) => lines.span,
            CliLinesSpec::Template(template) => template.template.span(),
        }),
        "mode" => right(&spec.mode).map(text),
        "save" => right(&spec.save).map(|at| at.span),
        "exec" => right(&spec.exec).map(|at| at.span),
        "stdin" => right(&spec.stdin).map(|stdin| match stdin {
            StdinSpec::Text(written) => written.span(),
            StdinSpec::Template(template) => template.template.span(),
        }),
        "netconf" => right(&spec.netconf).map(|at| at.span),
        "target" => right(&spec.target).map(|at| at.span),
        _ => None,
    }
}

impl<'a> Ground<'a> {
    /// Every backend of the kind must have the driver that sends the call.
    fn check_driver(&self, sort: Sort, at: Span, diags: &mut Diagnostics) {
        let driver = sort.driver();
        let others = self.backends.iter().filter(|b| b.driver.name() != driver);
        let others: Vec<&Backend> = others.copied().collect();
        let [first, ..] = others.as_slice() else {
            return;
        };
        let problem = Diagnostic::error(
            codes::WRONG_DRIVER,
            at,
            format!(
                "`{}` is sent by the `{driver}` driver, which {} not have",
                sort.key(),
                listed(&others, "does", "do")
            ),
        )
        .help(format!(
            "write {} here, or `driver: {{ {driver}: ... }}` in every backend of kind `{}`",
            keys_of(first.driver.name()),
            self.kind
        ));
        diags.push(self.with_places(problem, &others));
    }

    /// The CLI profiles that a call's lines are for: each backend must have one.
    fn needed_profiles(
        &self,
        sort: Sort,
        (what, at): (&str, Option<Span>),
        help: &str,
        diags: &mut Diagnostics,
    ) -> Vec<(&'a Backend, &'a CliProfile)> {
        let mut with = Vec::new();
        let mut without = Vec::new();
        let driver = sort.driver();
        for backend in self.backends.iter().filter(|b| b.driver.name() == driver) {
            match backend.driver.profile() {
                Some(profile) => with.push((*backend, &**profile)),
                None => without.push(*backend),
            }
        }
        if let (false, Some(at)) = (without.is_empty(), at) {
            let problem = Diagnostic::error(
                codes::MISSING_PROFILE,
                at,
                format!(
                    "`{what}` needs to know how the command line behaves, and {} no `profile`",
                    listed(&without, "has", "have")
                ),
            )
            .help(help);
            diags.push(self.with_places(problem, &without));
        }
        with
    }

    /// The problem, with the place of each backend's driver.
    fn with_places(&self, problem: Diagnostic, backends: &[&Backend]) -> Diagnostic {
        backends.iter().fold(problem, |problem, backend| {
            let place = self.around.files.backends().find_map(|(_, file)| {
                let node = file.node.as_ref()?;
                let named = node.get("name")?.as_text() == Some(&*backend.name);
                named.then(|| node.get("driver"))?
            });
            match place {
                Some(node) => {
                    let name = &backend.name;
                    problem.related(node.span, format!("the driver of `{name}`"))
                }
                None => problem,
            }
        })
    }
}

/// `` `a` does``, `` `a` and `b` do``: who, with the verb in the right number.
fn listed(backends: &[&Backend], one: &str, many: &str) -> String {
    let names: Vec<_> = backends.iter().map(|b| format!("`{}`", b.name)).collect();
    match names.as_slice() {
        [only] => format!("{only} {one}"),
        _ => format!("{} {many}", names.join(", ")),
    }
}

/// The keys of the calls that a driver sends.
fn keys_of(driver: &str) -> &'static str {
    match driver {
        "ssh" => "`cli` or `exec`",
        "netconf" => "`netconf`",
        _ => "`http`",
    }
}
