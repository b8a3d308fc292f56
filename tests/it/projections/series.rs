//! Trends: buckets in a zone, comparisons, averages, and what no data looks like.

use chrono::TimeDelta;
use projections::positions::FixRow;
use projections::trends::{
    Scope, Trend, TrendBucket, TrendCompare, TrendMetric, TrendPoint, TrendQuery, evidence, trend,
};
use projections::{ReadError, Snapshot};

use crate::support::TestDb;

use super::scene::{after, at, fix, moving, reported, snapshot};

fn query(bucket: TrendBucket, from: &str, to: &str) -> TrendQuery {
    TrendQuery {
        metric: TrendMetric::Fixes,
        from: at(from),
        to: at(to),
        bucket,
        zone: "UTC".to_owned(),
        scope: Scope::All,
        window: 3,
        compare: TrendCompare::PreviousBucket,
    }
}

fn values(trend: &Trend) -> Vec<Option<f64>> {
    trend.points.iter().map(|point| point.value).collect()
}

#[tokio::test]
async fn no_data_is_null_and_neighbours_are_compared() {
    // 1, nothing, 4, 2 fixes in four quarters of an hour.
    let mut fixes = vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)];
    for second in ["30:00", "31:40", "44:00", "44:59.999999", "45:00", "59:59"] {
        fixes.push(fix(&format!("2016-05-01T10:{second}Z"), 1.0, 1.0));
    }
    fixes.reverse();
    let db = after(vec![reported("bus", fixes)], 1).await;
    let mut snap = snapshot(&db).await;
    let asked = query(
        TrendBucket::QuarterHour,
        "2016-05-01T10:07:00Z",
        "2016-05-01T10:59:00Z",
    );
    let got = trend(&mut snap, &asked).await.unwrap();
    assert_eq!(values(&got), [Some(1.0), None, Some(4.0), Some(2.0)]);
    let starts: Vec<_> = got
        .points
        .iter()
        .map(|p| p.start - at("2016-05-01T10:00:00Z"))
        .collect();
    assert_eq!(starts, [0, 15, 30, 45].map(TimeDelta::minutes));
    assert_eq!(got.points[3].end, at("2016-05-01T11:00:00Z"));
    let previous: Vec<_> = got.points.iter().map(|p| p.previous).collect();
    assert_eq!(previous, [None, Some(1.0), None, Some(4.0)]);
    let change: Vec<_> = got.points.iter().map(|p| p.change_percent).collect();
    assert_eq!(change, [None, None, None, Some(-50.0)]);
    let moving: Vec<_> = got.points.iter().map(|p| p.moving_average).collect();
    assert_eq!(moving, [Some(1.0), Some(1.0), Some(2.5), Some(3.0)]);
    let complete: Vec<_> = got.points.iter().map(|p| p.complete).collect();
    assert_eq!(complete, [false, false, true, true]);
    assert_eq!(got.median, Some(2.0));
    assert!((got.p95.unwrap() - 3.8).abs() < 1e-9);
    // Least squares through (1, 1), (3, 4), (4, 2).
    assert!((got.slope_per_bucket.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(got.as_of.0, 1);

    let speed = TrendQuery {
        metric: TrendMetric::MeanSpeed,
        ..asked.clone()
    };
    let got = trend(&mut snap, &speed).await.unwrap();
    assert_eq!(values(&got), [None; 4], "no speed was reported");
    assert_eq!(
        (got.median, got.p95, got.slope_per_bucket),
        (None, None, None)
    );

    let nobody = TrendQuery {
        scope: Scope::Fleet("none".to_owned()),
        ..asked
    };
    assert_eq!(values(&trend(&mut snap, &nobody).await.unwrap()), [None; 4]);
}

/// One that moves for two hours, and one that reports once, elsewhere.
async fn two_vehicles() -> TestDb {
    after(
        vec![
            reported(
                "a",
                vec![
                    moving("2016-05-01T10:00:00Z", 0.0, 0.0, 2.0),
                    moving("2016-05-01T10:10:00Z", 0.0, 0.001, 4.0),
                    // More than an hour later: what lies between is unobserved.
                    moving("2016-05-01T11:10:01Z", 0.0, 0.003, 0.0),
                ],
            ),
            reported("b", vec![fix("2016-05-01T10:00:00Z", 5.0, 5.0)]),
        ],
        1,
    )
    .await
}

#[tokio::test]
async fn metrics_are_of_all_vehicles_of_the_scope() {
    let db = two_vehicles().await;
    let mut snap = snapshot(&db).await;
    let hours = query(
        TrendBucket::Hour,
        "2016-05-01T10:00:00Z",
        "2016-05-01T12:00:00Z",
    );
    let cases = [
        (TrendMetric::Fixes, [Some(3.0), Some(1.0)]),
        (TrendMetric::Vehicles, [Some(2.0), Some(1.0)]),
        (TrendMetric::MeanSpeed, [Some(3.0), Some(0.0)]),
        (TrendMetric::MaxSpeed, [Some(4.0), Some(0.0)]),
        (
            TrendMetric::Distance,
            [Some(111.195_080_233_532_9), Some(0.0)],
        ),
    ];
    for (metric, expect) in cases {
        let got = trend(
            &mut snap,
            &TrendQuery {
                metric,
                ..hours.clone()
            },
        )
        .await
        .unwrap();
        for (got, expect) in values(&got).into_iter().zip(expect) {
            assert!(
                (got.unwrap() - expect.unwrap()).abs() < 1e-6,
                "{metric:?}: {got:?}"
            );
        }
    }
    let b = Scope::Vehicle("b".to_owned());
    let got = trend(
        &mut snap,
        &TrendQuery {
            scope: b,
            ..hours.clone()
        },
    )
    .await
    .unwrap();
    assert_eq!(values(&got), [Some(1.0), None]);
}

#[tokio::test]
async fn a_change_from_nothing_has_no_percentage() {
    let db = two_vehicles().await;
    let mut snap = snapshot(&db).await;
    let asked = TrendQuery {
        metric: TrendMetric::MaxSpeed,
        ..query(
            TrendBucket::Hour,
            "2016-05-01T11:00:00Z",
            "2016-05-01T13:00:00Z",
        )
    };
    let got = trend(&mut snap, &asked).await.unwrap();
    assert_eq!(values(&got), [Some(0.0), None]);
    let last = &got.points[1];
    assert_eq!((last.previous, last.change_percent), (Some(0.0), None));
}

/// A fix at every full UTC hour of three weeks around the change to summer time in Berlin.
async fn three_weeks() -> TestDb {
    let from = at("2016-03-13T23:00:00Z");
    let hourly = (0..21 * 24).map(|hour| {
        let time = (from + TimeDelta::hours(hour)).to_rfc3339();
        fix(&time, 52.5, 13.4)
    });
    after(vec![reported("bus", hourly.collect())], 1).await
}

/// A query in Berlin's time.
fn berlin(bucket: TrendBucket, from: &str, to: &str) -> TrendQuery {
    let zone = "Europe/Berlin".to_owned();
    TrendQuery {
        zone,
        ..query(bucket, from, to)
    }
}

#[tokio::test]
async fn days_and_weeks_are_those_of_the_zone_when_clocks_change() {
    let db = three_weeks().await;
    let mut snap = snapshot(&db).await;
    let week = berlin(
        TrendBucket::Day,
        "2016-03-25T23:00:00Z",
        "2016-03-29T22:00:00Z",
    );
    let got = trend(&mut snap, &week).await.unwrap();
    assert_eq!(
        values(&got),
        [Some(24.0), Some(23.0), Some(24.0), Some(24.0)]
    );
    assert_eq!(got.points[1].start, at("2016-03-26T23:00:00Z"));
    assert_eq!(got.points[1].end, at("2016-03-27T22:00:00Z"));

    let weeks = berlin(
        TrendBucket::Week,
        "2016-03-22T00:00:00Z",
        "2016-03-29T00:00:00Z",
    );
    let got = trend(&mut snap, &weeks).await.unwrap();
    assert_eq!(
        values(&got),
        [Some(167.0), Some(168.0)],
        "from Monday, local time"
    );
}

#[tokio::test]
async fn hours_are_compared_by_local_time_when_clocks_change() {
    let db = three_weeks().await;
    let mut snap = snapshot(&db).await;
    let day = TrendQuery {
        compare: TrendCompare::PreviousDay,
        ..berlin(
            TrendBucket::Hour,
            "2016-03-26T23:00:00Z",
            "2016-03-28T22:00:00Z",
        )
    };
    let got = trend(&mut snap, &day).await.unwrap();
    assert_eq!(got.points.len(), 47, "23 hours and 24");
    let lonely: Vec<_> = got
        .points
        .iter()
        .filter(|p| p.previous.is_none())
        .map(|p| p.start)
        .collect();
    // On the 27th there was no local 02:00 to compare the 28th's with.
    assert_eq!(lonely, [at("2016-03-28T00:00:00Z")]);
    let last = TrendQuery {
        compare: TrendCompare::PreviousWeek,
        ..day
    };
    let got = trend(&mut snap, &last).await.unwrap();
    assert!(
        got.points
            .iter()
            .all(|p| p.previous == Some(1.0) && p.change_percent == Some(0.0))
    );

    // Back to winter time: an hour that comes twice is two buckets.
    let autumn = berlin(
        TrendBucket::Hour,
        "2016-10-29T22:00:00Z",
        "2016-10-30T23:00:00Z",
    );
    let got = trend(&mut snap, &autumn).await.unwrap();
    assert_eq!(got.points.len(), 25);
    let hour = TimeDelta::hours(1);
    assert!(
        got.points
            .iter()
            .all(|p| p.end - p.start == hour && p.value.is_none())
    );
}

/// All evidence of a point, `first` at a time.
async fn list_all(
    snap: &mut Snapshot,
    scope: &Scope,
    point: &TrendPoint,
    first: u32,
) -> Vec<FixRow> {
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = evidence(snap, scope, point.start, point.end, cursor.as_ref(), first);
        let page = page.await.unwrap();
        assert!(page.complete && page.fixes.len() <= first as usize);
        cursor = page.fixes.last().map(Into::into);
        listed.extend(page.fixes);
        if !page.has_next {
            return listed;
        }
    }
}

