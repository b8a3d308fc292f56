//! The directory of vehicles and fleets: who exists, under which names, in which fleets.
//!
//! Each field keeps the value with the greatest position, and each membership the last word said
//! about it: associative and commutative, so ranges of the log may arrive in any order.

mod read;
mod write;

pub(crate) use read::push_member_of;
pub use read::{FleetRow, VehicleFilter, VehicleRow, fleet, fleets, vehicle, vehicles};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::fleet::FleetEvent;
use domain::vehicle::{VehicleEvent, VehicleProfile};
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::latest::{Latest, keep_last, keep_last_of};
use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "vehicles";

/// See the file's first lines.
pub(crate) struct Vehicles;

/// What changed about whom.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    vehicles: HashMap<String, VehicleChange>,
    fleets: HashMap<String, FleetChange>,
    /// By (fleet, vehicle): is it a member?
    members: HashMap<(String, String), Latest<bool>>,
}

#[derive(Debug, Default, PartialEq)]
struct VehicleChange {
    /// Recorded time, and whether a position report did it.
    registered: Option<Latest<(DateTime<Utc>, bool)>>,
    profile: Option<Latest<VehicleProfile>>,
    /// Since when and why; `None` inside once reinstated.
    retired: Option<Latest<Option<Retired>>>,
    version: i64,
    position: i64,
}

#[derive(Clone, Debug, PartialEq)]
struct Retired {
    at: DateTime<Utc>,
    reason: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct FleetChange {
    created: Option<Latest<DateTime<Utc>>>,
    name: Option<Latest<String>>,
    archived: Option<Latest<DateTime<Utc>>>,
    version: i64,
    position: i64,
}

impl Projection for Vehicles {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["vehicle", "fleet"];
    const TABLES: &'static [&'static str] = &["vehicles", "fleets", "fleet_members"];
    // A membership is the vehicle's: what a fleet says touches the fleet's own row alone.
    const BY_STREAM: bool = true;
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        write::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        match &event.event {
            Event::Vehicle(what) => fold_vehicle(delta, event, what),
            Event::Fleet(what) => fold_fleet(delta, event, what),
            // Of other aggregates: not asked for.
            _ => {}
        }
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (id, change) in from.vehicles {
            let kept = into.vehicles.entry(id).or_default();
            keep_last(&mut kept.registered, change.registered);
            keep_last(&mut kept.profile, change.profile);
            keep_last(&mut kept.retired, change.retired);
            kept.version = kept.version.max(change.version);
            kept.position = kept.position.max(change.position);
        }
        for (id, change) in from.fleets {
            let kept = into.fleets.entry(id).or_default();
            keep_last(&mut kept.created, change.created);
            keep_last(&mut kept.name, change.name);
            keep_last(&mut kept.archived, change.archived);
            kept.version = kept.version.max(change.version);
            kept.position = kept.position.max(change.position);
        }
        for (key, member) in from.members {
            keep_last_of(&mut into.members, key, member);
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.vehicles.len() + delta.fleets.len() + delta.members.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::vehicles(conn, target, delta.vehicles).await?;
        write::fleets(conn, target, delta.fleets).await?;
        write::members(conn, target, delta.members).await
    }
}

fn fold_vehicle(delta: &mut Delta, event: &Recorded<Event>, what: &VehicleEvent) {
    let position = event.position.0;
    let id = event.aggregate_id.as_ref();
    let change = delta.vehicles.entry(id.to_owned()).or_default();
    change.version = change.version.max(event.sequence);
    change.position = change.position.max(position);
    match what {
        VehicleEvent::VehicleRegistered(registered) => {
            let value = (event.recorded_at, registered.on_first_report);
            keep_last(&mut change.registered, Some(Latest { position, value }));
            let value = registered.profile.clone();
            keep_last(&mut change.profile, Some(Latest { position, value }));
        }
        VehicleEvent::VehicleProfileChanged(changed) => {
            let value = changed.profile.clone();
            keep_last(&mut change.profile, Some(Latest { position, value }));
        }
        VehicleEvent::VehicleRetired(retired) => {
            let value = Some(Retired {
                at: event.recorded_at,
                reason: retired.reason.clone(),
            });
            keep_last(&mut change.retired, Some(Latest { position, value }));
        }
        VehicleEvent::VehicleReinstated(_) => {
            keep_last(
                &mut change.retired,
                Some(Latest {
                    position,
                    value: None,
                }),
            );
        }
        VehicleEvent::VehicleJoinedFleet(joined) => {
            let key = (joined.fleet_id.clone(), id.to_owned());
            keep_last_of(
                &mut delta.members,
                key,
                Latest {
                    position,
                    value: true,
                },
            );
        }
        VehicleEvent::VehicleLeftFleet(left) => {
            let key = (left.fleet_id.clone(), id.to_owned());
            keep_last_of(
                &mut delta.members,
                key,
                Latest {
                    position,
                    value: false,
                },
            );
        }
    }
}

