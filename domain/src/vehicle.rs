//! A vehicle: registered once, known by its external ids, member of fleets, one day retired.

mod changes;

pub use changes::{Change, ProfileChanges};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange, Shape};
use crate::fleet::FleetStanding;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, id, optional_text};

/// What a vehicle can be told to do. Its id comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum VehicleCommand {
    /// Make it known. A vehicle that is known already: `ALREADY_EXISTS` when asked on purpose, even
    /// with the same profile (a retry carries its `commandId`); already so when a report asks.
    Register {
        /// What is known about it.
        profile: VehicleProfile,
        /// A position report asks, not a person or program on purpose.
        on_first_report: bool,
    },
    /// Replace the profile whole: a field left out becomes unknown. The same profile: already so.
    ChangeProfile {
        /// The profile from now on.
        profile: VehicleProfile,
    },
    /// Change part of the profile: a field left out stays as it is. No difference: already so.
    AmendProfile {
        /// What becomes of each field.
        changes: ProfileChanges,
    },
    /// Become a member. A member already: already so, as long as the fleet is active.
    JoinFleet {
        /// Which fleet.
        fleet_id: String,
        /// How that fleet stands at this moment: seen by us, not said by the caller, so no part of
        /// the command's fingerprint.
        #[serde(skip_serializing)]
        fleet: FleetStanding,
    },
    /// Be a member no more. Works for archived fleets; no member: `NOT_IN_FLEET`.
    LeaveFleet {
        /// Which fleet.
        fleet_id: String,
    },
    /// Accept nothing more but reinstating. Retired already: `VEHICLE_RETIRED`, for the reason
    /// given now would be lost.
    Retire {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Be in service again, with profile and fleets as they were.
    Reinstate,
}

/// What happened to a vehicle. Variant names are what a stock `postgres_es` reader sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VehicleEvent {
    /// The vehicle became known.
    #[serde(rename = "vehicle.registered")]
    VehicleRegistered(VehicleRegistered),
    /// Name, plate, VIN or description changed.
    #[serde(rename = "vehicle.profile_changed")]
    VehicleProfileChanged(VehicleProfileChanged),
    /// The vehicle became a member of a fleet.
    #[serde(rename = "vehicle.joined_fleet")]
    VehicleJoinedFleet(VehicleJoinedFleet),
    /// The vehicle is no longer a member of a fleet.
    #[serde(rename = "vehicle.left_fleet")]
    VehicleLeftFleet(VehicleLeftFleet),
    /// The vehicle accepts nothing more.
    #[serde(rename = "vehicle.retired")]
    VehicleRetired(VehicleRetired),
    /// A retired vehicle is in service again.
    #[serde(rename = "vehicle.reinstated")]
    VehicleReinstated(VehicleReinstated),
}

/// What is known about a vehicle beside its id. Every field is optional; absent means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleProfile {
    /// The id under which a feed or device reports; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Vehicle identification number; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vin: Option<String>,
    /// Licence plate; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of vehicle in the operator's words, such as `bus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The vehicle became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleRegistered {
    /// What is known about it.
    pub profile: VehicleProfile,
    /// True when a position report registered it, false when a person or program did so on purpose.
    pub on_first_report: bool,
}

/// The profile after the change, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleProfileChanged {
    /// The new profile; it replaces the old one.
    pub profile: VehicleProfile,
}

/// Joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleJoinedFleet {
    /// Which fleet.
    pub fleet_id: String,
}

/// Left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleLeftFleet {
    /// Which fleet.
    pub fleet_id: String,
}

/// Retired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleRetired {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// In service again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleReinstated {}

/// The state a vehicle's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vehicle {
    /// Registered at all?
    pub registered: bool,
    /// In service or not.
    pub retired: bool,
    /// Latest profile.
    pub profile: VehicleProfile,
    /// Fleets it is a member of.
    pub fleets: BTreeSet<String>,
}

/// Scope of the claim on [`VehicleProfile::external_id`].
pub const EXTERNAL_ID_SCOPE: &str = "vehicle.external_id";
/// Scope of the claim on [`VehicleProfile::vin`].
pub const VIN_SCOPE: &str = "vehicle.vin";
/// Scope of the claim on [`VehicleProfile::plate`].
pub const PLATE_SCOPE: &str = "vehicle.plate";

