//! One append and what comes of it: versions, positions, receipts, replays, conflicts, claims.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use daybook::store::{Append, AppendError, PageLimits, Store, StoreError, StoreSettings};
use domain::Position;
use uuid::Uuid;

use super::scene::{
    Hold, append, claim, count, event, flaws, named, one, rejected, settings, store, store_with,
    tenant, told, vehicle, write,
};
use crate::support::{TestDb, eventually};

/// Appends in turn and compares what each caller is told.
async fn check(store: &Store, steps: Vec<(Append, &str)>) {
    for (nth, (append, expected)) in steps.into_iter().enumerate() {
        let outcome = told(store.append(&tenant(), append).await);
        assert_eq!(outcome, expected, "step {nth}");
    }
}

#[tokio::test]
async fn versions_and_positions_follow_one_another() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let steps = vec![
        (one("a", 0), "kept p1 v1"),
        (append(vec![write("a", 1, 3)]), "kept p4 v4"),
        (append(vec![write("b", 0, 2)]), "kept p6 v2"),
        // A stream is not where the caller thinks: behind, ahead, not there, there already.
        (one("a", 1), "conflict vehicle-a v4"),
        (one("a", 9), "conflict vehicle-a v4"),
        (one("c", 1), "conflict vehicle-c v0"),
        (one("b", 0), "conflict vehicle-b v2"),
        (one("a", -1), "conflict vehicle-a v4"),
        (one("a", i64::MAX - 1), "conflict vehicle-a v4"),
        // Nothing to append: told the head and the version.
        (append(vec![write("a", 4, 0)]), "kept p6 v4"),
        (append(vec![write("nobody", 0, 0)]), "kept p6 v0"),
        (append(vec![]), "kept p6 v0"),
        (append(vec![write("b", 1, 0)]), "conflict vehicle-b v2"),
        (one("c", 0), "kept p7 v1"),
    ];
    check(&store, steps).await;
    assert_eq!(flaws(db.pool()).await, [""; 0]);

    let page = store
        .read_log(&tenant(), Position(4), PageLimits::default())
        .await;
    let read: Vec<_> = page
        .unwrap()
        .iter()
        .map(|e| (e.position.0, e.aggregate_id.to_string(), e.sequence))
        .collect();
    let place = |p, id: &str, s| (p, id.to_owned(), s);
    assert_eq!(read, [place(5, "b", 1), place(6, "b", 2), place(7, "c", 1)]);
    assert_eq!(store.head("default").await.unwrap(), Position(7));
}

