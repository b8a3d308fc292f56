//! A fleet: a named group of vehicles. Membership is the vehicle's fact, not the fleet's.

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, text};

/// What a fleet can be told to do. Its id comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum FleetCommand {
    /// Bring it into being. `ALREADY_EXISTS` whatever its name, archived or not.
    Create {
        /// Its name.
        name: String,
    },
    /// Give it another name. The name it has already: already so.
    Rename {
        /// Its new name.
        name: String,
    },
    /// Accept nothing more, for good.
    Archive,
}

/// What happened to a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FleetEvent {
    /// The fleet exists.
    #[serde(rename = "fleet.created")]
    FleetCreated(FleetCreated),
    /// The fleet has another name.
    #[serde(rename = "fleet.renamed")]
    FleetRenamed(FleetRenamed),
    /// The fleet accepts nothing more.
    #[serde(rename = "fleet.archived")]
    FleetArchived(FleetArchived),
}

/// Created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetCreated {
    /// Its name.
    pub name: String,
}

/// Renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetRenamed {
    /// Its new name.
    pub name: String,
}

/// Archived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetArchived {}

/// The state a fleet's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fleet {
    /// Created at all?
    pub created: bool,
    /// Archived?
    pub archived: bool,
    /// Latest name.
    pub name: String,
}

/// What a vehicle that wants to join needs to know of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FleetStanding {
    /// There is no such fleet.
    Missing,
    /// It accepts members.
    Active,
    /// It accepts nothing.
    Archived,
}

impl Fleet {
    /// How the fleet stands towards those who want to join.
    pub fn standing(&self) -> FleetStanding {
        match (self.created, self.archived) {
            (false, _) => FleetStanding::Missing,
            (true, false) => FleetStanding::Active,
            (true, true) => FleetStanding::Archived,
        }
    }
}

impl FleetStanding {
    /// `FLEET_NOT_FOUND` or `FLEET_ARCHIVED`, unless the fleet is active.
    pub(crate) fn must_be_active(self) -> Result<(), Refusal> {
        match self {
            FleetStanding::Active => Ok(()),
            FleetStanding::Missing => Err(Refusal::new(Code::FleetNotFound, "no such fleet")),
            FleetStanding::Archived => {
                Err(Refusal::new(Code::FleetArchived, "the fleet is archived"))
            }
        }
    }
}

impl Aggregate for Fleet {
    const TYPE: &'static str = "fleet";
    type Command = FleetCommand;
    type Event = FleetEvent;
    const SHAPE: Option<Shape<Fleet>> = Some(Shape::json(1));

    fn decide(&self, command: &FleetCommand) -> Result<Vec<FleetEvent>, Refusal> {
        match command {
            FleetCommand::Create { name } => {
                if self.created {
                    return Err(Refusal::new(
                        Code::AlreadyExists,
                        "the fleet exists already",
                    ));
                }
                let name = text(TextRule::Name, name, "name")?.to_owned();
                Ok(vec![FleetEvent::FleetCreated(FleetCreated { name })])
            }
            FleetCommand::Rename { name } => {
                self.standing().must_be_active()?;
                let name = text(TextRule::Name, name, "name")?.to_owned();
                if name == self.name {
                    return Ok(vec![]);
                }
                Ok(vec![FleetEvent::FleetRenamed(FleetRenamed { name })])
            }
            FleetCommand::Archive => {
                self.standing().must_be_active()?;
                Ok(vec![FleetEvent::FleetArchived(FleetArchived {})])
            }
        }
    }

    fn apply(&mut self, event: &FleetEvent) {
        match event {
            FleetEvent::FleetCreated(e) => {
                self.created = true;
                self.name.clone_from(&e.name);
            }
            FleetEvent::FleetRenamed(e) => self.name.clone_from(&e.name),
            FleetEvent::FleetArchived(_) => self.archived = true,
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(name: &str) -> FleetEvent {
        FleetEvent::FleetCreated(FleetCreated {
            name: name.to_owned(),
        })
    }

    fn archived() -> FleetEvent {
        FleetEvent::FleetArchived(FleetArchived {})
    }

    fn create(name: &str) -> FleetCommand {
        FleetCommand::Create {
            name: name.to_owned(),
        }
    }

    fn rename(name: &str) -> FleetCommand {
        FleetCommand::Rename {
            name: name.to_owned(),
        }
    }

    fn given(events: &[FleetEvent]) -> Fleet {
        let mut fleet = Fleet::default();
        events.iter().for_each(|event| fleet.apply(event));
        fleet
    }

    fn check(given_: &[FleetEvent], when: FleetCommand, then: Result<&[FleetEvent], Code>) {
        let decided = given(given_).decide(&when);
        let decided = decided.as_deref().map_err(|refusal| refusal.code);
        assert_eq!(decided, then, "given {given_:?} when {when:?}");
    }

    #[test]
    fn a_fleet_is_created_once_renamed_and_archived() {
        check(&[], create(" North "), Ok(&[created("North")]));
        check(
            &[created("North")],
            create("South"),
            Err(Code::AlreadyExists),
        );
        check(
            &[created("North"), archived()],
            create("North"),
            Err(Code::AlreadyExists),
        );

        let renamed = FleetEvent::FleetRenamed(FleetRenamed {
            name: "South".to_owned(),
        });
        check(
            &[created("North")],
            rename("South"),
            Ok(std::slice::from_ref(&renamed)),
        );
        check(&[created("North")], rename("North "), Ok(&[]));
        check(&[created("North"), renamed], rename("South"), Ok(&[]));
        check(&[], rename("South"), Err(Code::FleetNotFound));
        check(
            &[created("North"), archived()],
            rename("North"),
            Err(Code::FleetArchived),
        );

        check(
            &[created("North")],
            FleetCommand::Archive,
            Ok(&[archived()]),
        );
        check(&[], FleetCommand::Archive, Err(Code::FleetNotFound));
        check(
            &[created("North"), archived()],
            FleetCommand::Archive,
            Err(Code::FleetArchived),
        );
    }

    #[test]
    fn names_are_checked() {
        check(&[], create(""), Err(Code::Validation));
        check(&[], create("a\0b"), Err(Code::BadText));
        check(
            &[created("North")],
            rename(&"x".repeat(201)),
            Err(Code::TooLarge),
        );
    }

    #[test]
    fn a_fleet_stands_as_its_events_say() {
        assert_eq!(given(&[]).standing(), FleetStanding::Missing);
        assert_eq!(given(&[created("North")]).standing(), FleetStanding::Active);
        assert_eq!(
            given(&[created("North"), archived()]).standing(),
            FleetStanding::Archived
        );
    }

    /// A change of this text is a change of shape: let its version grow.
    #[test]
    fn a_state_is_written_and_read_as_it_always_was() {
        let shape = Fleet::SHAPE.expect("fleets grow old");
        let fleet = given(&[created("North"), archived()]);
        let text = r#"{"created":true,"archived":true,"name":"North"}"#;
        assert_eq!(((shape.write)(&fleet).as_str(), shape.version), (text, 1));
        assert_eq!((shape.read)(text), Some(fleet));
        for broken in ["", "{}", "null", &text[1..], &text.replace("name", "nome")] {
            assert_eq!((shape.read)(broken), None, "{broken}");
        }
    }
}
