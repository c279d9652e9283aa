//! The transaction against a device in memory that does as it is told: what it hears, in which order,
//! and what each end of it means.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::framing::{Decoder, Framing, encode};
use super::super::hello::BASE;
use super::super::session::Bounds;
use super::*;
use crate::clock::Boottime;
use crate::driver::SendOutcome;

/// What the device does when it is asked for an operation.
#[derive(Clone, Copy)]
enum Act {
    Error(&'static str),
    /// The first time; the next time it is done.
    ErrorOnce(&'static str),
    Warning,
    /// It says nothing, and goes on listening.
    Silence,
    /// It ends the session.
    Cut,
    /// Replies to somebody else and a notification come first.
    Chatter,
    /// It sends this message first.
    First(&'static str),
    /// It sends these bytes as they are, and an answer behind them.
    Raw(&'static [u8]),
}

/// A device: what it can, and what it does other than say `<ok/>`.
struct Device {
    can: &'static [&'static str],
    base: &'static str,
    acts: Vec<(&'static str, Act)>,
    /// What the backend's file says of it.
    writable_running: bool,
    /// It says its hello only behind ours.
    shy: bool,
}

const WHOLE: &[&str] = &["candidate:1.0", "validate:1.1", "rollback-on-error:1.0"];
const RUNNING: &[&str] = &["writable-running:1.0", "rollback-on-error:1.0"];

/// The operation's name, as the log has it: with its datastore where there is one.
fn name_of(message: &str) -> String {
    let document = roxmltree::Document::parse(message).unwrap();
    let operation = document.root_element().first_element_child().unwrap();
    let target = operation
        .descendants()
        .find(|node| matches!(node.tag_name().name(), "target" | "source"))
        .and_then(|target| target.first_element_child());
    let name = operation.tag_name().name();
    target.map_or_else(
        || name.to_owned(),
        |target| format!("{name} {}", target.tag_name().name()),
    )
}

impl Device {
    fn new(can: &'static [&'static str]) -> Self {
        Self {
            can,
            base: "1.1",
            acts: Vec::new(),
            writable_running: false,
            shy: false,
        }
    }

    fn that(mut self, operation: &'static str, act: Act) -> Self {
        self.acts.push((operation, act));
        self
    }

    /// Serves one session and returns what it was asked for.
    async fn serve(self, mut stream: DuplexStream) -> Vec<String> {
        let capabilities: String = self
            .can
            .iter()
            .map(|name| format!("capability:{name}"))
            .chain([format!("base:{}", self.base)])
            .map(|name| format!("<capability>urn:ietf:params:netconf:{name}</capability>"))
            .collect();
        let hello = format!(
            "<hello xmlns=\"{BASE}\"><capabilities>{capabilities}</capabilities><session-id>9</session-id></hello>"
        );
        let framing = match self.base {
            "1.1" => Framing::Chunked,
            _ => Framing::EndOfMessage,
        };
        let frame = encode(Framing::EndOfMessage, hello.as_bytes()).unwrap();
        if !self.shy {
            stream.write_all(&frame).await.unwrap();
        }
        let mut decoder = Decoder::new(1 << 20);
        let mut heard = Vec::new();
        let mut greeted = false;
        let mut buffer = vec![0; 4096];
        loop {
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return heard;
            }
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let (taken, message) = decoder.take(rest).unwrap();
                rest = &rest[taken..];
                let Some(message) = message else { continue };
                if !greeted {
                    greeted = true;
                    if self.shy {
                        stream.write_all(&frame).await.unwrap();
                    }
                    decoder.switch(framing, 1 << 20);
                    continue;
                }
                let message = String::from_utf8(message).unwrap();
                let id = message.split('"').nth(5).unwrap().to_owned();
                let name = name_of(&message);
                heard.push(name.clone());
                let replies = match self.acts.iter().find(|(on, _)| *on == name) {
                    None => vec![reply(&id, "<ok/>")],
                    Some((_, Act::Warning)) => vec![reply(&id, &rpc_error("x", "warning"))],
                    Some((_, Act::ErrorOnce(_)))
                        if heard.iter().filter(|one| **one == name).count() > 1 =>
                    {
                        vec![reply(&id, "<ok/>")]
                    }
                    Some((_, Act::Error(tag) | Act::ErrorOnce(tag))) => {
                        vec![reply(&id, &rpc_error(tag, "error"))]
                    }
                    Some((_, Act::Chatter)) => vec![
                        "<notification/>".to_owned(),
                        reply("4711", &rpc_error("operation-failed", "error")),
                        reply(&id, "<ok/>"),
                    ],
                    Some((_, Act::First(message))) => {
                        vec![(*message).to_owned(), reply(&id, "<ok/>")]
                    }
                    Some((_, Act::Raw(bytes))) => {
                        let _ = stream.write_all(bytes).await;
                        vec![reply(&id, "<ok/>")]
                    }
                    Some((_, Act::Silence)) => Vec::new(),
                    Some((_, Act::Cut)) => return heard,
                };
                for reply in replies {
                    let frame = encode(framing, reply.as_bytes()).unwrap();
                    // Whoever gave up does not listen.
                    let _ = stream.write_all(&frame).await;
                }
            }
        }
    }
}

fn reply(id: &str, inside: &str) -> String {
    format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"{id}\">{inside}</rpc-reply>")
}