impl VehicleProfile {
    /// The profile with every text checked and trimmed. Absent fields stay absent, empty ones are
    /// refused; the path names the field.
    pub fn checked(self) -> Result<VehicleProfile, Refusal> {
        Ok(VehicleProfile {
            external_id: optional_text(TextRule::Key, self.external_id.as_deref(), "externalId")?,
            vin: optional_text(TextRule::Key, self.vin.as_deref(), "vin")?,
            plate: optional_text(TextRule::Key, self.plate.as_deref(), "plate")?,
            name: optional_text(TextRule::Name, self.name.as_deref(), "name")?,
            kind: optional_text(TextRule::Key, self.kind.as_deref(), "kind")?,
        })
    }

    /// The values only one vehicle may hold, in canonical form: case matters in an external id, not
    /// in a VIN or on a plate.
    fn claimed(&self) -> [(&'static str, Option<String>); 3] {
        let upper = |key: &String| key.to_uppercase();
        [
            (EXTERNAL_ID_SCOPE, self.external_id.clone()),
            (VIN_SCOPE, self.vin.as_ref().map(upper)),
            (PLATE_SCOPE, self.plate.as_ref().map(upper)),
        ]
    }
}

/// The claim a reporter's name for a vehicle is found by.
pub fn external_id_claim(external_id: &str) -> ClaimChange {
    ClaimChange {
        scope: EXTERNAL_ID_SCOPE,
        value: external_id.trim().to_owned(),
        release: false,
        personal: false,
    }
}

/// What `event` takes and gives back of the values only one vehicle may hold, releases first.
///
/// A retired vehicle keeps what it holds: its history stays found under its names, and it can be
/// reinstated. Change its profile to free them.
pub fn claim_changes(before: &Vehicle, event: &VehicleEvent) -> Vec<ClaimChange> {
    let after = match event {
        VehicleEvent::VehicleRegistered(e) => &e.profile,
        VehicleEvent::VehicleProfileChanged(e) => &e.profile,
        _ => return Vec::new(),
    };
    let (mut releases, mut takes) = (Vec::new(), Vec::new());
    for ((scope, old), (_, new)) in before.profile.claimed().into_iter().zip(after.claimed()) {
        if old == new {
            continue;
        }
        releases.extend(old.map(|value| ClaimChange {
            scope,
            value,
            release: true,
            personal: false,
        }));
        takes.extend(new.map(|value| ClaimChange {
            scope,
            value,
            release: false,
            personal: false,
        }));
    }
    releases.append(&mut takes);
    releases
}

impl Vehicle {
    /// May position fixes of this vehicle enter the log? `VEHICLE_UNKNOWN` or `VEHICLE_RETIRED`.
    pub fn must_accept_reports(&self) -> Result<(), Refusal> {
        if !self.registered {
            return Err(Refusal::new(
                Code::VehicleUnknown,
                "the vehicle is not registered",
            ));
        }
        self.must_not_be_retired()
    }

    fn must_be_in_service(&self) -> Result<(), Refusal> {
        self.must_exist()?;
        self.must_not_be_retired()
    }

    fn must_exist(&self) -> Result<(), Refusal> {
        if !self.registered {
            return Err(Refusal::new(Code::NotFound, "no such vehicle"));
        }
        Ok(())
    }

    fn must_not_be_retired(&self) -> Result<(), Refusal> {
        if self.retired {
            return Err(Refusal::new(Code::VehicleRetired, "the vehicle is retired"));
        }
        Ok(())
    }

    fn register(
        &self,
        profile: &VehicleProfile,
        on_first_report: bool,
    ) -> Result<Vec<VehicleEvent>, Refusal> {
        if self.registered {
            if on_first_report {
                return self.must_not_be_retired().map(|()| vec![]);
            }
            return Err(Refusal::new(
                Code::AlreadyExists,
                "the vehicle exists already",
            ));
        }
        let profile = profile.clone().checked()?;
        let registered = VehicleRegistered {
            profile,
            on_first_report,
        };
        Ok(vec![VehicleEvent::VehicleRegistered(registered)])
    }

    fn change_profile(&self, profile: &VehicleProfile) -> Result<Vec<VehicleEvent>, Refusal> {
        self.must_be_in_service()?;
        let profile = profile.clone().checked()?;
        if profile == self.profile {
            return Ok(vec![]);
        }
        Ok(vec![VehicleEvent::VehicleProfileChanged(
            VehicleProfileChanged { profile },
        )])
    }

