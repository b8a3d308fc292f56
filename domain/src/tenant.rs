//! A tenant: whose log it is. Its stream lies in the log of the tenant `default`.

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, optional_text, text, too_large};

/// How many characters the id of a tenant may have: it is a label of host names and paths.
pub const TENANT_ID_MAX: usize = 63;

/// The tenant that is always there: whoever runs the server.
pub const DEFAULT_TENANT: &str = "default";

/// The log of what belongs to no tenant, such as the keys that sign tokens. No tenant can have this id.
pub const INSTALLATION_LOG: &str = "_installation";

/// The id of a tenant, as it will be stored: 1 to [`TENANT_ID_MAX`] of `a-z`, `0-9` and `-`.
pub fn tenant_id(value: &str, field: &str) -> Result<String, Refusal> {
    if value.len() > TENANT_ID_MAX {
        return Err(too_large(
            value.chars().count(),
            TENANT_ID_MAX,
            "characters",
            field,
        ));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if value.is_empty() || !value.bytes().all(plain) {
        let message = format!("{field} is not made of a-z, 0-9 and -");
        return Err(Refusal::new(Code::Validation, message).at([field]));
    }
    Ok(value.to_owned())
}

/// The id of a tenant that is to be created: not that of the one that is always there.
pub fn new_tenant_id(value: &str, field: &str) -> Result<String, Refusal> {
    if value == DEFAULT_TENANT {
        let message = "the default tenant is always there";
        return Err(Refusal::new(Code::AlreadyExists, message).at([field]));
    }
    tenant_id(value, field)
}

/// What a tenant can be told. Its id comes with the stream; [`new_tenant_id`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum TenantCommand {
    /// Bring it into being. `ALREADY_EXISTS` whatever its name, suspended or not.
    Create {
        /// Its name.
        name: String,
    },
    /// Give it another name. The name it has already: already so.
    Rename {
        /// Its new name.
        name: String,
    },
    /// Be read, not written. Suspended already: already so.
    Suspend {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Be written again. Not suspended: already so.
    Resume,
}

/// What happened to a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TenantEvent {
    /// The tenant exists.
    #[serde(rename = "tenant.created")]
    TenantCreated(TenantCreated),
    /// The tenant has another name.
    #[serde(rename = "tenant.renamed")]
    TenantRenamed(TenantRenamed),
    /// The tenant is read, not written.
    #[serde(rename = "tenant.suspended")]
    TenantSuspended(TenantSuspended),
    /// The tenant is written again.
    #[serde(rename = "tenant.resumed")]
    TenantResumed(TenantResumed),
}

/// Created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantCreated {
    /// Its name.
    pub name: String,
}

/// Renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantRenamed {
    /// Its new name.
    pub name: String,
}

/// Read, not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSuspended {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Written again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantResumed {}

/// The state a tenant's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// Created at all?
    pub created: bool,
    /// Read, not written?
    pub suspended: bool,
    /// Latest name.
    pub name: String,
}

impl Tenant {
    fn must_exist(&self) -> Result<(), Refusal> {
        if !self.created {
            return Err(Refusal::new(Code::NotFound, "no such tenant"));
        }
        Ok(())
    }
}

impl Aggregate for Tenant {
    const TYPE: &'static str = "tenant";
    type Command = TenantCommand;
    type Event = TenantEvent;
    const SHAPE: Option<Shape<Tenant>> = Some(Shape::json(1));

    fn decide(&self, command: &TenantCommand) -> Result<Vec<TenantEvent>, Refusal> {
        match command {
            TenantCommand::Create { name } => {
                if self.created {
                    return Err(Refusal::new(
                        Code::AlreadyExists,
                        "the tenant exists already",
                    ));
                }
                let name = text(TextRule::Name, name, "name")?.to_owned();
                Ok(vec![TenantEvent::TenantCreated(TenantCreated { name })])
            }
            TenantCommand::Rename { name } => {
                self.must_exist()?;
                let name = text(TextRule::Name, name, "name")?.to_owned();
                if name == self.name {
                    return Ok(vec![]);
                }
                Ok(vec![TenantEvent::TenantRenamed(TenantRenamed { name })])
            }
            TenantCommand::Suspend { reason } => {
                self.must_exist()?;
                if self.suspended {
                    return Ok(vec![]);
                }
                let reason = optional_text(TextRule::Reason, reason.as_deref(), "reason")?;
                Ok(vec![TenantEvent::TenantSuspended(TenantSuspended {
                    reason,
                })])
            }
            TenantCommand::Resume => {
                self.must_exist()?;
                if !self.suspended {
                    return Ok(vec![]);
                }
                Ok(vec![TenantEvent::TenantResumed(TenantResumed {})])
            }
        }
    }

