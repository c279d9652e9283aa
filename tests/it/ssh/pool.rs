//! Connections and channels: shared, bounded, and none of them left behind.

use std::sync::Arc;
use std::time::Duration;

use cmp_relay::driver::ssh::SshDriver;
use cmp_relay::driver::ssh::connections::Connections;
use cmp_relay::driver::{
    AuthState, Driver, DriverError, ExecCommand, Phase, RenderedCall, Ruling, SendOutcome,
};
use cmp_relay::plan::{self, BackendLimits, SshAccess, SshAuth};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::sshd::{Sshd, USER, leave, limits, password};

const LONG: Duration = Duration::from_secs(60);

fn program(command: &str) -> ExecCommand {
    ExecCommand {
        command: command.into(),
        stdin: None,
    }
}

fn logins(sshd: &Sshd) -> usize {
    sshd.log().matches("Accepted ").count()
}

fn connections(access: SshAccess, concurrency: usize) -> Arc<Connections> {
    let limits = BackendLimits {
        concurrency,
        ..limits()
    };
    Arc::new(Connections::new(&Arc::new(access), &limits).unwrap())
}

async fn echo(connections: &Connections, word: &str) -> Result<(), DriverError> {
    let answer = connections
        .exec(&program(&format!("echo {word}")), &leave(LONG))
        .await?;
    assert_eq!(answer.body, format!("{word}\n"));
    Ok(())
}

/// Waits until the server's connections have no process left.
async fn until_empty(sshd: &Sshd) {
    while sshd.processes() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_its_channels_are_given_back() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(sshd.access(), 4);
    for round in 0..25 {
        echo(&connections, &round.to_string()).await.unwrap();
    }
    assert_eq!(logins(&sshd), 1);
    let AuthState::LoggedIn { renewals: 1, .. } = connections.auth_state() else {
        panic!("{:?}", connections.auth_state());
    };
    connections.close().await;
    until_empty(&sshd).await;
}

#[tokio::test]
async fn a_connection_has_no_more_channels_than_it_may() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let access = SshAccess {
        channels: 2,
        ..sshd.access()
    };
    let connections = connections(access, 4);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move { connections.exec(&program("sleep 2"), &leave(LONG)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status, 0);
    }
    assert_eq!(logins(&sshd), 2);
}

#[tokio::test]
async fn a_server_that_allows_one_session_is_given_another_connection() {
    // The backend's file believes in eight channels; the server has one.
    let Some(sshd) = Sshd::start(&["MaxSessions 1"]).await else {
        return;
    };
    let connections = connections(sshd.access(), 3);
    let calls: Vec<_> = (0..9)
        .map(|n| {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                let command = program(&format!("sleep 0.2; echo {n}"));
                connections.exec(&command, &leave(LONG)).await
            })
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap().body, format!("{n}\n"));
    }
    // Never more connections at once than calls may be.
    assert!(sshd.processes() <= 3 * 2, "{}", sshd.processes());
}

#[tokio::test]
async fn a_place_is_waited_for_until_the_deadline() {
    let Some(sshd) = Sshd::start(&["MaxSessions 1"]).await else {
        return;
    };
    let access = SshAccess {
        channels: 1,
        ..sshd.access()
    };
    let connections = connections(access, 1);
    let holder = connections.shell(&leave(LONG)).await.unwrap();
    assert!(!connections.has_room());
    let error = connections
        .exec(&program("true"), &leave(Duration::from_millis(300)))
        .await
        .unwrap_err();
    assert!(
        matches!(error.outcome, SendOutcome::Refused(_)),
        "{error:?}"
    );
    assert_eq!((error.phase, error.sends), (Phase::Open, 0));
    // Given back, it is there for the next one.
    drop(holder);
    echo(&connections, "free").await.unwrap();
}

#[tokio::test]
async fn shells_and_subsystems_are_streams() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(sshd.access(), 4);

    let mut echo = connections.subsystem("echo", &leave(LONG)).await.unwrap();
    echo.write_all(b"<hello/>]]>]]>").await.unwrap();
    let mut heard = [0; 14];
    echo.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"<hello/>]]>]]>");
    // Its end is told, and the end of its input is an end.
    echo.shutdown().await.unwrap();
    assert_eq!(echo.read(&mut heard).await.unwrap(), 0);

    let error = connections
        .subsystem("netconf", &leave(LONG))
        .await
        .unwrap_err();
    assert_eq!(
        (error.phase, error.outcome),
        (Phase::Open, SendOutcome::NotSent)
    );
    assert_eq!(error.detail, "the server refused the subsystem `netconf`");

    let mut shell = connections.shell(&leave(LONG)).await.unwrap();
    let life = shell.life();
    shell
        .write_all(b"stty size; echo '<'end'>'; exit\n")
        .await
        .unwrap();
    let mut heard = String::new();
    shell.read_to_string(&mut heard).await.unwrap();
    assert!(heard.contains("1000 511"), "{heard}");
    assert!(heard.contains("<end>"), "{heard}");
    assert!(!life.is_still());
    assert_eq!(logins(&sshd), 1);
}

