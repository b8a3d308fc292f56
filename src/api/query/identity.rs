//! Questions about accounts, sessions, API keys and tenants.

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime as Instant, Utc};
use domain::{Actor, ActorKind};
use projections::accounts::{self, ApiKeyFilter, UserFilter};

use crate::api::access::{AuthRole, auth};
use crate::api::failure::auth_refusal_or_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::DateTime;
use crate::api::types::api_key::ApiKey;
use crate::api::types::int;
use crate::api::types::tenant::Tenant;
use crate::api::types::user::{Me, Session, TokenStatus, User, UserRole, UserStatus};
use crate::auth::{AuthError, Credential, Role};

/// Which users; conditions add up. Erased ones are listed only where they are asked for.
#[derive(Clone, Debug, Default, InputObject)]
pub struct UserFilterInput {
    /// Those who hold this role.
    role: Option<UserRole>,
    /// Those who stand so.
    status: Option<UserStatus>,
    /// The one with this e-mail address: for administrators.
    email: Option<String>,
}

/// Questions about accounts, sessions, API keys and tenants.
#[derive(Default)]
pub struct IdentityQueries;

#[Object]
impl IdentityQueries {
    /// Who is asking.
    #[graphql(directive = auth::apply(AuthRole::Known, None))]
    async fn me(&self, ctx: &Context<'_>) -> Result<Me> {
        let operation = Operation::of(ctx);
        let caller = &operation.caller;
        let user = match caller.actor.kind {
            ActorKind::User => user(ctx, &caller.actor.id).await?,
            _ => None,
        };
        Ok(Me {
            id: ID(caller.actor.id.to_string()),
            tenant: caller.tenant.to_string(),
            roles: caller.roles.iter().copied().map(UserRole::from).collect(),
            user,
        })
    }

    /// What the credentials of this request are good for, and for how long.
    #[graphql(directive = auth::apply(AuthRole::Known, None))]
    async fn token_status(&self, ctx: &Context<'_>) -> TokenStatus {
        let operation = Operation::of(ctx);
        let caller = &operation.caller;
        let left = caller.expires_at - operation.parts.clock.now();
        let (kind, token_id, session_id, issued_at) = match &caller.credential {
            Credential::Token {
                id,
                session,
                issued_at,
            } => ("token", Some(id), session.as_ref(), Some(*issued_at)),
            Credential::ApiKey | Credential::None => ("api_key", None, None, None),
        };
        TokenStatus {
            kind,
            subject: caller.actor.id.to_string(),
            tenant: caller.tenant.to_string(),
            roles: caller.roles.iter().copied().map(UserRole::from).collect(),
            scopes: caller.scopes.clone(),
            token_id: token_id.map(ToString::to_string),
            session_id: session_id.map(ToString::to_string),
            issued_at: issued_at.map(DateTime),
            expires_at: DateTime(caller.expires_at),
            expires_in_s: int(left.num_seconds().max(0)),
        }
    }

