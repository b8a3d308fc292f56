//! Figures of log records, counted by hand; each is as long as the list of its records.

use chrono::NaiveDate;
use domain::log_batch::LogRecord;
use domain::log_source::LogType;
use projections::logs::{
    ActiveUsers, GapCursor, LogBucket, LogFilter, LogPlace, LogQuery, VolumeBy, VolumeQuery,
    active_users, delay, distinct, error_share, gaps, logs, top_names, volume,
};
use projections::{ReadError, Snapshot};

use super::super::scene::{after, at, snapshot};
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
        let rows = volume(snap, &query(bucket, zone), 10).await.unwrap().items;
        let rows: Vec<_> = rows.iter().map(|r| (r.bucket, r.records)).collect();
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
    let all = LogFilter::default();
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