#[tokio::test]
async fn a_shell_that_nobody_reads_is_known_to_be_dead_or_disturbed() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(sshd.access(), 4);
    let mut shell = connections.shell(&leave(LONG)).await.unwrap();
    let life = shell.life();
    shell.write_all(b"echo r''eady\n").await.unwrap();
    let mut heard = String::new();
    while !heard.ends_with("ready\r\nrelay-ssh@host1:~$ ") {
        let mut bytes = [0; 256];
        let count = shell.read(&mut bytes).await.unwrap();
        heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    assert!(life.is_still());
    assert!(life.answers(LONG).await);
    // A line of a log that comes by itself.
    shell.write_all(b"\n").await.unwrap();
    while life.is_still() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sshd.order("cut"), "done");
    assert!(!life.answers(LONG).await);
    assert!(!life.is_still());
}

#[tokio::test]
async fn a_program_that_is_not_waited_for_loses_its_channel() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(sshd.access(), 1);
    // Somebody else keeps the connection.
    let shell = connections.shell(&leave(LONG)).await.unwrap();
    let before = sshd.processes();
    let command = program("while echo x; do sleep 0.1; done");
    let error = connections
        .exec(&command, &leave(Duration::from_secs(4)))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    // Nobody reads what it writes any more, so it ends.
    while sshd.processes() > before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(logins(&sshd), 1);
    drop(shell);
}

#[tokio::test]
async fn a_poisoned_stream_takes_its_connection_with_it() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = connections(sshd.access(), 4);
    let first = connections.shell(&leave(LONG)).await.unwrap();
    let mut second = connections.subsystem("echo", &leave(LONG)).await.unwrap();
    assert_eq!(logins(&sshd), 1);
    first.poison();
    // Who else is on it goes on; nobody new comes.
    echo(&connections, "new").await.unwrap();
    assert_eq!(logins(&sshd), 2);
    second.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    second.read_exact(&mut heard).await.unwrap();
    drop(second);
    connections.close().await;
    until_empty(&sshd).await;
}

#[tokio::test]
async fn many_calls_that_time_out_or_are_cut_leave_nothing_behind() {
    const CALLS: usize = 500;
    const AT_ONCE: usize = 10;
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let sshd = Arc::new(sshd);
    let connections = connections(sshd.access(), AT_ONCE);
    let mut done = [0_usize; 2];
    for batch in 0..CALLS / AT_ONCE {
        let calls: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let connections = Arc::clone(&connections);
                tokio::spawn(one(connections, batch * AT_ONCE + n))
            })
            .collect();
        // Every tenth batch loses its connections under its feet.
        if batch % 10 == 4 {
            let sshd = Arc::clone(&sshd);
            tokio::task::spawn_blocking(move || sshd.order("cut"))
                .await
                .unwrap();
        }
        for call in calls {
            done[call.await.unwrap()] += 1;
        }
    }
    let [answered, unknown] = done;
    assert!(unknown >= CALLS / 3, "{done:?}");
    assert!(answered >= CALLS / 2, "{done:?}");

    // The next call works, over connections that have room.
    echo(&connections, "next").await.unwrap();
    // What is left of 500 calls are the connections that may be used again, without a session in them:
    // a listener's child and its unprivileged half each.
    while sshd.processes() > 2 * AT_ONCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    connections.close().await;
    until_empty(&sshd).await;
}

