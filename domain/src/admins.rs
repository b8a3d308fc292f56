//! The tenant's administrators: one small stream, `admins-all`, so that two who dismiss one another
//! at the same moment cannot leave a tenant without any.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::user::UserStanding;
use crate::values::id;

/// The key of the one roster a tenant has.
pub const ADMINS_ID: &str = "all";

/// What the roster can be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum AdminsCommand {
    /// Name a user. Named already: already so.
    Appoint {
        /// Whom.
        user_id: String,
        /// How that user stands at this moment: seen by us, not said by the caller, so no part of
        /// the command's fingerprint.
        #[serde(skip_serializing)]
        standing: UserStanding,
    },
    /// Name them no more. Not named: already so.
    Dismiss {
        /// Whom.
        user_id: String,
    },
}

/// What happened to the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdminsEvent {
    /// A user administers the tenant.
    #[serde(rename = "admins.appointed")]
    AdminAppointed(AdminAppointed),
    /// A user administers it no more.
    #[serde(rename = "admins.dismissed")]
    AdminDismissed(AdminDismissed),
}

/// Administers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdminAppointed {
    /// Who.
    pub user_id: String,
}

/// Administers no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdminDismissed {
    /// Who.
    pub user_id: String,
}

/// The roster. Empty only until the first is appointed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admins {
    /// Who administers the tenant, by user id.
    pub user_ids: BTreeSet<String>,
}

impl Admins {
    /// Does this user administer the tenant?
    pub fn names(&self, user_id: &str) -> bool {
        self.user_ids.contains(user_id)
    }
}

impl Aggregate for Admins {
    const TYPE: &'static str = "admins";
    type Command = AdminsCommand;
    type Event = AdminsEvent;
    const SHAPE: Option<Shape<Admins>> = Some(Shape::json(1));

    fn decide(&self, command: &AdminsCommand) -> Result<Vec<AdminsEvent>, Refusal> {
        match command {
            AdminsCommand::Appoint { user_id, standing } => {
                let user_id = id(user_id, "userId")?;
                standing
                    .must_be_active()
                    .map_err(|refusal| refusal.at(["userId"]))?;
                if self.names(&user_id) {
                    return Ok(vec![]);
                }
                Ok(vec![AdminsEvent::AdminAppointed(AdminAppointed {
                    user_id,
                })])
            }
            AdminsCommand::Dismiss { user_id } => {
                let user_id = id(user_id, "userId")?;
                if !self.names(&user_id) {
                    return Ok(vec![]);
                }
                if self.user_ids.len() == 1 {
                    let message = "the tenant has no other administrator: appoint one first";
                    return Err(Refusal::new(Code::LastAdmin, message).at(["userId"]));
                }
                Ok(vec![AdminsEvent::AdminDismissed(AdminDismissed {
                    user_id,
                })])
            }
        }
    }

    fn apply(&mut self, event: &AdminsEvent) {
        match event {
            AdminsEvent::AdminAppointed(e) => {
                self.user_ids.insert(e.user_id.clone());
            }
            AdminsEvent::AdminDismissed(e) => {
                self.user_ids.remove(&e.user_id);
            }
        }
    }

    fn weight_bytes(&self) -> usize {
        let ids = self.user_ids.iter();
        size_of::<Self>()
            + ids
                .map(|id| size_of::<String>() + id.capacity())
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{check, check_shape, given};

    fn appointed(user_id: &str) -> AdminsEvent {
        AdminsEvent::AdminAppointed(AdminAppointed {
            user_id: user_id.to_owned(),
        })
    }

    fn dismissed(user_id: &str) -> AdminsEvent {
        AdminsEvent::AdminDismissed(AdminDismissed {
            user_id: user_id.to_owned(),
        })
    }

    fn appoint(user_id: &str, standing: UserStanding) -> AdminsCommand {
        AdminsCommand::Appoint {
            user_id: user_id.to_owned(),
            standing,
        }
    }

    fn dismiss(user_id: &str) -> AdminsCommand {
        AdminsCommand::Dismiss {
            user_id: user_id.to_owned(),
        }
    }

    #[test]
    fn active_users_are_appointed() {
        let ada = appoint("ada", UserStanding::Active);
        check::<Admins>(&[], ada.clone(), Ok(&[appointed("ada")]));
        check::<Admins>(&[appointed("ada")], ada, Ok(&[]));
        for (standing, code) in [
            (UserStanding::Missing, Code::UserNotFound),
            (UserStanding::Deactivated, Code::UserDeactivated),
            (UserStanding::Erased, Code::UserErased),
        ] {
            check::<Admins>(&[], appoint("eve", standing), Err(code));
        }
        let spaced = appoint(" ada", UserStanding::Active);
        check::<Admins>(&[], spaced, Err(Code::Validation));
    }

    #[test]
    fn the_last_one_stays() {
        let both = [appointed("ada"), appointed("bob")];
        check::<Admins>(&both, dismiss("ada"), Ok(&[dismissed("ada")]));
        check::<Admins>(&both, dismiss("eve"), Ok(&[]));
        check::<Admins>(&both[..1], dismiss("eve"), Ok(&[]));
        check::<Admins>(&both[..1], dismiss("ada"), Err(Code::LastAdmin));
        check::<Admins>(
            &[both[0].clone(), both[1].clone(), dismissed("ada")],
            dismiss("bob"),
            Err(Code::LastAdmin),
        );
        check::<Admins>(&[], dismiss("ada"), Ok(&[]));
        check::<Admins>(&both, dismiss(""), Err(Code::Validation));
    }

    #[test]
    fn the_roster_names_whom_it_holds() {
        let roster = given::<Admins>(&[appointed("bob"), appointed("ada"), dismissed("bob")]);
        assert!(roster.names("ada") && !roster.names("bob"));
    }

    #[test]
    fn a_state_is_written_as_it_always_was() {
        let roster = given::<Admins>(&[appointed("bob"), appointed("ada")]);
        check_shape(&roster, r#"{"userIds":["ada","bob"]}"#);
    }

    #[test]
    fn a_fingerprint_holds_what_was_asked() {
        let text = serde_json::to_string(&appoint("ada", UserStanding::Erased));
        assert_eq!(
            text.expect("a command"),
            r#"{"type":"appoint","userId":"ada"}"#
        );
    }
}