fn rpc_error(tag: &str, severity: &str) -> String {
    let info = match tag {
        "lock-denied" => "<error-info><session-id>5</session-id></error-info>",
        _ => "",
    };
    format!(
        "<rpc-error><error-type>application</error-type><error-tag>{tag}</error-tag>\
         <error-severity>{severity}</error-severity><error-message>no</error-message>\
         {info}</rpc-error>"
    )
}

fn edit(target: Option<Datastore>) -> NetconfRequest {
    NetconfRequest {
        operation: NetconfOperation::EditConfig,
        target,
        content: Some("<a xmlns=\"urn:a\"/>".to_owned()),
    }
}

/// Leave to send: the clearance, and how often it was asked before it is refused.
fn leave(answers: usize) -> Clearance {
    let left = Arc::new(Mutex::new(answers));
    Clearance {
        deadline: Boottime::now() + Duration::from_secs(600),
        mutating: true,
        gate: Arc::new(move || {
            let mut left = left.lock().unwrap();
            let open = *left > 0;
            *left = left.saturating_sub(1);
            open
        }),
    }
}

const ALWAYS: usize = usize::MAX;

/// One call to a device: what came of it, and what the device heard.
async fn call(
    device: Device,
    request: NetconfRequest,
    clearance: &Clearance,
) -> (Result<Answer, DriverError>, Vec<String>) {
    // Only where somebody is silent on purpose is anything waited for.
    let silent = device
        .acts
        .iter()
        .any(|(_, act)| matches!(act, Act::Silence));
    let first_byte = Duration::from_millis(if silent { 300 } else { 60_000 });
    call_within(device, request, clearance, first_byte).await
}

async fn call_within(
    device: Device,
    request: NetconfRequest,
    clearance: &Clearance,
    first_byte: Duration,
) -> (Result<Answer, DriverError>, Vec<String>) {
    let (ours, theirs) = duplex(64);
    let writable_running = device.writable_running;
    let heard = tokio::spawn(device.serve(theirs));
    let bounds = Bounds {
        hello: Duration::from_secs(60),
        first_byte,
        message: 1 << 20,
        only_1_0: false,
    };
    let by = Instant::now() + Duration::from_secs(60);
    let mut session = Session::open(ours, bounds, by)
        .await
        .map_err(|(why, _)| why)
        .unwrap();
    let ended = run(&mut session, &request, writable_running, clearance).await;
    drop(session);
    (ended, heard.await.unwrap())
}

async fn change(device: Device) -> (Result<Answer, DriverError>, Vec<String>) {
    call(device, edit(None), &leave(ALWAYS)).await
}

