//! `diff`: what a reload of a folder would change, against another folder or a running relay.

mod compare;
mod live;
mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use self::compare::{Difference, differences};
use self::live::Live;
use super::api::{AdminArgs, Api, Format, print_json};
use super::configuration::environment;
use super::{Misuse, Vars};
use crate::config::compile::parts::{Part, Parts};
use crate::config::{self, Loaded};
use crate::diagnostics::{json, text};
use crate::http::reload::restart_needed;
use crate::plan::{Digests, Plan};
use crate::relay::Changed;
use crate::relay::orphans::{Footing, Orphans, Risk};

/// Say what a reload of a folder would add, remove and change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that would be reloaded
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The folder that it is compared with
    #[arg(long, value_name = "DIR", default_value = ".")]
    config: PathBuf,
    /// Compare with what a running relay serves, and count the mappings concerned
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Everything that differs.
#[derive(Debug)]
struct Comparison {
    routes: Compared,
    backends: Compared,
    /// Keys of relay.yaml; `None` where the running relay's are not known.
    server: Option<Vec<Difference>>,
    restart_needed: Vec<&'static str>,
    risks: Vec<Risk>,
    /// What depends on the risks; `None`: nobody was asked.
    orphans: Option<Vec<Orphans>>,
}

/// One sort of parts.
#[derive(Debug)]
struct Compared {
    added: Vec<Part>,
    removed: Vec<Line>,
    changed: Vec<(Line, Option<Vec<Difference>>)>,
}

/// A part's name, and what it is.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    /// `POST /v1/networks`, or a backend's address.
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Harmless,
    /// Mappings would be stranded.
    Refused,
    /// It depends on mappings that nobody has counted.
    Unknown,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let after = load(&args.folder, vars)?;
    let as_json = args.admin.format == Format::Json;
    let Some(next) = &after.plan else {
        match as_json {
            true => print_json(&serde_json::json!({
                "verdict": "rejected",
                "diagnostics": json::to_value(&after.diagnostics, &after.files),
            })),
            false => {
                print!(
                    "{}",
                    text::render_text(&after.diagnostics, &after.files, false)
                );
                println!(
                    "{} does not compile: a reload of it changes nothing",
                    args.folder.display()
                );
            }
        }
        return Ok(ExitCode::FAILURE);
    };
    let parts = Parts::of(&after.files);
    let comparison = match args.live {
        true => {
            let api = Api::new(&args.admin, vars)?;
            let config = load(&args.config, vars).ok();
            super::serve::runtime()?.block_on(with_live(&api, config.as_ref(), next, &parts))?
        }
        false => {
            let before = load(&args.config, vars)?;
            let Some(plan) = &before.plan else {
                anyhow::bail!(
                    "the configuration in {} does not compile; see `cmp-relay validate-config --config {0}`",
                    args.config.display()
                );
            };
            with_folder(plan, &Parts::of(&before.files), next, &parts)
        }
    };
    let verdict = comparison.verdict();
    match as_json {
        true => print_json(&print::as_json(&comparison, verdict)),
        false => print!("{}", print::as_text(&comparison, verdict)),
    }
    Ok(match verdict {
        Verdict::Same | Verdict::Harmless => ExitCode::SUCCESS,
        Verdict::Refused | Verdict::Unknown => ExitCode::FAILURE,
    })
}

/// Secrets are not needed to compare what refers to them.
fn load(folder: &Path, vars: &Vars) -> Result<Loaded> {
    if !folder.is_dir() {
        return Err(Misuse(format!("there is no folder {}", folder.display())).into());
    }
    Ok(config::load(folder, &environment(vars).ignoring_secrets()))
}

fn with_folder(before: &Plan, old: &Parts, next: &Plan, new: &Parts) -> Comparison {
    let changed = |before, after, old: &[Part], new: &[Part]| {
        let known = |name: &str| old.iter().find(|part| *part.name == *name);
        let what = |name: &str| known(name).map(what).unwrap_or_default();
        Compared::of(&Changed::between(before, after), new, what, known)
    };
    let (then, now) = (&before.digests, &next.digests);
    let risks = Footing::of(before).risks(&Footing::of(next));
    Comparison {
        routes: changed(&then.routes, &now.routes, &old.routes, &new.routes),
        backends: changed(&then.backends, &now.backends, &old.backends, &new.backends),
        server: Some(differences(&old.server, &new.server)),
        restart_needed: at_the_next_start(before, next, old, new),
        orphans: risks.is_empty().then(Vec::new),
        risks,
    }
}

