//! Sessions with a scripted device: a small Cisco-like command line that says what it heard.

mod device;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use regex::Regex;
use tokio::io::DuplexStream;

use self::device::{Device, Quirks};
use super::*;
use crate::clock::Boottime;
use crate::driver::Refusal;
use crate::plan::{Confirmation, ExecQuoting, Mode, Paging, Prompt};

fn profile() -> CliProfile {
    let prompt = |name: &str, pattern: &str| Prompt {
        name: name.into(),
        pattern: pattern.into(),
    };
    let mode = |name: &str, from: &str, enter: &str, leave: &str| Mode {
        name: name.into(),
        from: from.into(),
        enter: vec![enter.into()],
        asks_secret: name == "enable",
        commit: Vec::new(),
        abandon: Vec::new(),
        leave: vec![leave.into()],
    };
    let regex = |pattern: &str| Regex::new(pattern).unwrap();
    CliProfile {
        name: "toy".into(),
        prompts: vec![
            prompt("exec", "^{host}>$"),
            prompt("enable", "^{host}#$"),
            prompt("config", r"^{host}\(config[^)]*\)#$"),
        ],
        modes: vec![
            mode("enable", "exec", "enable", "disable"),
            mode("config", "enable", "configure terminal", "end"),
        ],
        open: vec!["terminal length 0".into()],
        paging: Some(Paging {
            more: regex("^ ?--More-- ?$"),
            send: " ".into(),
        }),
        failures: vec![regex("^% ")],
        ignore: vec![regex(r"^%[A-Z]+-\d-[A-Z_]+: ")],
        secret_prompt: regex("(?i)password: ?$"),
        confirm: vec![Confirmation {
            question: regex(r"\[confirm\]$"),
            send: "y\n".into(),
        }],
        save: vec!["write memory".into()],
        save_mode: "enable".into(),
        refuse: Vec::new(),
        exec: ExecQuoting::Posix,
    }
}

fn clearance(time: Duration) -> Clearance {
    Clearance {
        deadline: Boottime::now() + time,
        mutating: true,
        gate: Arc::new(|| true),
    }
}

fn in_time() -> Clearance {
    clearance(Duration::from_secs(30))
}

fn soon() -> Clearance {
    clearance(Duration::from_secs(2))
}

fn script(mode: Option<&str>, lines: &[&str]) -> CliScript {
    CliScript {
        mode: mode.map(Into::into),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        save: false,
    }
}

fn secret() -> Secret {
    Secret::new("hunter2".into(), "env ENABLE")
}

async fn open_with(profile: CliProfile, quirks: Quirks) -> (Shell<DuplexStream>, Device) {
    let (stream, device) = Device::start(quirks);
    let shell = Shell::open(stream, &Arc::new(profile), Some(&secret()), &in_time()).await;
    (shell.unwrap(), device)
}

async fn open(quirks: Quirks) -> (Shell<DuplexStream>, Device) {
    open_with(profile(), quirks).await
}

#[tokio::test]
async fn a_line_is_answered_with_its_output_alone() {
    let (mut shell, device) = open(Quirks::default()).await;
    assert!(shell.is_clean());
    let answer = shell.run(&script(None, &["show vlan"]), &in_time()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.body, "1 default\n\n10 office\n");
    assert_eq!((answer.status, answer.ruling), (0, Ruling::ByStatus));
    assert!(shell.is_clean());
    assert_eq!(device.heard(), ["", "terminal length 0", "show vlan"]);
}

#[tokio::test]
async fn a_mode_is_entered_with_the_secret_and_left_whatever_happens() {
    let (mut shell, device) = open(Quirks::default()).await;
    let lines = ["interface eth0", "description x"];
    let answer = shell.run(&script(Some("config"), &lines), &in_time()).await;
    assert_eq!(answer.unwrap().ruling, Ruling::ByStatus);
    assert!(shell.is_clean());
    let heard = device.heard();
    let expected = [
        "enable",
        "hunter2",
        "configure terminal",
        "interface eth0",
        "description x",
        "end",
        "disable",
    ];
    assert_eq!(heard[2..], expected);

    let failing = ["interface eth0", "nonsense", "description y"];
    let answer = shell
        .run(&script(Some("config"), &failing), &in_time())
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 2);
    let Ruling::Partly {
        applied,
        total,
        detail,
    } = answer.ruling
    else {
        panic!("{:?}", answer.ruling)
    };
    assert_eq!((applied, total), (1, 3));
    assert!(
        detail.contains("line 2 of 3, `nonsense`") && detail.contains("% Unknown command"),
        "{detail}"
    );
    assert!(shell.is_clean());
    let heard = device.heard();
    assert!(!heard.contains(&"description y".to_owned()), "{heard:?}");
    assert_eq!(heard[heard.len() - 2..], ["end", "disable"]);
}

