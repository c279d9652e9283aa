//! Prompts: patterns over the last line of what came, one for each mode, in which `{host}` stands for the
//! device's name. The name is learned from the first prompt and is literal from then on, so that no line of an
//! output that merely looks like a prompt is taken for one.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// What stands for the device's name in a pattern.
const HOST: &str = "{host}";
/// A device's name, before it is known.
const ANY_HOST: &str = r"\w[\w.\-]*";
/// Some command lines cut a longer name in the prompts of their deeper modes (IOS after 20 characters, less
/// what stands in parentheses).
const SURE: usize = 16;

/// The pattern of one mode.
#[derive(Clone, Debug)]
struct Prompt {
    pattern: Box<str>,
    any: Regex,
    /// With the name of the device in it.
    own: Option<Regex>,
}

/// The prompts of a command line.
#[derive(Clone, Debug)]
pub struct Prompts {
    list: Vec<Prompt>,
}

/// A regular expression of the size that a prompt or a message needs.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(1 << 20).build()
}

/// A prompt's pattern while the name of the device is not known.
pub fn any_host(pattern: &str) -> Result<Regex, regex::Error> {
    let named = pattern.replacen(HOST, &format!("(?P<host>{ANY_HOST})"), 1);
    regex(&named.replace(HOST, ANY_HOST))
}

impl Prompts {
    /// From the patterns, in order; they are known by their indexes.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, regex::Error> {
        let prompt = |pattern: &str| {
            Ok(Prompt {
                pattern: pattern.into(),
                any: any_host(pattern)?,
                own: None,
            })
        };
        let list = patterns.into_iter().map(prompt).collect::<Result<_, _>>()?;
        Ok(Self { list })
    }

    /// Knows the device's name from now on; an empty one tells nothing.
    pub fn learn(&mut self, host: &str) {
        if host.is_empty() {
            return;
        }
        let sure: String = host.chars().take(SURE).collect();
        let escaped = match sure.len() < host.len() {
            true => regex::escape(&sure) + r"[\w.\-]*",
            false => regex::escape(&sure),
        };
        for prompt in &mut self.list {
            let own = prompt.pattern.replace(HOST, &escaped);
            // What is escaped is smaller than the class that it replaces, and that one compiled.
            prompt.own = regex(&own).ok();
        }
    }

    /// The prompt that a line is, of this device once its name is known.
    pub fn find(&self, line: &str) -> Option<usize> {
        self.list
            .iter()
            .position(|prompt| prompt.own.as_ref().unwrap_or(&prompt.any).is_match(line))
    }

    /// The prompt that a line would be on any device, and where the device's name stands in it.
    pub fn find_any(&self, line: &str) -> Option<(usize, Range<usize>)> {
        self.list.iter().enumerate().find_map(|(index, prompt)| {
            let found = prompt.any.captures(line)?;
            let host = found.name("host").map_or(0..0, |host| host.range());
            Some((index, host))
        })
    }

    /// Every prompt that a line would be on any device.
    pub fn all(&self, line: &str) -> Vec<usize> {
        let any = |index: &usize| self.list[*index].any.is_match(line);
        (0..self.list.len()).filter(any).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ios() -> Prompts {
        Prompts::new(["^{host}>$", "^{host}#$", r"^{host}\((config|cfg)[^)]*\)#$"]).unwrap()
    }

    #[test]
    fn the_name_is_learned_and_literal_from_then_on() {
        let mut prompts = ios();
        assert_eq!(prompts.find_any("sw-1.lab#"), Some((1, 0..8)));
        assert_eq!(prompts.find("other#"), Some(1));
        prompts.learn("sw-1.lab");
        assert_eq!(prompts.find("sw-1.lab(config-if)#"), Some(2));
        assert_eq!(prompts.find("other#"), None);
        assert_eq!(prompts.find("sw-1xlab#"), None, "a dot is a dot");
    }

    #[test]
    fn a_long_name_may_be_cut_by_the_device() {
        let mut prompts = ios();
        prompts.learn("access-switch-of-the-third-floor");
        assert_eq!(prompts.find("access-switch-of-the(config)#"), Some(2));
        assert_eq!(prompts.find("access-switch(config)#"), None);
    }

    #[test]
    fn a_prompt_without_the_name_is_one_too() {
        let mut prompts = Prompts::new([r"^\$$"]).unwrap();
        assert_eq!(prompts.find_any("$"), Some((0, 0..0)));
        prompts.learn("");
        assert_eq!(prompts.find("$"), Some(0));
    }
}
