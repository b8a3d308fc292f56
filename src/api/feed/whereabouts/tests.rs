//! What a subscription to vehicles shows, event by event.

use domain::vehicle::VehicleLeftFleet;

use super::*;
use crate::consumers::feed::testing::{event, joined, reported};

const IN: (f64, f64) = (30.27, -97.74);
const OUT: (f64, f64) = (30.90, -97.74);

fn area() -> Wanted {
    Wanted {
        area: BoundingBox::new(30.0, -98.0, 30.5, -97.0),
        ..Wanted::default()
    }
}

fn fleet() -> Wanted {
    Wanted {
        fleet: Some("north".into()),
        ..Wanted::default()
    }
}

fn row(at: i64, vehicle: &str, second: i64, (lat, lon): (f64, f64)) -> FixRow {
    let event = reported(at, vehicle, &[(second, lat, lon)]);
    let recorded = event.body.as_ref().expect("it can be read");
    FixRow::newest_of(recorded).expect("it has a fix")
}

fn told(change: impl IntoIterator<Item = Change>) -> Vec<String> {
    let tell = |change| match change {
        Change::Moved(fix) => format!("{} at {}", fix.vehicle_id, fix.fix_time.timestamp()),
        Change::Left(fix) => format!("{} left at {}", fix.vehicle_id, fix.fix_time.timestamp()),
        Change::Gone(vehicle) => format!("{vehicle} gone"),
        Change::Ask(vehicle) => format!("{vehicle}?"),
    };
    change.into_iter().map(tell).collect()
}

/// Folds a report of one fix.
fn report(
    seen: &mut Whereabouts,
    at: i64,
    vehicle: &str,
    second: i64,
    place: (f64, f64),
) -> String {
    let event = reported(at, vehicle, &[(second, place.0, place.1)]);
    told(seen.fold(&event)).join("")
}

#[test]
fn a_late_fix_never_takes_a_vehicle_back() {
    let mut seen = Whereabouts::new(Wanted::default());
    let rows = vec![row(3, "v1", 50, IN)];
    assert_eq!(
        told(seen.begin(rows, HashSet::new(), Position(3))),
        ["v1 at 50"]
    );
    assert_eq!(report(&mut seen, 4, "v1", 49, OUT), "");
    assert_eq!(
        report(&mut seen, 5, "v1", 50, OUT),
        "v1 at 50",
        "the later report wins a tie"
    );
    assert_eq!(report(&mut seen, 6, "v2", 1, OUT), "v2 at 1");
    let two = reported(7, "v2", &[(9, IN.0, IN.1), (8, OUT.0, OUT.1)]);
    assert_eq!(told(seen.fold(&two)), ["v2 at 9"]);
}

#[test]
fn who_comes_into_an_area_is_looked_up_and_who_leaves_is_gone() {
    let mut seen = Whereabouts::new(area());
    seen.begin(vec![row(1, "v1", 10, IN)], HashSet::new(), Position(1));
    assert_eq!(report(&mut seen, 2, "v1", 11, OUT), "v1 left at 11");
    assert_eq!(report(&mut seen, 3, "v1", 12, OUT), "");
    assert_eq!(report(&mut seen, 4, "v1", 11, IN), "", "late");
    assert_eq!(report(&mut seen, 5, "v1", 13, IN), "v1 at 13");
    assert_eq!(report(&mut seen, 6, "v2", 5, OUT), "");
    assert_eq!(
        report(&mut seen, 7, "v2", 4, IN),
        "v2?",
        "it may have been elsewhere since"
    );
    assert_eq!(told(seen.settle(row(6, "v2", 5, OUT))), [""; 0]);
    assert_eq!(report(&mut seen, 8, "v2", 6, IN), "v2 at 6");
}

#[test]
fn a_fleet_is_its_present_members() {
    let left = |at, vehicle: &str| {
        let left = VehicleLeftFleet {
            fleet_id: "north".to_owned(),
        };
        event(at, "vehicle", vehicle, VehicleEvent::VehicleLeftFleet(left))
    };
    let mut seen = Whereabouts::new(fleet());
    let members = HashSet::from(["v1".into(), "quiet".into()]);
    seen.begin(vec![row(1, "v1", 10, IN)], members, Position(5));
    assert_eq!(seen.followed().len(), 3);
    assert_eq!(
        told(seen.fold(&left(5, "v1"))),
        [""; 0],
        "the snapshot knows it came back"
    );
    assert_eq!(report(&mut seen, 6, "quiet", 1, IN), "quiet at 1");
    assert_eq!(report(&mut seen, 7, "v2", 1, IN), "");
    assert_eq!(told(seen.fold(&joined(8, "v2", "south"))), [""; 0]);
    assert_eq!(told(seen.fold(&joined(9, "v2", "north"))), ["v2?"]);
    assert_eq!(told(seen.settle(row(7, "v2", 1, IN))), ["v2 at 1"]);
    assert_eq!(told(seen.fold(&left(10, "v2"))), ["v2 gone"]);
    assert_eq!(report(&mut seen, 11, "v2", 2, IN), "");
}

#[test]
fn conditions_add_up() {
    let mut wanted = area();
    wanted.ids = Some(vec!["v1".into()]);
    wanted.cells = H3Cell::of(IN.0, IN.1)
        .and_then(|c| c.parent(6))
        .map(|cell| vec![cell]);
    let mut seen = Whereabouts::new(wanted);
    seen.begin(vec![row(1, "v1", 10, IN)], HashSet::new(), Position(1));
    assert_eq!(report(&mut seen, 2, "v1", 11, IN), "v1 at 11");
    assert_eq!(report(&mut seen, 3, "v2", 11, IN), "");
    assert_eq!(
        report(&mut seen, 4, "v1", 12, (30.01, -97.01)),
        "v1 left at 12",
        "another cell"
    );
}

#[test]
fn beginning_again_tells_only_what_changed() {
    let mut seen = Whereabouts::new(area());
    let rows = || {
        vec![
            row(1, "v1", 10, IN),
            row(2, "v2", 10, IN),
            row(3, "v3", 10, IN),
        ]
    };
    assert_eq!(seen.begin(rows(), HashSet::new(), Position(3)).len(), 3);
    let mut again = rows();
    (again[1], again[2]) = (row(5, "v2", 20, IN), row(6, "v4", 20, IN));
    let told = told(seen.begin(again, HashSet::new(), Position(6)));
    assert_eq!(told, ["v2 at 20", "v4 at 20", "v3 gone"]);
}
