//! Signing in, staying so, signing out.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::payload::{CommandOutcome, Conditions, Receipt, Told, settle, told, user_errors};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::scalars::DateTime;
use crate::api::types::int;
use crate::auth::SignedIn;

/// Signs a user in.
#[derive(InputObject)]
struct SignInInput {
    /// Where the user is reached.
    email: String,
    /// The password.
    password: String,
    /// Whose data; `default` if not said.
    tenant: Option<ID>,
}

/// Gives the next tokens of a session.
#[derive(InputObject)]
struct RefreshSessionInput {
    /// The refresh token that was given last.
    refresh_token: String,
}

/// Ends sessions.
#[derive(InputObject)]
struct SignOutInput {
    /// This session; the one of this very request if not said. Administrators may end anybody's.
    session_id: Option<ID>,
    /// Every session of the caller.
    #[graphql(default)]
    everywhere: bool,
}

/// Takes back a link that was given out when a user was registered.
#[derive(InputObject)]
struct VerifyEmailInput {
    /// What the link carries.
    token: String,
    /// The user's first password, if there is none yet.
    password: Option<String>,
}

/// Sets another password.
#[derive(InputObject)]
struct ChangePasswordInput {
    /// The present one.
    current_password: String,
    /// The one from now on: 8 to 128 characters, and not one of those that are guessed first.
    new_password: String,
}

/// What somebody is given who has signed in.
#[derive(SimpleObject)]
struct SessionTokens {
    /// Whose session.
    user_id: ID,
    /// The session.
    session_id: ID,
    /// To be sent as `Authorization: Bearer`.
    access_token: String,
    /// In how many seconds the access token ends.
    expires_in_s: i32,
    /// Good for the next access token, once: send it with `refreshSession`. Whoever sends one twice ends the
    /// session, unless the second time follows at once, as after a lost answer.
    refresh_token: String,
    /// When the session ends if it is not used again.
    session_ends_at: DateTime,
}

/// What became of a sign-in.
#[derive(SimpleObject)]
struct SignInPayload {
    /// The tokens; null if it was refused.
    session: Option<SessionTokens>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

/// What became of a command that gives nothing back.
#[derive(SimpleObject)]
struct DonePayload {
    /// Proof that the command was kept; null if it was refused.
    receipt: Option<Receipt>,
    /// Why the command was refused; empty if it was kept.
    user_errors: Vec<UserError>,
}

/// What became of taking a link back.
#[derive(SimpleObject)]
struct VerifyEmailPayload {
    /// Whose address it is.
    user_id: Option<ID>,
    /// Proof that the command was kept; null if it was refused.
    receipt: Option<Receipt>,
    /// Why the command was refused; empty if it was kept.
    user_errors: Vec<UserError>,
}

/// Commands on sessions.
#[derive(Default)]
pub struct SessionCommands;

#[Object]
impl SessionCommands {
    /// Signs a user in. Whatever is wrong with account or password, the refusal is SIGN_IN_FAILED.
    #[graphql(directive = auth::apply(AuthRole::Anyone, None))]
    async fn sign_in(&self, ctx: &Context<'_>, input: SignInInput) -> Result<SignInPayload> {
        let operation = Operation::of(ctx);
        let mut context = operation.own_affair();
        if let Some(tenant) = input.tenant {
            context.tenant = tenant.0.into();
        }
        let identity = &operation.parts.auth;
        let signed_in = identity
            .sign_in(&context, &operation.client(), &input.email, &input.password)
            .await;
        Ok(signed(told(signed_in)?))
    }

    /// Gives the next tokens for a refresh token, which is then given up.
    #[graphql(directive = auth::apply(AuthRole::Anyone, None))]
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        input: RefreshSessionInput,
    ) -> Result<SignInPayload> {
        let operation = Operation::of(ctx);
        let identity = &operation.parts.auth;
        let refreshed = identity
            .refresh(&operation.own_affair(), &input.refresh_token)
            .await;
        Ok(signed(told(refreshed)?))
    }

    /// Ends a session: its tokens are good for nothing any more, on every node within 5 seconds. A token that
    /// belongs to no session is taken back itself.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn sign_out(
        &self,
        ctx: &Context<'_>,
        input: Option<SignOutInput>,
    ) -> Result<DonePayload> {
        let operation = Operation::of(ctx);
        let (identity, caller) = (&operation.parts.auth, &operation.caller);
        let context = operation.own_affair();
        let input = input.unwrap_or(SignOutInput {
            session_id: None,
            everywhere: false,
        });
        let kept = match (input.everywhere, input.session_id) {
            (true, _) => identity.sign_out_everywhere(&context, caller).await,
            (false, Some(id)) => identity.revoke_session(&context, caller, &id).await,
            (false, None) => identity.sign_out(&context, caller).await,
        };
        done(ctx, kept).await
    }

    /// Takes back a link: the address is the user's. Whoever was registered without a password sets it so.
    #[graphql(directive = auth::apply(AuthRole::Anyone, None))]
    async fn verify_email(
        &self,
        ctx: &Context<'_>,
        input: VerifyEmailInput,
    ) -> Result<VerifyEmailPayload> {
        let operation = Operation::of(ctx);
        let identity = &operation.parts.auth;
        let password = input.password.as_deref();
        let followed = identity
            .follow_link(&operation.own_affair(), &input.token, password)
            .await;
        let told = told(followed)?;
        Ok(VerifyEmailPayload {
            user_errors: user_errors(&told),
            receipt: told.as_ref().ok().map(|(_, receipt)| (*receipt).into()),
            user_id: told.ok().map(|(user_id, _)| ID(user_id)),
        })
    }

    /// Sets another password for whoever is signed in. Every session is over, this one too; the answer begins
    /// another.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        input: ChangePasswordInput,
    ) -> Result<SignInPayload> {
        let operation = Operation::of(ctx);
        let context = match Conditions::none().context(ctx) {
            Ok(context) => context,
            Err(refusal) => {
                return Ok(SignInPayload {
                    session: None,
                    user_errors: vec![refusal.under(["input"]).into()],
                });
            }
        };
        let passwords = (input.current_password.as_str(), input.new_password.as_str());
        let (identity, caller) = (&operation.parts.auth, &operation.caller);
        let changed = identity
            .change_password(&context, caller, &operation.client(), passwords)
            .await;
        Ok(signed(
            settle(ctx, changed, |signed_in| signed_in.receipt).await?,
        ))
    }
}

fn signed(told: Told<SignedIn>) -> SignInPayload {
    SignInPayload {
        user_errors: user_errors(&told),
        session: told.ok().map(|signed_in| SessionTokens {
            user_id: ID(signed_in.user_id),
            session_id: ID(signed_in.session_id),
            access_token: signed_in.access_token,
            expires_in_s: int(i64::try_from(signed_in.expires_in.as_secs()).unwrap_or(i64::MAX)),
            refresh_token: signed_in.refresh_token,
            session_ends_at: DateTime(signed_in.session_ends_at),
        }),
    }
}

async fn done(
    ctx: &Context<'_>,
    kept: CommandOutcome<crate::commands::Receipt>,
) -> Result<DonePayload> {
    let told = settle(ctx, kept, |receipt| *receipt).await?;
    Ok(DonePayload {
        user_errors: user_errors(&told),
        receipt: told.ok().map(Receipt::from),
    })
}
