//! A vehicle: registered once, known by its external ids, member of fleets, one day retired.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange};
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
    /// Accept nothing more but reinstating. Retired already: `VEHICLE_RETIRED`, for the reason given
    /// now would be lost.
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
#[derive(Clone, Debug, Default, PartialEq)]
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
        }));
        takes.extend(new.map(|value| ClaimChange {
            scope,
            value,
            release: false,
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

    fn decide(&self, command: &VehicleCommand) -> Result<Vec<VehicleEvent>, Refusal> {
        match command {
            VehicleCommand::Register {
                profile,
                on_first_report,
            } => self.register(profile, *on_first_report),
            VehicleCommand::ChangeProfile { profile } => self.change_profile(profile),
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
