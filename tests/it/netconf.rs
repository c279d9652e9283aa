//! The `netconf` driver against real devices: netconfd behind OpenSSH, one that writes through a candidate
//! and one that writes running.
//!
//! `tests/peers/netconfd.sh` starts them once for all tests here. The tests take turns: a datastore has one
//! lock, and one of them cuts connections.

mod plain;
mod relayed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cmp_relay::clock::Boottime;
use cmp_relay::driver::netconf::{NetconfDriver, rpc_errors};
use cmp_relay::driver::{
    Answer, Clearance, Driver, DriverError, NetconfRequest, Phase, Protocol, RenderedCall, Ruling,
    SendOutcome,
};
use cmp_relay::plan::{self, BackendLimits, Datastore, NetconfOperation};
use tokio::sync::{Mutex, MutexGuard};

use self::plain::Plain;
use crate::support::netconfd::{Netconfd, devices};

static TURN: Mutex<()> = Mutex::const_new(());

/// The devices, for one test at a time.
struct Bench {
    devices: &'static Netconfd,
    _turn: MutexGuard<'static, ()>,
}

async fn bench() -> Option<Bench> {
    let turn = TURN.lock().await;
    let bench = Bench {
        devices: devices().await?,
        _turn: turn,
    };
    bench.at_rest().await;
    Some(bench)
}

/// How a device is written.
#[derive(Clone, Copy, Debug)]
struct Way {
    device: &'static str,
    framing_1_0: bool,
}

const CANDIDATE: Way = Way {
    device: "candidate",
    framing_1_0: false,
};
const RUNNING: Way = Way {
    device: "running",
    framing_1_0: false,
};
const OLD_FRAMING: Way = Way {
    device: "candidate",
    framing_1_0: true,
};

fn limits() -> BackendLimits {
    BackendLimits {
        concurrency: 4,
        queue: 16,
        connect_timeout: Duration::from_secs(20),
        first_byte_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(30),
        idle_reuse: Duration::from_secs(4),
        response_body: 1 << 20,
    }
}

impl Bench {
    fn driver(&self, way: Way) -> NetconfDriver {
        self.driver_within(way, &limits())
    }

    fn driver_within(&self, way: Way, limits: &BackendLimits) -> NetconfDriver {
        let spec = plan::NetconfDriver {
            access: self.devices.access(way.device),
            framing_1_0: way.framing_1_0,
            writable_running: false,
        };
        NetconfDriver::new(&Arc::new(spec), limits).unwrap()
    }

