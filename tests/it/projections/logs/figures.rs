//! Figures of log records, counted by hand; each is as long as the list of its records.

use chrono::NaiveDate;
use domain::log_batch::LogRecord;
use domain::log_source::LogType;
use projections::logs::{
    ActiveUsers, GapCursor, GapQuery, LogBucket, LogFilter, LogOnly, LogPlace, LogQuery, NAME,
    VolumeBy, VolumeQuery, active_users, delay, distinct, error_share, gaps, logs, top_names,
    volume,
};
use projections::{ReadError, Snapshot};

use super::super::scene::{self, after, at, read_model, snapshot};
use super::{a_day, batch, hour, record};

fn the_day() -> VolumeQuery {
    VolumeQuery {
        source_id: None,
        event_types: vec![],
        event_name: None,
        app_version: None,
        from: hour(0),
        to: at("2016-01-06T00:00:00Z"),
        bucket: LogBucket::Whole,
        zone: "UTC".to_owned(),
        by: VolumeBy::default(),
    }
}

async fn listed(snap: &mut Snapshot, filter: LogFilter) -> i64 {
    let query = LogQuery {
        filter,
        ..LogQuery::default()
    };
    let page = logs(snap, &query, LogPlace::Skip(0), 1_000).await.unwrap();
    i64::try_from(page.records.len()).unwrap()
}

#[tokio::test]
async fn a_volume_is_the_number_of_its_records() {
    let db = after(a_day(), 2).await;
    let mut snap = snapshot(&db).await;
    let whole = volume(&mut snap, &the_day(), 10).await.unwrap();
    assert_eq!(whole.items.len(), 1);
    assert_eq!(
        (whole.items[0].bucket, whole.items[0].records),
        (hour(0), 120)
    );
    let by = VolumeBy {
        log_type: true,
        name: true,
        version: true,
    };
    let query = VolumeQuery {
        bucket: LogBucket::Hour,
        by,
        ..the_day()
    };
    let rows = volume(&mut snap, &query, 1_000).await.unwrap();
    assert!(!rows.has_next);
    assert_eq!(rows.items.iter().map(|r| r.records).sum::<i64>(), 120);
    for row in rows
        .items
        .iter()
        .filter(|r| r.app_version.as_deref() != Some(""))
    {
        let filter = LogFilter {
            event_types: row.event_type.into_iter().collect(),
            event_name: row.event_name.clone(),
            app_version: row.app_version.clone(),
            from: Some(row.bucket),
            to: Some(row.bucket + chrono::TimeDelta::hours(1)),
            ..LogFilter::default()
        };
        assert_eq!(listed(&mut snap, filter).await, row.records, "{row:?}");
    }
    let first = volume(&mut snap, &query, 3).await.unwrap();
    assert!(first.has_next && first.items == rows.items[..3]);
    let web = VolumeQuery {
        source_id: Some("web".to_owned()),
        ..the_day()
    };
    assert_eq!(
        volume(&mut snap, &web, 1).await.unwrap().items[0].records,
        70
    );
}

