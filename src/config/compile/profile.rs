//! CLI profiles -> profiles by name: the built-in ones, and those of `backends.d/profiles/` that add to them
//! or replace them. Samples are read by the very reader that reads a device.

use std::sync::{Arc, OnceLock};

use regex::Regex;

use super::auth::needed;
use super::codes;
use super::name::{self, Shape};
use crate::config::source::SourceFiles;
use crate::config::spec::decode::{At, Decode, Entries};
use crate::config::spec::part::{Part, Written, right};
use crate::config::spec::profile::{ConfirmSpec, ModeSpec, ProfileSpec, QuotingSpec, SamplesSpec};
use crate::config::yaml;
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes, suggest};
use crate::document::{FileId, Node, Span};
use crate::driver::ssh::cli::reader::{Prompts, Rules, any_host, regex};
use crate::driver::ssh::cli::rules_of;
use crate::plan::{CliProfile, Confirmation, ExecQuoting, Mode, Paging, Prompt};

/// Asks for a password, on most command lines.
const SECRET_PROMPT: &str = "(?i)pass(word|code)[^:]{0,40}: ?$";

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The built-in profiles: file names below `profiles/`, and texts.
        pub const BUILT_IN: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/", $name, ".yaml")),
        )),*];
    };
}
built_in!(
    "cumulus", "eos", "fortios", "frr", "ios", "junos", "linux", "nxos", "onyx", "ovs", "panos",
    "vrp"
);

/// The built-in profiles that a backend named so far.
static COMPILED: [OnceLock<Option<Arc<CliProfile>>>; BUILT_IN.len()] =
    [const { OnceLock::new() }; BUILT_IN.len()];

/// The built-in profile of a name. A test holds every one of them to having no diagnostic, and tries its samples.
fn built_in(name: &str) -> Option<&'static Arc<CliProfile>> {
    let index = BUILT_IN.iter().position(|(known, _)| *known == name)?;
    let compiled = || {
        let mut said = Diagnostics::default();
        let node = yaml::parse(FileId(0), BUILT_IN[index].1, &mut said)?;
        untried(&node, &mut said).map(|(profile, _)| Arc::new(profile))
    };
    COMPILED[index].get_or_init(compiled).as_ref()
}

/// Every profile that a backend may name.
#[derive(Debug, Default)]
pub struct Profiles {
    own: Vec<Arc<CliProfile>>,
    /// Own ones that did not compile; that was reported.
    broken: Vec<Box<str>>,
    /// One did not compile, and its name is not known.
    nameless: bool,
}

impl Profiles {
    /// The profile of a name; one's own before a built-in one.
    pub fn get(&self, name: &str) -> Option<&Arc<CliProfile>> {
        let own = self.own.iter().find(|profile| *profile.name == *name);
        own.or_else(|| built_in(name))
    }

