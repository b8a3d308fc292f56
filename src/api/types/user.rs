//! Users and their sessions.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use projections::accounts::{Sealed, SessionRow, UserRow, UserStatus as Status};

use super::int;
use crate::api::failure::auth_refusal_or_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Position};
use crate::auth::{PersonalValue, Role};
use crate::vault::Place;

/// What a user may do, beside looking after their own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Role")]
pub enum UserRole {
    /// See what there is.
    Viewer,
    /// Register and change vehicles, fleets and routes.
    Operator,
    /// Vote on deployments.
    Approver,
    /// Ask for figures and exports.
    Analyst,
    /// Ask the log itself who did what.
    Auditor,
    /// Hand in records, as programs do.
    Ingest,
    /// Administer the tenant.
    Admin,
}

/// How a user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status")]
pub enum UserStatus {
    /// They may sign in.
    Active,
    /// They may not.
    Deactivated,
    /// Their personal data is erased: they are nobody any more.
    Erased,
}

/// Somebody who signs in; once erased, what is left of them.
pub struct User(pub UserRow);

/// Somebody who signs in; once erased, what is left of them.
#[Object]
impl User {
    /// Their id, unique among the tenant's users.
    async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// Where they are reached: for themselves and administrators, to others FORBIDDEN. Null once erased.
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        self.own_or_admin(ctx)?;
        Ok(open(ctx, &self.0.id, "email", self.0.email.as_ref()).await?)
    }

    /// Their name, for people. Null once erased.
    async fn name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(open(ctx, &self.0.id, "name", self.0.name.as_ref()).await?)
    }

    /// What they may do.
    async fn roles(&self) -> Vec<UserRole> {
        self.0.roles.iter().copied().map(UserRole::from).collect()
    }

    /// Active, deactivated or erased.
    async fn status(&self) -> UserStatus {
        self.0.status().into()
    }

    /// Is the address known to be theirs?
    async fn email_verified(&self) -> bool {
        self.0.verified
    }

    /// When they were registered, by the log's clock.
    async fn registered_at(&self) -> DateTime {
        DateTime(self.0.registered_at)
    }

    /// When the password was last changed; null if it is the first.
    async fn password_changed_at(&self) -> Option<DateTime> {
        self.0.password_changed_at.map(DateTime)
    }

    /// Since when they may not sign in.
    async fn deactivated_at(&self) -> Option<DateTime> {
        self.0.deactivated_at.map(DateTime)
    }

    /// Why they may not sign in: for themselves and administrators, to others FORBIDDEN. Null if nobody said
    /// so, and once erased.
    async fn deactivated_reason(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        self.own_or_admin(ctx)?;
        let reason = self.0.deactivated_reason.as_ref();
        Ok(open(ctx, &self.0.id, "reason", reason).await?)
    }

    /// Since when their personal data is erased.
    async fn erased_at(&self) -> Option<DateTime> {
        self.0.erased_at.map(DateTime)
    }

    /// Number of events in their stream: what `expectedVersion` is compared with.
    async fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Position of the last event in their stream.
    async fn last_event_position(&self) -> Position {
        Position(self.0.position)
    }
}

impl User {
    fn own_or_admin(&self, ctx: &Context<'_>) -> Result<(), Fault> {
        let caller = &Operation::of(ctx).caller;
        if caller.is_user(&self.0.id) || caller.may(Role::Admin) {
            return Ok(());
        }
        Err(Fault::of(FaultCode::Forbidden).with("role", Role::Admin.as_str()))
    }
}

/// Opens a personal value; null once its person was erased.
pub(super) async fn open(
    ctx: &Context<'_>,
    subject: &str,
    field: &str,
    sealed: Option<&Sealed>,
) -> Result<Option<String>, Fault> {
    let operation = Operation::of(ctx);
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let place = Place {
        tenant: operation.tenant(),
        subject,
        field,
        event_id: sealed.event_id,
    };
    match operation.parts.auth.open(&place, &sealed.text).await {
        Ok(PersonalValue::Known(value)) => Ok(Some(value)),
        Ok(PersonalValue::Erased) => Ok(None),
        Err(error) => Err(auth_refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)),
    }
}

/// Somebody signed in, once, somewhere.
pub struct Session {
    pub row: SessionRow,
}

/// Somebody signed in, once, somewhere.
#[Object]
impl Session {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.row.id.clone())
    }

    /// Whose.
    async fn user_id(&self) -> ID {
        ID(self.row.user_id.clone())
    }

    /// Is it the one this very request belongs to?
    async fn current(&self, ctx: &Context<'_>) -> bool {
        Operation::of(ctx).caller.session() == Some(&*self.row.id)
    }

    /// When it began.
    async fn started_at(&self) -> DateTime {
        DateTime(self.row.started_at)
    }

    /// When a token was last given in it.
    async fn last_used_at(&self) -> DateTime {
        DateTime(self.row.last_used_at)
    }

    /// When it runs out if it is not used again.
    async fn ends_at(&self) -> DateTime {
        DateTime(self.row.ends_at)
    }

    /// When it was ended on purpose, or because a token of it was stolen.
    async fn ended_at(&self) -> Option<DateTime> {
        self.row.ended_at.map(DateTime)
    }

    /// Why it was ended: signed_out, revoked_all, password_changed, user_deactivated, operator, reused.
    async fn ended_why(&self) -> Option<&str> {
        self.row.ended_why.as_deref()
    }

    /// Can nothing be done with it any more, whether it was ended, or its user signed out everywhere, changed
    /// the password or may not sign in?
    async fn over(&self, ctx: &Context<'_>) -> bool {
        let now = Operation::of(ctx).parts.clock.now();
        self.row.ended_at.is_some() || self.row.outdated || self.row.ends_at <= now
    }

    /// The client's address. Null if it is not known, and once the user is erased.
    async fn address(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(open(ctx, &self.row.user_id, "ip", self.row.ip.as_ref()).await?)
    }

    /// What the client said it is. Null if it said nothing, and once the user is erased.
    async fn user_agent(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let sealed = self.row.user_agent.as_ref();
        Ok(open(ctx, &self.row.user_id, "user_agent", sealed).await?)
    }
}

/// What the credentials of this request are good for.
#[derive(SimpleObject)]
pub struct TokenStatus {
    /// `token` or `api_key`.
    pub kind: &'static str,
    /// Whom they stand for: a user's id, an operator's name for a program, an API key's id.
    pub subject: String,
    /// Whose data.
    pub tenant: String,
    /// What may be done by people.
    pub roles: Vec<UserRole>,
    /// What may be done by API keys, and what a token may do beside its roles.
    pub scopes: Vec<String>,
    /// The token's own id (`jti`); null for an API key.
    pub token_id: Option<String>,
    /// The session it was given in; null if there is none.
    pub session_id: Option<String>,
    /// When the token was made; null for an API key.
    pub issued_at: Option<DateTime>,
    /// When they end.
    pub expires_at: DateTime,
    /// In how many seconds that is.
    pub expires_in_s: i32,
}

/// The caller: an account, a program with a token, or an API key.
#[derive(SimpleObject)]
pub struct Me {
    /// Whom the credentials stand for.
    pub id: ID,
    /// Whose data.
    pub tenant: String,
    /// What may be done.
    pub roles: Vec<UserRole>,
    /// The account; null for a program.
    pub user: Option<User>,
}