#[tokio::test]
async fn buckets_are_of_the_zone_that_is_asked_for() {
    let times = [
        "2016-03-27T00:59:59Z",
        "2016-03-26T23:00:00Z",
        "2016-03-26T22:59:59Z",
    ];
    let records = times.map(|time| record(time, LogType::Error, "e"));
    let db = after(vec![batch("web", records.to_vec())], 1).await;
    let mut snap = snapshot(&db).await;
    let query = |bucket, zone: &str| VolumeQuery {
        from: at("2016-03-01T00:00:00Z"),
        to: at("2016-04-01T00:00:00Z"),
        bucket,
        zone: zone.to_owned(),
        ..the_day()
    };
    let check = async |snap: &mut Snapshot, bucket, zone, expect: &[(&str, i64)]| {
        let rows = volume(snap, &query(bucket, zone), 10_000)
            .await
            .unwrap()
            .items;
        let rows = rows.iter().filter(|row| row.records > 0);
        let rows: Vec<_> = rows.map(|r| (r.bucket, r.records)).collect();
        let expect: Vec<_> = expect.iter().map(|(start, n)| (at(start), *n)).collect();
        assert_eq!(rows, expect, "{bucket:?} of {zone}");
    };
    let days = [("2016-03-26T00:00:00Z", 2), ("2016-03-27T00:00:00Z", 1)];
    check(&mut snap, LogBucket::Day, "UTC", &days).await;
    let days = [("2016-03-25T23:00:00Z", 1), ("2016-03-26T23:00:00Z", 2)];
    check(&mut snap, LogBucket::Day, "Europe/Berlin", &days).await;
    let week = [("2016-03-21T00:00:00Z", 3)];
    check(&mut snap, LogBucket::Week, "UTC", &week).await;
    let month = [("2016-03-01T00:00:00Z", 3)];
    check(&mut snap, LogBucket::Month, "UTC", &month).await;
    let quarters = [
        ("2016-03-26T22:45:00Z", 1),
        ("2016-03-26T23:00:00Z", 1),
        ("2016-03-27T00:45:00Z", 1),
    ];
    check(&mut snap, LogBucket::QuarterHour, "UTC", &quarters).await;
    let strange = volume(&mut snap, &query(LogBucket::Day, "Moon/Base"), 1).await;
    assert!(matches!(strange, Err(ReadError::UnknownZone)));
}

/// A span in which clocks change, by the zone's name; all of it is covered by records, one each minute.
const CHANGES: [(&str, &str, &str); 5] = [
    // Midnight comes twice.
    (
        "Atlantic/Azores",
        "2025-10-25T22:00:00Z",
        "2025-10-27T02:00:00Z",
    ),
    (
        "America/Havana",
        "2026-10-31T23:00:00Z",
        "2026-11-02T06:00:00Z",
    ),
    // By half an hour.
    (
        "Australia/Lord_Howe",
        "2025-04-05T12:00:00Z",
        "2025-04-05T18:00:00Z",
    ),
    (
        "America/Caracas",
        "2016-05-01T05:00:00Z",
        "2016-05-01T09:00:00Z",
    ),
    (
        "Europe/Berlin",
        "2024-10-26T21:00:00Z",
        "2024-10-27T23:30:00Z",
    ),
];

#[tokio::test]
async fn a_bucket_counts_its_records_where_clocks_change() {
    let mut events = Vec::new();
    for (_, from, to) in CHANGES {
        let minutes = (at(to) - at(from)).num_minutes();
        let time = |n: i64| (at(from) + chrono::TimeDelta::minutes(n)).to_rfc3339();
        let records = (0..minutes).map(|n| record(&time(n), LogType::Error, "tick"));
        events.push(batch("web", records.collect()));
    }
    let db = after(events, 5).await;
    let mut snap = snapshot(&db).await;
    for (zone, from, to) in CHANGES {
        for bucket in [LogBucket::Hour, LogBucket::Day, LogBucket::Month] {
            let query = VolumeQuery {
                from: at(from),
                to: at(to),
                bucket,
                zone: zone.to_owned(),
                ..the_day()
            };
            let rows = volume(&mut snap, &query, 1_000).await.unwrap().items;
            assert_eq!(
                (rows[0].bucket, rows[rows.len() - 1].end),
                (at(from), at(to))
            );
            assert!(rows.windows(2).all(|pair| pair[0].end == pair[1].bucket));
            let filter = LogFilter {
                from: Some(at(from)),
                to: Some(at(to)),
                ..LogFilter::default()
            };
            let visits = distinct(&mut snap, &filter, bucket, zone, 1_000).await;
            let visits = visits.unwrap().items;
            assert_eq!(visits.len(), rows.len());
            for (row, visit) in rows.iter().zip(&visits) {
                let minutes = (row.end - row.bucket).num_minutes();
                assert_eq!(row.records, minutes, "{bucket:?} of {zone}: {row:?}");
                let told = (visit.bucket, visit.end, visit.records);
                assert_eq!(told, (row.bucket, row.end, row.records));
            }
        }
    }
}

