//! What the folds' tests share: events from a short notation, and the check that order is no matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use chrono::{DateTime, TimeDelta, Utc};
use domain::track::{Fix, PositionsReported, TrackEvent};
use domain::{Attributes, Event, Metadata, Position, Recorded};
use proptest::prelude::*;
use uuid::Uuid;

use crate::Projection;

/// An event at a position of its own stream.
pub(crate) fn recorded(position: i64, id: &str, event: impl Into<Event>) -> Recorded<Event> {
    Recorded {
        tenant: "default".into(),
        position: Position(position),
        aggregate_type: "any".into(),
        aggregate_id: id.into(),
        sequence: position,
        event_id: Uuid::nil(),
        recorded_at: at(position),
        metadata: Metadata::default(),
        event: event.into(),
    }
}

/// So many seconds after a full hour of 2016.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_453_060_800 + seconds, 0).expect("in 2016")
}

/// A fix with nothing but the necessary.
pub(crate) fn fix(seconds: i64, lat: f64, lon: f64, speed_mps: Option<f64>) -> Fix {
    Fix {
        fix_time: at(seconds),
        lat,
        lon,
        fix_id: None,
        device_time: None,
        altitude_m: None,
        speed_mps,
        course_deg: None,
        accuracy_m: None,
        satellites: None,
        hdop: None,
        attributes: Attributes::default(),
    }
}

/// The fixes of a vehicle, as one event.
pub(crate) fn reported(position: i64, vehicle: &str, fixes: Vec<Fix>) -> Recorded<Event> {
    let report = PositionsReported {
        vehicle_id: vehicle.to_owned(),
        fixes,
    };
    recorded(position, vehicle, TrackEvent::PositionsReported(report))
}

/// Some vehicles' reports, crowded in place and time so that they meet in cells and buckets.
pub(crate) fn reports() -> impl Strategy<Value = Vec<Recorded<Event>>> {
    let speed = prop_oneof![
        Just(None),
        (0..40_u32).prop_map(|s| Some(f64::from(s) / 7.0))
    ];
    let fix = (0..1_200_i64, 0..4_u32, 0..4_u32, 0..1_000_i64, speed);
    let report = (0..4_u32, proptest::collection::vec(fix, 1..8));
    proptest::collection::vec(report, 0..12).prop_map(|reports| {
        let report = |(position, (vehicle, fixes)): (i64, (u32, Vec<_>))| {
            let fixes = fixes
                .into_iter()
                .map(|(seconds, y, x, micros, speed)| {
                    let (lat, lon) = (30.26 + f64::from(y) / 900.0, -97.74 + f64::from(x) / 900.0);
                    let mut fix = self::fix(seconds, lat, lon, speed);
                    fix.fix_time += TimeDelta::microseconds(micros);
                    fix
                })
                .collect();
            reported(position, &format!("bus-{vehicle}"), fixes)
        };
        (1..).zip(reports).map(report).collect()
    })
}

/// Deals the events out to four deltas as `deal` says, merges these in each of several orders, and
/// compares with one delta of all events.
pub(crate) fn check_order_is_no_matter<P: Projection, T: PartialEq + Debug>(
    events: &[Recorded<Event>],
    deal: &[usize],
    canonical: impl Fn(P::Delta) -> T,
) {
    let fold = |mine: &dyn Fn(usize) -> bool| {
        let mut delta = P::Delta::default();
        let dealt = events.iter().zip(deal.iter().cycle());
        for (event, _) in dealt.filter(|(_, hand)| mine(**hand)) {
            P::fold(&mut delta, event).expect("a well-formed event");
        }
        delta
    };
    let merge = |mut into: P::Delta, from: P::Delta| {
        P::merge(&mut into, from);
        into
    };
    let hand = |n: usize| fold(&move |hand| hand % 4 == n);
    let expect = canonical(fold(&|_| true));
    let left = merge(merge(merge(hand(0), hand(1)), hand(2)), hand(3));
    assert_eq!(canonical(left), expect, "((0 1) 2) 3");
    let right = merge(hand(3), merge(hand(2), merge(hand(1), hand(0))));
    assert_eq!(canonical(right), expect, "3 (2 (1 0))");
    let pairs = merge(merge(hand(2), hand(0)), merge(hand(3), hand(1)));
    assert_eq!(canonical(pairs), expect, "(2 0) (3 1)");
}

/// Checks what [`Projection::BY_STREAM`] says: no two streams touch one row, and of each stream alone its rows
/// are what they are of all. `rows` takes a delta apart, by the names of its rows.
pub(crate) fn check_rows_are_of_one_stream<P: Projection>(
    events: &[Recorded<Event>],
    rows: impl Fn(P::Delta) -> BTreeMap<String, String>,
) {
    const { assert!(P::BY_STREAM) };
    let fold = |stream: Option<&str>| {
        let mut delta = P::Delta::default();
        let of = |event: &&Recorded<Event>| stream.is_none_or(|id| *id == *stream_of(event));
        for event in events.iter().filter(of) {
            P::fold(&mut delta, event).expect("a well-formed event");
        }
        rows(delta)
    };
    let streams: BTreeSet<String> = events.iter().map(stream_of).collect();
    let mut apart = BTreeMap::new();
    for stream in &streams {
        for (row, says) in fold(Some(stream)) {
            let before = apart.insert(row, says);
            assert_eq!(before, None, "{stream} touches another's row");
        }
    }
    assert_eq!(apart, fold(None));
}

/// Kind and key: an event knows its kind by its type.
fn stream_of(event: &Recorded<Event>) -> String {
    let (kind, _) = event.event.event_type().split_once('.').expect("a kind");
    format!("{kind} {}", event.aggregate_id)
}

/// How events are dealt out.
pub(crate) fn deal() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..4_usize, 1..12)
}
