//! The summary of a fleet or vehicle, against a plain computation over the fixes.

use domain::track::Fix;
use projections::haversine_m;
use projections::summary::{Summary, summary, summary_by_vehicle};
use projections::trends::Scope;

use super::scene::{after, at, fix, moving, reported, snapshot};

/// A made-up but steady walk: some steps stand, some move, some are hours long.
fn walk(seed: i64) -> Vec<Fix> {
    let mut time = at("2016-05-01T08:00:07Z");
    let (mut lat, mut lon) = (30.0, -97.0);
    let mut fixes = Vec::new();
    for n in 0..120 {
        let roll = (n * 7919 + seed * 104_729) % 97;
        let pause = if roll == 5 { 4_000 } else { 11 + roll };
        time += chrono::TimeDelta::seconds(pause);
        if roll % 3 != 0 {
            lat += 1e-5 * (roll - 40) as f64;
            lon += 2e-5 * (roll - 30) as f64;
        }
        let time = time.to_rfc3339();
        fixes.push(match roll % 4 {
            0 => fix(&time, lat, lon),
            speed => moving(&time, lat, lon, speed as f64 * 3.25),
        });
    }
    fixes
}

/// What the definition says, step by step.
fn expected(fixes: &[Fix]) -> Summary {
    let (mut distance, mut moving_s, mut idle_s, mut gaps) = (0.0, 0.0, 0.0, 0);
    for step in fixes.windows(2) {
        let seconds = (step[1].fix_time - step[0].fix_time).as_seconds_f64();
        let metres = haversine_m(step[0].lat, step[0].lon, step[1].lat, step[1].lon);
        if seconds > projections::STOP_GAP_S as f64 {
            gaps += 1;
            continue;
        }
        distance += metres;
        if metres / seconds >= projections::MOVING_FROM_MPS {
            moving_s += seconds;
        } else {
            idle_s += seconds;
        }
    }
    let speeds: Vec<f64> = fixes.iter().filter_map(|fix| fix.speed_mps).collect();
    Summary {
        active_vehicles: 1,
        fixes: i64::try_from(fixes.len()).unwrap(),
        distance_m: Some(distance),
        moving_s: Some(moving_s),
        idle_s: Some(idle_s),
        gaps,
        mean_speed_mps: Some(speeds.iter().sum::<f64>() / speeds.len() as f64),
        max_speed_mps: speeds.iter().copied().reduce(f64::max),
        first_fix: fixes.first().map(|fix| fix.fix_time),
        last_fix: fixes.last().map(|fix| fix.fix_time),
    }
}

fn assert_close(got: &Summary, expect: &Summary) {
    let exact = |s: &Summary| (s.active_vehicles, s.fixes, s.gaps, s.first_fix, s.last_fix);
    assert_eq!(exact(got), exact(expect));
    let rough = |s: &Summary| {
        [
            s.distance_m,
            s.moving_s,
            s.idle_s,
            s.mean_speed_mps,
            s.max_speed_mps,
        ]
    };
    for (got, expect) in rough(got).into_iter().zip(rough(expect)) {
        let (got, expect) = (got.unwrap(), expect.unwrap());
        assert!(
            (got - expect).abs() < 1e-6 * expect.max(1.0),
            "{got} instead of {expect}"
        );
    }
}

#[tokio::test]
async fn a_summary_is_what_the_fixes_say_in_whatever_order_they_came() {
    let walks: Vec<_> = [1, 2].map(walk).into();
    for batch in [1, 3, 1_000] {
        let mut events = Vec::new();
        for (vehicle, walk) in ["a", "b"].into_iter().zip(&walks) {
            // Every third fix first, then the others backwards: as late as can be.
            let (thirds, others): (Vec<_>, Vec<_>) = walk
                .iter()
                .cloned()
                .enumerate()
                .partition(|(n, _)| n % 3 == 0);
            for piece in thirds.chunks(5).chain(others.rchunks(4)) {
                let fixes = piece.iter().rev().map(|(_, fix)| fix.clone()).collect();
                events.push(reported(vehicle, fixes));
            }
        }
        let db = after(events, batch).await;
        let mut snap = snapshot(&db).await;
        let (from, to) = (at("2016-05-01T00:00:00Z"), at("2016-05-03T00:00:00Z"));
        let page = summary_by_vehicle(&mut snap, &Scope::All, from, to, None, 10)
            .await
            .unwrap();
        let ids: Vec<_> = page.items.iter().map(|v| v.vehicle_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        for (vehicle, walk) in page.items.iter().zip(&walks) {
            assert_close(&vehicle.summary, &expected(walk));
        }
        let page = summary_by_vehicle(&mut snap, &Scope::All, from, to, Some("a"), 1)
            .await
            .unwrap();
        assert_eq!(
            (page.items[0].vehicle_id.as_str(), page.has_next),
            ("b", false)
        );

        // Cut to a span: steps across its edges are not in it.
        let (from, to) = (at("2016-05-01T08:20:00Z"), at("2016-05-01T08:55:00Z"));
        let scope = Scope::Vehicle("b".to_owned());
        let got = summary(&mut snap, &scope, from, to).await.unwrap();
        let within: Vec<Fix> = walks[1]
            .iter()
            .filter(|f| (from..to).contains(&f.fix_time))
            .cloned()
            .collect();
        assert!(within.len() > 5);
        assert_close(&got.summary, &expected(&within));
        assert_eq!((got.from, got.to), (from, to));
    }
}

#[tokio::test]
async fn nothing_is_not_zero() {
    let db = after(
        vec![reported("bus", vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)])],
        1,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let nobody = Scope::Fleet("none".to_owned());
    let (from, to) = (at("2016-05-01T00:00:00Z"), at("2016-05-02T00:00:00Z"));
    let got = summary(&mut snap, &nobody, from, to).await.unwrap().summary;
    assert_eq!((got.fixes, got.active_vehicles, got.gaps), (0, 0, 0));
    assert_eq!(
        (got.distance_m, got.moving_s, got.idle_s),
        (None, None, None)
    );
    assert_eq!(
        (got.mean_speed_mps, got.first_fix, got.last_fix),
        (None, None, None)
    );
    let got = summary(&mut snap, &Scope::All, from, to)
        .await
        .unwrap()
        .summary;
    assert_eq!(
        (got.distance_m, got.moving_s, got.idle_s),
        (Some(0.0), Some(0.0), Some(0.0))
    );
    assert_eq!((got.fixes, got.max_speed_mps), (1, None));
}