#[tokio::test]
async fn buckets_without_records_are_there() {
    let db = after(a_day(), 5).await;
    let mut snap = snapshot(&db).await;
    // The day's records end at 14:00.
    let query = VolumeQuery {
        bucket: LogBucket::Hour,
        ..the_day()
    };
    let rows = volume(&mut snap, &query, 100).await.unwrap().items;
    assert_eq!(rows.len(), 24);
    assert!(rows[..14].iter().all(|row| row.records > 0));
    assert!(rows[14..].iter().all(|row| row.records == 0));
    let shares = error_share(&mut snap, &query, 100).await.unwrap().items;
    assert_eq!((shares.len(), shares[23].records), (24, 0));
    let some = volume(&mut snap, &query, 20).await.unwrap();
    assert!(some.has_next && some.items == rows[..20]);
    // Where kinds are told apart, each has its own, and none is told of where there is nothing.
    let by = VolumeBy {
        log_type: true,
        ..VolumeBy::default()
    };
    let apart = VolumeQuery { by, ..query };
    let rows = volume(&mut snap, &apart, 1_000).await.unwrap().items;
    assert!(rows.iter().all(|row| row.records > 0));
    // Nobody at all is told of every bucket as well.
    let nobody = LogFilter {
        source_id: Some("nobody".to_owned()),
        from: Some(hour(0)),
        to: Some(hour(6)),
        ..LogFilter::default()
    };
    let visits = distinct(&mut snap, &nobody, LogBucket::Hour, "UTC", 100);
    let visits = visits.await.unwrap().items;
    assert_eq!(visits.len(), 6);
    assert!(visits.iter().all(|row| row.records == 0));
}

/// All figures of a day, as text.
async fn all_figures(snap: &mut Snapshot) -> String {
    let filter = LogFilter {
        from: Some(hour(0)),
        to: Some(at("2016-01-06T00:00:00Z")),
        ..LogFilter::default()
    };
    let by = VolumeBy {
        log_type: true,
        name: true,
        version: true,
    };
    let query = VolumeQuery { by, ..the_day() };
    let day = NaiveDate::from_ymd_opt(2016, 1, 5).unwrap();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        volume(snap, &query, 1_000).await.unwrap(),
        error_share(snap, &query, 10).await.unwrap(),
        top_names(snap, &query, 10).await.unwrap(),
        distinct(snap, &filter, LogBucket::Hour, "UTC", 100)
            .await
            .unwrap(),
        delay(snap, &filter).await.unwrap(),
        gaps(snap, &GapQuery::default(), None, 100).await.unwrap(),
        active_users(snap, day).await.unwrap(),
        projections::logs::log_sources(snap, None, 10)
            .await
            .unwrap(),
    )
}

#[tokio::test]
async fn figures_are_of_one_tenant() {
    let db = after(a_day(), 5).await;
    let alone = all_figures(&mut snapshot(&db).await).await;
    assert!(alone.contains("Page_0"));
    // The same day with other records of the same sources, sessions and users.
    let mut others = scene::log(a_day());
    others.pop();
    for event in &mut others {
        event.tenant = "other".into();
    }
    scene::write(&db, &*read_model(NAME), 1, &others).await;
    assert_eq!(all_figures(&mut snapshot(&db).await).await, alone);
}

