//! What the routes of one compilation have in common, parsed once: expressions and regular expressions that
//! many of them write alike.
//!
//! It lives as long as the compilation and on one of its threads alone: what is served holds no more than it uses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use handlebars::TemplateError;
use handlebars::template::Template as Parsed;
use regex::Regex;

#[derive(Default)]
struct Shared {
    parsed: HashMap<Box<str>, Rc<Parsed>>,
    regexes: HashMap<Box<str>, Regex>,
}

thread_local! {
    /// `None`: nothing is being compiled, so nothing is kept.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Compiles what has texts in common.
pub fn while_compiling<T>(compile: impl FnOnce() -> T) -> T {
    /// Forgets at the end, a panic's too.
    struct Forget(Option<Shared>);
    impl Drop for Forget {
        fn drop(&mut self) {
            SHARED.set(self.0.take());
        }
    }
    let _forget = Forget(SHARED.replace(Some(Shared::default())));
    compile()
}

/// On a thread that ends with the compilation, or that compiles already: texts in common are parsed once on it.
pub fn on_a_thread_of_a_compilation() {
    SHARED.with_borrow_mut(|shared| {
        shared.get_or_insert_default();
    });
}

/// What Handlebars' own parser reads in a text.
pub(super) fn parsed(text: &str) -> Result<Rc<Parsed>, TemplateError> {
    once(
        text,
        |shared| &mut shared.parsed,
        |text| Parsed::compile(text).map(Rc::new),
    )
}

/// A regular expression of the default limits.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    once(pattern, |shared| &mut shared.regexes, Regex::new)
}

fn once<T: Clone, E>(
    text: &str,
    of: impl Fn(&mut Shared) -> &mut HashMap<Box<str>, T>,
    make: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, E> {
    let known = SHARED.with_borrow_mut(|shared| of(shared.as_mut()?).get(text).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let made = make(text)?;
    SHARED.with_borrow_mut(|shared| {
        if let Some(shared) = shared {
            of(shared).insert(text.into(), made.clone());
        }
    });
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_parsed_once_while_something_is_compiled() {
        let same = || Rc::ptr_eq(&parsed("{{ a }}").unwrap(), &parsed("{{ a }}").unwrap());
        assert!(!same());
        while_compiling(|| {
            assert!(same());
            assert!(parsed("{{ a").is_err());
        });
        assert!(!same(), "nothing is kept");
    }
}
