//! A user: somebody who signs in. Who administers the tenant is told by [`crate::admins`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange, Shape};
use crate::personal::{Personal, PersonalField};
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, email, email_canonical, optional_text, text};
use crate::words::words;

words! {
    /// What a user may do, beside looking after their own account.
    Role {
        Viewer "viewer" "See what is there.";
        Operator "operator" "Register and change vehicles, fleets and routes.";
        Approver "approver" "Vote on deployments.";
        Analyst "analyst" "Ask for figures and exports.";
        Auditor "auditor" "Ask the log itself who did what.";
        Ingest "ingest" "Hand in records, as programs do.";
        Admin "admin" "Administer the tenant; held by its roster, never by a user's own stream.";
    }
}

words! {
    /// How a password came to be another one.
    PasswordChangeReason {
        Changed "changed" "The user knew the old one.";
        Reset "reset" "The user followed a link, or an administrator set it.";
    }
}

/// What a user can be told to do. The id comes with the stream.
///
/// Neither a password nor its hash is ever part of a command or event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum UserCommand {
    /// Make the user known. Known already: `ALREADY_EXISTS`.
    Register {
        /// Where the user is reached; unique per tenant.
        email: String,
        /// A name for people.
        name: String,
        /// What the user may do from the beginning.
        roles: BTreeSet<Role>,
        /// The address is known to be theirs.
        verified: bool,
    },
    /// The address has turned out to be theirs. Known before: already so.
    VerifyEmail,
    /// The password is another one from now on.
    ChangePassword {
        /// How that came.
        reason: PasswordChangeReason,
    },
    /// May do more. Held already: already so.
    AssignRole {
        /// What.
        role: Role,
    },
    /// May do less. Not held: already so.
    RevokeRole {
        /// What.
        role: Role,
    },
    /// Sign in no more. Deactivated already: already so.
    Deactivate {
        /// Why, in the administrator's words.
        reason: Option<String>,
        /// Does the tenant's roster name the user at this moment? Seen by us, not said by the
        /// caller, so no part of the command's fingerprint.
        #[serde(skip_serializing)]
        admin: bool,
    },
    /// Sign in again, with the roles as they were. Not deactivated: already so.
    Reactivate,
    /// End every session there is.
    SignOutEverywhere,
    /// Be nobody any more, for good: the key of the personal values is destroyed.
    ErasePersonalData {
        /// As for deactivating.
        #[serde(skip_serializing)]
        admin: bool,
    },
}

/// What happened to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UserEvent {
    /// The user became known.
    #[serde(rename = "user.registered")]
    UserRegistered(UserRegistered),
    /// The address is the user's.
    #[serde(rename = "user.email_verified")]
    EmailVerified(EmailVerified),
    /// The password is another one.
    #[serde(rename = "user.password_changed")]
    PasswordChanged(PasswordChanged),
    /// The user may do more.
    #[serde(rename = "user.role_assigned")]
    RoleAssigned(RoleAssigned),
    /// The user may do less.
    #[serde(rename = "user.role_revoked")]
    RoleRevoked(RoleRevoked),
    /// The user signs in no more.
    #[serde(rename = "user.deactivated")]
    UserDeactivated(UserDeactivated),
    /// The user signs in again.
    #[serde(rename = "user.reactivated")]
    UserReactivated(UserReactivated),
    /// Every session that there was is over.
    #[serde(rename = "user.signed_out_everywhere")]
    SignedOutEverywhere(SignedOutEverywhere),
    /// The user is nobody any more.
    #[serde(rename = "user.personal_data_erased")]
    PersonalDataErased(PersonalDataErased),
}

/// The user became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRegistered {
    /// Where the user is reached.
    pub email: Personal,
    /// A name for people.
    pub name: Personal,
    /// What the user may do, in the order of the list of roles.
    pub roles: BTreeSet<Role>,
}

/// The address is the user's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmailVerified {}

/// The password is another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordChanged {
    /// How that came.
    pub reason: PasswordChangeReason,
}

/// May do more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleAssigned {
    /// What.
    pub role: Role,
}

/// May do less.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleRevoked {
    /// What.
    pub role: Role,
}

/// Signs in no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserDeactivated {
    /// Why. Words about a person are the person's, and go with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Personal>,
}

/// Signs in again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserReactivated {}

/// Every session that there was is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedOutEverywhere {}

/// Is nobody any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersonalDataErased {}