    /// One user; null if there is none with this id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, None))]
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id.")] id: ID,
    ) -> Result<Option<User>> {
        user(ctx, &id).await
    }

    /// Users by ascending id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, None))]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all but the erased if not said.")] filter: Option<
            UserFilterInput,
        >,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<User>> {
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default();
        let ask = Ask::<String>::read(operation, "users", &filter, first, after.as_deref())?;
        let ids = match &filter.email {
            None => None,
            // Whether an address is known is nobody else's business.
            Some(_) if !operation.caller.may(Role::Admin) => {
                let fault = Fault::of(FaultCode::Forbidden);
                return Err(fault.with("role", Role::Admin.as_str()).into());
            }
            Some(email) => {
                let identity = &operation.parts.auth;
                let found = identity.user_of_email(operation.tenant(), email).await;
                Some(found.map_err(fault)?.into_iter().collect())
            }
        };
        let filter = UserFilter {
            role: filter.role.map(Role::from),
            status: filter.status.map(Into::into),
            ids,
        };
        let mut snapshot = operation.read(&[accounts::NAME]).await?;
        let after = ask.after.as_deref();
        let page = accounts::users(&mut snapshot, &filter, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.id.clone(), User))
    }

    /// Sessions, the newest first: the caller's own, or for administrators anybody's.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own if not said.")] user_id: Option<ID>,
        #[graphql(
            desc = "Those as well with which nothing can be done any more.",
            default
        )]
        include_over: bool,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Session>> {
        let operation = Operation::of(ctx);
        let caller = &operation.caller;
        let user_id = user_id.map_or_else(|| caller.actor.id.to_string(), |id| id.0);
        // Others' are not refused but not there: whether somebody exists is not told so.
        let shown = caller.is_user(&user_id) || caller.may(Role::Admin);
        let whose = if shown { user_id.as_str() } else { "" };
        let list = (whose, include_over);
        let ask = Ask::<(Instant<Utc>, String)>::read(
            operation,
            "sessions",
            &list,
            first,
            after.as_deref(),
        )?;
        let live_at = (!include_over).then(|| operation.parts.clock.now());
        let mut snapshot = operation.read(&[accounts::NAME]).await?;
        let after = ask.after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page = accounts::sessions(&mut snapshot, whose, live_at, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &accounts::SessionRow| (row.started_at, row.id.clone());
        Ok(ask.connection(page, as_of, place, |row| Session { row }))
    }

    /// API keys by ascending id: those the caller has issued, or for administrators all.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those as well that were revoked.", default)] include_revoked: bool,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<ApiKey>> {
        let operation = Operation::of(ctx);
        let caller = &operation.caller;
        let own = Actor {
            kind: ActorKind::User,
            id: caller.actor.id.clone(),
        };
        let filter = ApiKeyFilter {
            include_revoked,
            issued_by: (!caller.may(Role::Admin)).then(|| own.to_string()),
        };
        let ask = Ask::<String>::read(operation, "apiKeys", &filter, first, after.as_deref())?;
        let mut snapshot = operation.read(&[accounts::NAME]).await?;
        let after = ask.after.as_deref();
        let page = accounts::api_keys(&mut snapshot, &filter, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let usage = operation.parts.auth.usage(operation.tenant(), &ids).await;
        let usage = usage.map_err(fault)?;
        let as_of = page.as_of.into();
        let node = |row: accounts::ApiKeyRow| {
            let usage = usage.get(&row.id).copied().unwrap_or_default();
            ApiKey::new(row, usage)
        };
        Ok(ask.connection(page, as_of, |row| row.id.clone(), node))
    }

    /// Tenants by ascending id, but `default`, which is always there.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Tenant>> {
        let operation = Operation::of(ctx);
        let ask = Ask::<String>::read(operation, "tenants", &(), first, after.as_deref())?;
        let mut snapshot = operation.read(&[accounts::NAME]).await?;
        let page = accounts::tenants(&mut snapshot, ask.after.as_deref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.id.clone(), Tenant::from))
    }
}

/// One user.
pub async fn user(ctx: &Context<'_>, id: &str) -> Result<Option<User>> {
    let mut snapshot = Operation::of(ctx).read(&[accounts::NAME]).await?;
    let row = accounts::user(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(User))
}

/// One API key.
pub async fn api_key(ctx: &Context<'_>, id: &str) -> Result<Option<ApiKey>> {
    let operation = Operation::of(ctx);
    let mut snapshot = operation.read(&[accounts::NAME]).await?;
    let row = accounts::api_key(&mut snapshot, id).await;
    let Some(row) = snapshot.answer(row)? else {
        return Ok(None);
    };
    let usage = operation.parts.auth.usage(operation.tenant(), &[id]).await;
    let usage = usage.map_err(fault)?.remove(id).unwrap_or_default();
    Ok(Some(ApiKey::new(row, usage)))
}

/// One tenant.
pub async fn tenant(ctx: &Context<'_>, id: &str) -> Result<Option<Tenant>> {
    let mut snapshot = Operation::of(ctx).read(&[accounts::NAME]).await?;
    let row = accounts::tenant(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(Tenant::from))
}

fn fault(error: AuthError) -> Fault {
    auth_refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
}