#[tokio::test]
async fn a_first_line_that_is_refused_did_nothing() {
    let (mut shell, _device) = open(Quirks::default()).await;
    let answer = shell
        .run(&script(None, &["nonsense", "show vlan"]), &in_time())
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 1);
    assert!(
        matches!(answer.ruling, Ruling::NotDone { .. }),
        "{:?}",
        answer.ruling
    );
}

#[tokio::test]
async fn a_banner_does_not_fool_it() {
    for banner in [
        "\r\nAccess#\r\nThe password is >\r\nAuthorized>",
        "*** lab# ***\r\nPassword: ask your admin\r\nsw9>\r\n",
        "sw1 > enter\r\nsw1>",
    ] {
        let quirks = Quirks {
            banner: banner.into(),
            ..Quirks::default()
        };
        let (mut shell, device) = open(quirks).await;
        let answer = shell
            .run(&script(Some("enable"), &["show vlan"]), &in_time())
            .await;
        assert_eq!(answer.unwrap().body, "1 default\n\n10 office\n", "{banner}");
        let heard = device.heard();
        assert!(
            heard.iter().filter(|line| line.is_empty()).count() <= 1,
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn a_login_that_waits_for_enter_is_given_one() {
    let quirks = Quirks {
        waits_for_enter: true,
        ..Quirks::default()
    };
    let (shell, device) = open(quirks).await;
    assert!(shell.is_clean());
    assert_eq!(device.heard(), ["", "terminal length 0"]);
}

#[tokio::test]
async fn a_login_that_ends_in_a_privileged_mode_stays_there() {
    let quirks = Quirks {
        privileged: true,
        ..Quirks::default()
    };
    let (mut shell, device) = open(quirks).await;
    shell
        .run(&script(Some("config"), &["description x"]), &in_time())
        .await
        .unwrap();
    assert!(shell.is_clean());
    assert_eq!(
        device.heard()[2..],
        ["configure terminal", "description x", "end"]
    );
}

#[tokio::test]
async fn pages_are_turned_and_questions_are_answered() {
    let (mut shell, device) = open(Quirks::default()).await;
    let answer = shell
        .run(&script(None, &["show pages"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.body, "page 1\npage 2\npage 3\n");
    let answer = shell
        .run(&script(Some("enable"), &["clear all"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.body, "Really? [confirm]y\ncleared\n");
    assert!(device.heard().contains(&"y".to_owned()));
    let error = shell
        .run(&script(Some("enable"), &["clear forever"]), &in_time())
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert!(error.detail.contains("it keeps asking"), "{}", error.detail);
    assert!(!shell.is_clean());
}

#[tokio::test]
async fn a_log_message_in_between_changes_nothing() {
    let quirks = Quirks {
        logs: true,
        ..Quirks::default()
    };
    let (mut shell, _device) = open(quirks).await;
    let answer = shell
        .run(&script(None, &["show vlan"]), &in_time())
        .await
        .unwrap();
    assert_eq!(
        (answer.body, answer.ruling),
        ("1 default\n\n10 office\n".into(), Ruling::ByStatus)
    );
}

#[tokio::test]
async fn a_new_name_of_the_device_is_followed() {
    let (mut shell, _device) = open(Quirks::default()).await;
    let answer = shell
        .run(
            &script(Some("config"), &["hostname sw2", "description x"]),
            &in_time(),
        )
        .await;
    assert_eq!(answer.unwrap().ruling, Ruling::ByStatus);
    assert!(shell.is_clean());
}

#[tokio::test]
async fn silence_after_a_line_was_written_is_unknown_and_the_session_is_over() {
    let (mut shell, _device) = open(Quirks::default()).await;
    let error = shell
        .run(&script(None, &["show vlan", "hang"]), &soon())
        .await
        .unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::Unknown, Phase::Wait)
    );
    assert!(
        error.detail.contains("line 2 of 2, `hang`")
            && error.detail.contains("1 before it were taken"),
        "{}",
        error.detail
    );
    assert!(!shell.is_clean());
    let error = shell
        .run(&script(None, &["show vlan"]), &in_time())
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::NotSent);
}

#[tokio::test]
async fn a_session_that_ends_is_unknown_once_a_line_was_written() {
    let (mut shell, _device) = open(Quirks::default()).await;
    let error = shell
        .run(&script(None, &["bye"]), &in_time())
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert!(
        error.detail.contains("the session ended"),
        "{}",
        error.detail
    );
}

#[tokio::test]
async fn what_fails_before_the_first_line_sent_nothing() {
    // A device that never shows a prompt.
    let (stream, _device) = Device::start(Quirks {
        mute: true,
        ..Quirks::default()
    });
    let error = Shell::open(stream, &Arc::new(profile()), None, &soon())
        .await
        .unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::NotSent, Phase::Open)
    );

    // No secret for a device that asks for one; a wrong one.
    for (enable, says) in [
        (None, "has no `enable`"),
        (Some(Secret::new("wrong1".into(), "env X")), "`enable`"),
    ] {
        let (stream, device) = Device::start(Quirks::default());
        let mut shell = Shell::open(stream, &Arc::new(profile()), enable.as_ref(), &in_time())
            .await
            .unwrap();
        let error = shell
            .run(&script(Some("config"), &["description x"]), &in_time())
            .await
            .unwrap_err();
        assert_eq!(error.outcome, SendOutcome::Unauthorized);
        assert!(
            error.detail.contains(says) && !error.detail.contains("wrong1"),
            "{}",
            error.detail
        );
        assert!(!device.heard().contains(&"configure terminal".to_owned()));
    }
}

#[tokio::test]
async fn the_secret_is_in_nothing_that_is_said() {
    let quirks = Quirks {
        echoes_secret: true,
        ..Quirks::default()
    };
    let (mut shell, device) = open(quirks).await;
    let answer = shell
        .run(&script(Some("enable"), &["repeat hunter2"]), &in_time())
        .await
        .unwrap();
    assert!(device.heard().contains(&"hunter2".to_owned()));
    assert!(
        matches!(&answer.ruling, Ruling::NotDone { detail, .. } if detail.contains("***")),
        "{answer:?}"
    );
    assert!(!format!("{:?} {shell:?}", answer.ruling).contains("% hunter2"));
}

#[tokio::test]
async fn a_mode_that_is_not_reached_leaves_the_session_where_it_was() {
    let mut profile = profile();
    profile.modes[1].enter = vec!["nonsense".into()];
    let (mut shell, device) = open_with(profile, Quirks::default()).await;
    let error = shell
        .run(&script(Some("config"), &["description x"]), &in_time())
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::NotSent);
    assert!(
        error.detail.contains("`nonsense` was answered with"),
        "{}",
        error.detail
    );
    assert!(shell.is_clean());
    assert_eq!(
        device.heard()[2..],
        ["enable", "hunter2", "nonsense", "disable"]
    );
}

#[tokio::test]
async fn nothing_is_sent_once_leave_is_refused() {
    let (mut shell, device) = open(Quirks::default()).await;
    let open = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&open);
    let clearance = Clearance {
        gate: Arc::new(move || gate.load(Ordering::SeqCst)),
        ..in_time()
    };
    device.on_line("show vlan", move || open.store(false, Ordering::SeqCst));
    let lines = ["show vlan", "description x"];
    let answer = shell.run(&script(None, &lines), &clearance).await.unwrap();
    let Ruling::Partly {
        applied: 1,
        total: 2,
        detail,
    } = answer.ruling
    else {
        panic!("{:?}", answer.ruling)
    };
    assert!(
        detail.contains("was not sent: this node is not active"),
        "{detail}"
    );
    assert!(!shell.is_clean());
    assert_eq!(device.heard().last().unwrap(), "show vlan");

    let (mut shell, device) = super::tests::open(Quirks::default()).await;
    let before = device.heard();
    let error = shell
        .run(&script(None, &lines), &clearance)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
    assert_eq!(device.heard(), before);
}