fn not_done(ended: Result<Answer, DriverError>) -> (u16, String) {
    let answer = ended.unwrap();
    assert_eq!((answer.status, answer.protocol), (1, Protocol::Netconf));
    match answer.ruling {
        Ruling::NotDone { reply, detail } => (reply.unwrap().as_u16(), detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_is_one_transaction_over_the_candidate() {
    let (ended, heard) = change(Device::new(WHOLE)).await;
    let answer = ended.unwrap();
    assert_eq!((answer.status, answer.ruling), (0, Ruling::ByStatus));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/xml");
    // The commit's reply decided.
    assert!(
        answer.body.starts_with(b"<rpc-reply") && answer.body.windows(5).any(|w| w == b"\"4\"><")
    );
    assert_eq!(
        heard,
        [
            "lock candidate",
            "discard-changes",
            "edit-config candidate",
            "commit",
            "unlock candidate",
            "close-session",
        ]
    );
}

#[tokio::test]
async fn running_is_written_where_there_is_no_candidate_or_it_is_asked_for() {
    let direct = [
        "lock running",
        "edit-config running",
        "unlock running",
        "close-session",
    ];
    let (ended, heard) = change(Device::new(RUNNING)).await;
    assert_eq!(ended.unwrap().status, 0);
    assert_eq!(heard, direct);

    let both = &["candidate:1.0", "writable-running:1.0"];
    let running = edit(Some(Datastore::Running));
    let (_, heard) = call(Device::new(both), running, &leave(ALWAYS)).await;
    assert_eq!(heard, direct);
    let device = Device {
        writable_running: true,
        ..Device::new(both)
    };
    assert_eq!(change(device).await.1, direct);
    assert_eq!(change(Device::new(both)).await.1[0], "lock candidate");
    // A device that writes it by commits alone.
    let running = edit(Some(Datastore::Running));
    let (ended, heard) = call(Device::new(WHOLE), running, &leave(ALWAYS)).await;
    assert_eq!(ended.unwrap().status, 0);
    assert_eq!(heard[0], "lock candidate");

    for (can, target) in [
        (RUNNING, Some(Datastore::Candidate)),
        (WHOLE, Some(Datastore::Startup)),
        (&["validate:1.1"], None),
    ] {
        let (ended, heard) = call(Device::new(can), edit(target), &leave(ALWAYS)).await;
        assert_eq!(ended.unwrap_err().outcome, SendOutcome::NotSent);
        assert_eq!(heard, [""; 0]);
    }
}

#[tokio::test]
async fn a_separate_startup_is_saved_to() {
    let can = &["writable-running:1.0", "startup:1.0"];
    let (ended, heard) = change(Device::new(can)).await;
    assert_eq!(ended.unwrap().status, 0);
    assert_eq!(heard[2], "copy-config startup");

    let device = Device::new(can).that("copy-config startup", Act::Error("resource-denied"));
    let (ended, heard) = change(device).await;
    let answer = ended.unwrap();
    let partly = matches!(
        answer.ruling,
        Ruling::Partly {
            applied: 1,
            total: 2,
            ..
        }
    );
    assert!(partly && answer.status == 1, "{answer:?}");
    assert_eq!(heard[3], "unlock running");

    let device = Device::new(can).that("copy-config startup", Act::Cut);
    assert_eq!(
        change(device).await.0.unwrap_err().outcome,
        SendOutcome::Unknown
    );
    // Leave is gone after lock and edit.
    let (ended, _) = call(Device::new(can), edit(None), &leave(2)).await;
    assert!(matches!(ended.unwrap().ruling, Ruling::Partly { .. }));
}

#[tokio::test]
async fn what_is_refused_before_the_commit_is_discarded_and_unlocked() {
    let before = ["lock candidate", "discard-changes", "edit-config candidate"];
    let after = ["discard-changes", "unlock candidate", "close-session"];
    for (at, more) in [("edit-config candidate", &[][..]), ("commit", &["commit"])] {
        for (act, status) in [
            (Act::Error("data-exists"), 409),
            (Act::Error("invalid-value"), 422),
            (Act::Error("operation-failed"), 502),
        ] {
            let (ended, heard) = change(Device::new(WHOLE).that(at, act)).await;
            let (reply, detail) = not_done(ended);
            assert_eq!(reply, status, "{at}: {detail}");
            assert!(
                detail.starts_with(at.split(' ').next().unwrap()),
                "{detail}"
            );
            assert_eq!(heard, [&before, more, &after].concat());
        }
    }
}

#[tokio::test]
async fn a_lock_that_somebody_holds_may_be_tried_again_and_names_who() {
    let device = Device::new(WHOLE).that("lock candidate", Act::Error("lock-denied"));
    let (ended, heard) = change(device).await;
    let (status, detail) = not_done(ended);
    assert_eq!(status, 503);
    assert!(detail.contains("held by session 5"), "{detail}");
    // It is not ours to discard or unlock.
    assert_eq!(heard, ["lock candidate", "close-session"]);
}

/// RFC 6241, section 7.5: changes that nobody has committed forbid the lock.
#[tokio::test]
async fn what_somebody_left_in_the_candidate_does_not_lock_us_out() {
    let lock = "lock candidate";
    let device = Device::new(WHOLE).that(lock, Act::ErrorOnce("resource-denied"));
    let (ended, heard) = change(device).await;
    assert_eq!(ended.unwrap().status, 0);
    let begun = [lock, "discard-changes", lock, "discard-changes"];
    assert_eq!(heard[..4], begun);

    let device = Device::new(WHOLE).that(lock, Act::Error("resource-denied"));
    let (ended, heard) = change(device).await;
    assert_eq!(not_done(ended).0, 503);
    assert_eq!(heard, [lock, "discard-changes", lock, "close-session"]);

    // Whatever a device calls it, nothing was done and it may pass.
    let device = Device::new(RUNNING).that("lock running", Act::Error("operation-failed"));
    assert_eq!(not_done(change(device).await.0).0, 503);
}

#[tokio::test]
async fn what_is_lost_before_the_commit_was_not_sent_and_behind_it_is_unknown() {
    for act in [Act::Silence, Act::Cut] {
        for at in ["lock candidate", "discard-changes", "edit-config candidate"] {
            let (ended, heard) = change(Device::new(WHOLE).that(at, act)).await;
            let error = ended.unwrap_err();
            assert_eq!(error.outcome, SendOutcome::NotSent, "{at}: {error}");
            assert!(!heard.contains(&"commit".to_owned()), "{heard:?}");
        }
        let (ended, _) = change(Device::new(WHOLE).that("commit", act)).await;
        let error = ended.unwrap_err();
        assert_eq!((error.outcome, error.sends), (SendOutcome::Unknown, 1));

        let (ended, _) = change(Device::new(RUNNING).that("lock running", act)).await;
        assert_eq!(ended.unwrap_err().outcome, SendOutcome::NotSent);
        let (ended, _) = change(Device::new(RUNNING).that("edit-config running", act)).await;
        assert_eq!(ended.unwrap_err().outcome, SendOutcome::Unknown);
    }
}

#[tokio::test]
async fn a_call_that_ran_out_of_time_is_discarded_and_unlocked_too() {
    let tidied = ["discard-changes", "unlock candidate", "close-session"];
    for at in ["edit-config candidate", "commit"] {
        let (_, heard) = change(Device::new(WHOLE).that(at, Act::Silence)).await;
        assert_eq!(heard[heard.len() - 3..], tidied, "{at}");
    }
    // A lock without an answer may be ours.
    let (_, heard) = change(Device::new(WHOLE).that("lock candidate", Act::Silence)).await;
    assert_eq!(
        heard,
        ["lock candidate", "unlock candidate", "close-session"]
    );
}

#[tokio::test]
async fn tidying_up_is_bounded() {
    let device = Device::new(WHOLE)
        .that("edit-config candidate", Act::Silence)
        .that("unlock candidate", Act::Silence)
        .that("close-session", Act::Silence);
    let clearance = Clearance {
        deadline: Boottime::now() + Duration::from_millis(500),
        ..leave(ALWAYS)
    };
    // Nothing but the bound ends it.
    let first_byte = Duration::from_secs(3600);
    let (ended, heard) = call_within(device, edit(None), &clearance, first_byte).await;
    assert_eq!(ended.unwrap_err().outcome, SendOutcome::NotSent);
    assert!(heard.contains(&"unlock candidate".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn leave_is_asked_before_every_step() {
    for (answers, last) in [
        (0, "close-session"),
        (2, "discard-changes"),
        (3, "edit-config candidate"),
    ] {
        let (ended, heard) = call(Device::new(WHOLE), edit(None), &leave(answers)).await;
        let error = ended.unwrap_err();
        assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
        let behind = heard.len() - if answers > 2 { 3 } else { 2 }.min(heard.len());
        assert!(!heard.contains(&"commit".to_owned()), "{heard:?}");
        assert_eq!(heard[..behind].last().map_or("close-session", |l| l), last);
    }
}

#[tokio::test]
async fn an_edit_that_stopped_half_way_is_unclear() {
    let ruling = async |can, at, tag| {
        let (ended, _) = change(Device::new(can).that(at, Act::Error(tag))).await;
        ended.unwrap().ruling
    };
    let unclear = |ruling| matches!(ruling, Ruling::Unclear { .. });
    const STOPS: &[&str] = &["writable-running:1.0"];
    let edit = "edit-config running";
    assert!(unclear(ruling(STOPS, edit, "invalid-value").await));
    assert!(!unclear(
        ruling(STOPS, edit, "operation-not-supported").await
    ));
    assert!(!unclear(ruling(RUNNING, edit, "invalid-value").await));
    assert!(unclear(ruling(RUNNING, edit, "rollback-failed").await));
    assert!(unclear(ruling(WHOLE, "commit", "rollback-failed").await));
    assert!(!unclear(ruling(WHOLE, "commit", "operation-failed").await));
}

#[tokio::test]
async fn warnings_chatter_and_an_abrupt_close_are_no_failures() {
    let device = Device::new(WHOLE)
        .that("edit-config candidate", Act::Warning)
        .that("commit", Act::Chatter)
        .that("close-session", Act::Cut);
    let (ended, heard) = change(device).await;
    let answer = ended.unwrap();
    assert_eq!((answer.status, answer.ruling), (0, Ruling::ByStatus));
    assert_eq!(heard.len(), 6);
}

#[tokio::test]
async fn it_does_not_matter_who_speaks_first() {
    let device = Device {
        shy: true,
        ..Device::new(WHOLE)
    };
    assert_eq!(change(device).await.0.unwrap().status, 0);
}

/// RFC 6241, section 4.3: a device that could not read our `message-id` leaves it out of its error.
#[tokio::test]
async fn a_reply_without_an_id_counts_where_it_is_an_error() {
    let unread = "<rpc-reply><rpc-error><error-type>rpc</error-type><error-tag>malformed-message</error-tag>\
                  <error-severity>error</error-severity></rpc-error></rpc-reply>";
    let device = Device::new(RUNNING).that("edit-config running", Act::First(unread));
    assert_eq!(not_done(change(device).await.0).0, 502);

    let nobodys = "<rpc-reply><data/></rpc-reply>";
    let device = Device::new(RUNNING).that("edit-config running", Act::First(nobodys));
    let answer = change(device).await.0.unwrap();
    assert!(answer.body.windows(5).any(|word| word == b"<ok/>"));
}

/// RFC 6242, section 4.2: behind what cannot be read nothing is believed, and nothing more is said.
#[tokio::test]
async fn what_cannot_be_read_ends_the_session() {
    for garbage in [
        // No chunk, a chunk that is longer than it says, no XML, no reply, no UTF-8.
        &b"<rpc-reply/>]]>]]>"[..],
        b"\n#2\n<ok/>",
        b"\n#4\nnone\n##\n",
        b"\n#6\n<rpc/>\n##\n",
        b"\n#1\n\xff\n##\n",
    ] {
        for (at, outcome) in [
            ("edit-config candidate", SendOutcome::NotSent),
            ("commit", SendOutcome::Unknown),
        ] {
            let (ended, heard) = change(Device::new(WHOLE).that(at, Act::Raw(garbage))).await;
            let error = ended.unwrap_err();
            assert_eq!(
                (error.outcome, error.phase),
                (outcome, Phase::Read),
                "{error}"
            );
            assert_eq!(heard.last().unwrap(), at, "{garbage:?}");
        }
    }
}

#[tokio::test]
async fn other_operations_are_one_request() {
    for (operation, content, heard_as) in [
        (NetconfOperation::Get, Some("<a xmlns=\"urn:a\"/>"), "get"),
        (NetconfOperation::GetConfig, None, "get-config running"),
        (
            NetconfOperation::Rpc,
            Some("<reboot xmlns=\"urn:a\"/>"),
            "reboot",
        ),
    ] {
        let reads = operation != NetconfOperation::Rpc;
        let request = NetconfRequest {
            operation,
            target: None,
            content: content.map(str::to_owned),
        };
        let tell = |act: Option<Act>| {
            let device = Device {
                base: "1.0",
                ..Device::new(&[])
            };
            let device = act
                .into_iter()
                .fold(device, |device, act| device.that(heard_as, act));
            let request = request.clone();
            async move { call(device, request, &leave(ALWAYS)).await }
        };
        let (ended, heard) = tell(None).await;
        assert_eq!(ended.unwrap().status, 0);
        assert_eq!(heard, [heard_as, "close-session"]);

        let (ended, _) = tell(Some(Act::Error("data-missing"))).await;
        match ended.unwrap().ruling {
            Ruling::NotDone { reply, .. } => assert!(reads && reply.unwrap() == 404),
            ruling => assert!(!reads && matches!(ruling, Ruling::Unclear { .. })),
        }
        let (ended, _) = tell(Some(Act::Error("operation-not-supported"))).await;
        assert_eq!(not_done(ended).0, 501);
        for act in [Act::Silence, Act::Cut] {
            let (ended, _) = tell(Some(act)).await;
            assert_eq!(ended.unwrap_err().outcome, SendOutcome::Unknown);
        }
        let (ended, heard) = call(Device::new(&[]), request, &leave(0)).await;
        let error = ended.unwrap_err();
        assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
        assert_eq!(heard, ["close-session"]);
    }
}