    fn join(&self, fleet_id: &str, fleet: FleetStanding) -> Result<Vec<VehicleEvent>, Refusal> {
        self.must_be_in_service()?;
        let fleet_id = id(fleet_id, "fleetId")?;
        fleet
            .must_be_active()
            .map_err(|refusal| refusal.at(["fleetId"]))?;
        if self.fleets.contains(&fleet_id) {
            return Ok(vec![]);
        }
        Ok(vec![VehicleEvent::VehicleJoinedFleet(VehicleJoinedFleet {
            fleet_id,
        })])
    }

    fn leave(&self, fleet_id: &str) -> Result<Vec<VehicleEvent>, Refusal> {
        self.must_be_in_service()?;
        let fleet_id = id(fleet_id, "fleetId")?;
        if !self.fleets.contains(&fleet_id) {
            let message = "the vehicle is not a member of this fleet";
            return Err(Refusal::new(Code::NotInFleet, message).at(["fleetId"]));
        }
        Ok(vec![VehicleEvent::VehicleLeftFleet(VehicleLeftFleet {
            fleet_id,
        })])
    }
}

impl Aggregate for Vehicle {
    const TYPE: &'static str = "vehicle";
    type Command = VehicleCommand;
    type Event = VehicleEvent;
    const SHAPE: Option<Shape<Vehicle>> = Some(Shape::json(1));

    fn decide(&self, command: &VehicleCommand) -> Result<Vec<VehicleEvent>, Refusal> {
        match command {
            VehicleCommand::Register {
                profile,
                on_first_report,
            } => self.register(profile, *on_first_report),
            VehicleCommand::ChangeProfile { profile } => self.change_profile(profile),
            VehicleCommand::AmendProfile { changes } => {
                self.change_profile(&changes.applied_to(&self.profile))
            }
            VehicleCommand::JoinFleet { fleet_id, fleet } => self.join(fleet_id, *fleet),
            VehicleCommand::LeaveFleet { fleet_id } => self.leave(fleet_id),
            VehicleCommand::Retire { reason } => {
                self.must_be_in_service()?;
                let reason = optional_text(TextRule::Reason, reason.as_deref(), "reason")?;
                Ok(vec![VehicleEvent::VehicleRetired(VehicleRetired {
                    reason,
                })])
            }
            VehicleCommand::Reinstate => {
                self.must_exist()?;
                if !self.retired {
                    return Err(Refusal::new(
                        Code::VehicleNotRetired,
                        "the vehicle is in service",
                    ));
                }
                Ok(vec![VehicleEvent::VehicleReinstated(VehicleReinstated {})])
            }
        }
    }

    fn apply(&mut self, event: &VehicleEvent) {
        match event {
            VehicleEvent::VehicleRegistered(e) => {
                self.registered = true;
                self.profile = e.profile.clone();
            }
            VehicleEvent::VehicleProfileChanged(e) => self.profile = e.profile.clone(),
            VehicleEvent::VehicleJoinedFleet(e) => {
                self.fleets.insert(e.fleet_id.clone());
            }
            VehicleEvent::VehicleLeftFleet(e) => {
                self.fleets.remove(&e.fleet_id);
            }
            VehicleEvent::VehicleRetired(_) => self.retired = true,
            VehicleEvent::VehicleReinstated(_) => self.retired = false,
        }
    }

    fn claims(&self, event: &VehicleEvent) -> Vec<ClaimChange> {
        claim_changes(self, event)
    }

