//! Each row of the table: what a node sees, and what it does next.

use super::super::status::{EpochRow, Replication, ServerView};
use super::*;
use crate::store::Position;

fn gtid(text: &str) -> Option<Position> {
    Position::parse(text)
}

fn server(read_only: bool, epoch: i64, node: &str, replication: Option<Replication>) -> ServerView {
    ServerView {
        read_only,
        server_id: 1,
        position: gtid("0-1-100"),
        epoch: Some(EpochRow {
            epoch,
            node: node.into(),
            fork: gtid("0-2-50"),
        }),
        replication,
    }
}

fn replicating() -> Replication {
    Replication {
        io: "Yes".into(),
        sql: true,
        lag_s: Some(0),
        ..Replication::default()
    }
}

fn peer(role: Role, epoch: i64, node: &str) -> Status {
    Status {
        node: node.into(),
        role,
        epoch,
        was: Was::Active,
        server: Some(server(true, epoch, node, None)),
        ..Status::default()
    }
}

/// Node `b`, whose peer is `a`.
fn seen<'s>(role: Role, server: Option<&'s ServerView>, peer: Option<&'s Status>) -> Seen<'s> {
    Seen {
        me: "b",
        role,
        epoch: 5,
        was: Was::Standby,
        paused: false,
        standalone: false,
        automatic: true,
        blocked: false,
        vip: Vip::Elsewhere,
        server,
        peer,
        in_sync: true,
        granted: false,
        confirmed_epoch: None,
    }
}

fn reason(next: Next) -> String {
    match next {
        Next::Stay(reasons) => reasons.join("; "),
        other => panic!("{other:?} is not staying"),
    }
}

#[test]
fn an_active_node_that_hears_of_a_newer_epoch_stops() {
    let own = server(false, 5, "b", None);
    for (role, epoch, stops) in [
        (Role::Active, 6, true),
        (Role::Promoting, 6, true),
        (Role::Active, 5, false),
        (Role::Fenced, 6, false),
    ] {
        let peer = peer(role, epoch, "a");
        let next = next(&Seen {
            vip: Vip::HereToStay,
            ..seen(Role::Active, Some(&own), Some(&peer))
        });
        assert_eq!(matches!(next, Next::Fence(_)), stops, "{role:?} {epoch}");
    }
    let confirmed = next(&Seen {
        confirmed_epoch: Some(6),
        ..seen(Role::Active, Some(&own), None)
    });
    assert!(matches!(confirmed, Next::Fence(_)));
    let replicated = server(false, 6, "a", None);
    assert!(matches!(
        next(&seen(Role::Active, Some(&replicated), None)),
        Next::Fence(_)
    ));
}

#[test]
fn an_active_nodes_server_that_became_read_only_stops_it() {
    let own = server(true, 5, "b", None);
    assert!(matches!(
        next(&seen(Role::Active, Some(&own), None)),
        Next::Fence(_)
    ));
}

#[test]
fn an_active_node_without_server_or_address_stays_what_it_is() {
    let own = server(false, 5, "b", None);
    assert!(reason(next(&seen(Role::Active, None, None))).contains("does not answer"));
    assert!(reason(next(&seen(Role::Active, Some(&own), None))).contains("address"));
}

#[test]
fn a_standby_takes_over_from_silence_only_with_the_address_and_in_sync() {
    let own = server(true, 5, "a", Some(replicating()));
    let here = |role: &dyn Fn(&mut Seen<'_>)| {
        let mut seen = Seen {
            vip: Vip::Here,
            ..seen(Role::Standby, Some(&own), None)
        };
        role(&mut seen);
        next(&seen)
    };
    assert_eq!(here(&|_| {}), Next::TakeOver(Cause::Address));
    assert!(reason(here(&|seen| seen.vip = Vip::Elsewhere)).contains("the address is not here"));
    assert!(reason(here(&|seen| seen.in_sync = false)).contains("--force"));
    assert!(reason(here(&|seen| seen.paused = true)).contains("resume"));
    assert!(reason(here(&|seen| seen.automatic = false)).contains("manual"));
    assert!(reason(here(&|seen| seen.blocked = true)).contains("acknowledge"));
    assert!(reason(here(&|seen| seen.granted = true)).contains("leave"));
    assert!(reason(here(&|seen| seen.server = None)).contains("does not answer"));
}