    /// Whether a profile of this name was written and is wrong: that has been reported.
    pub fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| **broken == *name)
            || self.nameless && self.get(name).is_none()
    }

    /// The profile that a backend names; what is wrong with the name is reported.
    pub fn named(&self, written: &Written, diags: &mut Diagnostics) -> Option<Arc<CliProfile>> {
        let name = written.literal("`profile`", diags)?;
        if self.is_broken(name) {
            return None;
        }
        let profile = self.get(name);
        if profile.is_none() {
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_PROFILE,
                    written.span(),
                    format!("there is no CLI profile `{name}`"),
                )
                .did_you_mean(self.nearest(name))
                .help(format!("profiles: {}", self.names().join(", "))),
            );
        }
        profile.cloned()
    }

    /// The name that was meant, most likely.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.names())
    }

    /// Every name, in order.
    pub fn names(&self) -> Vec<&str> {
        let own = self.own.iter().map(|profile| &*profile.name);
        let mut names: Vec<&str> = own.chain(BUILT_IN.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Compiles the profiles of a configuration, whether a backend names them or not.
pub fn compile_all(files: &SourceFiles, diags: &mut Diagnostics) -> Profiles {
    let mut profiles = Profiles::default();
    let mut names: Vec<(String, Span)> = Vec::new();
    let used = used(files);
    for (_, file) in files.profiles() {
        let Some(node) = &file.node else {
            profiles.nameless = true;
            continue;
        };
        let compiled = compile(node, diags);
        let name = node.get("profile");
        let Some((name, at)) = name.and_then(|name| Some((name.as_text()?, name.span))) else {
            profiles.nameless = true;
            continue;
        };
        match names.iter().find(|(known, _)| known == name) {
            Some((_, first)) => diags.push(
                Diagnostic::error(
                    codes::DUPLICATE_PROFILE,
                    at,
                    format!("another profile is named `{name}`"),
                )
                .label("the second")
                .related(*first, "the first"),
            ),
            None => names.push((name.to_owned(), at)),
        }
        if compiled.is_some() && !used.iter().any(|used| used == name) {
            let message = format!("no backend names the profile `{name}`");
            diags.push(
                Diagnostic::warning(codes::UNUSED_PROFILE, at, message)
                    .label("name it in `driver.ssh.profile`, or remove the file"),
            );
        }
        match compiled {
            Some(profile) => profiles.own.push(Arc::new(profile)),
            None => profiles.broken.push(name.into()),
        }
    }
    profiles
}

/// What the backends name, whatever else is wrong with them.
fn used(files: &SourceFiles) -> Vec<String> {
    let named = files.backends().filter_map(|(_, file)| {
        let driver = file.node.as_ref()?.get("driver")?;
        Some(driver.get("ssh")?.get("profile")?.as_text()?.to_owned())
    });
    named.collect()
}

/// Compiles one profile and tries its samples.
fn compile(node: &Node, diags: &mut Diagnostics) -> Option<CliProfile> {
    let before = diags.errors();
    let (profile, spec) = untried(node, diags)?;
    let samples = needed(&spec.samples, "samples", node.span, diags);
    // What a pattern that cannot be read would match is not known.
    if diags.errors() == before
        && let Some(samples) = samples
        && let Some(prompts) = right(&spec.prompts)
    {
        check_samples(&profile, &prompts.value, samples, diags);
    }
    (diags.errors() == before).then_some(profile)
}

/// Compiles one profile; what comes out means something only without errors.
fn untried(node: &Node, diags: &mut Diagnostics) -> Option<(CliProfile, ProfileSpec)> {
    let spec = ProfileSpec::decode(node, diags)?;
    let at = node.span;
    name::check_version(spec.version.as_ref(), diags);
    let name = needed(&spec.profile, "profile", at, diags)
        .and_then(|name| name::check(name, "a CLI profile", Shape::Instance, diags));
    let prompts = needed(&spec.prompts, "prompts", at, diags);
    let patterns = prompts.map(|prompts| self::prompts(prompts, diags));
    let modes = modes(&spec, diags);
    if let Some(prompts) = prompts {
        check_modes(&prompts.value, &spec, diags);
    }
    let paging = right(&spec.paging).map(|paging| {
        Some(Paging {
            more: pattern(&paging.more, diags)?,
            send: paging.send.text().into(),
        })
    });
    let confirm = right(&spec.confirm).map_or(&[][..], |confirm| confirm);
    let confirm: Vec<_> = confirm
        .iter()
        .filter_map(|part| part.0.as_ref())
        .filter_map(|spec| confirmation(spec, diags))
        .collect();
    let secret_prompt = match right(&spec.secret_prompt) {
        Some(written) => pattern(written, diags),
        None => Some(regex(SECRET_PROMPT).expect("it is a constant, and a test compiles it")),
    };
    let first = patterns.as_ref().and_then(|prompts| prompts.first());
    let save_mode = match right(&spec.save_mode) {
        Some(written) => written.text().into(),
        None => first.map_or("".into(), |prompt| prompt.name.clone()),
    };
    let profile = CliProfile {
        name: name.unwrap_or_default().into(),
        prompts: patterns.unwrap_or_default(),
        modes,
        open: lines(&spec.open, diags),
        paging: paging.flatten(),
        failures: patterns_of(&spec.failures, diags),
        ignore: patterns_of(&spec.ignore, diags),
        secret_prompt: secret_prompt?,
        confirm,
        save: lines(&spec.save, diags),
        save_mode,
        refuse: texts(&spec.refuse),
        exec: match right(&spec.exec) {
            Some(QuotingSpec::Words) => ExecQuoting::Words,
            _ => ExecQuoting::Posix,
        },
    };
    Some((profile, spec))
}

fn prompts(spec: &At<Entries<Written>>, diags: &mut Diagnostics) -> Vec<Prompt> {
    if spec.value.0.is_empty() {
        let message = "a command line without a prompt cannot be driven";
        diags.push(Diagnostic::error(codes::BAD_VALUE, spec.span, message));
    }
    let mut prompts = Vec::new();
    for (key, written) in &spec.value.0 {
        check_name(key, diags);
        let text = written.text();
        if let Err(error) = any_host(text) {
            diags.push(bad_regex(written, &error));
        } else if !(text.starts_with('^') && text.ends_with('$')) {
            diags.push(
                Diagnostic::error(
                    expression_codes::BAD_REGEX,
                    written.span(),
                    "a prompt is the whole of the last line",
                )
                .label("begin with `^` and end with `$`"),
            );
        }
        prompts.push(Prompt {
            name: key.value.as_str().into(),
            pattern: text.into(),
        });
    }
    prompts
}

fn check_name(key: &At<String>, diags: &mut Diagnostics) {
    if !Shape::Word.fits(&key.value) {
        let message = format!("`{}` cannot name a mode", key.value);
        diags.push(
            Diagnostic::error(codes::BAD_NAME, key.span, message)
                .help("begin with a small letter, go on with small letters, digits and `_`"),
        );
    }
}

fn modes(spec: &ProfileSpec, diags: &mut Diagnostics) -> Vec<Mode> {
    let entries = right(&spec.modes).map_or(&[][..], |modes| &modes.0);
    let mut modes = Vec::new();
    for (key, part) in entries {
        let Some(mode) = part.0.as_ref().map(|at| &at.value) else {
            continue;
        };
        let leave = mode.leave.iter();
        modes.push(Mode {
            name: key.value.as_str().into(),
            from: mode.from.text().into(),
            enter: lines(&mode.enter, diags),
            asks_secret: right(&mode.secret).is_some(),
            commit: lines(&mode.commit, diags),
            abandon: lines(&mode.abandon, diags),
            leave: leave.filter_map(|line| self::line(line, diags)).collect(),
        });
    }
    modes
}

/// Every mode has a prompt and a way from the first one, and every prompt but the first is that of a mode.
fn check_modes(prompts: &Entries<Written>, spec: &ProfileSpec, diags: &mut Diagnostics) {
    let names: Vec<&str> = prompts
        .0
        .iter()
        .map(|(key, _)| key.value.as_str())
        .collect();
    let entries = right(&spec.modes).map_or(&[][..], |modes| &modes.0);
    let modes: Vec<(&At<String>, &ModeSpec)> = entries
        .iter()
        .filter_map(|(key, part)| Some((key, &part.0.as_ref()?.value)))
        .collect();
    let unknown = |span: Span, name: &str, why: &str| {
        Diagnostic::error(codes::BAD_MODE, span, format!("`{name}` {why}"))
            .did_you_mean(suggest::nearest(name, names.iter().copied()))
            .help(format!("modes with a prompt here: {}", names.join(", ")))
    };
    for (key, mode) in &modes {
        if !names.contains(&key.value.as_str()) {
            diags.push(unknown(
                key.span,
                &key.value,
                "has no prompt, so nothing shows that it is entered",
            ));
        } else if names.first() == Some(&key.value.as_str()) {
            let message = format!("`{}` is the first prompt: a login ends there", key.value);
            diags.push(Diagnostic::error(codes::BAD_MODE, key.span, message).help(
                "it is not entered from another mode; put the prompt that all modes are entered from first",
            ));
        }
        let from = mode.from.text();
        if !names.contains(&from) {
            diags.push(unknown(mode.from.span(), from, "is no mode with a prompt"));
        } else if circles(&key.value, &modes) {
            let message = format!("`{}` is entered from itself, through others", key.value);
            diags.push(
                Diagnostic::error(codes::BAD_MODE, mode.from.span(), message)
                    .help("the way from the first mode must not come back"),
            );
        }
    }
    for (key, _) in prompts.0.iter().skip(1) {
        let known = entries.iter().any(|(mode, _)| mode.value == key.value);
        if !known {
            let message = format!("nothing says how the mode `{}` is left", key.value);
            diags.push(
                Diagnostic::error(codes::BAD_MODE, key.span, message)
                    .help("write it under `modes`, with `from` and `leave`"),
            );
        }
    }
    if let Some(written) = right(&spec.save_mode) {
        let entered = |(key, mode): &(&At<String>, &ModeSpec)| {
            key.value == written.text() && right(&mode.enter).is_some()
        };
        let first = names.first() == Some(&written.text());
        if !first && !modes.iter().any(entered) {
            diags.push(unknown(
                written.span(),
                written.text(),
                "is no mode that can be entered",
            ));
        }
    }
}

fn circles(name: &str, modes: &[(&At<String>, &ModeSpec)]) -> bool {
    let mut at = name;
    for _ in 0..=modes.len() {
        match modes.iter().find(|(key, _)| key.value == at) {
            Some((_, mode)) if mode.from.text() == name => return true,
            Some((_, mode)) => at = mode.from.text(),
            None => return false,
        }
    }
    false
}

fn confirmation(spec: &ConfirmSpec, diags: &mut Diagnostics) -> Option<Confirmation> {
    Some(Confirmation {
        question: pattern(&spec.r#match, diags)?,
        send: spec.send.text().into(),
    })
}

fn pattern(written: &Written, diags: &mut Diagnostics) -> Option<Regex> {
    regex(written.text())
        .map_err(|error| diags.push(bad_regex(written, &error)))
        .ok()
}

fn patterns_of(part: &Option<Part<Vec<Written>>>, diags: &mut Diagnostics) -> Vec<Regex> {
    let written = right(part).map_or(&[][..], |written| written);
    written
        .iter()
        .filter_map(|written| pattern(written, diags))
        .collect()
}

fn bad_regex(written: &Written, error: &regex::Error) -> Diagnostic {
    let reason = error.to_string();
    let reason = reason.lines().last().unwrap_or("it does not parse");
    Diagnostic::error(
        expression_codes::BAD_REGEX,
        written.span(),
        format!("this is not a regular expression: {reason}"),
    )
    .help("the syntax is that of Rust's regex crate: linear, without look-around")
}

fn texts(part: &Option<Part<Vec<Written>>>) -> Vec<Box<str>> {
    let written = right(part).map_or(&[][..], |written| written);
    written
        .iter()
        .map(|written| written.text().into())
        .collect()
}

fn lines(part: &Option<Part<Vec<Written>>>, diags: &mut Diagnostics) -> Vec<Box<str>> {
    let written = right(part).map_or(&[][..], |written| written);
    written
        .iter()
        .filter_map(|written| line(written, diags))
        .collect()
}

fn line(written: &Written, diags: &mut Diagnostics) -> Option<Box<str>> {
    let text = written.literal("a line of a profile", diags)?;
    if text.trim().is_empty() || text.contains(char::is_control) {
        let message = "a line is not empty and holds no control character";
        diags.push(Diagnostic::error(codes::BAD_VALUE, written.span(), message));
        return None;
    }
    Some(text.into())
}

fn check_samples(
    profile: &CliProfile,
    prompts: &Entries<Written>,
    samples: &At<SamplesSpec>,
    diags: &mut Diagnostics,
) {
    let rules = rules_of(profile);
    let patterns = profile.prompts.iter().map(|prompt| &*prompt.pattern);
    let reader = Prompts::new(patterns).expect("each pattern was compiled above");
    let given = right(&samples.value.prompts).map_or(&[][..], |given| &given.0);
    for (key, _) in &prompts.0 {
        let has = given
            .iter()
            .any(|(name, lines)| name.value == key.value && !lines.is_empty());
        if !has {
            let message = format!("the prompt `{}` has no sample", key.value);
            diags.push(
                Diagnostic::error(codes::BAD_SAMPLE, key.span, message)
                    .help("write prompts of a real device under `samples.prompts`"),
            );
        }
    }
    for (key, lines) in given {
        for written in lines {
            check_prompt(&key.value, written, profile, &reader, diags);
        }
    }
    let mut check =
        |part: &Option<Part<Vec<Written>>>, right_one: &dyn Fn(&str) -> bool, message: &str| {
            for written in right(part).map_or(&[][..], |written| written) {
                if !right_one(written.text()) {
                    diags.push(Diagnostic::error(
                        codes::BAD_SAMPLE,
                        written.span(),
                        message,
                    ));
                }
            }
        };
    let spec = &samples.value;
    check(
        &spec.failures,
        &|line| rules.is_failure(line),
        "no pattern of `failures` matches this line, or one of `ignore` does",
    );
    check(
        &spec.fine,
        &|line| !rules.is_failure(line),
        "a pattern of `failures` matches this line, which is none",
    );
    check(
        &spec.ignore,
        &|line| rules.is_ignored(line),
        "no pattern of `ignore` matches this line",
    );
    check(
        &spec.paging,
        &|line| is_page(&rules, line),
        "`paging.more` does not match this line",
    );
    check(
        &spec.confirm,
        &|line| is_question(&rules, line),
        "no pattern of `confirm` matches this line",
    );
}

fn is_page(rules: &Rules, line: &str) -> bool {
    rules
        .pager
        .as_ref()
        .is_some_and(|pager| pager.is_match(line))
}

fn is_question(rules: &Rules, line: &str) -> bool {
    !is_page(rules, line)
        && rules
            .questions
            .iter()
            .any(|question| question.is_match(line))
}

/// A prompt's sample is a prompt of its own mode and of no other.
fn check_prompt(
    name: &str,
    written: &Written,
    profile: &CliProfile,
    prompts: &Prompts,
    diags: &mut Diagnostics,
) {
    let matching = prompts.all(written.text().trim_end());
    let matching: Vec<&str> = matching
        .iter()
        .map(|index| &*profile.prompts[*index].name)
        .collect();
    if matching == [name] {
        return;
    }
    let message = match matching.as_slice() {
        [] => format!("this is no prompt of `{name}`: its pattern does not match"),
        matching => format!(
            "this is taken for a prompt of `{}`",
            matching.join("` and of `")
        ),
    };
    diags.push(Diagnostic::error(
        codes::BAD_SAMPLE,
        written.span(),
        message,
    ));
}

#[cfg(test)]
mod tests;