#[tokio::test]
async fn errors_names_users_and_sessions_are_counted() {
    let db = after(a_day(), 5).await;
    let mut snap = snapshot(&db).await;
    let share = error_share(&mut snap, &the_day(), 5).await.unwrap().items;
    assert_eq!((share[0].records, share[0].errors), (120, 24));
    let names = top_names(&mut snap, &the_day(), 3).await.unwrap();
    assert!(names.has_next);
    let told: Vec<_> = names
        .items
        .iter()
        .map(|n| (n.rank, &*n.event_name, n.records))
        .collect();
    // 120 records of seven names: the first has 18, all others 17.
    assert_eq!(
        told,
        [(1, "Page_0", 18), (2, "Page_1", 17), (2, "Page_2", 17)]
    );
    let filter = LogFilter {
        from: Some(hour(0)),
        to: Some(hour(7)),
        ..LogFilter::default()
    };
    let found = distinct(&mut snap, &filter, LogBucket::Whole, "UTC", 5)
        .await
        .unwrap();
    let found = &found.items[0];
    // 60 records of both sources; of users 0, 1 and 2; of four sessions, in each source.
    assert_eq!((found.bucket, found.records), (hour(0), 60));
    assert_eq!((found.users, found.sessions), (3, 8));
    let hours = distinct(&mut snap, &filter, LogBucket::Hour, "UTC", 50)
        .await
        .unwrap();
    assert_eq!(hours.items.iter().map(|h| h.records).sum::<i64>(), 60);
}

#[tokio::test]
async fn users_of_a_day_a_week_and_a_month_are_counted_once() {
    let visit = |day: u32, user: &str| LogRecord {
        user_id: Some(user.to_owned()),
        ..record(
            &format!("2016-03-{day:02}T12:00:00Z"),
            LogType::Behavioral,
            "visit",
        )
    };
    let visits = [
        (31, "a"),
        (31, "a"),
        (31, "b"),
        (25, "a"),
        (25, "c"),
        (24, "d"),
        (2, "e"),
        (1, "f"),
    ];
    let visits = visits.map(|(day, user)| visit(day, user)).to_vec();
    let db = after(vec![batch("web", visits)], 1).await;
    let mut snap = snapshot(&db).await;
    let day = NaiveDate::from_ymd_opt(2016, 3, 31).unwrap();
    let as_of = domain::Position(1);
    let expect = ActiveUsers {
        day,
        daily: 2,
        weekly: 3,
        monthly: 5,
        as_of,
    };
    assert_eq!(active_users(&mut snap, day).await.unwrap(), expect);
}

#[tokio::test]
async fn a_delay_is_from_the_records_time_to_the_recording() {
    // Recorded a second after 2016 began.
    let times = [
        "2016-01-01T00:00:00Z",
        "2015-12-31T23:59:58Z",
        "2016-01-01T00:00:03Z",
    ];
    let records = times.map(|time| record(time, LogType::Error, "e"));
    let db = after(vec![batch("web", records.to_vec())], 1).await;
    let mut snap = snapshot(&db).await;
    let found = delay(&mut snap, &LogFilter::default()).await.unwrap();
    // -2, 1 and 3 s.
    assert_eq!(
        (found.records, found.p50_s, found.p95_s),
        (3, Some(1.0), Some(2.8))
    );
    let none = LogFilter {
        source_id: Some("app".to_owned()),
        ..LogFilter::default()
    };
    let found = delay(&mut snap, &none).await.unwrap();
    assert_eq!((found.records, found.p50_s, found.p95_s), (0, None, None));
}

#[tokio::test]
async fn a_gap_is_what_is_missing_between_two_records_of_a_session() {
    let numbered = |session: &str, number| LogRecord {
        session_id: Some(session.to_owned()),
        sequence_number: Some(number),
        ..record("2016-01-01T00:00:00Z", LogType::Telemetry, "t")
    };
    let web = [
        ("s", 9),
        ("s", 1),
        ("s", 1),
        ("s", 4),
        ("t", 1),
        ("t", 2),
        ("s", 5),
    ];
    let web = web
        .map(|(session, number)| numbered(session, number))
        .to_vec();
    // The same session's name in another source is another session.
    let app = vec![numbered("s", 2), numbered("s", i64::MAX)];
    let db = after(vec![batch("web", web), batch("app", app)], 1).await;
    let mut snap = snapshot(&db).await;
    let all = GapQuery::default();
    let found = gaps(&mut snap, &all, None, 10).await.unwrap().items;
    let told = |n: usize| (&*found[n].source_id, found[n].first, found[n].last);
    assert_eq!(found.len(), 3);
    assert_eq!(told(0), ("app", 3, i64::MAX - 1));
    assert_eq!(told(1), ("web", 2, 3));
    assert_eq!(told(2), ("web", 6, 8));
    let places = |n: usize| [found[n].before, found[n].after].map(|(p, index)| (p.0, index));
    assert_eq!(places(1), [(1, 2), (1, 3)]);
    assert_eq!(places(2), [(1, 6), (1, 0)]);
    let cursor = GapCursor::from(&found[0]);
    let rest = gaps(&mut snap, &all, Some(&cursor), 1).await.unwrap();
    assert!(rest.has_next && rest.items == found[1..2]);
}