#[test]
fn a_standby_with_the_address_asks_an_active_peer_only_after_a_while_and_if_it_lost_the_address() {
    let own = server(true, 5, "a", Some(replicating()));
    let mut active = peer(Role::Active, 5, "a");
    for (vip, theirs, asks) in [
        (Vip::Here, false, false),
        (Vip::HereToStay, false, true),
        (Vip::HereToStay, true, false),
    ] {
        active.vip = theirs;
        let next = next(&Seen {
            vip,
            ..seen(Role::Standby, Some(&own), Some(&active))
        });
        assert_eq!(
            next == Next::TakeOver(Cause::Address),
            asks,
            "{vip:?} {theirs}"
        );
    }
}

#[test]
fn a_standby_with_the_address_gives_no_leave_to_a_peer_that_only_restarted() {
    let own = server(true, 5, "a", Some(replicating()));
    let active = peer(Role::Active, 5, "a");
    let asked = seen(Role::Standby, Some(&own), Some(&active));
    assert!(!takes_over_itself(&asked));
    let with_address = Seen {
        vip: Vip::Here,
        ..asked.clone()
    };
    assert!(takes_over_itself(&with_address));
    for may_not in [
        Seen {
            in_sync: false,
            ..with_address.clone()
        },
        Seen {
            paused: true,
            ..with_address.clone()
        },
        Seen {
            granted: true,
            ..with_address.clone()
        },
        Seen {
            role: Role::Fenced,
            ..with_address
        },
    ] {
        assert!(!takes_over_itself(&may_not), "{may_not:?}");
    }
}

#[test]
fn a_standby_whose_replication_stopped_on_an_error_takes_nothing_over() {
    let broken = Replication {
        sql: false,
        sql_error: Some("Duplicate entry".into()),
        ..replicating()
    };
    let own = server(true, 5, "a", Some(broken));
    let next = next(&Seen {
        vip: Vip::HereToStay,
        ..seen(Role::Standby, Some(&own), None)
    });
    assert!(matches!(next, Next::Fence(why) if why.contains("Duplicate entry")));
}

#[test]
fn a_standby_whose_server_was_restarted_follows_again_unless_paused() {
    let stopped = Replication {
        io: "No".into(),
        sql: false,
        ..Replication::default()
    };
    let own = server(true, 5, "a", Some(stopped));
    let active = peer(Role::Active, 5, "a");
    let mut seen = seen(Role::Standby, Some(&own), Some(&active));
    assert_eq!(next(&seen), Next::Follow { demote: false });
    seen.paused = true;
    assert!(reason(next(&seen)).contains("paused"));
}

#[test]
fn a_standby_whose_server_is_writable_or_forgot_its_source_is_fenced() {
    for own in [
        server(false, 5, "a", Some(replicating())),
        server(true, 5, "a", None),
    ] {
        assert!(matches!(
            next(&seen(Role::Standby, Some(&own), None)),
            Next::Fence(_)
        ));
    }
}

#[test]
fn a_fenced_node_never_takes_over_from_silence() {
    let own = server(true, 5, "b", None);
    for was in [
        Was::New,
        Was::Active,
        Was::Standby,
        Was::Yielded {
            at: gtid("0-1-100"),
        },
    ] {
        let next = next(&Seen {
            was,
            vip: Vip::HereToStay,
            ..seen(Role::Fenced, Some(&own), None)
        });
        assert!(reason(next).contains("--force"), "{was:?}");
    }
    let alone = next(&Seen {
        was: Was::Active,
        standalone: true,
        ..seen(Role::Fenced, Some(&own), None)
    });
    assert_eq!(alone, Next::TakeOver(Cause::Standalone));
}

