//! Command lines in shells of OpenSSH's server: kept while they are clean, let go when they are not.

use std::sync::Arc;
use std::time::Duration;

use cmp_relay::config::compile::profile::Profiles;
use cmp_relay::driver::ssh::SshDriver;
use cmp_relay::driver::{
    Answer, Clearance, CliScript, Driver, DriverError, ExecCommand, RenderedCall, Ruling,
    SendOutcome,
};
use cmp_relay::plan::{self, BackendLimits, SshAccess, SshAuth};

use crate::support::sshd::{Sshd, leave, limits, password};

const LONG: Duration = Duration::from_secs(30);

fn driver(access: SshAccess, limits: &BackendLimits) -> SshDriver {
    let spec = plan::SshDriver {
        access: access.into(),
        profile: Profiles::default().get("linux").cloned(),
        enable: None,
        parallel_config: false,
    };
    SshDriver::new(&spec.into(), limits).unwrap()
}

async fn cli(driver: &SshDriver, line: &str, span: Duration) -> Result<Answer, DriverError> {
    let call = RenderedCall::Cli(CliScript {
        mode: None,
        lines: vec![line.to_owned()],
        save: false,
    });
    let mut clearance = leave(span);
    clearance.mutating = true;
    driver.send(&call, &clearance).await
}

/// The number of the shell that answers.
async fn shell(driver: &SshDriver) -> String {
    let answer = cli(driver, "echo pid=$$.", LONG).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let (_, rest) = text.split_once("pid=").unwrap();
    let (pid, _) = rest.split_once('.').unwrap();
    assert!(pid.parse::<u32>().is_ok(), "{text}");
    pid.to_owned()
}

#[tokio::test]
async fn a_clean_shell_serves_the_next_call_too() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(sshd.access(), &limits());
    let first = shell(&driver).await;
    assert_eq!(shell(&driver).await, first);
    // Idle for longer than `idle_reuse`, it is asked whether it lives.
    let impatient = BackendLimits {
        idle_reuse: Duration::ZERO,
        ..limits()
    };
    let other = self::driver(sshd.access(), &impatient);
    let first = shell(&other).await;
    assert_eq!(shell(&other).await, first);
    driver.close().await;
    other.close().await;
    while sshd.processes() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_shell_that_died_while_it_idled_costs_no_call() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(sshd.access(), &limits());
    let first = shell(&driver).await;
    // The shell alone: its connection lives on.
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &first])
        .status();
    assert!(killed.unwrap().success());
    while std::path::Path::new("/proc").join(&first).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is heard of it travels before the answer of this program does.
    let call = RenderedCall::Exec(ExecCommand {
        command: "true".into(),
        stdin: None,
    });
    driver.send(&call, &leave(LONG)).await.unwrap();
    let second = shell(&driver).await;
    assert_ne!(first, second);
    assert_eq!(sshd.order("cut"), "done");
    // A signal is on its way when `kill` returns; what has not happened yet nobody can see.
    while sshd.processes() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_ne!(shell(&driver).await, second);
}

#[tokio::test]
async fn a_shell_that_does_not_answer_in_time_is_not_used_again() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(sshd.access(), &limits());
    let first = shell(&driver).await;
    let error = cli(&driver, "sleep 60", Duration::from_secs(2))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown, "{error:?}");
    assert_ne!(shell(&driver).await, first);
    // Nor is its connection.
    assert_eq!(sshd.log().matches("Accepted ").count(), 2);
    driver.close().await;
    while sshd.processes() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_shell_that_was_left_in_the_midst_is_not_used_again() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(sshd.access(), &limits());
    let first = shell(&driver).await;
    // The gate closes with the first line.
    let closed = std::env::temp_dir().join(format!("cmp-relay-gate-{first}-{}", sshd.port));
    let call = RenderedCall::Cli(CliScript {
        mode: None,
        lines: vec![format!("touch {}", closed.display()), "true".into()],
        save: false,
    });
    let clearance = Clearance {
        mutating: true,
        gate: {
            let closed = closed.clone();
            Arc::new(move || !closed.exists())
        },
        ..leave(LONG)
    };
    let answer = driver.send(&call, &clearance).await.unwrap();
    std::fs::remove_file(&closed).unwrap();
    assert!(
        matches!(
            answer.ruling,
            Ruling::Partly {
                applied: 1,
                total: 2,
                ..
            }
        ),
        "{answer:?}"
    );
    assert_ne!(shell(&driver).await, first);
}

#[tokio::test]
async fn an_idle_shell_makes_room_for_a_program() {
    // One session on one connection, let in by prompts: the shell that waits has the only place.
    let lines = [
        "UsePAM yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication yes",
        "MaxSessions 1",
    ];
    let Some(sshd) = Sshd::start(&lines).await else {
        return;
    };
    let access = SshAccess {
        auth: vec![SshAuth::KeyboardInteractive(password())],
        channels: 1,
        ..sshd.access()
    };
    let one = BackendLimits {
        concurrency: 1,
        ..limits()
    };
    let driver = driver(access, &one);
    let first = shell(&driver).await;
    let call = RenderedCall::Exec(ExecCommand {
        command: "echo room".into(),
        stdin: None,
    });
    for _ in 0..3 {
        let answer = driver.send(&call, &leave(LONG)).await.unwrap();
        assert_eq!(answer.body, "room\n");
    }
    assert_ne!(shell(&driver).await, first);
}
