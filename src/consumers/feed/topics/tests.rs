//! Each event is handed to those it concerns, and to nobody else.

use projections::{BoundingBox, H3Cell};

use super::super::testing::{joined, reported};
use super::*;
use crate::store::EventFilter;

const AUSTIN: (i64, f64, f64) = (0, 30.27, -97.74);
const OSLO: (i64, f64, f64) = (0, 59.91, 10.75);

fn topics(interests: Vec<Interest>) -> Topics {
    let mut topics = Topics::default();
    for (id, interest) in (0..).zip(interests) {
        topics.add(id, interest, 3);
    }
    topics
}

fn heard(topics: &mut Topics, event: &LogEvent) -> Vec<Id> {
    let concerned = topics.concerned(event).into_iter();
    concerned
        .map(|id| id.expect("nobody is overfull"))
        .collect()
}

fn around(place: (i64, f64, f64)) -> BoundingBox {
    let (_, lat, lon) = place;
    BoundingBox::new(lat - 0.1, lon - 0.1, lat + 0.1, lon + 0.1).expect("a rectangle")
}

#[test]
fn journals_are_found_by_what_they_filter_for() {
    let filter = |kind: Option<&str>, id: Option<&str>, types: Option<&[&str]>| {
        Interest::Events(EventFilter {
            aggregate_type: kind.map(str::to_owned),
            aggregate_id: id.map(str::to_owned),
            event_types: types.map(|types| types.iter().map(|t| (*t).to_owned()).collect()),
            ..EventFilter::default()
        })
    };
    let mut topics = topics(vec![
        filter(None, None, None),
        filter(Some("vehicle"), None, None),
        filter(Some("vehicle"), Some("v1"), None),
        filter(Some("fleet"), Some("v1"), None),
        filter(
            None,
            None,
            Some(&["vehicle.joined_fleet", "vehicle.left_fleet"]),
        ),
        filter(Some("fleet"), None, Some(&["vehicle.joined_fleet"])),
        filter(Some("vehicle"), Some("v1"), Some(&["vehicle.left_fleet"])),
    ]);
    assert_eq!(heard(&mut topics, &joined(1, "v1", "north")), [0, 1, 2, 4]);
    assert_eq!(heard(&mut topics, &joined(2, "v2", "north")), [0, 1, 4]);
    assert_eq!(heard(&mut topics, &reported(3, "v1", &[AUSTIN])), [0]);
}

#[test]
fn a_vehicle_is_heard_of_by_those_who_follow_it() {
    let mut topics = topics(vec![
        Interest::Vehicles(vec!["v1".into(), "v2".into()]),
        Interest::Vehicles(vec!["v3".into()]),
        Interest::Reports,
    ]);
    assert_eq!(heard(&mut topics, &reported(1, "v1", &[AUSTIN])), [0, 2]);
    assert_eq!(heard(&mut topics, &reported(2, "v3", &[AUSTIN])), [1, 2]);
    assert!(!topics.remove(2));
    assert_eq!(heard(&mut topics, &reported(3, "v4", &[AUSTIN])), [0; 0]);
    assert!(!topics.remove(0));
    assert!(topics.remove(1));
}

#[test]
fn a_fleet_hears_of_its_members_as_they_come() {
    let mut topics = topics(vec![Interest::Fleet("north".into())]);
    assert_eq!(
        heard(&mut topics, &reported(1, "v1", &[AUSTIN])),
        [0],
        "until it is narrowed"
    );
    assert!(topics.narrow(0, ["v1".into()]));
    assert_eq!(heard(&mut topics, &reported(2, "v1", &[AUSTIN])), [0]);
    assert_eq!(heard(&mut topics, &reported(3, "v2", &[AUSTIN])), [0; 0]);
    assert_eq!(heard(&mut topics, &joined(4, "v2", "south")), [0; 0]);
    assert_eq!(heard(&mut topics, &joined(5, "v2", "north")), [0]);
    assert_eq!(heard(&mut topics, &reported(6, "v2", &[AUSTIN])), [0]);
}

#[test]
fn an_area_hears_of_who_comes_and_goes() {
    let austin = H3Cell::of(AUSTIN.1, AUSTIN.2).and_then(|cell| cell.parent(5));
    let mut topics = topics(vec![
        Interest::Area(around(AUSTIN)),
        Interest::Cells(vec![austin.expect("a cell")]),
        Interest::Area(around(OSLO)),
    ]);
    for id in 0..3 {
        assert!(topics.narrow(id, []));
    }
    assert_eq!(heard(&mut topics, &reported(1, "v1", &[OSLO])), [2]);
    assert_eq!(
        heard(&mut topics, &reported(2, "v1", &[AUSTIN])),
        [0, 1, 2],
        "it left 2"
    );
    assert_eq!(
        heard(&mut topics, &reported(3, "v1", &[OSLO])),
        [0, 1, 2],
        "it left 0 and 1"
    );
    assert_eq!(
        heard(&mut topics, &reported(4, "v2", &[(0, 0.0, 20.0)])),
        [0; 0]
    );
    let late = [(9, OSLO.1, OSLO.2), AUSTIN];
    assert_eq!(
        heard(&mut topics, &reported(5, "v2", &late)),
        [2],
        "its newest fix counts"
    );
}

#[test]
fn whoever_would_follow_too_many_is_told() {
    let mut topics = topics(vec![Interest::Area(around(AUSTIN)), Interest::Reports]);
    assert!(topics.narrow(0, []));
    for (at, vehicle) in (1..).zip(["v1", "v2", "v3", "v1"]) {
        assert_eq!(
            heard(&mut topics, &reported(at, vehicle, &[AUSTIN])),
            [0, 1]
        );
    }
    assert_eq!(
        topics.concerned(&reported(5, "v4", &[AUSTIN])),
        [Err(0), Ok(1)]
    );
    topics.widen(0);
    assert_eq!(
        heard(&mut topics, &reported(6, "v9", &[OSLO])),
        [0, 1],
        "it begins anew"
    );
    assert!(!topics.narrow(0, ["a", "b", "c", "d"].map(Into::into)));
}

#[test]
fn a_map_hears_of_fixes_that_count_in_it() {
    let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    let counted = |area, resolution| Interest::Counted {
        from: at(0),
        to: at(300),
        resolution,
        area,
    };
    let mut topics = topics(vec![
        counted(None, 9),
        counted(Some(around(AUSTIN)), 9),
        counted(Some(around(OSLO)), 7),
    ]);
    assert_eq!(heard(&mut topics, &reported(1, "v1", &[AUSTIN])), [0, 1]);
    assert_eq!(
        heard(&mut topics, &reported(2, "v1", &[OSLO, AUSTIN])),
        [0, 1, 2]
    );
    let late = [(300, AUSTIN.1, AUSTIN.2)];
    assert_eq!(heard(&mut topics, &reported(3, "v1", &late)), [0; 0]);
}
