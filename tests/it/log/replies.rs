//! Answers that are lost: the store finds out what became of an append, and says it once.

use daybook::commands::{CommandError, Door, DoorSettings, FixOutcome, Receipt, ReportPositions};
use daybook::store::{Store, StoreSettings};
use domain::track::FixReport;
use domain::vehicle::Vehicle;
use uuid::Uuid;

use super::scene::{
    Hold, append, count, ctx, declared, door, flaws, named, one, register, rename, settings, store,
    store_with, tenant, told, write,
};
use crate::support::{Fault, Proxy, TestDb};

const LOST: [Fault; 3] = [Fault::CutBefore, Fault::CutDuring, Fault::SwallowReply];

async fn scene() -> (TestDb, Proxy, Store) {
    let db = TestDb::create().await;
    let proxy = Proxy::start(&db.options());
    let store = store(proxy.options()).await;
    (db, proxy, store)
}

fn said(outcome: Result<Receipt, CommandError>) -> (i64, bool) {
    let receipt = outcome.unwrap();
    (receipt.version, receipt.replayed)
}

/// Sixty lost answers: every caller is told "kept", once, and what is decided next stands on it.
#[tokio::test]
async fn a_lost_answer_is_found_out() {
    let (db, proxy, store) = scene().await;
    let door = Door::new(store, DoorSettings::default());
    assert_eq!(
        said(door.execute::<Vehicle>(&ctx(), "bus", register(None)).await),
        (1, false)
    );
    for round in 0..20 {
        for (nth, fault) in LOST.into_iter().enumerate() {
            proxy.arm(&[fault]);
            let version = 2 + round * 3 + nth as i64;
            let name = format!("name {version}");
            let ctx = if round % 2 == 0 {
                declared(&name)
            } else {
                ctx()
            };
            let outcome = door
                .execute::<Vehicle>(&ctx, "bus", rename(&name, None))
                .await;
            assert_eq!(
                said(outcome),
                (version, false),
                "{fault:?} in round {round}"
            );
            assert!(proxy.is_spent(), "{fault:?} befell nobody");
        }
    }
    assert_eq!(count(db.pool(), "select count(*) from events").await, 61);
    // Only of those that somebody may send again.
    assert_eq!(count(db.pool(), "select count(*) from commands").await, 30);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_group_is_found_out_command_by_command() {
    let (db, proxy, store) = scene().await;
    for (round, fault) in LOST.into_iter().enumerate() {
        let id = Uuid::now_v7();
        let known = |version| named(id, 1, vec![write(&format!("known{round}"), version, 1)]);
        assert!(told(store.append(&tenant(), known(0)).await).starts_with("kept"));
        // Lost twice: the second attempt meets what the first has left.
        proxy.arm(&[fault, Fault::SwallowReply]);
        let stream = format!("s{round}");
        let group = vec![
            one(&stream, 0),
            one(&stream, 1),
            known(1),
            one(&format!("{stream}-other"), 7),
            one(&format!("{stream}-new"), 0),
        ];
        let submit = |append| store.submit(&tenant(), append).unwrap();
        let pending: Vec<_> = group.into_iter().map(submit).collect();
        let mut outcomes = Vec::new();
        for pending in pending {
            outcomes.push(told(pending.outcome().await));
        }
        let at = 4 * round as i64 + 1;
        let expected = [
            format!("kept p{} v1", at + 1),
            format!("kept p{} v2", at + 2),
            format!("replayed p{at} v1"),
            format!("conflict vehicle-{stream}-other v0"),
            format!("kept p{} v1", at + 3),
        ];
        assert_eq!(outcomes, expected, "{fault:?}");
        assert!(proxy.is_spent());
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// A group that was kept, of which nobody knows, and whose second attempt the database refuses: command by
/// command it is found out just the same.
#[tokio::test]
async fn a_group_that_is_cut_down_remembers_its_doubt() {
    let db = TestDb::create().await;
    let proxy = Proxy::start(&db.options());
    let settings = StoreSettings {
        races_max: 0,
        ..settings()
    };
    let store = store_with(proxy.options(), settings).await;
    assert_eq!(
        told(store.append(&tenant(), one("a", 0)).await),
        "kept p1 v1"
    );
    let mut hold = Hold::head(db.options()).await;
    proxy.arm(&[Fault::CutDuring]);
    let group = [
        one("a", 1),
        one("a", 2),
        named(Uuid::now_v7(), 1, vec![write("b", 0, 1)]),
        one("c", 0),
        append(vec![write("d", 0, 1), write("e", 0, 1)]),
    ];
    let pending = group.map(|append| store.submit(&tenant(), append).unwrap());
    // The first attempt, which nobody listens to any more, and the second behind it.
    hold.until_waiting(2).await;
    hold.release().await;
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    let expected = [
        "kept p2 v2",
        "kept p3 v3",
        "kept p4 v1",
        "kept p5 v1",
        "kept p7 v0",
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(count(db.pool(), "select count(*) from events").await, 7);

    // One alone is a group too.
    let mut hold = Hold::head(db.options()).await;
    proxy.arm(&[Fault::CutDuring]);
    let pending = store.submit(&tenant(), one("a", 3)).unwrap();
    hold.until_waiting(2).await;
    hold.release().await;
    assert_eq!(told(pending.outcome().await), "kept p8 v4");
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// What was kept long ago stays a replay, with the first answer, even if the answer is lost again.
#[tokio::test]
async fn a_replay_stays_a_replay() {
    let (db, proxy, store) = scene().await;
    let first = door(db.options()).await;
    assert_eq!(
        said(
            first
                .execute::<Vehicle>(&ctx(), "bus", register(None))
                .await
        ),
        (1, false)
    );
    let fix = |second, lat| FixReport {
        vehicle: "bus".to_owned(),
        fix_time: format!("2026-01-04T10:00:{second:02}Z"),
        lat,
        lon: 10.0,
        ..FixReport::default()
    };
    let report = || ReportPositions {
        fixes: vec![fix(1, 50.0), fix(1, 50.0), fix(2, 95.0), fix(3, 51.0)],
        may_register: false,
    };
    let told = first
        .report_positions(&declared("r1"), report())
        .await
        .unwrap();
    assert_eq!(told.outcomes[0], FixOutcome::Accepted);
    for fault in LOST {
        // A door that remembers nothing.
        let door = Door::new(store.clone(), DoorSettings::default());
        proxy.arm(&[fault]);
        let again = door
            .report_positions(&declared("r1"), report())
            .await
            .unwrap();
        // A declared report is looked up before it is decided: it may not come to an append at all.
        assert_eq!(again.outcomes, told.outcomes, "{fault:?}");
        assert_eq!(again.receipt.position, told.receipt.position);
        assert!(again.receipt.replayed);
        // Without new facts: all of them are known by now.
        proxy.arm(&[fault]);
        let known = door.report_positions(&ctx(), report()).await.unwrap();
        let duplicate = FixOutcome::Duplicate { differs: false };
        assert_eq!(known.outcomes[0], duplicate);
        assert_eq!(known.outcomes[3], duplicate);
    }
    assert_eq!(count(db.pool(), "select count(*) from events").await, 2);
}

/// A server that is silent is taken for lost after a while; asking again is safe.
#[tokio::test]
async fn silence_is_not_waited_for_for_ever() {
    let db = TestDb::create().await;
    let proxy = Proxy::start(&db.options());
    let settings = StoreSettings {
        write_timeout_ms: 300,
        ..settings()
    };
    let store = store_with(proxy.options(), settings).await;
    assert_eq!(
        told(store.append(&tenant(), one("a", 0)).await),
        "kept p1 v1"
    );
    proxy.arm(&[Fault::Silence]);
    let id = Uuid::now_v7();
    let wish = || named(id, 1, vec![write("a", 1, 1)]);
    let outcome = told(store.append(&tenant(), wish()).await);
    assert!(
        outcome.starts_with("fault: the database is unavailable"),
        "{outcome}"
    );
    assert_eq!(
        told(store.append(&tenant(), wish()).await),
        "replayed p2 v2"
    );
    assert_eq!(
        told(store.append(&tenant(), one("a", 2)).await),
        "kept p3 v3"
    );
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}
