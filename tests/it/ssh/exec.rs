//! Programs: what they write, how they end, and what is known of one that does not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cmp_relay::driver::ssh::connections::Connections;
use cmp_relay::driver::{Answer, DriverError, ExecCommand, Phase, Protocol, Ruling, SendOutcome};
use cmp_relay::plan::BackendLimits;

use crate::support::sshd::{Sshd, leave, limits};

const LONG: Duration = Duration::from_secs(20);

fn program(command: &str) -> ExecCommand {
    ExecCommand {
        command: command.into(),
        stdin: None,
    }
}

fn connections(sshd: &Sshd, limits: &BackendLimits) -> Connections {
    Connections::new(&Arc::new(sshd.access()), limits).unwrap()
}

async fn run(sshd: &Sshd, command: &ExecCommand) -> Result<Answer, DriverError> {
    connections(sshd, &limits())
        .exec(command, &leave(LONG))
        .await
}

#[tokio::test]
async fn status_output_and_errors_come_apart() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let answer = run(&sshd, &program("echo out; echo err >&2; exit 7"))
        .await
        .unwrap();
    assert_eq!(answer.status, 7);
    assert_eq!(answer.body, "out\n");
    assert_eq!(answer.stderr, "err\n");
    assert_eq!(answer.body_error, None);
    assert_eq!(answer.sends, 1);
    assert_eq!(answer.protocol, Protocol::Exec);
    assert_eq!(answer.ruling, Ruling::ByStatus);
}

#[tokio::test]
async fn a_program_reads_what_it_is_given_and_its_end() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    // More than a window and a packet, so that it has to be written while the answer is read.
    let stdin = Bytes::from("0123456789abcdef\n".repeat(200_000));
    let command = ExecCommand {
        command: "cat; echo end".into(),
        stdin: Some(stdin.clone()),
    };
    let limits = BackendLimits {
        response_body: 8 << 20,
        ..limits()
    };
    let answer = connections(&sshd, &limits)
        .exec(&command, &leave(LONG))
        .await
        .unwrap();
    assert_eq!(answer.status, 0);
    assert_eq!(answer.body.len(), stdin.len() + 4);
    assert!(answer.body.starts_with(&stdin) && answer.body.ends_with(b"end\n"));

    // Without input it is at its end at once.
    let answer = run(&sshd, &program("cat; echo end")).await.unwrap();
    assert_eq!(answer.body, "end\n");
}

#[tokio::test]
async fn a_program_that_takes_no_input_still_ends() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let command = ExecCommand {
        command: "exec <&-; echo deaf; exit 3".into(),
        stdin: Some(Bytes::from(vec![b'x'; 8 << 20])),
    };
    let answer = run(&sshd, &command).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (3, b"deaf\n".as_ref())
    );
}

#[tokio::test]
async fn output_over_the_limit_is_cut_and_said_to_be() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let limits = BackendLimits {
        response_body: 1000,
        ..limits()
    };
    let command = program("head -c 100000 /dev/zero; exit 4");
    let answer = connections(&sshd, &limits)
        .exec(&command, &leave(LONG))
        .await
        .unwrap();
    assert_eq!(answer.status, 4);
    assert_eq!(answer.body.len(), 1000);
    assert_eq!(
        answer.body_error.as_deref(),
        Some("it is larger than 1000 bytes")
    );
}

#[tokio::test]
async fn a_program_that_a_signal_ends_is_no_success() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let answer = run(&sshd, &program("echo half; kill -KILL $$"))
        .await
        .unwrap();
    assert_eq!(answer.body, "half\n");
    assert_ne!(answer.status, 0);
    let Ruling::Unclear { detail } = answer.ruling else {
        panic!("{:?}", answer.ruling);
    };
    assert_eq!(detail, "the program was ended by the signal KILL");
}

#[tokio::test]
async fn a_program_that_does_not_end_in_time_is_unknown() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(&sshd, &limits());
    // The time is the program's own, and not that of the login.
    connections
        .exec(&program("true"), &leave(LONG))
        .await
        .unwrap();
    let command = program("echo begun; sleep 60");
    let error = connections
        .exec(&command, &leave(Duration::from_secs(4)))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert_eq!((error.phase, error.sends), (Phase::Read, 1));
    assert_eq!(error.detail, "the program did not end before the deadline");
}

#[tokio::test]
async fn silence_is_bounded_by_the_time_to_the_first_byte() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let limits = BackendLimits {
        // It bounds the login too.
        first_byte_timeout: Duration::from_secs(4),
        ..limits()
    };
    let connections = connections(&sshd, &limits);
    let error = connections
        .exec(&program("sleep 60"), &leave(LONG))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert_eq!(error.phase, Phase::Wait);
    assert_eq!(error.detail, "no answer began within `first_byte_timeout`");
}

#[tokio::test]
async fn a_connection_that_is_lost_under_a_program_leaves_it_unknown() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let sshd = Arc::new(sshd);
    let connections = Arc::new(connections(&sshd, &limits()));
    let mark = sshd.dir.join("begun");
    std::fs::create_dir(&mark).unwrap();
    std::fs::set_permissions(&mark, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let command = program(&format!("touch {}/now; sleep 60", mark.display()));
    let call = {
        let connections = Arc::clone(&connections);
        tokio::spawn(async move { connections.exec(&command, &leave(LONG)).await })
    };
    while !mark.join("now").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sshd.order("cut"), "done");
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert_eq!(error.sends, 1);

    // The next call has a connection of its own.
    let answer = connections
        .exec(&program("echo again"), &leave(LONG))
        .await
        .unwrap();
    assert_eq!(answer.body, "again\n");
}

#[tokio::test]
async fn nothing_is_sent_without_leave() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(&sshd, &limits());
    let mut clearance = leave(LONG);
    // The gate closes while the session is opened.
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    connections
        .exec(&program("true"), &clearance)
        .await
        .unwrap();
    clearance.gate = {
        let asked = Arc::clone(&asked);
        Arc::new(move || asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2)
    };
    let mark = sshd.dir.join("mark");
    let command = program(&format!("echo ran > {}", mark.display()));
    let error = connections.exec(&command, &clearance).await.unwrap_err();
    assert!(
        matches!(error.outcome, SendOutcome::Refused(_)),
        "{error:?}"
    );
    assert_eq!((error.sends, error.phase), (0, Phase::Send));
    assert!(!mark.exists());
    // It was asked more than once, the last time right before the program would have been sent.
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 3);
}