/// Where the folder of `--config` is what the relay serves, it tells which keys differ.
async fn with_live(
    api: &Api,
    config: Option<&Loaded>,
    next: &Plan,
    new: &Parts,
) -> Result<Comparison> {
    let live = Live::ask(api).await?;
    let old = config
        .map(|config| Parts::of(&config.files))
        .unwrap_or_default();
    let own = old.digests();
    let same = config.and_then(|config| config.plan.as_ref());
    let same = same.filter(|plan| *plan.digest == *live.digest);
    let compared = |of: fn(&Digests) -> &_, lines: &[Line], old: &[Part], new: &[Part]| {
        let changed = Changed::between(of(&live.digests), of(&next.digests));
        let what = |name: &str| {
            let line = lines.iter().find(|line| line.name == name);
            line.map(|line| line.what.clone()).unwrap_or_default()
        };
        let known = |name: &str| {
            let served = of(&live.digests).get(name);
            let here = old.iter().find(|part| *part.name == *name);
            here.filter(|_| served.is_some() && served == of(&own).get(name))
        };
        Compared::of(&changed, new, what, known)
    };
    let risks = live.footing.risks(&Footing::of(next));
    let orphans = live.orphans(api, &risks).await?;
    Ok(Comparison {
        routes: compared(|it| &it.routes, &live.routes, &old.routes, &new.routes),
        backends: compared(
            |it| &it.backends,
            &live.backends,
            &old.backends,
            &new.backends,
        ),
        server: same.map(|_| differences(&old.server, &new.server)),
        restart_needed: same
            .map(|plan| at_the_next_start(plan, next, &old, new))
            .unwrap_or_default(),
        risks,
        orphans: Some(orphans),
    })
}

/// The settings that take effect at the next start. The database's default lies in the folder itself, and
/// so differs between any two.
fn at_the_next_start(before: &Plan, next: &Plan, old: &Parts, new: &Parts) -> Vec<&'static str> {
    let mut keys = restart_needed(&before.server, &next.server);
    let same = old.server["database"] == new.server["database"];
    keys.retain(|key| *key != "database" || !same);
    keys
}

impl Compared {
    /// `what` describes an old part; `known` gives it where its file is at hand.
    fn of<'p>(
        changed: &Changed,
        new: &[Part],
        what: impl Fn(&str) -> String,
        known: impl Fn(&str) -> Option<&'p Part>,
    ) -> Self {
        let part = |name: &String| new.iter().find(|part| *part.name == **name);
        let line = |name: &String| Line {
            name: name.clone(),
            what: what(name),
        };
        let keys = |name: &String| Some(differences(&known(name)?.value, &part(name)?.value));
        Self {
            added: changed.added.iter().filter_map(part).cloned().collect(),
            removed: changed.removed.iter().map(line).collect(),
            changed: changed
                .changed
                .iter()
                .map(|name| (line(name), keys(name)))
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Comparison {
    fn verdict(&self) -> Verdict {
        let refusing = || self.risks.iter().any(Risk::refuses);
        match &self.orphans {
            None if refusing() => return Verdict::Unknown,
            Some(orphans) if orphans.iter().any(|one| one.risk.refuses()) => {
                return Verdict::Refused;
            }
            _ => {}
        }
        let server = self.server.as_ref().is_none_or(Vec::is_empty);
        match self.routes.is_empty() && self.backends.is_empty() && server {
            true => Verdict::Same,
            false => Verdict::Harmless,
        }
    }
}

/// What a part is, in a few words.
fn what(part: &Part) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let route = text(&part.value["match"]);
    let backend = text(&part.value["driver"]["https"]["url"]);
    route.or(backend).unwrap_or_default()
}
