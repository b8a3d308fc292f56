//! What is said of a source, and that its records are kept as long as it says.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use domain::log_batch::LogRecord;
use domain::log_source::{
    LogLimits, LogRetention, LogRetentionSet, LogSourceEvent, LogSourcePaused, LogSourceRegistered,
    LogSourceResumed, LogType, PersonalFields,
};
use domain::{Event, Recorded};
use projections::Target;
use projections::logs::{
    GapQuery, LogBucket, LogFilter, LogPlace, LogQuery, NAME, VolumeBy, VolumeQuery, active_users,
    drop_empty_days, error_share, gaps, log_source, log_sources, logs, sweep, top_names,
};

use super::super::scene::{
    TENANT, after, at, create_tables, go_live, log, read_model, snapshot, write,
};
use super::{batch, record};
use crate::support::{TestDb, eventually};

const TARGET: Target<'static> = Target {
    tenant: TENANT,
    generation: 1,
};

fn of_source(id: &str, event: LogSourceEvent) -> (String, Event) {
    (id.to_owned(), event.into())
}

fn registered(id: &str, days: Option<u32>) -> (String, Event) {
    let retention = LogRetention {
        days,
        ..LogRetention::default()
    };
    let registered = LogSourceRegistered {
        limits: LogLimits::default(),
        retention,
        personal_fields: PersonalFields::default(),
        on_first_batch: false,
    };
    of_source(id, LogSourceEvent::LogSourceRegistered(registered))
}

#[tokio::test]
async fn the_last_word_about_a_source_counts() {
    let paused = |reason: &str| {
        let reason = reason.to_owned();
        LogSourceEvent::LogSourcePaused(LogSourcePaused { reason })
    };
    let retention = LogRetention {
        days: Some(3),
        ..LogRetention::default()
    };
    let set = LogSourceEvent::LogRetentionSet(LogRetentionSet {
        retention: retention.clone(),
    });
    let resumed = LogSourceEvent::LogSourceResumed(LogSourceResumed {});
    let events = vec![
        registered("web", None),
        registered("app", None),
        of_source("web", set),
        of_source("web", paused("flood")),
        of_source("web", resumed),
        of_source("app", paused("audit")),
        batch(
            "web",
            vec![record("2016-01-01T00:00:00Z", LogType::Error, "e")],
        ),
    ];
    let db = after(events, 2).await;
    let mut snap = snapshot(&db).await;
    let web = log_source(&mut snap, "web").await.unwrap().unwrap();
    assert_eq!((&web.paused, &web.retention), (&None, &retention));
    assert_eq!(
        (web.records, web.last_at),
        (1, Some(at("2016-01-01T00:00:00Z")))
    );
    assert_eq!(
        (web.position.0, web.registered_at),
        (5, at("2016-01-01T00:00:01Z"))
    );
    let all = log_sources(&mut snap, None, 1).await.unwrap();
    assert_eq!((&*all.items[0].id, all.has_next), ("app", true));
    assert_eq!(all.items[0].paused.as_deref(), Some("audit"));
    let rest = log_sources(&mut snap, Some("app"), 1).await.unwrap();
    assert_eq!((rest.items, rest.has_next), (vec![web], false));
    assert_eq!(log_source(&mut snap, "none").await.unwrap(), None);
}

/// A record of each day from 1 to 6 January, of each source, recorded on that very day.
fn six_days(sources: Vec<(String, Event)>) -> Vec<Recorded<Event>> {
    let mut events = sources;
    let told = events.len();
    for day in 1..=6 {
        for source in ["short", "long"] {
            let time = format!("2016-01-{day:02}T00:00:00Z");
            let types = [LogType::Error, LogType::Telemetry];
            let records = types.map(|log_type| record(&time, log_type, source));
            events.push(batch(source, records.to_vec()));
        }
    }
    let mut log = log(events);
    for event in &mut log[told..] {
        let day = (event.position.0 - i64::try_from(told).unwrap() - 1) / 2;
        event.recorded_at = at("2016-01-01T12:00:00Z") + chrono::TimeDelta::days(day);
    }
    log
}

async fn found(db: &TestDb) -> Vec<String> {
    let mut snap = snapshot(db).await;
    let query = LogQuery {
        filter: LogFilter::default(),
        ..LogQuery::default()
    };
    let page = logs(&mut snap, &query, LogPlace::Skip(0), 100)
        .await
        .unwrap();
    let rows = page.records.iter().rev();
    rows.map(|row| {
        format!(
            "{} {} {}",
            row.timestamp.format("%d"),
            row.event_name,
            row.event_type.as_str()
        )
    })
    .collect()
}

async fn partitions(db: &TestDb) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_inherits where inhparent = 'read.log_records_g1'::regclass",
    )
    .fetch_one(db.pool())
    .await
    .unwrap()
}

async fn swept(db: &TestDb, today: &str) {
    let today: NaiveDate = today.parse().unwrap();
    let mut more = true;
    while more {
        let mut tx = projections::begin(db.pool(), "begin").await.unwrap();
        more = sweep(&mut tx, &TARGET, today).await.unwrap().more;
        tx.commit().await.unwrap();
    }
    dropped(db, &TARGET, 10_000).await;
}

