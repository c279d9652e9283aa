//! A CLI profile as written: how the command line of a family of devices behaves.

use super::decode::{At, Entries};
use super::part::{INSTANCE, NAME, Part, Written};
use crate::document::Node;

crate::spec! {
    /// A file of `backends.d/profiles/`: one CLI profile. It adds to the built-in ones, or replaces the one of its name.
    ProfileSpec as "a CLI profile" {
        /// The version of the language: 1.
        #[schemars(extend("const" = 1))]
        version: Option<Part<Node>>,
        /// Its name, such as `ios`: what `driver.ssh.profile` of a backend says.
        #[schemars(required, extend("pattern" = INSTANCE))]
        profile: Option<Part<Written>>,
        /// A regular expression for the last line of each mode, such as `^{host}#$`, by the mode's name. `{host}` is the device's
        /// name, learned from the first prompt; blanks at the end do not count. The first is where a login ends.
        #[schemars(required, extend("propertyNames" = serde_json::json!({ "pattern": NAME })))]
        prompts: Option<Part<At<Entries<Written>>>>,
        /// How the modes but the first are entered and left, by their names.
        modes: Option<Part<Entries<Part<At<ModeSpec>>>>>,
        /// Lines that are sent after the login, such as `[terminal length 0]`.
        open: Option<Part<Vec<Written>>>,
        /// Pages that end in a prompt of their own.
        paging: Option<Part<PagingSpec>>,
        /// Regular expressions: a line of an answer that matches one says that the line was refused.
        failures: Option<Part<Vec<Written>>>,
        /// Regular expressions: what matches one belongs to no answer, such as a log message, and is no failure either.
        ignore: Option<Part<Vec<Written>>>,
        /// Questions, and what they are answered.
        confirm: Option<Part<Vec<Part<ConfirmSpec>>>>,
        /// A regular expression for the prompt that asks for a password. Default: `(?i)pass(word|code)[^:]{0,40}: ?$`.
        secret_prompt: Option<Part<Written>>,
        /// Lines that make the configuration survive a restart, such as `[write memory]`.
        save: Option<Part<Vec<Written>>>,
        /// The mode in which they are sent, such as `enable`. Default: the first.
        save_mode: Option<Part<Written>>,
        /// What no value may hold, because it separates or completes commands here; a control character and `?` never pass.
        refuse: Option<Part<Vec<Written>>>,
        /// How the words of an `exec` call are quoted: `posix` for a POSIX shell, `words` where nothing is unquoted. Default: `posix`.
        exec: Option<Part<QuotingSpec>>,
        /// Lines of real devices, by which the profile is checked.
        #[schemars(required)]
        samples: Option<Part<At<SamplesSpec>>>,
    }
}

crate::spec! {
    /// How a mode is entered and left.
    ModeSpec as "a mode" {
        /// The mode that it is entered from, such as `exec`.
        from: Written,
        /// Lines that enter it, such as `[configure terminal]`; without them only the lines of a call lead there.
        enter: Option<Part<Vec<Written>>>,
        /// `enable`: it may be asked for the backend's `enable` secret while it is entered.
        secret: Option<Part<SecretWord>>,
        /// Lines that put into force what was entered in it, such as `[commit]`. Default: none, each line acts at once.
        commit: Option<Part<Vec<Written>>>,
        /// Lines that throw away what a call entered before a line was refused, such as `[rollback 0]`.
        abandon: Option<Part<Vec<Written>>>,
        /// Lines that leave it, such as `[end]`.
        leave: Vec<Written>,
    }
}

crate::words! {
    /// Which secret.
    SecretWord as "a secret of the backend" {
        Enable = "enable",
    }
}

crate::words! {
    /// How the words of a program become one command.
    QuotingSpec as "a way to quote" {
        Posix = "posix",
        Words = "words",
    }
}

crate::spec! {
    /// What stands at the end of a page, and what brings the next one.
    PagingSpec as "paging" {
        /// A regular expression over the last line, such as `^ ?--More-- ?$`.
        more: Written,
        /// What is sent, such as `" "`.
        send: Written,
    }
}

crate::spec! {
    /// A question and its answer.
    ConfirmSpec as "a question" {
        /// A regular expression over the last line, such as `\[confirm\]$`.
        r#match: Written,
        /// What it is answered, such as `"y\n"`.
        send: Written,
    }
}

crate::spec! {
    /// Lines of real devices, by which a profile is checked.
    SamplesSpec as "samples" {
        /// Prompts of each mode: each is a prompt of that mode and of no other. Every mode needs one.
        #[schemars(required)]
        prompts: Option<Part<Entries<Vec<Written>>>>,
        /// Lines that say that something was refused.
        failures: Option<Part<Vec<Written>>>,
        /// Lines that look like it and say no such thing.
        fine: Option<Part<Vec<Written>>>,
        /// Lines that belong to no answer.
        ignore: Option<Part<Vec<Written>>>,
        /// Last lines of a page.
        paging: Option<Part<Vec<Written>>>,
        /// Questions.
        confirm: Option<Part<Vec<Written>>>,
    }
}
