//! The built-in profiles are right, and what is wrong with one's own is said.

use super::*;

fn compiled(text: &str) -> (Option<CliProfile>, Vec<String>) {
    let mut diags = Diagnostics::default();
    let profile =
        yaml::parse(FileId(0), text, &mut diags).and_then(|node| compile(&node, &mut diags));
    let said = diags
        .iter()
        .map(|it| format!("{}: {}", it.code, it.message));
    (profile, said.collect())
}

#[test]
fn every_built_in_profile_compiles_and_each_of_its_patterns_has_a_sample() {
    for (name, text) in BUILT_IN {
        assert_eq!(built_in(name).map(|profile| &*profile.name), Some(*name));
        let (profile, said) = compiled(text);
        assert_eq!(said, Vec::<String>::new(), "{name}");
        let profile = profile.unwrap();
        assert_eq!(&*profile.name, *name);
        assert!(
            text.contains("\n# Facts: "),
            "{name} does not say where its facts come from"
        );
        let node = yaml::parse(FileId(0), text, &mut Diagnostics::default()).unwrap();
        let samples = |key: &str| {
            let list = node
                .get("samples")
                .and_then(|samples| samples.get(key))
                .cloned();
            list.map_or(serde_json::json!([]), |node| node.to_json())
        };
        let hit = |pattern: &Regex, key: &str| {
            let samples = samples(key);
            samples
                .as_array()
                .unwrap()
                .iter()
                .any(|line| pattern.is_match(line.as_str().unwrap()))
        };
        for (patterns, key) in [(&profile.failures, "failures"), (&profile.ignore, "ignore")] {
            for pattern in patterns {
                assert!(
                    hit(pattern, key),
                    "{name}: no sample of `{key}` for {pattern}"
                );
            }
        }
        for confirm in &profile.confirm {
            assert!(
                hit(&confirm.question, "confirm"),
                "{name}: {}",
                confirm.question
            );
        }
        if let Some(paging) = &profile.paging {
            assert!(hit(&paging.more, "paging"), "{name}: {}", paging.more);
        }
    }
}

const PROFILE: &str = "\
profile: toy
prompts:
  exec: '^{host}>$'
  config: '^{host}\\(config\\)#$'
modes:
  config:
    from: exec
    enter: [configure]
    leave: [end]
failures: ['^% ']
ignore: ['^%LINK']
paging: { more: '^--More--$', send: ' ' }
samples:
  prompts:
    exec: ['sw1> ']
    config: ['sw1(config)#']
  failures: ['% no']
  fine: ['%LINK up']
";

#[test]
fn a_profile_compiles_to_what_it_says() {
    let (profile, said) = compiled(PROFILE);
    let profile = profile.unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!((profile.base(), &*profile.save_mode), ("exec", "exec"));
    assert!(profile.has_mode("config") && !profile.has_mode("enable"));
    assert!(profile.secret_prompt.is_match("Enter password: "));
}

#[test]
fn what_cannot_work_is_said() {
    for (from, to, says) in [
        (
            "from: exec",
            "from: exce",
            "bad-mode: `exce` is no mode with a prompt",
        ),
        (
            "from: exec",
            "from: config",
            "bad-mode: `config` is entered from itself",
        ),
        (
            "\n  config:\n    from",
            "\n  conf:\n    from",
            "bad-mode: `conf` has no prompt",
        ),
        (
            "\n  config:\n    from",
            "\n  exec:\n    from",
            "bad-mode: `exec` is the first prompt",
        ),
        (
            "\n  config:\n    from",
            "\n  conf:\n    from",
            "bad-mode: nothing says how the mode `config` is left",
        ),
        (
            "'^{host}>$'",
            "'{host}>$'",
            "bad-regex: a prompt is the whole of the last line",
        ),
        (
            "'^{host}>$'",
            "'^({host}>$'",
            "bad-regex: this is not a regular expression",
        ),
        (
            "['sw1> ']",
            "['sw1# ']",
            "bad-sample: this is no prompt of `exec`",
        ),
        (
            "['sw1> ']",
            "['sw1(config)#']",
            "bad-sample: this is taken for a prompt of `config`",
        ),
        (
            "    exec: ['sw1> ']\n",
            "",
            "bad-sample: the prompt `exec` has no sample",
        ),
        (
            "failures: ['% no']",
            "failures: ['no']",
            "bad-sample: no pattern of `failures`",
        ),
        (
            "fine: ['%LINK up']",
            "fine: ['% up']",
            "bad-sample: a pattern of `failures` matches",
        ),
        (
            "enter: [configure]",
            "enter: [\"a\\nb\"]",
            "bad-value: a line is not empty",
        ),
    ] {
        let text = PROFILE.replacen(from, to, 1);
        assert_ne!(text, PROFILE, "{from}");
        let (profile, said) = compiled(&text);
        assert!(profile.is_none(), "{to}");
        assert!(
            said.iter().any(|said| said.starts_with(says)),
            "{to}: {said:?}"
        );
    }
}

#[test]
fn ones_own_profile_adds_or_replaces() {
    let mut diags = Diagnostics::default();
    let ios = PROFILE.replace("profile: toy", "profile: ios");
    let files = SourceFiles::from_memory(
        &[
            ("backends.d/profiles/toy.yaml", PROFILE),
            ("backends.d/profiles/ios.yaml", &ios),
            ("backends.d/a.yaml", "driver: { ssh: { profile: toy } }"),
        ],
        &mut diags,
    );
    let profiles = compile_all(&files, &mut diags);
    assert_eq!(profiles.get("ios").unwrap().prompts.len(), 2);
    assert!(profiles.get("toy").is_some() && profiles.get("junos").is_some());
    assert_eq!(profiles.get("iso").map(|it| &it.name), None);
    assert_eq!(profiles.nearest("juno"), Some("junos"));
    let said: Vec<_> = diags.iter().map(|it| it.code).collect();
    assert_eq!(said, [codes::UNUSED_PROFILE]);
}