async fn dropped(db: &TestDb, target: &Target<'_>, wait_ms: u32) {
    let mut conn = db.pool().acquire().await.unwrap();
    drop_empty_days(&mut conn, target, wait_ms).await.unwrap();
}

/// Six days of one tenant, of which one day each is kept, in the tables.
async fn written(tenant: &str, db: &TestDb) {
    let sources = ["short", "long"].map(|id| registered(id, Some(1)));
    let mut log = six_days(sources.to_vec());
    log.iter_mut()
        .for_each(|event| event.tenant = tenant.into());
    write(db, &*read_model(NAME), 1, &log).await;
}

#[tokio::test]
async fn what_a_source_keeps_no_longer_is_swept_and_can_be_folded_again() {
    let retention = LogRetention {
        days: Some(2),
        days_by_type: BTreeMap::from([(LogType::Error, 4)]),
        id_days: None,
    };
    let set = LogSourceEvent::LogRetentionSet(LogRetentionSet { retention });
    let log = six_days(vec![
        registered("short", None),
        of_source("short", set),
        registered("long", None),
    ]);
    let (db, model) = (TestDb::create().await, read_model(NAME));
    create_tables(&db, &*model, 1).await;
    write(&db, &*model, 1, &log).await;
    go_live(&db, &*model, 1).await;
    assert_eq!((found(&db).await.len(), partitions(&db).await), (24, 6));
    swept(&db, "2016-01-06").await;
    let kept = found(&db).await;
    let of_short: Vec<_> = kept.iter().filter(|row| row.contains("short")).collect();
    // Two days of telemetry before the 6th, and four of errors.
    let expect = [
        "02 short error",
        "03 short error",
        "04 short error",
        "04 short telemetry",
    ];
    assert_eq!(of_short[..4], expect);
    assert_eq!((of_short.len(), kept.len()), (8, 20));
    assert_eq!(
        partitions(&db).await,
        6,
        "the long source has records of every day"
    );
    // The same source is known with fewer records; a generation that is built anew has them all.
    let mut snap = snapshot(&db).await;
    assert_eq!(
        log_source(&mut snap, "short")
            .await
            .unwrap()
            .unwrap()
            .records,
        8
    );
    drop(snap);
    create_tables(&db, &*model, 2).await;
    write(&db, &*model, 2, &log).await;
    let all: i64 = sqlx::query_scalar("select count(*) from read.log_records_g2")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(all, 24);
}

#[tokio::test]
async fn a_day_of_which_nothing_is_left_loses_its_partition() {
    let log = six_days(vec![
        registered("short", Some(1)),
        registered("long", Some(3)),
    ]);
    let (db, model) = (TestDb::create().await, read_model(NAME));
    create_tables(&db, &*model, 1).await;
    write(&db, &*model, 1, &log).await;
    go_live(&db, &*model, 1).await;
    swept(&db, "2016-01-06").await;
    assert_eq!(partitions(&db).await, 4);
    assert_eq!(found(&db).await.len(), 4 * 2 + 2 * 2);
    // Another tenant's record keeps the day.
    let mut other = six_days(vec![]);
    other
        .iter_mut()
        .for_each(|event| event.tenant = "other".into());
    write(&db, &*model, 1, &other).await;
    swept(&db, "2017-01-01").await;
    assert_eq!((found(&db).await, partitions(&db).await), (vec![], 6));
}

#[tokio::test]
async fn figures_stay_and_numbers_are_missing_when_records_are_swept() {
    let visit = |log_type, number| LogRecord {
        user_id: Some("ann".to_owned()),
        session_id: Some("s".to_owned()),
        sequence_number: Some(number),
        ..record("2016-01-01T00:00:00Z", log_type, "visit")
    };
    let retention = LogRetention {
        days_by_type: BTreeMap::from([(LogType::Telemetry, 1)]),
        ..LogRetention::default()
    };
    let set = LogSourceEvent::LogRetentionSet(LogRetentionSet { retention });
    let types = [LogType::Error, LogType::Telemetry, LogType::Error];
    let visits = (1..).zip(types).map(|(number, of)| visit(of, number));
    let db = after(
        vec![
            registered("web", None),
            of_source("web", set),
            batch("web", visits.collect()),
        ],
        3,
    )
    .await;
    let query = VolumeQuery {
        source_id: None,
        event_types: vec![],
        event_name: None,
        app_version: None,
        from: at("2016-01-01T00:00:00Z"),
        to: at("2016-01-02T00:00:00Z"),
        bucket: LogBucket::Whole,
        zone: "UTC".to_owned(),
        by: VolumeBy::default(),
    };
    let mut told = Vec::new();
    for swept_first in [false, true] {
        if swept_first {
            swept(&db, "2016-01-06").await;
        }
        let mut snap = snapshot(&db).await;
        let share = error_share(&mut snap, &query, 1).await.unwrap().items;
        let names = top_names(&mut snap, &query, 1).await.unwrap().items;
        let day = "2016-01-01".parse().unwrap();
        let active = active_users(&mut snap, day).await.unwrap();
        let missing = gaps(&mut snap, &GapQuery::default(), None, 5).await;
        let missing = missing.unwrap().items;
        let missing: Vec<_> = missing.iter().map(|gap| (gap.first, gap.last)).collect();
        told.push((
            (share[0].records, share[0].errors, names[0].records),
            active.daily,
            missing,
        ));
    }
    let figures = (3, 2, 3);
    assert_eq!(told[0], (figures, 1, vec![]));
    assert_eq!(told[1], (figures, 1, vec![(2, 2)]));
    assert_eq!(found(&db).await.len(), 2);
}