/// The state a user's events fold to. It holds no personal value, neither plain nor sealed: states
/// are kept and stored, and erasing must not have to look for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Registered at all?
    pub registered: bool,
    /// Is the address known to be theirs?
    pub verified: bool,
    /// May they not sign in?
    pub deactivated: bool,
    /// Are they nobody any more?
    pub erased: bool,
    /// What they may do; never [`Role::Admin`].
    pub roles: BTreeSet<Role>,
    /// How often the password was changed: a link for setting it is good for one value of this.
    pub password_epoch: u64,
    /// How often everything given before was to end (password changed, signed out
    /// everywhere, deactivated, erased): a
    /// session or token is good for one value of this.
    pub session_epoch: u64,
}

/// What others need to know of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UserStanding {
    /// There is no such user.
    Missing,
    /// They may sign in.
    Active,
    /// They may not.
    Deactivated,
    /// They are nobody any more.
    Erased,
}

/// Scope of the claim on [`UserRegistered::email`].
pub const EMAIL_SCOPE: &str = "user.email";

impl UserStanding {
    /// `USER_NOT_FOUND`, `USER_DEACTIVATED` or `USER_ERASED`, unless the user is active.
    pub(crate) fn must_be_active(self) -> Result<(), Refusal> {
        match self {
            UserStanding::Active => Ok(()),
            UserStanding::Missing => Err(Refusal::new(Code::UserNotFound, "no such user")),
            UserStanding::Deactivated => Err(Refusal::new(
                Code::UserDeactivated,
                "the user is deactivated",
            )),
            UserStanding::Erased => Err(Refusal::new(
                Code::UserErased,
                "the user's personal data is erased",
            )),
        }
    }
}

/// The claim an address is found by, however it is spelled. Both its taker and whoever looks it up
/// make it here.
pub fn email_claim(address: &str) -> ClaimChange {
    ClaimChange {
        scope: EMAIL_SCOPE,
        value: email_canonical(address.trim()),
        release: false,
        personal: true,
    }
}

impl User {
    /// How the user stands towards those who rely on them.
    pub fn standing(&self) -> UserStanding {
        match (self.registered, self.erased, self.deactivated) {
            (false, _, _) => UserStanding::Missing,
            (true, true, _) => UserStanding::Erased,
            (true, false, true) => UserStanding::Deactivated,
            (true, false, false) => UserStanding::Active,
        }
    }

    fn must_exist(&self) -> Result<(), Refusal> {
        match self.standing() {
            UserStanding::Missing => Err(Refusal::new(Code::NotFound, "no such user")),
            standing @ UserStanding::Erased => standing.must_be_active(),
            UserStanding::Active | UserStanding::Deactivated => Ok(()),
        }
    }

    fn must_be_active(&self) -> Result<(), Refusal> {
        self.must_exist()?;
        self.standing().must_be_active()
    }

    fn register(
        &self,
        address: &str,
        name: &str,
        roles: &BTreeSet<Role>,
        verified: bool,
    ) -> Result<Vec<UserEvent>, Refusal> {
        if self.registered {
            self.must_exist()?;
            return Err(Refusal::new(Code::AlreadyExists, "the user exists already"));
        }
        let address = email(address, "email")?;
        let name = text(TextRule::Name, name, "name")?.to_owned();
        for role in roles {
            must_not_be_admin(*role, "roles")?;
        }
        let mut events = vec![UserEvent::UserRegistered(UserRegistered {
            email: Personal::Plain(address),
            name: Personal::Plain(name),
            roles: roles.clone(),
        })];
        if verified {
            events.push(UserEvent::EmailVerified(EmailVerified {}));
        }
        Ok(events)
    }

    fn deactivate(&self, reason: Option<&str>, admin: bool) -> Result<Vec<UserEvent>, Refusal> {
        self.must_exist()?;
        if self.deactivated {
            return Ok(vec![]);
        }
        must_not_administer(admin)?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?.map(Personal::Plain);
        Ok(vec![UserEvent::UserDeactivated(UserDeactivated { reason })])
    }
}

/// The last administrator could go unnoticed if each user's stream held its own share of the roster.
fn must_not_be_admin(role: Role, field: &str) -> Result<(), Refusal> {
    if role == Role::Admin {
        let message = "admin is no role of a user's own: appoint or dismiss an administrator";
        return Err(Refusal::new(Code::AdminIsAppointed, message).at([field]));
    }
    Ok(())
}