    /// Waits until no session holds the candidate, and empties it: the device notices a lost session, whose lock
    /// stands until then, in its own time.
    async fn at_rest(&self) {
        let mut plain = self.plain().await;
        let mut reply = String::new();
        for _ in 0..100 {
            reply = plain
                .ask("<lock><target><candidate/></target></lock>")
                .await;
            if reply.contains("<ok/>") {
                break;
            }
            // Nobody holds it, and somebody left a change in it (RFC 6241, section 8.3.5.2).
            plain.ask("<discard-changes/>").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(reply.contains("<ok/>"), "{reply}");
        plain.must("<discard-changes/>").await;
        plain
            .must("<unlock><target><candidate/></target></unlock>")
            .await;
    }

    /// A session of somebody who knows nothing of locks.
    async fn plain(&self) -> Plain {
        Plain::open(&self.devices.access("candidate"), &limits()).await
    }
}

/// Leave to send, for half a minute; `asked` is called each time it is asked for.
fn leave(asked: impl Fn() + Send + Sync + 'static) -> Clearance {
    Clearance {
        deadline: Boottime::now() + Duration::from_secs(30),
        mutating: true,
        gate: Arc::new(move || {
            asked();
            true
        }),
    }
}

async fn send(
    driver: &NetconfDriver,
    operation: NetconfOperation,
    target: Option<Datastore>,
    content: &str,
) -> Result<Answer, DriverError> {
    let call = request(operation, target, content);
    driver.send(&call, &leave(|| ())).await
}

fn request(operation: NetconfOperation, target: Option<Datastore>, content: &str) -> RenderedCall {
    RenderedCall::Netconf(NetconfRequest {
        operation,
        target,
        content: (!content.is_empty()).then(|| content.to_owned()),
    })
}

async fn edit(driver: &NetconfDriver, config: &str) -> Result<Answer, DriverError> {
    send(driver, NetconfOperation::EditConfig, None, config).await
}

/// An interface of ietf-interfaces; `operation` as RFC 6241, section 7.2.
fn interface(name: &str, operation: &str) -> String {
    format!(
        "<interfaces xmlns=\"urn:ietf:params:xml:ns:yang:ietf-interfaces\">\
         <interface xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\" nc:operation=\"{operation}\">\
         <name>{name}</name>\
         <type xmlns:ianaift=\"urn:ietf:params:xml:ns:yang:iana-if-type\">ianaift:ethernetCsmacd</type>\
         </interface></interfaces>"
    )
}

/// The names of the interfaces in running.
async fn interfaces(driver: &NetconfDriver) -> Vec<String> {
    let filter = "<interfaces xmlns=\"urn:ietf:params:xml:ns:yang:ietf-interfaces\"/>";
    let answer = send(driver, NetconfOperation::GetConfig, None, filter).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, &answer.ruling), (0, &Ruling::ByStatus));
    let reply = text(&answer);
    let document = roxmltree::Document::parse(reply).unwrap();
    document
        .descendants()
        .filter(|node| node.tag_name().name() == "name" && node.is_element())
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn not_done(answer: Result<Answer, DriverError>) -> (u16, String, Answer) {
    let answer = answer.unwrap();
    assert_eq!(answer.status, 1, "{}", text(&answer));
    match answer.ruling.clone() {
        Ruling::NotDone { reply, detail } => (reply.unwrap().as_u16(), detail, answer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_created_read_and_deleted() {
    let Some(bench) = bench().await else { return };
    for way in [CANDIDATE, OLD_FRAMING, RUNNING] {
        let driver = bench.driver(way);
        // Three bytes a character: a length in characters would cut the message.
        let name = "\u{53f0}\u{5317}-\u{1f578}";
        let answer = edit(&driver, &interface(name, "create")).await.unwrap();
        assert_eq!(
            (answer.status, &answer.ruling),
            (0, &Ruling::ByStatus),
            "{way:?}"
        );
        assert_eq!((answer.protocol, answer.sends), (Protocol::Netconf, 1));
        assert_eq!(answer.headers["content-type"], "application/xml");
        assert!(text(&answer).contains("<ok/>"));
        assert_eq!(interfaces(&driver).await, [name], "{way:?}");

        let (status, detail, answer) = not_done(edit(&driver, &interface(name, "create")).await);
        assert_eq!(status, 409, "{detail}");
        assert_eq!(rpc_errors(text(&answer))[0].tag, "data-exists");

        let deleted = edit(&driver, &interface(name, "delete")).await.unwrap();
        assert_eq!(deleted.status, 0);
        assert_eq!(interfaces(&driver).await, [""; 0]);
        let (status, detail, _) = not_done(edit(&driver, &interface(name, "delete")).await);
        assert_eq!(status, 404, "{detail}");
        driver.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_refuses_is_told_by_its_tag_and_leaves_nothing() {
    let Some(bench) = bench().await else { return };
    for way in [CANDIDATE, RUNNING] {
        let driver = bench.driver(way);
        let unknown = interface("eth0", "merge").replace("<type", "<colour>red</colour><type");
        let (status, detail, answer) = not_done(edit(&driver, &unknown).await);
        assert_eq!(status, 422, "{detail}");
        let errors = rpc_errors(text(&answer));
        assert_eq!(errors[0].tag, "unknown-element");
        assert!(
            errors[0].path.as_ref().unwrap().contains("eth0"),
            "{errors:?}"
        );
        let element = errors[0]
            .info
            .iter()
            .find(|(name, _)| name == "bad-element");
        assert!(element.unwrap().1.ends_with("colour"), "{errors:?}");

        let bad = interface("eth0", "merge").replace("</type>", "</type><enabled>maybe</enabled>");
        let (status, detail, _) = not_done(edit(&driver, &bad).await);
        assert_eq!(status, 422, "{detail}");

        let rpc = NetconfOperation::Rpc;
        let answer = send(&driver, rpc, None, "<reboot xmlns=\"urn:example:none\"/>").await;
        let (status, ..) = not_done(answer);
        assert!([422, 501].contains(&status), "{status}");

        // A first interface that is good does not survive a second that is not.
        let both = interface("good", "create") + &interface("bad", "delete");
        let (status, detail, _) = not_done(edit(&driver, &both).await);
        assert_eq!(status, 404, "{detail}");
        assert_eq!(interfaces(&driver).await, [""; 0], "{way:?}");
        driver.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_operation_may_be_asked_for() {
    let Some(bench) = bench().await else { return };
    let driver = bench.driver(CANDIDATE);
    let operation = "<validate><source><running/></source></validate>";
    let answer = send(&driver, NetconfOperation::Rpc, None, operation).await;
    assert!(text(&answer.unwrap()).contains("<ok/>"));

    let filter = "<netconf-state xmlns=\"urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring\"><schemas/></netconf-state>";
    let answer = send(&driver, NetconfOperation::Get, None, filter).await;
    assert!(text(&answer.unwrap()).contains("ietf-interfaces"));

    // What would leave its element is not sent.
    let hostile =
        "</config></edit-config></rpc>]]>]]><rpc><commit/></rpc><rpc><edit-config><config>";
    let error = edit(&driver, hostile).await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::NotSent, 0));
    // Well-formed, and yet the end of a message in end-of-message framing.
    let old = bench.driver(OLD_FRAMING);
    let hostile = interface("eth0", "create").replace("<name>", "<!-- ]]>]]> --><name>");
    let error = edit(&old, &hostile).await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::NotSent, 0));
    assert!(error.detail.contains("]]>]]>"), "{error}");
    assert_eq!(interfaces(&old).await, [""; 0]);
}

/// By the device's own counters (RFC 6022): a call is one session, whatever it asks in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_session() {
    let Some(bench) = bench().await else { return };
    let counted = async |driver: &NetconfDriver| {
        // The device remembers what it told of each counter for two seconds, and tells that again.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let filter = "<netconf-state xmlns=\"urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring\"><statistics/></netconf-state>";
        let answer = send(driver, NetconfOperation::Get, None, filter)
            .await
            .unwrap();
        let count = |name: &str| -> u32 {
            let behind = text(&answer).split(&format!("<{name}>")).nth(1).unwrap();
            behind.split('<').next().unwrap().parse().unwrap()
        };
        (count("in-sessions"), count("in-rpcs"))
    };
    for (way, requests) in [
        // Lock, discard, edit, commit, unlock, close.
        (CANDIDATE, 6),
        // Lock, edit, unlock, close.
        (RUNNING, 4),
    ] {
        let driver = bench.driver(way);
        let (sessions, rpcs) = counted(&driver).await;
        for operation in ["create", "merge", "delete"] {
            let answer = edit(&driver, &interface("eth0", operation)).await.unwrap();
            assert_eq!(answer.status, 0);
        }
        let (sessions_since, rpcs_since) = counted(&driver).await;
        // The second question is a session of two requests, and the first one's second came after its counting.
        assert_eq!(sessions_since - sessions, 3 + 1, "{way:?}");
        assert_eq!(rpcs_since - rpcs, 3 * requests + 2, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_lock_is_named_and_passes() {
    let Some(bench) = bench().await else { return };
    let driver = bench.driver(CANDIDATE);
    let mut other = bench.plain().await;
    let lock = "<lock><target><candidate/></target></lock>";
    assert!(other.ask(lock).await.contains("<ok/>"));

    let (status, detail, answer) = not_done(edit(&driver, &interface("eth0", "create")).await);
    assert_eq!(status, 503);
    let held = format!("held by session {}", other.session_id);
    assert!(detail.contains(&held), "{detail}");
    assert_eq!(rpc_errors(text(&answer))[0].tag, "lock-denied");

    let unlock = "<unlock><target><candidate/></target></unlock>";
    assert!(other.ask(unlock).await.contains("<ok/>"));
    let answer = edit(&driver, &interface("eth0", "create")).await.unwrap();
    assert_eq!(answer.status, 0);
    let answer = edit(&driver, &interface("eth0", "delete")).await.unwrap();
    assert_eq!(answer.status, 0);
}

/// The candidate is one for all: what a lost session left there, the next commit puts into force. So it does
/// for clients that neither lock nor discard, and so it must not for ours.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_session_left_is_not_committed_by_the_next_call() {
    let Some(bench) = bench().await else { return };
    let driver = bench.driver(CANDIDATE);
    let leak = async || {
        bench.at_rest().await;
        let mut lost = bench.plain().await;
        let config = interface("leak", "create");
        let edit = format!(
            "<edit-config><target><candidate/></target><config>{config}</config></edit-config>"
        );
        lost.must(&edit).await;
        bench.devices.cut("candidate");
    };

    leak().await;
    let mut naive = bench.plain().await;
    naive.must("<commit/>").await;
    assert_eq!(interfaces(&driver).await, ["leak"]);
    let deleted = edit(&driver, &interface("leak", "delete")).await.unwrap();
    assert_eq!(deleted.status, 0);

    leak().await;
    let answer = edit(&driver, &interface("ours", "create")).await.unwrap();
    assert_eq!(answer.status, 0, "{}", text(&answer));
    assert_eq!(interfaces(&driver).await, ["ours"]);
    let deleted = edit(&driver, &interface("ours", "delete")).await.unwrap();
    assert_eq!(deleted.status, 0);
}

/// Why the transaction has no `<validate>` of its own (docs/decisions/0015-no-validate-of-its-own.md): behind one,
/// this device answers a commit with `<ok/>` and commits nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_validate_of_its_own_would_void_the_commit() {
    let Some(bench) = bench().await else { return };
    let mut other = bench.plain().await;
    let config = interface("void", "create");
    let edit = format!(
        "<edit-config><target><candidate/></target><config>{config}</config></edit-config>"
    );
    let validate = "<validate><source><candidate/></source></validate>";
    for operation in [&edit, validate, "<commit/>"] {
        other.must(operation).await;
    }
    assert_eq!(interfaces(&bench.driver(CANDIDATE)).await, [""; 0]);
    other.must("<discard-changes/>").await;
}

/// How often a new driver asks for leave during one change; the last time is before the commit.
async fn steps_of_a_change(bench: &Bench) -> usize {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let clearance = leave(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let nothing = request(NetconfOperation::EditConfig, None, "");
    let answer = bench.driver(CANDIDATE).send(&nothing, &clearance).await;
    assert_eq!(answer.unwrap().status, 0);
    let steps = asked.load(Ordering::SeqCst);
    // Lock, discard, edit, commit, and what connecting asks.
    assert!(steps > 4);
    steps
}

/// Our own session, killed between its edit and its commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_killed_before_its_commit_leaves_nothing() {
    let Some(bench) = bench().await else { return };
    let before_commit = steps_of_a_change(&bench).await;
    let create = |name: &str| {
        let config = interface(name, "create");
        request(NetconfOperation::EditConfig, None, &config)
    };
    let devices = bench.devices;
    let asked = AtomicUsize::new(0);
    let clearance = leave(move || {
        if asked.fetch_add(1, Ordering::SeqCst) + 1 == before_commit {
            devices.cut("candidate");
        }
    });
    let killed = bench.driver(CANDIDATE);
    let error = killed
        .send(&create("killed"), &clearance)
        .await
        .unwrap_err();
    // Whether the commit still left this machine is not known to it.
    let honest = [SendOutcome::NotSent, SendOutcome::Unknown];
    assert!(honest.contains(&error.outcome), "{error:?}");

    let next = bench.driver(CANDIDATE);
    assert_eq!(
        edit(&next, &interface("next", "create"))
            .await
            .unwrap()
            .status,
        0
    );
    assert_eq!(interfaces(&next).await, ["next"]);
    let deleted = edit(&next, &interface("next", "delete")).await;
    assert_eq!(deleted.unwrap().status, 0);
}

/// Calls that succeed, that are refused, that run out of time and that are cut: the device keeps none of
/// their sessions, and the next call works.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_leaves_a_session_behind() {
    let Some(bench) = bench().await else { return };
    let driver = bench.driver(CANDIDATE);
    let steps = steps_of_a_change(&bench).await;
    for turn in 0..24_u64 {
        let name = format!("eth{turn}");
        let call = request(
            NetconfOperation::EditConfig,
            None,
            &interface(&name, "create"),
        );
        let devices = bench.devices;
        // Cut or out of time, a driver may wait before its next login; the others are not to.
        let doomed = bench.driver(CANDIDATE);
        match turn % 4 {
            0 => {
                // Somewhere between the connection and the unlocking.
                let clearance = Clearance {
                    deadline: Boottime::now() + Duration::from_millis(turn * 15),
                    ..leave(|| ())
                };
                let _ = doomed.send(&call, &clearance).await;
            }
            1 => {
                // Before one of the last requests.
                let asked = AtomicUsize::new(0);
                let at = steps - usize::try_from(turn / 4).unwrap() % 4;
                let clearance = leave(move || {
                    if asked.fetch_add(1, Ordering::SeqCst) + 1 == at {
                        devices.cut("candidate");
                    }
                });
                let ended = doomed.send(&call, &clearance).await;
                assert!(ended.is_err(), "{ended:?}");
            }
            2 => {
                let refused = edit(&driver, &interface(&name, "delete")).await;
                assert_eq!(not_done(refused).0, 404);
            }
            _ => {
                let answer = edit(&driver, &interface(&name, "create")).await.unwrap();
                assert_eq!(answer.status, 0);
            }
        }
    }
    let names = interfaces(&driver).await;
    assert!(names.len() >= 6, "{names:?}");
    let all: String = names.iter().map(|name| interface(name, "delete")).collect();
    assert_eq!(edit(&driver, &all).await.unwrap().status, 0);
    // Whoever asks is one session, and the device may still be ending others; none is left in the end.
    let sessions = "<netconf-state xmlns=\"urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring\"><sessions/></netconf-state>";
    let alone = async {
        loop {
            let answer = send(&driver, NetconfOperation::Get, None, sessions).await;
            if text(&answer.unwrap()).matches("</session>").count() == 1 {
                return;
            }
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, alone)
        .await
        .expect("no session is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_beyond_the_limit_is_not_kept() {
    let Some(bench) = bench().await else { return };
    let small = BackendLimits {
        response_body: 2000,
        ..limits()
    };
    for way in [CANDIDATE, OLD_FRAMING] {
        let driver = bench.driver_within(way, &small);
        let error = send(&driver, NetconfOperation::Get, None, "")
            .await
            .unwrap_err();
        assert_eq!(
            (error.outcome, error.phase),
            (SendOutcome::Unknown, Phase::Read)
        );
        assert!(error.detail.contains("more than 2000 bytes"), "{error}");
        // The hello is bounded by itself: some have hundreds of modules in it.
        assert_eq!(interfaces(&driver).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_what_the_device_can() {
    let Some(bench) = bench().await else { return };
    for (way, can, framing) in [
        (
            CANDIDATE,
            "candidate, validate, rollback-on-error, confirmed-commit",
            "chunked",
        ),
        (OLD_FRAMING, "candidate", "end-of-message"),
        (RUNNING, "writable-running", "chunked"),
    ] {
        let driver = bench.driver(way);
        let probe = driver.probe(&leave(|| ())).await;
        assert!(probe.failed.is_none(), "{probe:?}");
        let found = probe.found.last().unwrap();
        assert_eq!(found.phase, Phase::Open);
        for says in ["NETCONF 1.0 and 1.1", can, framing] {
            assert!(found.what.contains(says), "{}", found.what);
        }
    }
}