/// One call, asked again while it was not sent: every third hangs, in turn without and with output.
/// 0 answered, 1 unknown.
async fn one(connections: Arc<Connections>, n: usize) -> usize {
    let (command, span) = match n % 6 {
        0 => ("sleep 30".to_owned(), Duration::from_secs(3)),
        3 => ("echo begun; sleep 30".to_owned(), Duration::from_secs(3)),
        _ => (format!("echo {n}"), LONG),
    };
    loop {
        match connections.exec(&program(&command), &leave(span)).await {
            Ok(answer) if (answer.status, &answer.ruling) == (0, &Ruling::ByStatus) => {
                assert_eq!(answer.body, format!("{n}\n"));
                return 0;
            }
            // A program that was killed may still tell its end, and what it is worth.
            Ok(_) => return 1,
            Err(error) if error.outcome == SendOutcome::Unknown => return 1,
            Err(error) => {
                // The connection was cut, or the deadline came, before the program was asked for.
                assert_eq!(error.sends, 0, "{error:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn driver(sshd: &Sshd, parallel_config: bool) -> Arc<SshDriver> {
    let spec = plan::SshDriver {
        access: Arc::new(sshd.access()),
        profile: None,
        enable: None,
        parallel_config,
    };
    Arc::new(SshDriver::new(&Arc::new(spec), &limits()).unwrap())
}

#[tokio::test]
async fn one_call_at_a_time_changes_the_configuration() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    for parallel in [false, true] {
        let driver = driver(&sshd, parallel);
        let dir = sshd.dir.join(format!("alone-{parallel}"));
        std::fs::create_dir(&dir).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&dir, open).unwrap();
        // Whoever finds the folder taken was not alone.
        let command = format!(
            "cd {}; mkdir in || exit 9; sleep 1; rmdir in",
            dir.display()
        );
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let driver = Arc::clone(&driver);
                let call = RenderedCall::Exec(program(&command));
                tokio::spawn(async move {
                    let mut clearance = leave(LONG);
                    clearance.mutating = true;
                    driver.send(&call, &clearance).await.unwrap().status
                })
            })
            .collect();
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(call.await.unwrap());
        }
        assert_eq!(statuses.contains(&9), parallel, "{statuses:?}");
        driver.close().await;
    }
}

#[tokio::test]
async fn a_wait_for_the_configuration_ends_unsent_at_the_deadline() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(&sshd, false);
    let started = sshd.dir.join("started");
    std::fs::create_dir(&started).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&started, open).unwrap();
    let holder = {
        let driver = Arc::clone(&driver);
        let command = format!("touch {}/now; cat", started.display());
        tokio::spawn(async move {
            let mut clearance = leave(LONG);
            clearance.mutating = true;
            let stdin = Some(vec![b'x'; 1].into());
            let call = RenderedCall::Exec(ExecCommand {
                command: command + "; sleep 30",
                stdin,
            });
            driver.send(&call, &clearance).await
        })
    };
    while !started.join("now").exists() {
        tokio::task::yield_now().await;
    }
    let mut clearance = leave(Duration::from_millis(300));
    clearance.mutating = true;
    let call = RenderedCall::Exec(program("true"));
    let error = driver.send(&call, &clearance).await.unwrap_err();
    assert!(
        matches!(error.outcome, SendOutcome::Refused(_)),
        "{error:?}"
    );
    assert!(error.detail.contains("parallel_config"), "{}", error.detail);
    // A call that changes nothing does not wait.
    let answer = driver.send(&call, &leave(LONG)).await.unwrap();
    assert_eq!(answer.status, 0);
    assert!(!holder.is_finished());
    holder.abort();
}

#[tokio::test]
async fn a_backend_without_a_profile_takes_no_command_lines() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let driver = driver(&sshd, false);
    let call = RenderedCall::Cli(cmp_relay::driver::CliScript {
        mode: None,
        lines: vec!["show version".into()],
        save: false,
    });
    let error = driver.send(&call, &leave(LONG)).await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::NotSent);
    assert!(error.detail.contains("`profile`"), "{}", error.detail);
}

#[tokio::test]
async fn the_backends_own_secrets_are_taken_out_of_its_words() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let access = SshAccess {
        auth: vec![SshAuth::Password(password())],
        ..sshd.access()
    };
    let spec = plan::SshDriver {
        access: Arc::new(access),
        profile: None,
        enable: Some(cmp_relay::secret::Secret::new(
            "hunter2".into(),
            "env ENABLE",
        )),
        parallel_config: false,
    };
    let driver = SshDriver::new(&Arc::new(spec), &limits()).unwrap();
    let said = format!("you said {} and hunter2", password().expose());
    assert_eq!(driver.scrub(&said), "you said *** and ***");
    assert!(!format!("{driver:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_a_login_says_holds_no_secret() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    // A password that the words hold for another reason: it is the user's name.
    let wrong = cmp_relay::secret::Secret::new(USER.into(), "env WRONG");
    let spec = plan::SshDriver {
        access: Arc::new(SshAccess {
            auth: vec![SshAuth::Password(wrong)],
            ..sshd.access()
        }),
        profile: None,
        enable: None,
        parallel_config: false,
    };
    let driver = SshDriver::new(&Arc::new(spec), &limits()).unwrap();
    let call = RenderedCall::Exec(program("true"));
    let error = driver.send(&call, &leave(LONG)).await.unwrap_err();
    let probe = driver.probe(&leave(LONG)).await.failed.unwrap();
    for error in [error, probe] {
        assert_eq!(error.outcome, SendOutcome::Unauthorized);
        let words = "the server did not let `***` in";
        assert!(error.detail.starts_with(words), "{}", error.detail);
    }
}