fn must_not_administer(admin: bool) -> Result<(), Refusal> {
    if admin {
        let message = "the user administers the tenant: dismiss them as administrator first";
        return Err(Refusal::new(Code::IsAdmin, message));
    }
    Ok(())
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = UserCommand;
    type Event = UserEvent;
    const SHAPE: Option<Shape<User>> = Some(Shape::json(1));

    fn decide(&self, command: &UserCommand) -> Result<Vec<UserEvent>, Refusal> {
        match command {
            UserCommand::Register {
                email,
                name,
                roles,
                verified,
            } => self.register(email, name, roles, *verified),
            UserCommand::VerifyEmail => {
                self.must_be_active()?;
                Ok(unless(
                    self.verified,
                    UserEvent::EmailVerified(EmailVerified {}),
                ))
            }
            UserCommand::ChangePassword { reason } => {
                self.must_be_active()?;
                Ok(vec![UserEvent::PasswordChanged(PasswordChanged {
                    reason: *reason,
                })])
            }
            UserCommand::AssignRole { role } => {
                self.must_be_active()?;
                must_not_be_admin(*role, "role")?;
                let assigned = UserEvent::RoleAssigned(RoleAssigned { role: *role });
                Ok(unless(self.roles.contains(role), assigned))
            }
            UserCommand::RevokeRole { role } => {
                self.must_be_active()?;
                must_not_be_admin(*role, "role")?;
                let revoked = UserEvent::RoleRevoked(RoleRevoked { role: *role });
                Ok(unless(!self.roles.contains(role), revoked))
            }
            UserCommand::Deactivate { reason, admin } => self.deactivate(reason.as_deref(), *admin),
            UserCommand::Reactivate => {
                self.must_exist()?;
                let reactivated = UserEvent::UserReactivated(UserReactivated {});
                Ok(unless(!self.deactivated, reactivated))
            }
            UserCommand::SignOutEverywhere => {
                self.must_exist()?;
                Ok(vec![UserEvent::SignedOutEverywhere(SignedOutEverywhere {})])
            }
            UserCommand::ErasePersonalData { admin } => {
                self.must_exist()?;
                must_not_administer(*admin)?;
                Ok(vec![UserEvent::PersonalDataErased(PersonalDataErased {})])
            }
        }
    }

    fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::UserRegistered(e) => {
                self.registered = true;
                self.roles.clone_from(&e.roles);
            }
            UserEvent::EmailVerified(_) => self.verified = true,
            UserEvent::PasswordChanged(_) => {
                self.password_epoch += 1;
                self.session_epoch += 1;
            }
            UserEvent::RoleAssigned(e) => {
                self.roles.insert(e.role);
            }
            UserEvent::RoleRevoked(e) => {
                self.roles.remove(&e.role);
            }
            UserEvent::UserDeactivated(_) => {
                self.deactivated = true;
                self.session_epoch += 1;
            }
            UserEvent::UserReactivated(_) => self.deactivated = false,
            UserEvent::SignedOutEverywhere(_) => self.session_epoch += 1,
            UserEvent::PersonalDataErased(_) => {
                self.erased = true;
                self.session_epoch += 1;
            }
        }
    }

    /// An address is taken while it is in the clear, that is when it is decided on. Erasing cannot
    /// name what it gives back: whoever destroys the key drops the stream's claims.
    fn claims(&self, event: &UserEvent) -> Vec<ClaimChange> {
        match event {
            UserEvent::UserRegistered(e) => e.email.plain().map(email_claim).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn personal<'e>(id: &str, event: &'e mut UserEvent) -> Vec<PersonalField<'e>> {
        let field = |field, value| PersonalField {
            subject: id.to_owned(),
            field,
            value,
        };
        match event {
            UserEvent::UserRegistered(e) => {
                vec![field("email", &mut e.email), field("name", &mut e.name)]
            }
            UserEvent::UserDeactivated(e) => {
                e.reason.iter_mut().map(|r| field("reason", r)).collect()
            }
            UserEvent::EmailVerified(_)
            | UserEvent::PasswordChanged(_)
            | UserEvent::RoleAssigned(_)
            | UserEvent::RoleRevoked(_)
            | UserEvent::UserReactivated(_)
            | UserEvent::SignedOutEverywhere(_)
            | UserEvent::PersonalDataErased(_) => Vec::new(),
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.roles.len() * size_of::<Role>()
    }
}

/// The event, unless it is already so.
fn unless(already_so: bool, event: UserEvent) -> Vec<UserEvent> {
    if already_so { vec![] } else { vec![event] }
}

#[cfg(test)]
mod tests;
