//! Parking: where every row is of one stream, poison holds up its own stream, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use daybook::consumers::{
    ConsumerError, ConsumerSettings, Consumers, Decider, Status, failed_events,
};
use daybook::store::Store;
use domain::Position;
use projections::AnyProjection;

use super::poison::{UNREADABLE, without};
use super::scene::{
    CREATED, Fact, Process, TENANT, append, append_many, caught_up, jitter, live, settings, start,
    status_of, stopped, store, truth,
};
use super::tally::{Counts, Tally};
use crate::support::{TestDb, eventually};

/// What a tally refuses to fold, until it is mended.
pub const REFUSED: Fact<'static> = ("fleet", "fleet.created", "1", r#"{"name":"refused"}"#);

pub fn keyed() -> Arc<dyn AnyProjection> {
    Arc::new(Tally {
        by_stream: true,
        ..Tally::default()
    })
}

/// A release that can take in what was refused.
pub fn mended() -> Arc<dyn AnyProjection> {
    Arc::new(Tally {
        by_stream: true,
        refuses: None,
        ..Tally::default()
    })
}

pub fn ann() -> Decider {
    Decider::of("user:ann")
}

async fn start_bounded(store: &Store, parked_streams_max: usize) -> Consumers {
    let settings = ConsumerSettings {
        parked_streams_max,
        ..settings()
    };
    let started = Consumers::start(store.clone(), vec![keyed()], settings);
    started.await.unwrap()
}

/// Waits until so many streams are parked, and the checkpoint is at the head.
pub async fn parked(consumers: &Consumers, streams: i32) {
    eventually(
        &format!("{streams} streams are parked at the head"),
        async || {
            let status = status_of(consumers, "tally").await;
            status.parked_streams == streams && status.lag_events == 0
        },
    )
    .await;
    assert_eq!(
        status_of(consumers, "tally").await.status,
        Status::Running,
        "nothing has stopped"
    );
}

/// Where streams are parked by now, the last first, and how often what they are parked at was tried.
pub async fn places(store: &Store) -> Vec<(String, i64, i32)> {
    let failed = failed_events(store, TENANT, Some("tally"), None, 100);
    let failed = failed.await.unwrap().into_iter();
    failed
        .filter_map(|f| f.parked.map(|(_, id)| (id, f.position.0, f.attempts)))
        .collect()
}

/// What must be there while these streams are parked at these positions.
pub async fn held_up(db: &TestDb, streams: &[(&str, Position)]) -> Counts {
    let (_, _, position) = live(db.pool(), "tally").await;
    let mut counts = truth(db.pool(), position).await;
    for (fleet, at) in streams {
        let before = truth(db.pool(), Position(at.0 - 1)).await;
        match before.get(*fleet) {
            Some(before) => counts.insert((*fleet).to_owned(), *before),
            None => counts.remove(*fleet),
        };
    }
    counts
}

#[tokio::test]
async fn poison_parks_its_stream_and_all_others_go_on_until_someone_decides() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let mut excluded = Vec::new();
    let unreadable = UNREADABLE
        .iter()
        .map(|(event_type, version, payload, said)| {
            ("f1", ("fleet", *event_type, *version, *payload), *said)
        });
    let unwritable = ("unwritable", CREATED, "check constraint");
    for (fleet, poison, said) in unreadable.chain([unwritable]) {
        append_many(db.pool(), 40, 3).await;
        let at = append(db.pool(), fleet, &[poison]).await;
        append_many(db.pool(), 40, 3).await;
        excluded.push(at.0);
        parked(&consumers, 1).await;
        let place = &places(&store).await[0];
        assert_eq!((place.0.as_str(), place.1), (fleet, at.0), "{poison:?}");
        let mut expected = held_up(&db, &[(fleet, at)]).await;
        if let Some(entry) = expected.get_mut("f1") {
            // What was skipped before stays away.
            for gone in excluded.iter().filter(|gone| **gone < at.0) {
                *entry = (entry.0 - 1, entry.1 - gone);
            }
        }
        assert_eq!(live(db.pool(), "tally").await.0, expected, "{poison:?}");
        let failed = failed_events(&store, TENANT, None, None, 1).await.unwrap();
        assert!(failed[0].error.contains(said), "{:?}", failed[0]);
        assert!(!failed[0].blocks, "nothing stops there");
        for elsewhere in [at.0 - 1, at.0 + 1] {
            let elsewhere = Position(elsewhere);
            let refused = consumers
                .skip(TENANT, "tally", elsewhere, "user:ann", "no")
                .await;
            assert!(
                matches!(refused, Err(ConsumerError::NotStoppedThere { .. })),
                "{refused:?}"
            );
        }
        consumers
            .skip(TENANT, "tally", at, "user:ann", "a test's own")
            .await
            .unwrap();
        parked(&consumers, 0).await;
        let (counts, _, position) = live(db.pool(), "tally").await;
        assert_eq!(counts, without(&db, position, &excluded).await);
    }
    consumers.stop().await;
}