fn fold_fleet(delta: &mut Delta, event: &Recorded<Event>, what: &FleetEvent) {
    let position = event.position.0;
    let change = delta
        .fleets
        .entry(event.aggregate_id.as_ref().to_owned())
        .or_default();
    change.version = change.version.max(event.sequence);
    change.position = change.position.max(position);
    match what {
        FleetEvent::FleetCreated(created) => {
            let value = event.recorded_at;
            keep_last(&mut change.created, Some(Latest { position, value }));
            let value = created.name.clone();
            keep_last(&mut change.name, Some(Latest { position, value }));
        }
        FleetEvent::FleetRenamed(renamed) => {
            let value = renamed.name.clone();
            keep_last(&mut change.name, Some(Latest { position, value }));
        }
        FleetEvent::FleetArchived(_) => {
            let value = event.recorded_at;
            keep_last(&mut change.archived, Some(Latest { position, value }));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::fleet::{FleetArchived, FleetCreated, FleetRenamed};
    use domain::vehicle::{
        VehicleJoinedFleet, VehicleLeftFleet, VehicleProfileChanged, VehicleRegistered,
        VehicleReinstated, VehicleRetired,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{check_order_is_no_matter, check_rows_are_of_one_stream, deal, recorded};

    fn named(name: &str) -> VehicleProfile {
        VehicleProfile {
            name: Some(name.to_owned()),
            ..VehicleProfile::default()
        }
    }

    fn any_event() -> impl Strategy<Value = (String, Event)> {
        let id = prop_oneof![Just("1".to_owned()), Just("2".to_owned())];
        let fleet_id = prop_oneof![Just("north".to_owned()), Just("south".to_owned())];
        (id, fleet_id, 0..9_u8, "[a-c]{1,2}").prop_map(|(id, fleet_id, kind, text)| {
            let profile = named(&text);
            let vehicle = |event: VehicleEvent| (id.clone(), event.into());
            match kind {
                0 => vehicle(VehicleEvent::VehicleRegistered(VehicleRegistered {
                    profile,
                    on_first_report: text.len() > 1,
                })),
                1 => vehicle(VehicleEvent::VehicleProfileChanged(VehicleProfileChanged {
                    profile,
                })),
                2 => vehicle(VehicleEvent::VehicleRetired(VehicleRetired {
                    reason: Some(text),
                })),
                3 => vehicle(VehicleEvent::VehicleReinstated(VehicleReinstated {})),
                4 => vehicle(VehicleEvent::VehicleJoinedFleet(VehicleJoinedFleet {
                    fleet_id,
                })),
                5 => vehicle(VehicleEvent::VehicleLeftFleet(VehicleLeftFleet {
                    fleet_id,
                })),
                6 => (
                    fleet_id,
                    FleetEvent::FleetCreated(FleetCreated { name: text }).into(),
                ),
                7 => (
                    fleet_id,
                    FleetEvent::FleetRenamed(FleetRenamed { name: text }).into(),
                ),
                _ => (fleet_id, FleetEvent::FleetArchived(FleetArchived {}).into()),
            }
        })
    }

    proptest! {
        #[test]
        fn order_is_no_matter(
            events in proptest::collection::vec(any_event(), 0..16), deal in deal(),
        ) {
            let events: Vec<_> =
                (1..).zip(events).map(|(at, (id, event))| recorded(at, &id, event)).collect();
            check_order_is_no_matter::<Vehicles, _>(&events, &deal, |delta| delta);
        }

        #[test]
        fn no_two_streams_touch_one_row(events in proptest::collection::vec(any_event(), 0..16)) {
            let events: Vec<_> =
                (1..).zip(events).map(|(at, (id, event))| recorded(at, &id, event)).collect();
            check_rows_are_of_one_stream::<Vehicles>(&events, |delta| {
                let vehicles = delta.vehicles.iter().map(|(k, v)| (format!("v {k}"), format!("{v:?}")));
                let fleets = delta.fleets.iter().map(|(k, v)| (format!("f {k}"), format!("{v:?}")));
                let members = delta.members.iter().map(|(k, v)| (format!("m {k:?}"), format!("{v:?}")));
                vehicles.chain(fleets).chain(members).collect()
            });
        }
    }
}
