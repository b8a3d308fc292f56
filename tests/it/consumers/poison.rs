//! Poison: it stops its own read model, for everyone to see, and nothing is skipped in silence.

use std::time::Duration;

use daybook::consumers::{ConsumerError, Consumers, Status};
use domain::Position;

use super::scene::{
    CREATED, append, append_many, caught_up, live, start, status_of, stopped, store, tenant, truth,
};
use super::tally::Tally;
use crate::support::{TestDb, eventually};

/// What cannot be folded: event type, version, payload, and what is said about it.
pub const UNREADABLE: &[(&str, &str, &str, &str)] = &[
    ("fleet.created", "1", "{}", "missing field"),
    ("fleet.created", "1", "[1]", "cannot be read"),
    ("fleet.created", "1", "null", "cannot be read"),
    ("fleet.created", "1", r#"{"name":7}"#, "cannot be read"),
    (
        "fleet.created",
        "1",
        r#"{"name":"x","colour":"red"}"#,
        "unknown field",
    ),
    (
        "fleet.created",
        "1",
        r#"{"name":"x","name":"y"}"#,
        "duplicate field",
    ),
    ("fleet.created", "2", r#"{"name":"x"}"#, "no version"),
    ("fleet.exploded", "1", "{}", "unknown event type"),
    ("", "1", "{}", "unknown event type"),
    (
        "fleet.created",
        "1",
        r#"{"name":"refused"}"#,
        "refused by the test",
    ),
    ("fleet.created", "1", r#"{"name":"panics"}"#, "cannot go on"),
];

#[tokio::test]
async fn poison_stops_its_read_model_and_no_other_until_someone_decides() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let others = [Tally::named("tally"), vehicles_only()];
    let consumers = start(&store, &others).await;
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
        let head = append_many(db.pool(), 40, 3).await;
        excluded.push(at.0);

        let status = stopped(&consumers, "tally").await;
        assert_eq!(status.position.0, at.0 - 1, "{poison:?}");
        let error = status.error.unwrap();
        assert!(
            error.contains(said) && error.contains(&format!("position {at}")),
            "{error}"
        );
        let soon = Duration::from_secs(30);
        consumers
            .wait_for(&tenant(), &["vehicles_only"], head, soon)
            .await
            .unwrap();
        assert_eq!(
            status_of(&consumers, "vehicles_only").await.status,
            Status::Running
        );
        assert_eq!(
            live(db.pool(), "tally").await.0,
            without(&db, status.position, &excluded).await
        );

        let (attempts, recorded): (i32, String) = sqlx::query_as(
            "select attempts, error from failed_events
             where projection = 'tally' and position = $1 and skipped_by is null",
        )
        .bind(at.0)
        .fetch_one(db.pool())
        .await
        .unwrap();
        assert!(
            attempts >= 1 && recorded.contains(said),
            "{attempts}: {recorded}"
        );

        for elsewhere in [at.0 - 1, at.0 + 1] {
            let elsewhere = Position(elsewhere);
            let refused = consumers
                .skip("default", "tally", elsewhere, "user:ann", "no")
                .await;
            assert!(
                matches!(refused, Err(ConsumerError::NotStoppedThere { .. })),
                "{refused:?}"
            );
        }
        consumers
            .skip("default", "tally", at, "user:ann", "a test's own")
            .await
            .unwrap();
        consumers
            .wait_for(&tenant(), &["tally"], head, soon)
            .await
            .unwrap();
        assert_eq!(
            live(db.pool(), "tally").await.0,
            without(&db, head, &excluded).await
        );
    }
    let recorded: Vec<(i64, String, String)> = sqlx::query_as(
        "select position, skipped_by, skip_reason from failed_events
         where projection = 'tally' order by position",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let expected = excluded
        .iter()
        .map(|at| (*at, "user:ann".to_owned(), "a test's own".to_owned()));
    assert_eq!(recorded, expected.collect::<Vec<_>>());
    consumers.stop().await;
}

#[tokio::test]
async fn what_another_process_has_resumed_goes_on_whatever_was_heard_of_it() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let poison = ("fleet", "fleet.created", "1", r#"{"name":"refused"}"#);
    append(db.pool(), "f1", &[CREATED, poison]).await;
    // The bookkeeping is looked at when somebody here has changed it, and never else.
    let settings = daybook::consumers::ConsumerSettings {
        poll_ms: 3_600_000,
        ..super::scene::settings()
    };
    let started = Consumers::start(store.clone(), vec![Tally::named("tally")], settings);
    let consumers = started.await.unwrap();
    stopped(&consumers, "tally").await;
    let ann = daybook::consumers::Decider::of("user:ann");
    daybook::consumers::resume(&store, "default", "tally", &ann)
        .await
        .unwrap();
    eventually("it is tried again", async || {
        let sql = "select attempts from failed_events where projection = 'tally'";
        let attempts: i32 = sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap();
        attempts == 2
    })
    .await;
    consumers.stop().await;
}

#[tokio::test]
async fn resuming_tries_the_event_again() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let poison = ("fleet", "fleet.created", "1", r#"{"name":"refused"}"#);
    append(db.pool(), "f1", &[CREATED, poison, CREATED]).await;

    let consumers = start(&store, &[Tally::named("tally")]).await;
    assert_eq!(stopped(&consumers, "tally").await.position, Position(1));
    consumers
        .resume(
            "default",
            "tally",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(stopped(&consumers, "tally").await.position, Position(1));
    consumers.stop().await;

    // a release that can fold it goes on by itself once it is told to
    let fixed = std::sync::Arc::new(Tally {
        refuses: None,
        ..Tally::default()
    });
    let consumers = start(&store, &[fixed]).await;
    consumers
        .resume(
            "default",
            "tally",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    caught_up(db.pool(), "tally").await;
    consumers.stop().await;
}

#[tokio::test]
async fn what_nobody_knows_is_said_so() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    let unknown = consumers
        .pause(
            "default",
            "nonsense",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await;
    assert!(
        matches!(unknown, Err(ConsumerError::UnknownProjection(_))),
        "{unknown:?}"
    );
    let not_started = consumers
        .pause(
            "nobody",
            "tally",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await;
    assert!(
        matches!(not_started, Err(ConsumerError::NotStarted(_))),
        "{not_started:?}"
    );
    assert!(consumers.status("nobody").await.is_err());
    consumers.stop().await;
}

/// A read model that none of the poison concerns.
fn vehicles_only() -> std::sync::Arc<dyn projections::AnyProjection> {
    std::sync::Arc::new(Unconcerned)
}

/// The log's truth without some positions.
pub async fn without(db: &TestDb, at: Position, excluded: &[i64]) -> super::tally::Counts {
    let mut counts = truth(db.pool(), at).await;
    let gone: Vec<(String, i64)> = sqlx::query_as(
        "select aggregate_id, position from events where position = any($1) and position <= $2",
    )
    .bind(excluded)
    .bind(at.0)
    .fetch_all(db.pool())
    .await
    .unwrap();
    for (fleet, position) in gone {
        let entry = counts.get_mut(&fleet).unwrap();
        *entry = (entry.0 - 1, entry.1 - position);
    }
    counts.retain(|_, (n, _)| *n > 0);
    counts
}

struct Unconcerned;

impl projections::AnyProjection for Unconcerned {
    fn name(&self) -> &'static str {
        "vehicles_only"
    }
    fn version(&self) -> i32 {
        1
    }
    fn aggregates(&self) -> &'static [&'static str] {
        &["vehicle"]
    }
    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
    fn ddl(&self, _: &projections::Target<'_>) -> Vec<String> {
        Vec::new()
    }
    fn delta(&self) -> projections::AnyDelta {
        Box::new(())
    }
    fn fold(
        &self,
        _: &mut projections::AnyDelta,
        _: &domain::Recorded<domain::Event>,
    ) -> Result<(), projections::Poison> {
        Ok(())
    }
    fn merge(&self, _: &mut projections::AnyDelta, _: projections::AnyDelta) {}
    fn rows(&self, _: &projections::AnyDelta) -> usize {
        1
    }
    fn write<'a>(
        &'a self,
        _: &'a mut sqlx::PgConnection,
        _: &'a projections::Target<'a>,
        _: projections::AnyDelta,
    ) -> projections::BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async { Ok(()) })
    }
}
