//! Vehicles and fleets: who exists, under which names, in which fleets.

use domain::Event;
use domain::fleet::{FleetArchived, FleetCreated, FleetEvent, FleetRenamed};
use domain::vehicle::{
    VehicleEvent, VehicleJoinedFleet, VehicleLeftFleet, VehicleProfile, VehicleProfileChanged,
    VehicleRegistered, VehicleReinstated, VehicleRetired,
};
use projections::positions::{LatestFilter, latest};
use projections::vehicles::{VehicleFilter, fleet, fleets, vehicle, vehicles};

use super::scene::{after, at, fix, reported, snapshot};

fn named(external_id: &str, name: &str) -> VehicleProfile {
    VehicleProfile {
        external_id: Some(external_id.to_owned()),
        name: Some(name.to_owned()),
        ..VehicleProfile::default()
    }
}

fn registered(id: &str, profile: VehicleProfile) -> (String, Event) {
    let event = VehicleRegistered {
        profile,
        on_first_report: false,
    };
    (id.to_owned(), VehicleEvent::VehicleRegistered(event).into())
}

fn joined(id: &str, fleet: &str) -> (String, Event) {
    let event = VehicleJoinedFleet {
        fleet_id: fleet.to_owned(),
    };
    (
        id.to_owned(),
        VehicleEvent::VehicleJoinedFleet(event).into(),
    )
}

fn left(id: &str, fleet: &str) -> (String, Event) {
    let event = VehicleLeftFleet {
        fleet_id: fleet.to_owned(),
    };
    (id.to_owned(), VehicleEvent::VehicleLeftFleet(event).into())
}

fn retired(id: &str) -> (String, Event) {
    let event = VehicleRetired {
        reason: Some("sold".to_owned()),
    };
    (id.to_owned(), VehicleEvent::VehicleRetired(event).into())
}

fn created(id: &str, name: &str) -> (String, Event) {
    (
        id.to_owned(),
        FleetEvent::FleetCreated(FleetCreated {
            name: name.to_owned(),
        })
        .into(),
    )
}

/// What happens in every test here: three vehicles, two fleets, comings and goings.
fn story() -> Vec<(String, Event)> {
    let changed = VehicleProfileChanged {
        profile: named("x-1", "Old 50%_off"),
    };
    let renamed = FleetRenamed {
        name: "North East".to_owned(),
    };
    vec![
        created("north", "North"),
        created("south", "South"),
        registered("1", named("x-1", "Number One")),
        registered("2", named("x-2", "Number Two")),
        registered("3", VehicleProfile::default()),
        joined("1", "north"),
        joined("2", "north"),
        joined("1", "south"),
        left("2", "north"),
        joined("3", "north"),
        (
            "1".to_owned(),
            VehicleEvent::VehicleProfileChanged(changed).into(),
        ),
        retired("3"),
        retired("2"),
        (
            "2".to_owned(),
            VehicleEvent::VehicleReinstated(VehicleReinstated {}).into(),
        ),
        ("north".to_owned(), FleetEvent::FleetRenamed(renamed).into()),
        (
            "south".to_owned(),
            FleetEvent::FleetArchived(FleetArchived {}).into(),
        ),
        reported("1", vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)]),
        reported("2", vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)]),
    ]
}

#[tokio::test]
async fn the_directory_tells_the_last_word_about_everybody() {
    for batch in [1, 4, 100] {
        let db = after(story(), batch).await;
        let mut snap = snapshot(&db).await;
        let one = vehicle(&mut snap, "1").await.unwrap().unwrap();
        assert_eq!(one.profile, named("x-1", "Old 50%_off"));
        assert_eq!(
            (one.registered_at, one.on_first_report),
            (at("2016-01-01T00:00:03Z"), false)
        );
        assert_eq!(
            (one.retired_at, one.fleets),
            (None, vec!["north".to_owned(), "south".to_owned()])
        );
        assert_eq!((one.version, one.position.0), (11, 11));
        let two = vehicle(&mut snap, "2").await.unwrap().unwrap();
        assert_eq!(
            (two.retired_at, two.retired_reason, two.fleets),
            (None, None, vec![])
        );
        let three = vehicle(&mut snap, "3").await.unwrap().unwrap();
        assert_eq!(three.retired_at, Some(at("2016-01-01T00:00:12Z")));
        assert_eq!(three.retired_reason.as_deref(), Some("sold"));
        assert_eq!(vehicle(&mut snap, "4").await.unwrap(), None);

        let north = fleet(&mut snap, "north").await.unwrap().unwrap();
        assert_eq!(
            (north.name.as_str(), north.archived_at),
            ("North East", None)
        );
        assert_eq!((north.vehicles, north.vehicles_in_service), (2, 1));
        let south = fleet(&mut snap, "south").await.unwrap().unwrap();
        assert_eq!(south.archived_at, Some(at("2016-01-01T00:00:16Z")));
        assert_eq!((south.vehicles, south.vehicles_in_service), (1, 1));
        assert_eq!(fleet(&mut snap, "west").await.unwrap(), None);
        let page = fleets(&mut snap, None, 1).await.unwrap();
        assert_eq!((page.items[0].id.as_str(), page.has_next), ("north", true));
        let page = fleets(&mut snap, Some("north"), 1).await.unwrap();
        assert_eq!((page.items[0].id.as_str(), page.has_next), ("south", false));
    }
}

#[tokio::test]
async fn conditions_on_vehicles_add_up() {
    let db = after(story(), 5).await;
    let mut snap = snapshot(&db).await;
    let any = VehicleFilter::default;
    let text = |text: &str| VehicleFilter {
        text: Some(text.to_owned()),
        ..any()
    };
    let fleet = |id: &str| VehicleFilter {
        fleet_id: Some(id.to_owned()),
        ..any()
    };
    let external = |id: &str| VehicleFilter {
        external_id: Some(id.to_owned()),
        ..any()
    };
    let cases: Vec<(VehicleFilter, &[&str])> = vec![
        (any(), &["1", "2", "3"]),
        (fleet("north"), &["1", "3"]),
        (fleet("nowhere"), &[]),
        (
            VehicleFilter {
                retired: Some(false),
                ..fleet("north")
            },
            &["1"],
        ),
        (
            VehicleFilter {
                retired: Some(true),
                ..any()
            },
            &["3"],
        ),
        (external("x-2"), &["2"]),
        (external("X-2"), &[]),
        (text("number"), &["2"]),
        (text("x-"), &["1", "2"]),
        // Not a pattern: every character stands for itself.
        (text("50%_"), &["1"]),
        (text("%"), &["1"]),
        (text("_"), &["1"]),
        (text("\\"), &[]),
    ];
    for (filter, expect) in cases {
        let page = vehicles(&mut snap, &filter, None, 10).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, expect, "{filter:?}");
    }
    let page = vehicles(&mut snap, &any(), Some("1"), 1).await.unwrap();
    assert_eq!((page.items[0].id.as_str(), page.has_next), ("2", true));
    let in_north = LatestFilter {
        fleet_id: Some("north".to_owned()),
        ..LatestFilter::default()
    };
    let page = latest(&mut snap, &in_north, None, 10).await.unwrap();
    assert_eq!(
        page.items.len(),
        1,
        "the one in the fleet that has reported"
    );
    assert_eq!(page.items[0].fix.vehicle_id, "1");
}