#[tokio::test]
async fn a_parked_stream_is_tried_again_when_asked_and_whole_once_the_cause_is_mended() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 40, 3).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[REFUSED, CREATED]).await.0 - 1;
    append_many(db.pool(), 40, 3).await;
    parked(&consumers, 1).await;
    assert_eq!(places(&store).await, [("f1".to_owned(), at, 1)]);
    consumers
        .retry(TENANT, "tally", Position(at), &ann())
        .await
        .unwrap();
    eventually("it is tried again", async || {
        places(&store).await == [("f1".to_owned(), at, 2)]
    })
    .await;
    parked(&consumers, 1).await;
    consumers.stop().await;

    // Nobody tries it by himself.
    let consumers = start(&store, &[mended()]).await;
    append_many(db.pool(), 40, 3).await;
    parked(&consumers, 1).await;
    let expected = held_up(&db, &[("f1", Position(at))]).await;
    assert_eq!(live(db.pool(), "tally").await.0, expected);
    consumers
        .retry(TENANT, "tally", Position(at), &ann())
        .await
        .unwrap();
    parked(&consumers, 0).await;
    caught_up(db.pool(), "tally").await;
    let decisions = daybook::consumers::decisions(&store, TENANT, Some("tally"), None, 10);
    let decided: Vec<_> = decisions.await.unwrap();
    let decided: Vec<_> = decided
        .iter()
        .map(|d| (d.action.as_str(), d.position, d.by.as_str()))
        .collect();
    assert_eq!(
        decided,
        [("resume", Some(Position(at)), "user:ann"); 2],
        "both are kept"
    );
    consumers.stop().await;
}

#[tokio::test]
async fn a_second_poison_event_parks_its_stream_again_where_it_is() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let first = append(db.pool(), "f1", &[CREATED, REFUSED]).await;
    append_many(db.pool(), 30, 3).await;
    let second = append(db.pool(), "f1", &[REFUSED]).await;
    append_many(db.pool(), 30, 3).await;
    parked(&consumers, 1).await;
    consumers
        .skip(TENANT, "tally", first, "user:ann", "lost")
        .await
        .unwrap();
    eventually("it is parked at the second", async || {
        places(&store).await == [("f1".to_owned(), second.0, 1)]
    })
    .await;
    let mut expected = held_up(&db, &[("f1", second)]).await;
    let entry = expected.get_mut("f1").unwrap();
    *entry = (entry.0 - 1, entry.1 - first.0);
    assert_eq!(live(db.pool(), "tally").await.0, expected);
    consumers
        .skip(TENANT, "tally", second, "user:ann", "lost too")
        .await
        .unwrap();
    parked(&consumers, 0).await;
    let (counts, _, at) = live(db.pool(), "tally").await;
    assert_eq!(counts, without(&db, at, &[first.0, second.0]).await);
    consumers.stop().await;
}

#[tokio::test]
async fn resuming_tries_all_parked_streams_again() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    for fleet in ["f1", "f2", "f7"] {
        append(db.pool(), fleet, &[CREATED, REFUSED, CREATED]).await;
    }
    append_many(db.pool(), 40, 3).await;
    parked(&consumers, 3).await;
    consumers.stop().await;
    let consumers = start(&store, &[mended()]).await;
    consumers.resume(TENANT, "tally", &ann()).await.unwrap();
    parked(&consumers, 0).await;
    caught_up(db.pool(), "tally").await;
    consumers.stop().await;
}

#[tokio::test]
async fn no_more_streams_are_parked_than_may_be_and_the_next_stops_the_read_model() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start_bounded(&store, 2).await;
    let mut at = Vec::new();
    for fleet in ["f1", "f2", "f3"] {
        at.push(append(db.pool(), fleet, &[CREATED, REFUSED]).await);
        append_many(db.pool(), 20, 3).await;
    }
    let status = stopped(&consumers, "tally").await;
    assert_eq!(
        (status.position.0, status.parked_streams),
        (at[2].0 - 1, 2),
        "{status:?}"
    );
    // With one less the next can be parked: deciding on it lets all go on.
    consumers
        .skip(TENANT, "tally", at[0], "user:ann", "lost")
        .await
        .unwrap();
    parked(&consumers, 2).await;
    let streams: Vec<String> = places(&store).await.into_iter().map(|p| p.0).collect();
    assert_eq!(streams, ["f3", "f2"]);
    let mut expected = held_up(&db, &[("f2", at[1]), ("f3", at[2])]).await;
    let entry = expected.get_mut("f1").unwrap();
    *entry = (entry.0 - 1, entry.1 - at[0].0);
    assert_eq!(live(db.pool(), "tally").await.0, expected);
    consumers.stop().await;
}