/// Days that open questions hold: those of a question are held as long as its snapshot.
async fn locked(db: &TestDb) -> i64 {
    let locked = sqlx::query_scalar(
        "select count(distinct l.relation) from pg_locks l
         join pg_inherits i on i.inhrelid = l.relation
         join pg_stat_activity a on a.pid = l.pid
         where i.inhparent = 'read.log_records_g1'::regclass and a.datname = current_database()
           and a.state = 'idle in transaction'",
    );
    locked.fetch_one(db.pool()).await.unwrap()
}

#[tokio::test]
async fn a_page_of_the_newest_touches_no_other_days() {
    let (db, model) = (TestDb::create().await, read_model(NAME));
    create_tables(&db, &*model, 1).await;
    write(&db, &*model, 1, &six_days(vec![])).await;
    go_live(&db, &*model, 1).await;
    let never = LogFilter {
        event_name: Some("never".to_owned()),
        ..LogFilter::default()
    };
    let second = LogFilter {
        to: Some(at("2016-01-03T00:00:00Z")),
        ..LogFilter::default()
    };
    let cases = [
        (LogFilter::default(), LogPlace::Skip(0), 1),
        (LogFilter::default(), LogPlace::Skip(4), 2),
        (LogFilter::default(), LogPlace::End, 1),
        (second, LogPlace::Skip(0), 1),
        // Fewer than are looked at on all days together.
        (never, LogPlace::Skip(0), 6),
    ];
    for (filter, place, expect) in cases {
        let query = LogQuery {
            filter,
            ..LogQuery::default()
        };
        // The snapshot before this one ends when its connection is next looked at.
        eventually("no question is open", async || locked(&db).await == 0).await;
        let mut snap = snapshot(&db).await;
        logs(&mut snap, &query, place, 3).await.unwrap();
        assert_eq!(locked(&db).await, expect, "{query:?} from {place:?}");
    }
}

/// Neither sees that the other takes the rest, and both look at what is empty then.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_two_tenants_lose_at_once_loses_its_partition() {
    const OTHER: Target<'static> = Target {
        tenant: "other",
        generation: 1,
    };
    let (db, model) = (TestDb::create().await, read_model(NAME));
    create_tables(&db, &*model, 1).await;
    for tenant in [TENANT, OTHER.tenant] {
        written(tenant, &db).await;
    }
    go_live(&db, &*model, 1).await;
    let later: NaiveDate = "2017-01-01".parse().unwrap();
    let mut ours = projections::begin(db.pool(), "begin").await.unwrap();
    let mut theirs = projections::begin(db.pool(), "begin").await.unwrap();
    for (tx, target) in [(&mut ours, &TARGET), (&mut theirs, &OTHER)] {
        let swept = sweep(tx, target, later).await.unwrap();
        assert_eq!((swept.records, swept.more), (24, false));
    }
    ours.commit().await.unwrap();
    theirs.commit().await.unwrap();
    assert_eq!(partitions(&db).await, 6);
    tokio::join!(dropped(&db, &TARGET, 10_000), dropped(&db, &OTHER, 10_000));
    assert_eq!(partitions(&db).await, 0);
    // A day that comes back has its partition again.
    written(TENANT, &db).await;
    assert_eq!((found(&db).await.len(), partitions(&db).await), (24, 6));
}

/// What a reader holds up is the partition, not that records are taken out.
#[tokio::test]
async fn a_day_that_is_read_for_long_is_emptied_and_dropped_another_time() {
    let (db, model) = (TestDb::create().await, read_model(NAME));
    create_tables(&db, &*model, 1).await;
    written(TENANT, &db).await;
    go_live(&db, &*model, 1).await;
    let mut reader = projections::begin(db.pool(), "begin").await.unwrap();
    let count = "select count(*) from read.log_records_g1";
    let before: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    let mut tx = projections::begin(db.pool(), "begin").await.unwrap();
    let later = "2017-01-01".parse().unwrap();
    let swept = sweep(&mut tx, &TARGET, later).await.unwrap();
    tx.commit().await.unwrap();
    dropped(&db, &TARGET, 20).await;
    assert_eq!((before, swept.records), (24, 24));
    assert_eq!((found(&db).await, partitions(&db).await), (vec![], 6));
    reader.rollback().await.unwrap();
    dropped(&db, &TARGET, 20).await;
    assert_eq!(partitions(&db).await, 0);
}