#[tokio::test]
async fn what_is_saved_is_saved_after_the_last_line_and_only_then() {
    let save = |lines: &[&str]| CliScript {
        save: true,
        ..script(Some("config"), lines)
    };
    let (mut shell, device) = open(Quirks::default()).await;
    let answer = shell
        .run(&save(&["description x"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.ruling, Ruling::ByStatus);
    assert_eq!(
        device.heard()[5..],
        ["description x", "end", "write memory", "disable"]
    );
    shell
        .run(&save(&["description x", "nonsense"]), &in_time())
        .await
        .unwrap();
    assert_eq!(
        device
            .heard()
            .iter()
            .filter(|line| *line == "write memory")
            .count(),
        1
    );

    let (mut shell, _device) = open(Quirks {
        full: true,
        ..Quirks::default()
    })
    .await;
    let answer = shell
        .run(&save(&["description x"]), &in_time())
        .await
        .unwrap();
    let Ruling::Partly {
        applied: 1,
        total: 1,
        detail,
    } = answer.ruling
    else {
        panic!("{:?}", answer.ruling)
    };
    assert!(
        detail.contains("all 1 lines are in force") && detail.contains("% No space"),
        "{detail}"
    );
    assert_eq!(answer.status, 0);
}

#[tokio::test]
async fn a_candidate_is_committed_or_thrown_away() {
    let candidate = || {
        let mut profile = profile();
        profile.modes[1].commit = vec!["commit".into()];
        profile.modes[1].abandon = vec!["rollback".into()];
        profile
    };
    let (mut shell, device) = open_with(candidate(), Quirks::default()).await;
    let answer = shell
        .run(&script(Some("config"), &["description x"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.ruling, Ruling::ByStatus);
    assert_eq!(
        device.heard()[5..],
        ["description x", "commit", "end", "disable"]
    );

    let lines = ["description x", "nonsense", "description y"];
    let answer = shell
        .run(&script(Some("config"), &lines), &in_time())
        .await
        .unwrap();
    assert!(
        matches!(&answer.ruling, Ruling::NotDone { detail, .. } if detail.contains("thrown away")),
        "{:?}",
        answer.ruling
    );
    let heard = device.heard();
    assert_eq!(
        heard[heard.len() - 4..],
        ["nonsense", "rollback", "end", "disable"]
    );
    assert!(shell.is_clean());
}

#[tokio::test]
async fn output_beyond_the_limit_is_cut_and_said_to_be() {
    let (stream, _device) = Device::start(Quirks::default());
    let profile = Arc::new(profile());
    let mut shell = Shell::open_within(stream, &profile, None, 200, &in_time())
        .await
        .unwrap();
    let answer = shell
        .run(&script(None, &["show flood"]), &in_time())
        .await
        .unwrap();
    assert!(answer.body.len() <= 200 && answer.body_error.is_some());
    let answer = shell
        .run(&script(None, &["show vlan"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.body_error, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a value holds, the device hears at most the lines of the script, and a line with a control
    /// character is not sent at all.
    #[test]
    fn a_value_never_adds_a_line(value in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", at in 0..3usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut shell, device) = open(Quirks { privileged: true, ..Quirks::default() }).await;
            let before = device.heard().len();
            let mut lines = ["note a".to_owned(), "note b".to_owned(), "note c".to_owned()];
            lines[at] = format!("note {value}");
            let script = CliScript { mode: None, lines: lines.to_vec(), save: false };
            let answer = shell.run(&script, &in_time()).await;
            let heard = device.heard()[before..].to_vec();
            if value.chars().any(char::is_control) {
                prop_assert_eq!(answer.unwrap_err().outcome, SendOutcome::NotSent);
                prop_assert!(heard.is_empty(), "{:?}", heard);
            } else {
                prop_assert_eq!(heard, lines.to_vec());
                prop_assert!(shell.is_clean());
            }
            Ok(())
        })?;
    }
}