#[tokio::test]
async fn none_is_parked_where_none_may_be_nor_for_what_is_no_events_fault() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start_bounded(&store, 0).await;
    let at = append(db.pool(), "f1", &[CREATED, REFUSED]).await;
    let status = stopped(&consumers, "tally").await;
    assert_eq!(
        (status.position.0, status.parked_streams),
        (at.0 - 1, 0),
        "{status:?}"
    );
    consumers.stop().await;

    // The statement fails whatever the event: no stream is to blame.
    let consumers = start(&store, &[mended()]).await;
    consumers.resume(TENANT, "tally", &ann()).await.unwrap();
    caught_up(db.pool(), "tally").await;
    sqlx::query("alter table read.tally_g1 rename column n to m")
        .execute(db.pool())
        .await
        .unwrap();
    append(db.pool(), "f2", &[CREATED]).await;
    let status = stopped(&consumers, "tally").await;
    assert_eq!(status.parked_streams, 0, "{status:?}");
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_taken_in_once_whoever_is_killed_meanwhile() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[CREATED, REFUSED]).await;
    append_many(db.pool(), 600, 3).await;
    parked(&consumers, 1).await;
    consumers.stop().await;
    daybook::consumers::skip(&store, TENANT, "tally", at, "user:ann", "lost")
        .await
        .unwrap();
    // Small pages that take long to write: each process ends in the middle of one, and another goes on.
    let settings = ConsumerSettings {
        batch_events_max: 3,
        ..settings()
    };
    let slow = || -> Vec<Arc<dyn AnyProjection>> {
        vec![Arc::new(Tally {
            by_stream: true,
            write_pause: Duration::from_millis(8),
            ..Tally::default()
        })]
    };
    let mut seen = Vec::new();
    for kill in 0..6 {
        let pair = [(); 2].map(|()| Process::start_with(db.options(), slow(), settings.clone()));
        append_many(db.pool(), 5, 3).await;
        tokio::time::sleep(Duration::from_millis(250) + jitter(kill, 200)).await;
        drop(pair);
        let folded_to: Option<i64> = sqlx::query_scalar("select folded_to from parked_streams")
            .fetch_optional(db.pool())
            .await
            .unwrap();
        seen.push(folded_to);
    }
    assert!(
        seen.iter().any(Option::is_some),
        "it was never in the middle: {seen:?}"
    );
    let consumers = start(&store, &[keyed()]).await;
    parked(&consumers, 0).await;
    let (counts, _, position) = live(db.pool(), "tally").await;
    assert_eq!(counts, without(&db, position, &[at.0]).await, "{seen:?}");
    consumers.stop().await;
}

#[tokio::test]
async fn a_page_that_the_database_refuses_is_taken_in_up_to_the_event_it_is_about() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[REFUSED]).await;
    append_many(db.pool(), 200, 3).await;
    parked(&consumers, 1).await;
    // A sum over this is not to be had: some event of the page is too much.
    let limit: i64 = sqlx::query_scalar(
        "select sum(position)::bigint from events where aggregate_type = 'fleet'
         and aggregate_id = 'f1' and position > $1 and position <= $1 + 100",
    )
    .bind(at.0)
    .fetch_one(db.pool())
    .await
    .unwrap();
    let check =
        format!("alter table read.tally_g1 add check (fleet <> 'f1' or positions <= {limit})");
    sqlx::query(&check).execute(db.pool()).await.unwrap();
    consumers
        .skip(TENANT, "tally", at, "user:ann", "lost")
        .await
        .unwrap();
    let beyond: i64 = sqlx::query_scalar(
        "select min(position) from events where aggregate_type = 'fleet'
         and aggregate_id = 'f1' and position > $1 + 100",
    )
    .bind(at.0)
    .fetch_one(db.pool())
    .await
    .unwrap();
    eventually("it is parked at the event beyond", async || {
        places(&store).await.first().map(|place| place.1) == Some(beyond)
    })
    .await;
    assert_eq!(live(db.pool(), "tally").await.0["f1"].1, limit);
    sqlx::query("alter table read.tally_g1 drop constraint tally_g1_check")
        .execute(db.pool())
        .await
        .unwrap();
    consumers
        .retry(TENANT, "tally", Position(beyond), &ann())
        .await
        .unwrap();
    parked(&consumers, 0).await;
    let (counts, _, position) = live(db.pool(), "tally").await;
    assert_eq!(counts, without(&db, position, &[at.0]).await);
    consumers.stop().await;
}
