//! The log grows over partitions without a seam, and an old one can be taken away.

use std::ops::ControlFlow;

use daybook::commands::{CommandError, Door, DoorSettings};
use daybook::store::{EventFilter, PageLimits, Store, StoreError, StoreSettings, StoredState};
use domain::vehicle::Vehicle;
use domain::{Aggregate as _, Position};
use uuid::Uuid;

use super::scene::{
    append, count, ctx, flaws, named, one, register, settings, store_with, tenant, told, vehicle,
    write,
};
use crate::support::{TestDb, eventually};

/// Tiny partitions.
async fn tiny(db: &TestDb) -> Store {
    let settings = StoreSettings {
        partition_positions: 64,
        ..settings()
    };
    store_with(db.options(), settings).await
}

#[tokio::test]
async fn appends_and_loads_cross_partitions() {
    let db = TestDb::create().await;
    let stores = [tiny(&db).await, tiny(&db).await];
    // More events at once than a partition holds.
    let large = append(vec![write("large", 0, 200)]);
    assert_eq!(
        told(stores[0].append(&tenant(), large).await),
        "kept p200 v200"
    );
    let writers: Vec<_> = (0..8)
        .map(|i| {
            let store = stores[i % 2].clone();
            tokio::spawn(async move {
                for version in 0..60 {
                    let outcome = store
                        .append(&tenant(), one(&format!("v{i}"), version))
                        .await;
                    assert!(told(outcome).starts_with("kept"));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
    assert!(count(db.pool(), "select count(*) from event_partitions").await > 10);
    let seams = "select count(*) from (select from_position, lag(to_position) over (order by
                 from_position) as before from event_partitions) p where from_position <> before";
    assert_eq!(count(db.pool(), seams).await, 0);

    for store in &stores {
        let stream = store
            .read_stream(&tenant(), &vehicle("large"), 0, 1_000)
            .await
            .unwrap();
        let sequences: Vec<_> = stream.iter().map(|e| e.sequence).collect();
        assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
        let limits = PageLimits {
            events_max: 50,
            ..PageLimits::default()
        };
        let mut read = 0;
        loop {
            let page = store
                .read_log(&tenant(), Position(read), limits)
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            let positions: Vec<_> = page.iter().map(|e| e.position.0).collect();
            assert_eq!(positions, (read + 1..=last.position.0).collect::<Vec<_>>());
            read = last.position.0;
        }
        assert_eq!(read, 680);
    }
}

#[tokio::test]
async fn a_partition_can_be_taken_away() {
    let db = TestDb::create().await;
    let store = tiny(&db).await;
    let id = Uuid::now_v7();
    let old = named(id, 1, vec![write("old", 0, 40)]);
    assert_eq!(told(store.append(&tenant(), old).await), "kept p40 v40");
    let both = append(vec![write("old", 40, 5), write("both", 0, 30)]);
    assert_eq!(told(store.append(&tenant(), both).await), "kept p75 v0");
    assert_eq!(
        told(store.append(&tenant(), one("new", 0)).await),
        "kept p76 v1"
    );

    let detach = "alter table events detach partition events_p0";
    sqlx::raw_sql(detach).execute(db.pool()).await.unwrap();
    for (i, (stream, version)) in [("old", 45), ("both", 30), ("new", 1)]
        .into_iter()
        .enumerate()
    {
        let outcome = told(store.append(&tenant(), one(stream, version)).await);
        assert_eq!(outcome, format!("kept p{} v{}", 77 + i, version + 1));
        let outcome = told(store.append(&tenant(), one(stream, version)).await);
        assert_eq!(
            outcome,
            format!("conflict vehicle-{stream} v{}", version + 1)
        );
    }
    // The receipt outlives the events it speaks of; where they stood is not known any more.
    let again = named(id, 1, vec![write("old", 0, 40)]);
    assert_eq!(
        told(store.append(&tenant(), again).await),
        "replayed p79 v40"
    );

    let page = store
        .read_log(&tenant(), Position(63), PageLimits::default())
        .await
        .unwrap();
    let positions: Vec<_> = page.iter().map(|e| e.position.0).collect();
    assert_eq!(positions, (64..=79).collect::<Vec<_>>());
    // Whoever asks for what is not there any more is told what is.
    for (after, up_to) in [(0, i64::MAX), (62, i64::MAX), (0, 10)] {
        let limits = PageLimits {
            up_to: Position(up_to),
            ..PageLimits::default()
        };
        let page = store.read_log(&tenant(), Position(after), limits).await;
        let told = page.unwrap_err();
        assert!(
            matches!(told, StoreError::Archived { missing, first: Some(Position(64)) }
                     if missing.0 == after + 1),
            "{told:?}"
        );
    }
    // So is whoever looks for some of it, be they there or not.
    let log = tenant();
    for (kind, id, after, up_to, there) in [
        ("vehicle", None, 0, i64::MAX, None),
        ("vehicle", None, 62, 63, None),
        ("fleet", None, 62, i64::MAX, None),
        ("vehicle", None, 63, i64::MAX, Some(16)),
        ("fleet", None, 63, i64::MAX, Some(0)),
        ("fleet", None, 79, i64::MAX, Some(0)),
        // A stream that is there as a whole is read whatever else is not.
        ("vehicle", Some("new"), 0, i64::MAX, Some(2)),
        ("vehicle", Some("none"), 0, i64::MAX, Some(0)),
        ("vehicle", Some("old"), 0, i64::MAX, None),
        ("vehicle", Some("old"), 63, i64::MAX, Some(1)),
    ] {
        let filter = EventFilter {
            aggregate_type: Some(kind.to_owned()),
            aggregate_id: id.map(str::to_owned),
            event_types: None,
            ..EventFilter::default()
        };
        let limits = PageLimits {
            up_to: Position(up_to),
            ..PageLimits::default()
        };
        let page = store.read_filtered(&log, &filter, Position(after), limits);
        let found = match page.await {
            Ok(page) => Some(page.events.len()),
            Err(StoreError::Archived { missing, first }) => {
                assert_eq!((missing.0, first), (after + 1, Some(Position(64))));
                None
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, there, "{kind} {id:?} after {after}");
    }
    let end = store
        .read_log(&tenant(), Position(79), PageLimits::default())
        .await;
    assert!(end.unwrap().is_empty());

    // Half a stream is no stream.
    let door = Door::new(store.clone(), DoorSettings::default());
    for (id, whole) in [("new", true), ("both", false), ("old", false)] {
        let loaded = door.load::<Vehicle>(&tenant(), id).await;
        let expected = if whole {
            matches!(loaded, Ok((_, 2)))
        } else {
            is_archived(&loaded)
        };
        assert!(expected, "{id}: {loaded:?}");
    }
    let mut seen = 0;
    let walked = door.walk::<Vehicle>(&log, "old", |_| {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert!(is_archived(&walked.await));
    // Nor is it one as of before its first event that is there, but it is as of before it began.
    for (id, up_to, whole) in [
        ("old", 30, false),
        ("old", 77, false),
        ("both", 76, false),
        ("both", 40, true),
        ("new", 70, true),
        ("new", 77, true),
        ("none", 77, true),
    ] {
        let folded = fold(&door, id, up_to).await;
        assert_eq!(is_archived(&folded), !whole, "{id} {up_to}: {folded:?}");
    }
    assert_eq!(seen, 0);
    let attach = "alter table events attach partition events_p0 for values from (0) to (64)";
    sqlx::raw_sql(attach).execute(db.pool()).await.unwrap();
    for (id, version) in [("new", 2), ("both", 31), ("old", 46)] {
        let loaded = door.load::<Vehicle>(&tenant(), id).await.unwrap();
        assert_eq!(loaded.1, version, "{id}");
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

fn is_archived<T>(told: &Result<T, CommandError>) -> bool {
    matches!(told, Err(CommandError::Fault(StoreError::Archived { .. })))
}

/// The version that a vehicle is folded to.
async fn fold(door: &Door, id: &str, up_to: i64) -> Result<i64, CommandError> {
    let mut version = 0;
    let (tenant, stream) = (tenant(), vehicle(id));
    let folding = door.fold_any(&tenant, &stream, Position(up_to), 7, |event, _| {
        version = event.sequence;
        ControlFlow::Continue(())
    });
    folding.await?;
    Ok(version)
}

/// A stream without a single event left is no new one, and neither is one that has lost its end; where a
/// stored state covers what is gone, the stream goes on.
#[tokio::test]
async fn a_stream_that_is_away_is_not_one_that_never_was() {
    let db = TestDb::create().await;
    let store = tiny(&db).await;
    let write = async |id, expected, n| {
        let write = append(vec![write(id, expected, n)]);
        let kept = store.append(&tenant(), write).await;
        assert!(told(kept).starts_with("kept"));
    };
    write("whole", 0, 20).await;
    write("kept", 0, 20).await;
    write("end", 0, 14).await;
    let kept = Door::new(store.clone(), DoorSettings::default());
    let (state, version) = kept.load::<Vehicle>(&tenant(), "kept").await.unwrap();
    let shape = Vehicle::SHAPE.unwrap();
    let snapshot = StoredState {
        shape: shape.version,
        version,
        state: (shape.write)(&state),
    };
    store
        .keep_snapshot("default", &vehicle("kept"), &snapshot)
        .await
        .unwrap();
    // The first partition is full; the end of a stream is in the second.
    write("end", 14, 20).await;
    write("other", 0, 120).await;
    let door = || Door::new(store.clone(), DoorSettings::default());
    let take = async |partition: &str, away: bool| {
        let sql = match away {
            true => format!("alter table events detach partition events_p{partition}"),
            false => format!(
                "alter table events attach partition events_p{partition} for values from (0) to (64)"
            ),
        };
        sqlx::raw_sql(&sql).execute(db.pool()).await.unwrap();
    };
    take("0", true).await;
    let whole = door().load::<Vehicle>(&tenant(), "whole").await;
    assert!(is_archived(&whole), "{whole:?}");
    assert!(is_archived(&fold(&door(), "whole", i64::MAX).await));
    let (again, at) = door().load::<Vehicle>(&tenant(), "kept").await.unwrap();
    assert_eq!((again, at), (state, 20));
    write("kept", 20, 3).await;
    let (_, at) = door().load::<Vehicle>(&tenant(), "kept").await.unwrap();
    assert_eq!(at, 23);
    // Decided on what nobody knows, nothing is kept.
    let head = store.head("default").await.unwrap();
    let decided = door()
        .execute::<Vehicle>(&ctx(), "whole", register(None))
        .await;
    assert!(is_archived(&decided), "{decided:?}");
    assert_eq!(store.head("default").await.unwrap(), head);
    take("0", false).await;
    take("64", true).await;
    let end = door().load::<Vehicle>(&tenant(), "end").await;
    assert!(is_archived(&end), "{end:?}");
    // As of when it was all there it is still known.
    assert_eq!(fold(&door(), "end", 50).await.unwrap(), 10);
    assert!(is_archived(&fold(&door(), "end", 100).await));
}

/// A page never reaches over a gap: first what is before it, then the truth.
#[tokio::test]
async fn a_partition_can_be_taken_out_of_the_middle() {
    let db = TestDb::create().await;
    let store = tiny(&db).await;
    let large = append(vec![write("large", 0, 200)]);
    store.append(&tenant(), large).await.unwrap();
    let detach = "alter table events detach partition events_p64";
    sqlx::raw_sql(detach).execute(db.pool()).await.unwrap();
    let log = tenant();
    let read = async |after| {
        let page = store.read_log(&log, Position(after), PageLimits::default());
        page.await.map(|page| (page[0].position.0, page.len()))
    };
    assert_eq!(read(0).await.unwrap(), (1, 63));
    assert!(matches!(
        read(63).await,
        Err(StoreError::Archived {
            missing: Position(64),
            first: Some(Position(128))
        })
    ));
    assert_eq!(read(127).await.unwrap(), (128, 73));
    for aggregate_type in [None, Some("vehicle".to_owned())] {
        let filter = EventFilter {
            aggregate_type,
            aggregate_id: Some("large".to_owned()),
            ..EventFilter::default()
        };
        let found = async |after, events_max, up_to| {
            let limits = PageLimits {
                events_max,
                up_to: Position(up_to),
                ..PageLimits::default()
            };
            let page = store.read_filtered(&log, &filter, Position(after), limits);
            page.await.ok().map(|page| page.events.len())
        };
        let all = i64::MAX;
        for (after, events_max, up_to, events) in [
            (0, 63, all, Some(63)),
            (0, 64, all, None),
            (127, 100, all, Some(73)),
            (10, 30, all, Some(30)),
            (10, 100, 50, Some(40)),
            (10, 100, 70, None),
            (150, 100, 180, Some(30)),
        ] {
            let known = found(after, events_max, up_to).await;
            assert_eq!(known, events, "{events_max} after {after} up to {up_to}");
        }
    }
}

/// Loads go by the stream's own index, also while the server knows nothing yet of how much there is: its
/// guess that few events lie between two positions once had every load read the whole log.
#[tokio::test]
async fn a_load_reads_its_own_stream_while_statistics_lag_behind() {
    let db = TestDb::create().await;
    let store = store_with(db.options(), settings()).await;
    let stop = "do $$ declare p text; begin
        for p in select inhrelid::regclass::text from pg_inherits where inhparent = 'events'::regclass
        loop execute 'alter table ' || p || ' set (autovacuum_enabled = false)'; end loop; end $$";
    sqlx::raw_sql(stop).execute(db.pool()).await.unwrap();
    let (streams, turns, each) = (100, 50, 4);
    let id = |n: i64| format!("a vehicle with a name of some length {n}");
    for turn in 0..turns {
        let all = (0..streams).map(|n| write(&id(n), turn * each, each as usize));
        let outcome = store.append(&tenant(), append(all.collect())).await;
        assert!(told(outcome).starts_with("kept"));
    }
    let read = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes
                where indexrelname ~ '^events_.*pkey$' or indexrelname ~ '^events_.*idx'";
    let before = count(db.pool(), read).await;
    for n in 0..streams {
        let events = store
            .read_stream(&tenant(), &vehicle(&id(n)), 0, 1_000)
            .await;
        assert_eq!(events.unwrap().len() as i64, turns * each);
    }
    sqlx::raw_sql("select pg_stat_force_next_flush()")
        .execute(store.pool())
        .await
        .unwrap();
    drop(store);
    eventually("the server has counted", async || {
        let busy = "select count(*) from pg_stat_activity
                    where datname = current_database() and application_name = 'daybook-unsafe'";
        count(db.pool(), busy).await == 0
    })
    .await;
    // Other statements of the store's start may have read a few.
    let found = count(db.pool(), read).await - before;
    let own = streams * turns * each;
    assert!(
        (own..2 * own).contains(&found),
        "{found} entries read for {own}"
    );
}

#[tokio::test]
async fn a_partition_is_vacuumed_once_it_is_full() {
    const FILLING: &str = "autovacuum_vacuum_insert_threshold=-1";
    const FULL: &str = "autovacuum_freeze_min_age=0";
    let db = TestDb::create().await;
    let store = tiny(&db).await;
    let upkeep = async || -> Vec<String> {
        let options = "select unnest(c.reloptions) from event_partitions p
                       join pg_class c on c.oid = to_regclass('events_p' || p.from_position)
                       order by p.from_position limit 3";
        let options = sqlx::query_scalar(options).fetch_all(db.pool());
        options.await.unwrap()
    };
    let make = async |up_to: i64| {
        let make = sqlx::query("select ensure_event_partitions($1, 64)").bind(up_to);
        make.execute(db.pool()).await.unwrap();
    };
    // The server may be counting rows there, as the next time somebody makes a partition it is not.
    let comes_to = async |expect: [&str; 3]| {
        eventually("the full ones are left to be vacuumed", async || {
            make(200).await;
            upkeep().await == expect
        })
        .await;
    };
    let add = append(vec![write("a", 0, 100)]);
    assert_eq!(told(store.append(&tenant(), add).await), "kept p100 v100");
    comes_to([FULL, FILLING, FILLING]).await;

    let add = append(vec![write("a", 100, 50)]);
    assert_eq!(told(store.append(&tenant(), add).await), "kept p150 v150");
    // Somebody is busy with the one that is full now, and nobody waits for them.
    let mut busy = projections::begin(db.pool(), "begin").await.unwrap();
    let lock = "lock table only events_p64 in share update exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *busy).await.unwrap();
    make(200).await;
    assert_eq!(upkeep().await, [FULL, FILLING, FILLING]);
    busy.rollback().await.unwrap();
    comes_to([FULL, FULL, FILLING]).await;
}
