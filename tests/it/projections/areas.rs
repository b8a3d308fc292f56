//! Rectangles, also across the antimeridian, and cells of every resolution.

use std::collections::{BTreeMap, BTreeSet};

use h3o::{LatLng, Resolution};
use projections::heatmap::{self, HeatmapMetric, HeatmapQuery, HeatmapSpan, heatmap};
use projections::positions::{LatestFilter, latest};
use projections::{BoundingBox, H3Cell, ReadError};

use super::scene::{after, at, fix, moving, reported, snapshot};

fn a_day() -> HeatmapQuery {
    HeatmapQuery {
        from: at("2016-05-01T00:00:00Z"),
        to: at("2016-05-02T00:00:00Z"),
        resolution: 9,
        area: None,
        span: HeatmapSpan::Whole,
        metric: HeatmapMetric::Fixes,
        min_vehicles: 1,
        limit: 1_000,
    }
}

#[tokio::test]
async fn a_rectangle_may_cross_the_antimeridian() {
    let places = [
        ("west", 0.0, 179.9),
        ("east", 0.0, -179.9),
        ("far", 0.0, 0.0),
        ("edge", 5.0, 180.0),
    ];
    let event = |(id, lat, lon)| reported(id, vec![fix("2016-05-01T10:00:00Z", lat, lon)]);
    let db = after(places.into_iter().map(event).collect(), 10).await;
    let mut snap = snapshot(&db).await;
    let cases: [([f64; 4], &[&str]); 5] = [
        ([-1.0, 179.0, 5.0, -179.0], &["east", "edge", "west"]),
        ([-1.0, 179.0, 1.0, -179.0], &["east", "west"]),
        ([-1.0, -179.0, 5.0, 179.0], &["far"]),
        ([-1.0, 179.9, 5.0, 180.0], &["edge", "west"]),
        (
            [-90.0, -180.0, 90.0, 180.0],
            &["east", "edge", "far", "west"],
        ),
    ];
    for ([south, west, north, east], expect) in cases {
        let area = BoundingBox::new(south, west, north, east);
        assert!(area.is_some());
        let filter = LatestFilter {
            area,
            ..LatestFilter::default()
        };
        let page = latest(&mut snap, &filter, None, 10).await.unwrap();
        let ids: Vec<_> = page
            .items
            .iter()
            .map(|row| row.fix.vehicle_id.as_str())
            .collect();
        assert_eq!(ids, expect, "{west}..{east}");
        let query = HeatmapQuery { area, ..a_day() };
        let map = heatmap(&mut snap, &query).await.unwrap();
        let inside = |cell: &heatmap::HeatmapCell| {
            area.unwrap()
                .contains(cell.cell.centre().0, cell.cell.centre().1)
        };
        assert!(map.cells.iter().all(inside), "cells are in by their centre");
    }
}

#[tokio::test]
async fn a_coarser_cell_is_the_union_of_its_children() {
    // Three vehicles over a few kilometres: two of them in the same places.
    let mut events = Vec::new();
    let mut told = Vec::new();
    for (vehicle, step) in [("a", 1), ("b", 1), ("c", 3)] {
        for n in 0..40 {
            let (lat, lon) = (
                30.2 + 0.002 * f64::from(n * step),
                -97.7 + 0.003 * f64::from(n),
            );
            let time = format!("2016-05-01T{:02}:{:02}:00Z", 10 + n / 30, n % 30);
            events.push(reported(
                vehicle,
                vec![moving(&time, lat, lon, f64::from(n))],
            ));
            told.push((vehicle, lat, lon, f64::from(n)));
        }
    }
    let db = after(events, 7).await;
    let mut snap = snapshot(&db).await;
    for resolution in 0..=9 {
        let mut expect: BTreeMap<H3Cell, (i64, BTreeSet<&str>, f64, i64)> = BTreeMap::new();
        for (vehicle, lat, lon, speed) in &told {
            let base = LatLng::new(*lat, *lon).unwrap().to_cell(Resolution::Nine);
            let cell = base
                .parent(resolution.try_into().unwrap())
                .unwrap()
                .to_string();
            let figures = expect.entry(cell.parse().unwrap()).or_default();
            figures.0 += 1;
            figures.1.insert(*vehicle);
            figures.2 += speed;
            figures.3 += i64::from(*speed < projections::STOPPED_BELOW_MPS);
        }
        let map = heatmap(
            &mut snap,
            &HeatmapQuery {
                resolution,
                ..a_day()
            },
        )
        .await
        .unwrap();
        assert_eq!(map.cells.len(), expect.len(), "resolution {resolution}");
        for cell in &map.cells {
            let (fixes, vehicles, speeds, stopped) = &expect[&cell.cell];
            assert_eq!(cell.fixes, *fixes);
            assert_eq!(cell.vehicles, i64::try_from(vehicles.len()).unwrap());
            assert_eq!(cell.stopped, *stopped);
            let mean = cell.mean_speed_mps.unwrap();
            assert!((mean - speeds / *fixes as f64).abs() < 1e-6, "{mean}");
            let density = cell.vehicles as f64 / cell.cell.area_km2();
            assert_eq!(cell.density_per_km2, density);
            assert_eq!(cell.start, None);
            // Every figure has its evidence, page by page.
            let (mut seen, mut cursor) = (0, None);
            loop {
                let (from, to) = (map.from, map.to);
                let page = heatmap::evidence(&mut snap, cell.cell, from, to, cursor.as_ref(), 9);
                let page = page.await.unwrap();
                assert!(page.complete);
                seen += i64::try_from(page.fixes.len()).unwrap();
                cursor = page.fixes.last().map(Into::into);
                if !page.has_next {
                    break;
                }
            }
            assert_eq!(seen, cell.fixes, "evidence of {}", cell.cell);
        }
        let values: Vec<_> = map.cells.iter().map(|cell| cell.value.unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a >= b), "largest first");
    }
}

