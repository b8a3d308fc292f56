//! How old the newest fix of a feed is, minute by minute.

use chrono::{DateTime, Utc};
use domain::slo::{Method, Objective, Sli, Window};
use domain::track::Fix;
use domain::{Event, Position, Recorded};
use projections::slo::{SampleKind, SloQuery, SloStatus};

use super::{asked, behind, check_evidence, instant, known, measured, nine_of_ten, of, tuesday};
use crate::projections::scene::{create_tables, fix, go_live, log, read_model, reported, write};
use crate::support::TestDb;

/// A report of one fix: when it was recorded, and of when it is.
fn report(recorded: &str, fixed: &str) -> (DateTime<Utc>, Fix) {
    (instant(recorded), fix(&tuesday(fixed), 30.0, -97.0))
}

fn told(reports: Vec<(DateTime<Utc>, Fix)>) -> Vec<Recorded<Event>> {
    let (times, fixes): (Vec<_>, Vec<_>) = reports.into_iter().unzip();
    let vehicles = ["bus", "tram"].into_iter().cycle();
    let events = fixes.into_iter().zip(vehicles);
    let mut log = log(events.map(|(fix, v)| reported(v, vec![fix])).collect());
    for (event, recorded_at) in log.iter_mut().zip(times) {
        event.recorded_at = recorded_at;
    }
    log
}

/// Positions that have folded the events, two at a time, from the last to the first: order is no matter.
async fn fed(log: &[Recorded<Event>]) -> TestDb {
    let db = TestDb::create().await;
    let projection = read_model("positions");
    create_tables(&db, &*projection, 1).await;
    for batch in log.chunks(2).rev() {
        write(&db, &*projection, 1, batch).await;
    }
    go_live(&db, &*projection, i64::try_from(log.len()).unwrap()).await;
    db
}

/// Nine of ten looks find a fix of the last two minutes, of one day.
fn freshness(clock: &str) -> SloQuery {
    let objective = Objective {
        window: Window::Rolling { days: 1 },
        ..nine_of_ten(Sli::FeedFreshness)
    };
    asked(objective, &tuesday(clock))
}

#[tokio::test]
async fn each_full_minute_is_a_look_at_the_newest_fix_known() {
    let db = fed(&told(vec![
        report("12:00", "11:59"),
        // It comes late: at 12:02 and 12:03 it was not known.
        report("12:03", "12:01"),
        // An old one makes nothing older.
        report("12:04", "11:00"),
    ]))
    .await;
    let query = freshness("12:06");
    let found = measured(&db, &query).await;
    let seconds = async |kind| {
        let rows = behind(&db, &query, kind).await.into_iter();
        let rows = rows.map(|row| (row.at, row.seconds.unwrap_or_default(), row.position));
        rows.collect::<Vec<_>>()
    };
    // What is recorded at 12:00 is known to the look at 12:01; before that there is nothing to look at.
    let good = [(instant("12:01"), 120.0, Position(1))];
    assert_eq!(seconds(SampleKind::Good).await, good);
    let bad = [
        (instant("12:02"), 180.0, Position(1)),
        (instant("12:03"), 240.0, Position(1)),
        (instant("12:04"), 180.0, Position(2)),
        (instant("12:05"), 240.0, Position(2)),
    ];
    assert_eq!(seconds(SampleKind::Bad).await, bad);
    assert_eq!(
        (found.samples, found.negative, found.open),
        (of(5, 1), 0, 0)
    );
    assert_eq!(found.status, SloStatus::Missed);
    check_evidence(&db, &query).await;
}

/// A feed that is silent grows stale; what was newest before the window is still known in it.
#[tokio::test]
async fn silence_is_stale() {
    let db = fed(&told(vec![
        report("12:00", "12:00"),
        report("12:01", "12:00"),
    ]))
    .await;
    let mut query = freshness("12:10");
    query.excluded = vec![(instant("12:05"), instant("12:07"))];
    // Looks from 12:01 to 12:09, without two of them; those of the first two minutes are good.
    let found = measured(&db, &query).await;
    assert_eq!(found.samples, of(7, 2));
    query.excluded.clear();
    query.at = instant("23:00");
    query.objective.window = Window::CalendarWeek {
        zone: "UTC".to_owned(),
    };
    query.objective.percentile_ppm = Some(500_000);
    let found = measured(&db, &query).await;
    assert_eq!(found.samples, of(659, 2));
    assert_eq!(found.percentile_s, Some(330.0 * 60.0));
    // The last hour has sixty looks, none of them good, though nothing was recorded in it.
    assert_eq!(
        (found.burn[0].long, found.burn[0].short),
        (of(60, 0), of(5, 0))
    );
    query.objective.method = Method::Timeslices {
        slice_minutes: 60,
        slice_objective_ppm: 30_000,
    };
    // Of the eleven hours that were looked at, the first had 2 good looks of 59.
    assert_eq!(measured(&db, &query).await.counted, of(11, 1));
    check_evidence(&db, &query).await;
}

/// A clock that is ahead makes no feed fresh: it is counted apart.
#[tokio::test]
async fn a_fix_that_lies_ahead_is_negative() {
    let db = fed(&told(vec![
        report("12:00", "12:00"),
        report("12:00", "13:00"),
        // Ahead by less than a minute: it is past when it is looked at.
        report("12:03", "12:04"),
    ]))
    .await;
    let query = freshness("12:06");
    let found = measured(&db, &query).await;
    // Looks at 12:01 to 12:05: 1, 2, 3, 0 and 1 minutes.
    assert_eq!((found.samples, found.negative), (of(5, 4), 1));
    check_evidence(&db, &query).await;
    let ahead = &behind(&db, &query, SampleKind::Negative).await[0];
    assert_eq!(
        (ahead.at, ahead.seconds),
        (instant("12:01"), Some(-59.0 * 60.0))
    );
    assert_eq!(ahead.positions, [Position(2)]);
}

/// Later looks had not been at that position, and what was recorded after it was not known.
#[tokio::test]
async fn freshness_is_told_as_of_then() {
    let db = fed(&told(vec![
        report("12:00", "12:00"),
        report("12:02", "12:02"),
        report("12:08", "12:02"),
        report("12:08", "12:07"),
    ]))
    .await;
    let query = freshness("12:20");
    assert_eq!(measured(&db, &query).await.samples.total, 19);
    let then = known(&query, 3, "2026-02-10T12:08:00Z");
    let found = measured(&db, &then).await;
    // Looks at 12:01 to 12:08: 1, 2, 1, 2, 3, 4, 5 and 6 minutes.
    assert_eq!((found.samples, found.as_of), (of(8, 4), Position(3)));
    check_evidence(&db, &then).await;
}