    fn weight_bytes(&self) -> usize {
        let p = &self.profile;
        let texts = [&p.external_id, &p.vin, &p.plate, &p.name, &p.kind];
        let profile: usize = texts
            .iter()
            .map(|t| t.as_ref().map_or(0, String::capacity))
            .sum();
        let fleets: usize = self
            .fleets
            .iter()
            .map(|f| size_of::<String>() + f.capacity())
            .sum();
        size_of::<Self>() + profile + fleets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Event;

    fn profile(plate: &str) -> VehicleProfile {
        VehicleProfile {
            plate: Some(plate.to_owned()),
            ..VehicleProfile::default()
        }
    }

    fn registered(plate: &str) -> VehicleEvent {
        let profile = profile(plate);
        VehicleEvent::VehicleRegistered(VehicleRegistered {
            profile,
            on_first_report: false,
        })
    }

    fn changed(profile: VehicleProfile) -> VehicleEvent {
        VehicleEvent::VehicleProfileChanged(VehicleProfileChanged { profile })
    }

    fn joined(fleet_id: &str) -> VehicleEvent {
        VehicleEvent::VehicleJoinedFleet(VehicleJoinedFleet {
            fleet_id: fleet_id.to_owned(),
        })
    }

    fn left(fleet_id: &str) -> VehicleEvent {
        VehicleEvent::VehicleLeftFleet(VehicleLeftFleet {
            fleet_id: fleet_id.to_owned(),
        })
    }

    fn retired() -> VehicleEvent {
        VehicleEvent::VehicleRetired(VehicleRetired { reason: None })
    }

    fn reinstated() -> VehicleEvent {
        VehicleEvent::VehicleReinstated(VehicleReinstated {})
    }

    fn register(plate: &str, on_first_report: bool) -> VehicleCommand {
        VehicleCommand::Register {
            profile: profile(plate),
            on_first_report,
        }
    }

    fn change(plate: &str) -> VehicleCommand {
        VehicleCommand::ChangeProfile {
            profile: profile(plate),
        }
    }

    fn join(fleet_id: &str, fleet: FleetStanding) -> VehicleCommand {
        VehicleCommand::JoinFleet {
            fleet_id: fleet_id.to_owned(),
            fleet,
        }
    }

    fn leave(fleet_id: &str) -> VehicleCommand {
        VehicleCommand::LeaveFleet {
            fleet_id: fleet_id.to_owned(),
        }
    }

    fn retire(reason: Option<&str>) -> VehicleCommand {
        VehicleCommand::Retire {
            reason: reason.map(str::to_owned),
        }
    }

    fn given(events: &[VehicleEvent]) -> Vehicle {
        let mut vehicle = Vehicle::default();
        events.iter().for_each(|event| vehicle.apply(event));
        vehicle
    }

    fn check(given_: &[VehicleEvent], when: VehicleCommand, then: Result<&[VehicleEvent], Code>) {
        let decided = given(given_).decide(&when);
        let decided = decided.as_deref().map_err(|refusal| refusal.code);
        assert_eq!(decided, then, "given {given_:?} when {when:?}");
    }

    #[test]
    fn a_vehicle_is_registered_once() {
        check(&[], register("W 1", false), Ok(&[registered("W 1")]));
        check(
            &[registered("W 1")],
            register("W 1", false),
            Err(Code::AlreadyExists),
        );
        check(
            &[registered("W 1"), retired()],
            register("W 2", false),
            Err(Code::AlreadyExists),
        );
    }

    #[test]
    fn a_first_report_registers_only_what_is_unknown() {
        let on_report = VehicleRegistered {
            profile: profile("W 1"),
            on_first_report: true,
        };
        let on_report = VehicleEvent::VehicleRegistered(on_report);
        check(
            &[],
            register("W 1", true),
            Ok(std::slice::from_ref(&on_report)),
        );
        check(&[on_report], register("W 2", true), Ok(&[]));
        check(
            &[registered("W 1"), retired()],
            register("W 1", true),
            Err(Code::VehicleRetired),
        );
    }

    /// A change of this text is a change of shape: let its version grow.
    #[test]
    fn a_state_is_written_and_read_as_it_always_was() {
        let shape = Vehicle::SHAPE.expect("vehicles grow old");
        let vehicle = given(&[
            registered("W 1"),
            joined("south"),
            joined("north"),
            retired(),
        ]);
        let text = r#"{"registered":true,"retired":true,"profile":{"plate":"W 1"},"fleets":["north","south"]}"#;
        assert_eq!(((shape.write)(&vehicle).as_str(), shape.version), (text, 1));
        assert_eq!((shape.read)(text), Some(vehicle));
        for broken in [
            "",
            "{}",
            "null",
            &text[1..],
            &text.replace("plate", "plaque"),
        ] {
            assert_eq!((shape.read)(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_profile_is_replaced_whole() {
        let bare = VehicleProfile::default();
        check(
            &[registered("W 1")],
            change("W 2"),
            Ok(&[changed(profile("W 2"))]),
        );
        check(&[registered("W 1")], change(" W 1 "), Ok(&[]));
        let forget = VehicleCommand::ChangeProfile {
            profile: bare.clone(),
        };
        check(&[registered("W 1")], forget, Ok(&[changed(bare)]));
        check(&[], change("W 1"), Err(Code::NotFound));
        check(
            &[registered("W 1"), retired()],
            change("W 1"),
            Err(Code::VehicleRetired),
        );
    }

    #[test]
    fn members_join_active_fleets_once_and_leave_any() {
        use FleetStanding::{Active, Archived, Missing};
        let known = registered("W 1");
        let member = [known.clone(), joined("north")];
        check(&member[..1], join("north", Active), Ok(&[joined("north")]));
        check(&member, join("south", Active), Ok(&[joined("south")]));
        check(&member, join("north", Active), Ok(&[]));
        check(&member, join("north", Archived), Err(Code::FleetArchived));
        check(
            &member[..1],
            join("north", Missing),
            Err(Code::FleetNotFound),
        );
        check(&[], join("north", Active), Err(Code::NotFound));

        check(&member, leave("north"), Ok(&[left("north")]));
        check(&member, leave("south"), Err(Code::NotInFleet));
        let gone = [known, joined("north"), left("north")];
        check(&gone, leave("north"), Err(Code::NotInFleet));
        check(&gone, join("north", Active), Ok(&[joined("north")]));
        check(&[], leave("north"), Err(Code::NotFound));
    }

    #[test]
    fn a_retired_vehicle_accepts_nothing_but_reinstating() {
        let known = [registered("W 1"), joined("north")];
        let sold = VehicleEvent::VehicleRetired(VehicleRetired {
            reason: Some("sold".to_owned()),
        });
        check(&known, retire(Some(" sold ")), Ok(&[sold]));
        check(&known, retire(None), Ok(&[retired()]));
        check(&[], retire(None), Err(Code::NotFound));

        let out = [registered("W 1"), joined("north"), retired()];
        let active = FleetStanding::Active;
        for command in [
            retire(None),
            change("W 2"),
            join("south", active),
            leave("north"),
        ] {
            check(&out, command, Err(Code::VehicleRetired));
        }
        check(&out, VehicleCommand::Reinstate, Ok(&[reinstated()]));
        check(
            &known,
            VehicleCommand::Reinstate,
            Err(Code::VehicleNotRetired),
        );
        check(&[], VehicleCommand::Reinstate, Err(Code::NotFound));

        let mut back = given(&out);
        back.apply(&reinstated());
        assert_eq!(back, given(&known), "as it was");
    }

    #[test]
    fn reports_are_accepted_from_vehicles_in_service() {
        let accepts = |events: &[VehicleEvent]| {
            given(events)
                .must_accept_reports()
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(accepts(&[]), Err(Code::VehicleUnknown));
        assert_eq!(accepts(&[registered("W 1")]), Ok(()));
        assert_eq!(
            accepts(&[registered("W 1"), retired()]),
            Err(Code::VehicleRetired)
        );
        assert_eq!(
            accepts(&[registered("W 1"), retired(), reinstated()]),
            Ok(())
        );
    }

    #[test]
    fn texts_are_checked_field_by_field() {
        let refused = |profile: VehicleProfile| {
            let refusal = profile.checked().expect_err("a bad text");
            (refusal.code, refusal.path)
        };
        let text = |text: &str| Some(text.to_owned());
        let base = VehicleProfile::default;
        let cases = [
            (
                VehicleProfile {
                    external_id: text(""),
                    ..base()
                },
                Code::Validation,
                "externalId",
            ),
            (
                VehicleProfile {
                    vin: text("a\0"),
                    ..base()
                },
                Code::BadText,
                "vin",
            ),
            (
                VehicleProfile {
                    plate: text(&"x".repeat(65)),
                    ..base()
                },
                Code::TooLarge,
                "plate",
            ),
            (
                VehicleProfile {
                    name: text("\u{200b}"),
                    ..base()
                },
                Code::BadText,
                "name",
            ),
            (
                VehicleProfile {
                    kind: text("  "),
                    ..base()
                },
                Code::Validation,
                "kind",
            ),
        ];
        for (profile, code, field) in cases {
            assert_eq!(refused(profile), (code, vec![field.to_owned()]));
        }
        check(&[], register("a\tb", false), Err(Code::BadText));
        check(
            &[registered("W 1")],
            retire(Some("")),
            Err(Code::Validation),
        );
        check(
            &[registered("W 1")],
            join(" north", FleetStanding::Active),
            Err(Code::Validation),
        );
    }

    #[test]
    fn claims_follow_the_profile() {
        let claim = |scope, value: &str, release| ClaimChange {
            scope,
            value: value.to_owned(),
            release,
            personal: false,
        };
        let bus = VehicleProfile {
            external_id: Some("capmetro-2228".to_owned()),
            vin: Some("1hgcm82633a004352".to_owned()),
            ..profile("w-1")
        };
        let register = VehicleRegistered {
            profile: bus.clone(),
            on_first_report: false,
        };
        let register = VehicleEvent::VehicleRegistered(register);
        assert_eq!(
            claim_changes(&Vehicle::default(), &register),
            [
                claim(EXTERNAL_ID_SCOPE, "capmetro-2228", false),
                claim(VIN_SCOPE, "1HGCM82633A004352", false),
                claim(PLATE_SCOPE, "W-1", false),
            ]
        );
        let known = given(&[register]);
        assert_eq!(known.claims(&changed(bus.clone())), []);
        let respelled = VehicleProfile {
            plate: Some("W-1".to_owned()),
            ..bus.clone()
        };
        assert_eq!(
            known.claims(&changed(respelled)),
            [],
            "the same plate, spelled otherwise"
        );
        let moved = VehicleProfile {
            external_id: None,
            plate: Some("X-9".to_owned()),
            ..bus
        };
        assert_eq!(
            known.claims(&changed(moved)),
            [
                claim(EXTERNAL_ID_SCOPE, "capmetro-2228", true),
                claim(PLATE_SCOPE, "W-1", true),
                claim(PLATE_SCOPE, "X-9", false),
            ]
        );
        assert_eq!(
            known.claims(&retired()),
            [],
            "a retired vehicle keeps its names"
        );
        let by_name = external_id_claim("capmetro-2228");
        assert_eq!(by_name, claim(EXTERNAL_ID_SCOPE, "capmetro-2228", false));
    }

    #[test]
    fn what_the_caller_did_not_say_is_no_part_of_the_command() {
        let command = |fleet| serde_json::to_string(&join("north", fleet)).expect("JSON");
        assert_eq!(
            command(FleetStanding::Active),
            command(FleetStanding::Archived)
        );
        assert_eq!(
            command(FleetStanding::Active),
            r#"{"type":"joinFleet","fleetId":"north"}"#
        );
    }

    fn any_command() -> impl Strategy<Value = VehicleCommand> {
        let text = prop::option::of("[a-cA-C]");
        let profile = (text.clone(), text.clone(), text).prop_map(|(external_id, vin, plate)| {
            VehicleProfile {
                external_id,
                vin,
                plate,
                ..VehicleProfile::default()
            }
        });
        prop_oneof![
            (profile.clone(), any::<bool>()).prop_map(|(profile, on_first_report)| {
                VehicleCommand::Register {
                    profile,
                    on_first_report,
                }
            }),
            profile.prop_map(|profile| VehicleCommand::ChangeProfile { profile }),
            "[xyz]".prop_map(|fleet_id| join(&fleet_id, FleetStanding::Active)),
            "[xyz]".prop_map(|fleet_id| leave(&fleet_id)),
            Just(retire(None)),
            Just(VehicleCommand::Reinstate),
        ]
    }

    proptest! {
        /// Whatever is asked in whatever order: what is said twice is done once, what is stored is
        /// read back, and the claims are those of the profile.
        #[test]
        fn any_history_holds_together(commands in prop::collection::vec(any_command(), 0..40)) {
            let (mut vehicle, mut held) = (Vehicle::default(), BTreeSet::new());
            for command in commands {
                let Ok(events) = vehicle.decide(&command) else { continue };
                for event in events {
                    for ClaimChange { scope, value, release, .. } in vehicle.claims(&event) {
                        let claim = (scope, value);
                        let changed =
                            if release { held.remove(&claim) } else { held.insert(claim.clone()) };
                        prop_assert!(changed, "{claim:?} is taken twice or given back unheld");
                    }
                    vehicle.apply(&event);
                    let stored = Event::from(event);
                    let payload = stored.payload().expect("JSON");
                    let read =
                        Event::decode(stored.event_type(), stored.event_version(), &payload);
                    prop_assert_eq!(read.ok(), Some(stored));
                }
                let shape = Vehicle::SHAPE.expect("vehicles grow old");
                prop_assert_eq!((shape.read)(&(shape.write)(&vehicle)), Some(vehicle.clone()));
                let again = vehicle.decide(&command).unwrap_or_default();
                prop_assert_eq!(again, vec![], "{:?} twice", command);
            }
            let claimed = vehicle.profile.claimed().into_iter();
            let claimed = claimed.filter_map(|(scope, value)| Some((scope, value?)));
            prop_assert_eq!(held, claimed.collect::<BTreeSet<_>>());
        }
    }
}