#[tokio::test]
async fn a_point_lists_the_fixes_behind_it() {
    let mut events = Vec::new();
    for minute in 0..60 {
        for vehicle in ["a", "b", "c"] {
            let late = format!("2016-05-01T10:{:02}:30Z", (minute * 7) % 60);
            events.push(reported(vehicle, vec![fix(&late, 1.0, f64::from(minute))]));
        }
    }
    let db = after(events, 13).await;
    let mut snap = snapshot(&db).await;
    let scopes = [
        Scope::All,
        Scope::Vehicle("b".to_owned()),
        Scope::Fleet("none".to_owned()),
    ];
    for scope in scopes {
        let asked = query(
            TrendBucket::QuarterHour,
            "2016-05-01T10:00:00Z",
            "2016-05-01T11:00:00Z",
        );
        let got = trend(
            &mut snap,
            &TrendQuery {
                scope: scope.clone(),
                ..asked
            },
        )
        .await
        .unwrap();
        for point in &got.points {
            for first in [1, 7, 100] {
                let listed = list_all(&mut snap, &scope, point, first).await;
                let in_order = |fix: &FixRow| {
                    (
                        fix.fix_time,
                        fix.vehicle_id.clone(),
                        fix.position,
                        fix.index,
                    )
                };
                assert!(listed.iter().map(in_order).is_sorted_by(|a, b| a < b));
                assert!(
                    listed
                        .iter()
                        .all(|f| (point.start..point.end).contains(&f.fix_time))
                );
                assert_eq!(
                    listed.len() as f64,
                    point.value.unwrap_or_default(),
                    "{scope:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn evidence_waits_for_the_history() {
    let here = |time| reported("bus", vec![fix(time, 1.0, 1.0)]);
    let db = after(
        vec![here("2016-05-01T10:00:00Z"), here("2016-05-01T10:01:00Z")],
        1,
    )
    .await;
    let say = "update generations set position = $1 where projection = $2";
    let set = async |position: i64, projection| {
        sqlx::query(say)
            .bind(position)
            .bind(projection)
            .execute(db.pool())
            .await
            .unwrap();
    };
    let (start, end) = (at("2016-05-01T10:00:00Z"), at("2016-05-01T10:05:00Z"));
    // The figure is older than the history: what it does not know is not listed.
    set(1, "trends").await;
    let mut snap = snapshot(&db).await;
    let page = evidence(&mut snap, &Scope::All, start, end, None, 10)
        .await
        .unwrap();
    assert_eq!(
        (page.fixes.len(), page.complete, page.as_of.0),
        (1, true, 1)
    );
    drop(snap);
    // The history is older than the figure: said.
    set(2, "trends").await;
    set(1, "positions").await;
    let mut snap = snapshot(&db).await;
    let page = evidence(&mut snap, &Scope::All, start, end, None, 10)
        .await
        .unwrap();
    assert!(!page.complete && page.as_of.0 == 2);
}

#[tokio::test]
async fn a_question_beyond_bounds_is_refused_and_spoils_nothing() {
    let db = after(Vec::new(), 1).await;
    let mut snap = snapshot(&db).await;
    let good = query(
        TrendBucket::FiveMinutes,
        "2016-05-01T00:00:00Z",
        "2016-05-02T00:00:00Z",
    );
    let mut check = async |wrong: TrendQuery, expect: fn(&ReadError) -> bool| {
        let error = trend(&mut snap, &wrong).await.unwrap_err();
        assert!(expect(&error) && error.is_callers(), "{error:?}");
        let points = trend(&mut snap, &good).await.unwrap().points;
        assert_eq!(points.len(), 288, "the snapshot still answers");
    };
    check(
        TrendQuery {
            to: at("2016-05-01T00:00:00Z"),
            ..good.clone()
        },
        |e| matches!(e, ReadError::EmptySpan),
    )
    .await;
    check(
        TrendQuery {
            to: at("2016-06-01T00:00:00Z"),
            ..good.clone()
        },
        |e| {
            matches!(
                e,
                ReadError::TooManyBuckets {
                    asked: 8928,
                    most: 2000
                }
            )
        },
    )
    .await;
    check(
        TrendQuery {
            window: 0,
            ..good.clone()
        },
        |e| matches!(e, ReadError::WindowOutOfRange { asked: 0, .. }),
    )
    .await;
    check(
        TrendQuery {
            zone: "Nowhere/Atlantis".to_owned(),
            ..good.clone()
        },
        |e| matches!(e, ReadError::UnknownZone),
    )
    .await;
}