    fn apply(&mut self, event: &TenantEvent) {
        match event {
            TenantEvent::TenantCreated(e) => {
                self.created = true;
                self.name.clone_from(&e.name);
            }
            TenantEvent::TenantRenamed(e) => self.name.clone_from(&e.name),
            TenantEvent::TenantSuspended(_) => self.suspended = true,
            TenantEvent::TenantResumed(_) => self.suspended = false,
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{check, check_shape, given};

    fn created(name: &str) -> TenantEvent {
        TenantEvent::TenantCreated(TenantCreated {
            name: name.to_owned(),
        })
    }

    fn suspended(reason: Option<&str>) -> TenantEvent {
        TenantEvent::TenantSuspended(TenantSuspended {
            reason: reason.map(str::to_owned),
        })
    }

    fn resumed() -> TenantEvent {
        TenantEvent::TenantResumed(TenantResumed {})
    }

    fn create(name: &str) -> TenantCommand {
        TenantCommand::Create {
            name: name.to_owned(),
        }
    }

    fn rename(name: &str) -> TenantCommand {
        TenantCommand::Rename {
            name: name.to_owned(),
        }
    }

    fn suspend(reason: Option<&str>) -> TenantCommand {
        TenantCommand::Suspend {
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn a_tenant_is_created_once_and_renamed() {
        let north = [created("North")];
        check::<Tenant>(&[], create(" North"), Ok(&north));
        check::<Tenant>(&north, create("North"), Err(Code::AlreadyExists));
        check::<Tenant>(&[], create(""), Err(Code::Validation));
        let south = TenantEvent::TenantRenamed(TenantRenamed {
            name: "South".to_owned(),
        });
        let both = [created("North"), south];
        check::<Tenant>(&north, rename(" South "), Ok(&both[1..]));
        check::<Tenant>(&north, rename("North"), Ok(&[]));
        check::<Tenant>(&both, rename("South"), Ok(&[]));
        check::<Tenant>(&north, rename("S\0"), Err(Code::BadText));
        check::<Tenant>(&[], rename("South"), Err(Code::NotFound));
    }

    #[test]
    fn a_tenant_is_suspended_and_resumed() {
        let (north, unpaid) = (created("North"), suspended(Some("unpaid")));
        let over = [north.clone(), unpaid.clone()];
        check::<Tenant>(&over[..1], suspend(Some("unpaid ")), Ok(&[unpaid]));
        check::<Tenant>(&over[..1], suspend(None), Ok(&[suspended(None)]));
        check::<Tenant>(&over[..1], suspend(Some(" ")), Err(Code::Validation));
        check::<Tenant>(&over, suspend(None), Ok(&[]));
        check::<Tenant>(&over, TenantCommand::Resume, Ok(&[resumed()]));
        check::<Tenant>(&over[..1], TenantCommand::Resume, Ok(&[]));
        let back = [over[0].clone(), over[1].clone(), resumed()];
        check::<Tenant>(&back, TenantCommand::Resume, Ok(&[]));
        for command in [suspend(None), TenantCommand::Resume] {
            check::<Tenant>(&[], command, Err(Code::NotFound));
        }
    }

    #[test]
    fn an_id_is_a_label() {
        for good in ["a", "7", "north-2", "-", &"x".repeat(63)] {
            assert_eq!(new_tenant_id(good, "id"), Ok(good.to_owned()));
        }
        let code = |value: &str| new_tenant_id(value, "id").map_err(|r| r.code);
        for bad in ["", "North", "a b", "a_b", "a.b", "a/b", "\u{e9}", "a\n"] {
            assert_eq!(code(bad), Err(Code::Validation), "{bad:?}");
        }
        assert_eq!(code(&"x".repeat(64)), Err(Code::TooLarge));
        assert_eq!(code(DEFAULT_TENANT), Err(Code::AlreadyExists));
        assert!(tenant_id(DEFAULT_TENANT, "id").is_ok());
    }

    #[test]
    fn a_state_is_written_as_it_always_was() {
        let tenant = given::<Tenant>(&[created("North"), suspended(None)]);
        check_shape(
            &tenant,
            r#"{"created":true,"suspended":true,"name":"North"}"#,
        );
    }
}