#[tokio::test]
async fn several_streams_are_written_all_or_none() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let both = |a, b| append(vec![write("a", a, 2), write("b", b, 1)]);
    let steps = vec![
        (both(0, 0), "kept p3 v0"),
        (both(2, 0), "conflict vehicle-b v1"),
        (both(0, 1), "conflict vehicle-a v2"),
        // The receipt speaks of the one stream that is written, whatever others are relied on.
        (
            append(vec![write("b", 1, 0), write("a", 2, 1)]),
            "kept p4 v3",
        ),
        (
            append(vec![write("a", 3, 1), write("b", 0, 0)]),
            "conflict vehicle-b v1",
        ),
        (
            append(vec![write("a", 3, 0), write("b", 1, 0)]),
            "kept p4 v3",
        ),
        (both(3, 1), "kept p7 v0"),
    ];
    check(&store, steps).await;
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_command_is_kept_once_whoever_repeats_it() {
    let db = TestDb::create().await;
    let (first, second) = (store(db.options()).await, store(db.options()).await);
    let (wrote, said_nothing, many) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let receipt = Some(r#"{"duplicate":[1]}"#.to_owned());
    let command = |id| Append {
        receipt: receipt.clone(),
        ..named(id, 1, vec![write("a", 0, 2)])
    };
    let steps = vec![
        (command(wrote), "kept p2 v2"),
        (named(said_nothing, 1, vec![write("a", 2, 0)]), "kept p2 v2"),
        (
            named(many, 1, vec![write("b", 0, 1), write("a", 2, 1)]),
            "kept p4 v0",
        ),
        (one("a", 3), "kept p5 v4"),
    ];
    check(&first, steps).await;

    let restarted = store(db.options()).await;
    for store in [&first, &second, &restarted] {
        let steps = vec![
            (command(wrote), "replayed p2 v2"),
            // A retry may have been decided anew, on another state.
            (named(wrote, 1, vec![write("a", 3, 1)]), "replayed p2 v2"),
            (named(wrote, 1, vec![]), "replayed p2 v2"),
            (named(wrote, 2, vec![write("a", 4, 1)]), "reused"),
            (
                named(said_nothing, 1, vec![write("a", 2, 0)]),
                "replayed p5 v2",
            ),
            (
                named(many, 1, vec![write("b", 0, 1), write("a", 2, 1)]),
                "replayed p4 v0",
            ),
        ];
        check(store, steps).await;
        let again = store.append(&tenant(), command(wrote)).await.unwrap();
        assert_eq!(again.receipt, receipt);
        let seen = store.seen("default", wrote, &[1; 16]).await.unwrap();
        assert_eq!(told(seen.unwrap()), "replayed p2 v2");
        let seen = store.seen("default", wrote, &[2; 16]).await.unwrap();
        assert_eq!(told(seen.unwrap()), "reused");
        let seen = store.seen("default", Uuid::now_v7(), &[1; 16]).await;
        assert!(seen.unwrap().is_none());
    }
    assert_eq!(store_head(&first).await, 5);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

async fn store_head(store: &Store) -> i64 {
    store.head("default").await.unwrap().0
}

#[tokio::test]
async fn fifty_copies_of_a_command_are_one_append_and_forty_nine_replays() {
    let db = TestDb::create().await;
    let stores = [store(db.options()).await, store(db.options()).await];
    let id = Uuid::now_v7();
    let copies = (0..50).map(|i| {
        let store = stores[i % 2].clone();
        tokio::spawn(async move {
            let copy = named(id, 1, vec![write("a", 0, 1)]);
            told(store.append(&tenant(), copy).await)
        })
    });
    let mut told = Vec::new();
    for copy in copies.collect::<Vec<_>>() {
        told.push(copy.await.unwrap());
    }
    told.sort();
    assert_eq!(told[0], "kept p1 v1");
    assert_eq!(told[1..], vec!["replayed p1 v1"; 49]);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_value_is_held_by_one_object() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let with = |id: &str, expected, claims: &[(&str, bool)]| Append {
        claims: claims.iter().map(|(v, r)| claim(v, id, *r)).collect(),
        ..one(id, expected)
    };
    let steps = vec![
        (with("a", 0, &[("W-1", false)]), "kept p1 v1"),
        (
            with("b", 0, &[("X-1", false), ("W-1", false)]),
            "claimed 1 by a",
        ),
        // Whoever holds it may say so again; whoever does not cannot give it back.
        (with("a", 1, &[("W-1", false)]), "kept p2 v2"),
        (with("b", 0, &[("W-1", true)]), "kept p3 v1"),
        (with("c", 0, &[("W-1", false)]), "claimed 0 by a"),
        (with("a", 2, &[("W-1", true), ("X-1", false)]), "kept p4 v3"),
        (with("b", 1, &[("W-1", false)]), "kept p5 v2"),
        (with("a", 3, &[("W-1", false)]), "claimed 0 by b"),
        // What is not kept claims nothing.
        (with("c", 7, &[("Z-1", false)]), "conflict vehicle-c v0"),
        (with("d", 0, &[("Z-1", false)]), "kept p6 v1"),
    ];
    check(&store, steps).await;
    let hashes = ["W-1", "X-1", "Y-1", "Z-1"].map(|v| claim(v, "", false).value_hash);
    let asked = hashes.map(|hash| ("vehicle.plate", hash));
    let mut holders = store.claim_holders("default", &asked).await.unwrap();
    holders.sort();
    let expected = [(0, "b"), (1, "a"), (3, "d")].map(|(i, id)| (i, id.to_owned()));
    assert_eq!(holders, expected);
}

#[tokio::test]
async fn racing_for_a_value_has_one_winner() {
    let db = TestDb::create().await;
    let stores = [store(db.options()).await, store(db.options()).await];
    let racers = (0..40).map(|i| {
        let store = stores[i % 2].clone();
        tokio::spawn(async move {
            let id = format!("v{}", i / 4);
            let racer = Append {
                claims: vec![claim(&format!("W-{}", i % 4), &id, false)],
                ..append(vec![write(&format!("{id}-{i}"), 0, 1)])
            };
            store.append(&tenant(), racer).await.is_ok()
        })
    });
    let mut kept = 0;
    for racer in racers.collect::<Vec<_>>() {
        kept += i64::from(racer.await.unwrap());
    }
    // Four values, and each of them asked for by ten holders once.
    assert_eq!(kept, 4);
    assert_eq!(count(db.pool(), "select count(*) from claims").await, 4);
    assert_eq!(count(db.pool(), "select count(*) from events").await, 4);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn refused_records_are_kept_with_their_command_or_not_at_all() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let with = |expected| Append {
        rejected: vec![rejected(r#"{"lat":0,"lon":0}"#), rejected(r#""\u00e9""#)],
        ..one("a", expected)
    };
    let only = Append {
        rejected: vec![rejected("3")],
        ..append(vec![])
    };
    let (kept, lost) = (with(0), with(0));
    let kept_id = kept.command_id;
    let steps = vec![
        (kept, "kept p1 v1"),
        (lost, "conflict vehicle-a v1"),
        (only, "kept p1 v0"),
    ];
    check(&store, steps).await;
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select source, code, record::text, details->'facts'->>'lat' from rejected_records
         where command_id = $1 order by id",
    )
    .bind(kept_id)
    .fetch_all(db.pool())
    .await
    .unwrap();
    let row = |record: &str| {
        ["test", "NULL_ISLAND", record, "0"]
            .map(str::to_owned)
            .into()
    };
    assert_eq!(rows, [row(r#"{"lat":0,"lon":0}"#), row(r#""\u00e9""#)]);
    assert_eq!(
        count(db.pool(), "select count(*) from rejected_records").await,
        3
    );
}

#[tokio::test]
async fn a_tenant_without_a_log_gets_nothing_acknowledged() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        lanes_max: 2,
        lane_idle_s: 0,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    // More of them than lanes: those without work make room.
    for tenant in ["nobody", "no one", "none", "nil", "naught"] {
        for command in [one("a", 0), append(vec![])] {
            let outcome = told(store.append(&tenant.into(), command).await);
            assert_eq!(outcome, format!("fault: no log for tenant {tenant:?}"));
        }
        let head = store.head(tenant).await;
        assert!(matches!(head, Err(StoreError::UnknownTenant(_))));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for table in ["commands", "streams", "events", "claims"] {
        let rows = count(db.pool(), &format!("select count(*) from {table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
    check(&store, vec![(one("a", 0), "kept p1 v1")]).await;
}

#[tokio::test]
async fn tenants_have_logs_of_their_own() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    sqlx::query("insert into logs (tenant) values ('other')")
        .execute(db.pool())
        .await
        .unwrap();
    let id = Uuid::now_v7();
    for tenant in ["default", "other"] {
        for expected in ["kept p1 v1", "replayed p1 v1"] {
            let command = Append {
                claims: vec![claim("W-1", "a", false)],
                ..named(id, 1, vec![write("a", 0, 1)])
            };
            let outcome = store.append(&tenant.into(), command).await;
            assert_eq!(told(outcome), expected, "{tenant}");
        }
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// Each of these waits for its turn together with the others, in one group.
#[tokio::test]
async fn what_is_decided_on_one_version_is_kept_once_even_in_one_group() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    check(&store, vec![(one("a", 0), "kept p1 v1")]).await;

    let mut hold = Hold::head(db.options()).await;
    let filler = store.submit(&tenant(), one("filler", 0)).unwrap();
    hold.until_waiting(1).await;
    let group = [
        one("a", 1),
        one("a", 1),
        append(vec![write("a", 1, 0), write("b", 0, 1)]),
        append(vec![write("a", 2, 0), write("c", 0, 1)]),
        one("a", 3),
        one("a", 2),
    ];
    let mut pending = vec![filler];
    pending.extend(group.map(|append| store.submit(&tenant(), append).unwrap()));
    hold.release().await;

    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
    assert_eq!(outcomes[..2], ["kept p2 v1", "kept p3 v2"]);
    assert_eq!(outcomes[2], "conflict vehicle-a v2");
    assert_eq!(outcomes[3], "conflict vehicle-a v2", "relied on version 1");
    assert!(!outcomes[5].starts_with("fault"), "{outcomes:?}");
    let kept = outcomes.iter().filter(|o| o.starts_with("kept")).count() as i64;
    assert_eq!(
        count(db.pool(), "select count(*) from events").await,
        1 + kept
    );
}

#[tokio::test]
async fn one_that_the_database_refuses_does_not_take_its_neighbours_along() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let broken = |id: &str, payload: &str| {
        let mut append = one(id, 0);
        append.writes[0].events[0].payload = payload.to_owned();
        append
    };
    let mut hold = Hold::head(db.options()).await;
    let filler = store.submit(&tenant(), one("filler", 0)).unwrap();
    hold.until_waiting(1).await;
    let group = [
        one("a", 0),
        broken("b", "{"),
        one("c", 0),
        broken("d\0", "{}"),
        one("e", 0),
    ];
    let pending = group.map(|append| store.submit(&tenant(), append).unwrap());
    hold.release().await;
    filler.outcome().await.unwrap();
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    for (i, expected) in [(0, "kept p2 v1"), (2, "kept p3 v1"), (4, "kept p4 v1")] {
        assert_eq!(outcomes[i], expected);
    }
    for i in [1, 3] {
        assert!(
            outcomes[i].starts_with("fault: the database refused"),
            "{outcomes:?}"
        );
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_caller_that_goes_away_changes_nothing() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let mut hold = Hold::head(db.options()).await;
    drop(store.submit(&tenant(), one("a", 0)).unwrap());
    hold.until_waiting(1).await;
    let aborted = tokio::spawn({
        let store = store.clone();
        async move { store.append(&tenant(), one("b", 0)).await.is_ok() }
    });
    tokio::task::yield_now().await;
    aborted.abort();
    assert!(aborted.await.is_err());
    hold.release().await;
    check(&store, vec![(one("c", 0), "kept p3 v1")]).await;
    assert_eq!(
        store
            .stream_version("default", &vehicle("b"))
            .await
            .unwrap(),
        1
    );
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_keeps_what_it_has_taken() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        queue_max: 4,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let mut hold = Hold::head(db.options()).await;
    let filler = store.submit(&tenant(), one("filler", 0)).unwrap();
    hold.until_waiting(1).await;
    let (mut pending, mut refused) = (vec![filler], 0);
    for i in 0..40 {
        match store.submit(&tenant(), one(&format!("v{i}"), 0)) {
            Ok(taken) => pending.push(taken),
            Err(e) => {
                assert_eq!(told(Err(e)), "overloaded");
                refused += 1;
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(refused > 0, "the queue is bounded");
    hold.release().await;
    let taken = pending.len();
    for pending in pending {
        pending.outcome().await.unwrap();
    }
    assert_eq!(
        count(db.pool(), "select count(*) from events").await,
        taken as i64
    );
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_queue_is_bounded_in_bytes_too() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        queue_bytes_max: 10_000,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let heavy = |id: &str, bytes: usize| {
        let mut append = one(id, 0);
        append.writes[0].events[0] = event(&"x".repeat(bytes));
        append
    };
    let mut hold = Hold::head(db.options()).await;
    let mut pending = Vec::new();
    for i in 0..2 {
        pending.push(
            store
                .submit(&tenant(), heavy(&format!("v{i}"), 4_000))
                .unwrap(),
        );
    }
    hold.until_waiting(1).await;
    let refused = store.submit(&tenant(), heavy("v2", 4_000)).err().unwrap();
    assert_eq!(told(Err(refused)), "overloaded");
    pending.push(store.submit(&tenant(), heavy("v3", 1_000)).unwrap());
    hold.release().await;
    for pending in pending {
        pending.outcome().await.unwrap();
    }
    // The bytes are given back, and what is too large for any queue is taken alone.
    let steps = (4..30).map(|i| (heavy(&format!("v{i}"), 4_000), format!("kept p{i} v1")));
    for (append, expected) in steps {
        assert_eq!(told(store.append(&tenant(), append).await), expected);
    }
    check(&store, vec![(heavy("huge", 1 << 20), "kept p30 v1")]).await;
}

#[tokio::test]
async fn bulk_and_small_appends_keep_the_order_of_their_streams() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        bulk_bytes_min: 1 << 10,
        bulk_group_bytes_max: 4 << 10,
        group_commands_max: 8,
        second_group_commands_min: 2,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let mut pending = Vec::new();
    let mut versions = [0; 5];
    for i in 0..200_usize {
        let stream = i * 7 % 5;
        let mut append = one(&format!("v{stream}"), versions[stream]);
        if i % 3 == 0 {
            append.writes[0].events.push(event(&"x".repeat(1_500)));
        }
        versions[stream] += append.writes[0].events.len() as i64;
        pending.push(store.submit(&tenant(), append).unwrap());
    }
    for (nth, pending) in pending.into_iter().enumerate() {
        let outcome = told(pending.outcome().await);
        assert!(outcome.starts_with("kept"), "{nth}: {outcome}");
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn groups_that_rely_on_one_stream_are_under_way_at_once() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        second_group_commands_min: 1,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    check(&store, vec![(one("rules", 0), "kept p1 v1")]).await;
    let relying = |id: &str, version| append(vec![write(id, 0, 1), write("rules", version, 0)]);

    let mut hold = Hold::head(db.options()).await;
    let mut pending = Vec::new();
    for (waiting, id) in [(1, "a"), (2, "b")] {
        pending.push(store.submit(&tenant(), relying(id, 1)).unwrap());
        hold.until_waiting(waiting).await;
    }
    // Whoever writes it waits for both, and whoever was decided upon that waits for it.
    for append in [one("rules", 1), relying("c", 2), relying("d", 1)] {
        pending.push(store.submit(&tenant(), append).unwrap());
    }
    hold.release().await;
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    outcomes[..2].sort();
    assert_eq!(outcomes[..3], ["kept p2 v1", "kept p3 v1", "kept p4 v2"]);
    assert_eq!(outcomes[3], "kept p5 v1");
    assert_eq!(outcomes[4], "conflict vehicle-rules v2");
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn what_another_process_moves_is_relied_on_no_more() {
    let db = TestDb::create().await;
    let (ours, theirs) = (store(db.options()).await, store(db.options()).await);
    check(&ours, vec![(one("rules", 0), "kept p1 v1")]).await;
    let relying = |id: &str| append(vec![write(id, 0, 1), write("rules", 1, 0)]);

    let mut hold = Hold::head(db.options()).await;
    let moving = theirs.submit(&tenant(), one("rules", 1)).unwrap();
    hold.until_waiting(1).await;
    let late = ours.submit(&tenant(), relying("a")).unwrap();
    hold.until_waiting(2).await;
    hold.release().await;
    assert_eq!(told(moving.outcome().await), "kept p2 v2");
    let late = told(late.outcome().await);
    assert_eq!(late, "conflict vehicle-rules v2");
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// What is not there yet is relied on too, and begun by others meanwhile.
#[tokio::test]
async fn what_another_process_begins_is_relied_on_no_more() {
    let db = TestDb::create().await;
    let (ours, theirs) = (store(db.options()).await, store(db.options()).await);
    let relying = |id: &str, on: &str| append(vec![write(id, 0, 1), write(on, 0, 0)]);
    check(&ours, vec![(relying("a", "rules"), "kept p1 v1")]).await;

    let mut hold = Hold::head(db.options()).await;
    let beginning = theirs.submit(&tenant(), one("rules", 0)).unwrap();
    hold.until_waiting(1).await;
    let late = ours.submit(&tenant(), relying("b", "rules")).unwrap();
    let other = ours.submit(&tenant(), relying("c", "nothing")).unwrap();
    hold.until_waiting(2).await;
    hold.release().await;
    assert_eq!(told(beginning.outcome().await), "kept p2 v1");
    let late = told(late.outcome().await);
    assert_eq!(late, "conflict vehicle-rules v1");
    assert_eq!(told(other.outcome().await), "kept p3 v1");
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn who_relies_on_one_stream_is_not_refused_with_others_who_do() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    check(&store, vec![(one("rules", 0), "kept p1 v1")]).await;
    let joining = |id: &str| Append {
        claims: vec![claim("the last place", id, false)],
        ..append(vec![write(id, 0, 1), write("rules", 1, 0)])
    };
    check(&store, vec![(joining("a"), "kept p2 v1")]).await;

    let mut hold = Hold::head(db.options()).await;
    let filler = store.submit(&tenant(), one("filler", 0)).unwrap();
    hold.until_waiting(1).await;
    let group = [
        append(vec![write("b", 0, 1), write("rules", 1, 0)]),
        joining("c"),
        append(vec![write("d", 0, 1), write("rules", 1, 0)]),
    ];
    let pending = group.map(|append| store.submit(&tenant(), append).unwrap());
    hold.release().await;
    assert_eq!(told(filler.outcome().await), "kept p3 v1");
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    let expected = ["kept p4 v1", "claimed 0 by a", "kept p5 v1"];
    assert_eq!(outcomes, expected);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// Two groups are due; the first must have more than its half, and the other leaves with what is left.
#[tokio::test]
async fn what_is_left_of_those_shared_out_does_not_wait() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        second_group_commands_min: 2,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let mut hold = Hold::head(db.options()).await;
    let all = [one("a", 0), one("a", 1), one("a", 2), one("b", 0)];
    let pending = all.map(|append| store.submit(&tenant(), append).unwrap());
    hold.until_waiting(2).await;
    hold.release().await;
    for pending in pending {
        assert!(told(pending.outcome().await).starts_with("kept"));
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// What only relies on streams takes no lock that what writes them could wait for in a ring.
#[tokio::test]
async fn relying_and_writing_never_deadlock() {
    let db = TestDb::create().await;
    let (ours, theirs) = (store(db.options()).await, store(db.options()).await);
    let ids: Vec<_> = (0..30).map(|i| format!("v{i:02}")).collect();
    let at = Arc::new(AtomicI64::new(0));
    let writer = tokio::spawn({
        let (ids, at) = (ids.clone(), at.clone());
        async move {
            for version in 0..150 {
                let all = ids.iter().map(|id| write(id, version, 1)).collect();
                assert!(told(theirs.append(&tenant(), append(all)).await).starts_with("kept"));
                at.store(version + 1, Ordering::Relaxed);
            }
        }
    });
    let (mut kept, mut moved) = (0, 0);
    while !writer.is_finished() {
        let version = at.load(Ordering::Relaxed);
        let all = ids.iter().rev().map(|id| write(id, version, 0)).collect();
        match ours.append(&tenant(), append(all)).await {
            Ok(_) => kept += 1,
            Err(AppendError::Conflict { .. }) => moved += 1,
            Err(e) => panic!("{e}"),
        }
    }
    writer.await.unwrap();
    assert!(
        kept > 0 && moved > 0,
        "{kept} kept, {moved} moved: hardly a race"
    );
    sqlx::raw_sql("select pg_stat_force_next_flush()")
        .execute(ours.pool())
        .await
        .unwrap();
    drop(ours);
    eventually("the server has counted", async || {
        let busy = "select count(*) from pg_stat_activity
                    where datname = current_database() and application_name = 'daybook-unsafe'";
        count(db.pool(), busy).await == 0
    })
    .await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(count(db.pool(), deadlocks).await, 0);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}