#[tokio::test]
async fn thin_cells_are_counted_not_shown() {
    let here = |id, time: &str| reported(id, vec![fix(time, 10.0, 10.0)]);
    let db = after(
        vec![
            here("a", "2016-05-01T10:00:00Z"),
            here("b", "2016-05-01T10:04:59Z"),
            here("a", "2016-05-01T22:30:00Z"),
            reported("a", vec![fix("2016-05-01T10:00:01Z", 20.0, 20.0)]),
        ],
        1,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let two = HeatmapQuery {
        min_vehicles: 2,
        ..a_day()
    };
    let map = heatmap(&mut snap, &two).await.unwrap();
    assert_eq!((map.cells.len(), map.suppressed, map.more), (1, 1, 0));
    assert_eq!(map.cells[0].fixes, 3);
    assert_eq!(map.cells[0].mean_speed_mps, None, "no speed is not speed 0");
    let one = HeatmapQuery {
        limit: 1,
        ..a_day()
    };
    let map = heatmap(&mut snap, &one).await.unwrap();
    assert_eq!((map.cells.len(), map.suppressed, map.more), (1, 0, 1));
    // Without a value a cell comes last, and is there.
    let speed = HeatmapQuery {
        metric: HeatmapMetric::MeanSpeed,
        ..a_day()
    };
    let map = heatmap(&mut snap, &speed).await.unwrap();
    assert!(map.cells.iter().all(|cell| cell.value.is_none()) && map.cells.len() == 2);
    // By the hour, and by the day of a zone in which half past ten at night is tomorrow.
    let hours = HeatmapQuery {
        span: HeatmapSpan::Hour,
        ..a_day()
    };
    let map = heatmap(&mut snap, &hours).await.unwrap();
    let starts: Vec<_> = map
        .cells
        .iter()
        .map(|cell| (cell.start.unwrap(), cell.fixes))
        .collect();
    let ten = at("2016-05-01T10:00:00Z");
    assert_eq!(
        starts,
        [(ten, 2), (ten, 1), (at("2016-05-01T22:00:00Z"), 1)]
    );
    let days = HeatmapSpan::Day {
        zone: "Europe/Berlin".to_owned(),
    };
    let map = heatmap(
        &mut snap,
        &HeatmapQuery {
            span: days,
            ..a_day()
        },
    )
    .await
    .unwrap();
    let mut starts: Vec<_> = map.cells.iter().map(|cell| cell.start.unwrap()).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(
        starts,
        [at("2016-04-30T22:00:00Z"), at("2016-05-01T22:00:00Z")]
    );
}

#[tokio::test]
async fn what_cannot_be_answered_is_said() {
    let db = after(Vec::new(), 1).await;
    let mut snap = snapshot(&db).await;
    let finer = HeatmapQuery {
        resolution: 10,
        ..a_day()
    };
    let error = heatmap(&mut snap, &finer).await.unwrap_err();
    assert!(matches!(
        error,
        ReadError::ResolutionTooFine {
            asked: 10,
            finest: 9
        }
    ));
    assert!(error.is_callers());
    let empty = HeatmapQuery {
        to: a_day().from,
        ..a_day()
    };
    let error = heatmap(&mut snap, &empty).await.unwrap_err();
    assert!(matches!(error, ReadError::EmptySpan));
    let cell: H3Cell = "8a2a1072b59ffff".parse().unwrap();
    let (from, to) = (a_day().from, a_day().to);
    let error = heatmap::evidence(&mut snap, cell, from, to, None, 1)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ReadError::ResolutionTooFine {
            asked: 10,
            finest: 9
        }
    ));
    let map = heatmap(&mut snap, &a_day()).await.unwrap();
    assert_eq!((map.cells.len(), map.suppressed, map.more), (0, 0, 0));
    let nowhere = HeatmapSpan::Day {
        zone: "Nowhere/Atlantis".to_owned(),
    };
    let error = heatmap(
        &mut snap,
        &HeatmapQuery {
            span: nowhere,
            ..a_day()
        },
    )
    .await
    .unwrap_err();
    assert!(matches!(error, ReadError::UnknownZone));
}