#[tokio::test]
async fn a_number_is_missing_if_no_record_of_the_session_has_it() {
    let numbered = |time: &str, log_type, number| LogRecord {
        session_id: Some("s".to_owned()),
        sequence_number: Some(number),
        ..record(time, log_type, "t")
    };
    let records = [
        ("2016-01-01T00:00:00Z", LogType::Error, 1),
        // Of another type, and of a clock that was a year behind.
        ("2016-01-01T00:00:01Z", LogType::Telemetry, 2),
        ("2015-01-01T00:00:02Z", LogType::Telemetry, 4),
        ("2016-01-01T00:00:04Z", LogType::Error, 8),
    ];
    let records = records.map(|(time, log_type, number)| numbered(time, log_type, number));
    let db = after(vec![batch("web", records.to_vec())], 1).await;
    let mut snap = snapshot(&db).await;
    let query = GapQuery {
        from: Some(at("2016-01-01T00:00:00Z")),
        to: Some(at("2016-01-02T00:00:00Z")),
        ..GapQuery::default()
    };
    let found = gaps(&mut snap, &query, None, 10).await.unwrap().items;
    let told: Vec<_> = found.iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(told, [(3, 3), (5, 7)]);
    assert_eq!((found[0].after.1, found[1].before.1), (2, 2));
    let cursor = GapCursor::from(&found[0]);
    let rest = gaps(&mut snap, &query, Some(&cursor), 10).await.unwrap();
    assert_eq!(rest.items, found[1..]);
    let other = GapQuery {
        session_id: Some("t".to_owned()),
        ..query
    };
    assert_eq!(gaps(&mut snap, &other, None, 10).await.unwrap().items, []);
}

#[tokio::test]
async fn a_backfill_and_nobody_are_left_out_of_what_does_not_count_them() {
    let about = |user: Option<&str>| LogRecord {
        user_id: user.map(str::to_owned),
        ..record("2016-01-01T00:00:00Z", LogType::Error, "e")
    };
    let (known, unknown) = (about(Some("ann")), about(None));
    let live = vec![known.clone(), unknown.clone()];
    let mut log = scene::log(vec![batch("web", live), batch("web", vec![known, unknown])]);
    log[1].metadata.backfill = Some("true".into());
    let db = after(vec![], 1).await;
    scene::write(&db, &*read_model(NAME), 1, &log).await;
    let mut snap = snapshot(&db).await;
    let delay = delay(&mut snap, &LogFilter::default()).await.unwrap();
    assert_eq!(delay.records, 2);
    let places = async |snap: &mut Snapshot, only, user_id: Option<&str>| {
        let filter = LogFilter {
            user_id: user_id.map(str::to_owned),
            ..LogFilter::default()
        };
        let query = LogQuery {
            filter,
            only,
            ..LogQuery::default()
        };
        let page = logs(snap, &query, LogPlace::Skip(0), 10).await.unwrap();
        let rows = page.records.iter().rev();
        rows.map(|row| (row.position.0, row.index))
            .collect::<Vec<_>>()
    };
    let all = [(1, 0), (1, 1), (2, 0), (2, 1)];
    assert_eq!(places(&mut snap, LogOnly::All, None).await, all);
    assert_eq!(places(&mut snap, LogOnly::Live, None).await, all[..2]);
    assert_eq!(
        places(&mut snap, LogOnly::OfUsers, None).await,
        [all[0], all[2]]
    );
    assert_eq!(
        places(&mut snap, LogOnly::Live, Some("ann")).await,
        all[..1]
    );
}