#[test]
fn a_fenced_node_follows_an_active_one_by_what_it_was() {
    let active = peer(Role::Active, 6, "a");
    let handed = server(true, 5, "b", None);
    let follow = |was| {
        next(&Seen {
            was,
            ..seen(Role::Fenced, Some(&handed), Some(&active))
        })
    };
    assert_eq!(
        follow(Was::Yielded {
            at: gtid("0-1-100")
        }),
        Next::Follow { demote: true }
    );
    // It wrote something since: that has to be looked at by a person.
    assert!(reason(follow(Was::Yielded { at: gtid("0-1-99") })).contains("rejoin"));
    assert!(reason(follow(Was::Active)).contains("rejoin"));
    assert!(reason(follow(Was::New)).contains("bootstrap"));

    let stopped = Replication {
        io: "No".into(),
        sql: false,
        ..Replication::default()
    };
    let standby = server(true, 6, "a", Some(stopped));
    assert_eq!(
        next(&seen(Role::Fenced, Some(&standby), Some(&active))),
        Next::Follow { demote: false }
    );
    let running = server(true, 6, "a", Some(replicating()));
    assert_eq!(
        next(&seen(Role::Fenced, Some(&running), Some(&active))),
        Next::BecomeStandby
    );
    let uncompared = Seen {
        was: Was::New,
        ..seen(Role::Fenced, Some(&running), Some(&active))
    };
    assert!(reason(next(&uncompared)).contains("not compared"));
    let old = server(true, 5, "b", Some(replicating()));
    assert!(reason(next(&seen(Role::Fenced, Some(&old), Some(&active)))).contains("catching up"));
}

#[test]
fn of_two_idle_nodes_the_one_that_was_active_last_goes_on() {
    let fenced = peer(Role::Fenced, 5, "a");
    let mine = server(true, 5, "b", None);
    let theirs = server(true, 5, "a", Some(replicating()));
    assert_eq!(
        next(&seen(Role::Fenced, Some(&mine), Some(&fenced))),
        Next::TakeOver(Cause::Return)
    );
    assert!(reason(next(&seen(Role::Fenced, Some(&theirs), Some(&fenced)))).contains("goes first"));
    let newer = peer(Role::Fenced, 6, "a");
    assert!(reason(next(&seen(Role::Fenced, Some(&mine), Some(&newer)))).contains("newer epoch"));
    // What its server has is not known: only the one that was active last may rest upon its own.
    let unseen = Status {
        server: None,
        ..fenced.clone()
    };
    assert!(
        reason(next(&seen(Role::Fenced, Some(&theirs), Some(&unseen)))).contains("does not answer")
    );
    assert_eq!(
        next(&seen(Role::Fenced, Some(&mine), Some(&unseen))),
        Next::TakeOver(Cause::Return)
    );
    // Rows that are being replaced count for nothing, neither ours nor the other's.
    let uncompared = Seen {
        was: Was::New,
        ..seen(Role::Fenced, Some(&mine), Some(&fenced))
    };
    assert!(reason(next(&uncompared)).contains("not whole"));
    let copying = Status {
        was: Was::New,
        ..newer.clone()
    };
    assert_eq!(
        next(&seen(Role::Fenced, Some(&mine), Some(&copying))),
        Next::TakeOver(Cause::Return)
    );
    // Who has more goes first.
    let mut more = peer(Role::Fenced, 5, "a");
    if let Some(server) = &mut more.server {
        server.position = gtid("0-1-101");
    }
    assert!(reason(next(&seen(Role::Fenced, Some(&mine), Some(&more)))).contains("newer commits"));
    let mut less = peer(Role::Fenced, 5, "a");
    if let Some(server) = &mut less.server {
        server.position = gtid("0-1-99");
    }
    assert_eq!(
        next(&seen(Role::Fenced, Some(&theirs), Some(&less))),
        Next::TakeOver(Cause::Return)
    );
    let asking = Status {
        asking: true,
        ..peer(Role::Fenced, 5, "a")
    };
    assert!(reason(next(&seen(Role::Fenced, Some(&mine), Some(&asking)))).contains("taking over"));
}
