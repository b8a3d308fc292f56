//! Commands on API keys.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::{Code, Refusal, Scope};

use super::payload::{Conditions, Outcome, Receipt};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::identity::api_key;
use crate::api::scalars::Duration;
use crate::api::types::api_key::ApiKey;
use crate::auth::{AuthError, Issued, KeyOrder};
use crate::commands::CommandError;

/// Makes an API key.
#[derive(InputObject)]
struct IssueApiKeyInput {
    /// What it is called, for people; at most 200 characters.
    name: String,
    /// What it may be used for, such as `vehicles:read`; not more than whoever issues it may do.
    scopes: Vec<String>,
    /// How long it is good for; as long as may be if not said.
    expires_in: Option<Duration>,
    /// How long one secret of it is to be used at most. Past that, and an overlap, the secret ends unless the
    /// key was rotated.
    rotate_every: Option<Duration>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Makes another secret for an API key.
#[derive(InputObject)]
struct RotateApiKeyInput {
    /// Which key. A key may rotate itself, but not make itself last: unless it was issued with `rotateEvery`, the
    /// new secret ends when the present one does.
    id: ID,
    /// How long the new secret is good for; as long as may be if not said.
    expires_in: Option<Duration>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the key is at this version.
    expected_version: Option<i32>,
}

/// Takes an API key back.
#[derive(InputObject)]
struct RevokeApiKeyInput {
    /// Which key.
    id: ID,
    /// Why, for people; at most 500 characters.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the key is at this version.
    expected_version: Option<i32>,
}

/// What became of a command on an API key.
struct ApiKeyPayload {
    outcome: Outcome,
    secret: Option<String>,
}

/// What became of a command on an API key.
#[Object]
impl ApiKeyPayload {
    /// The key after the command; null if it was refused, and to an API key that rotates itself.
    async fn api_key(&self, ctx: &Context<'_>) -> Result<Option<ApiKey>> {
        match self.outcome.id() {
            Some(id) => api_key(ctx, id).await,
            None => Ok(None),
        }
    }

    /// The key itself, to be sent as `X-API-Key` or `Authorization: Bearer`. Told once: null where the command
    /// had been kept before, or makes no secret.
    async fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.outcome.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.outcome.errors()
    }
}

/// Commands on API keys.
#[derive(Default)]
pub struct ApiKeyCommands;

#[Object]
impl ApiKeyCommands {
    /// Makes an API key that its issuer answers for: it can do no more than they may, and nothing once they may
    /// not sign in.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn issue_api_key(
        &self,
        ctx: &Context<'_>,
        input: IssueApiKeyInput,
    ) -> Result<ApiKeyPayload> {
        let context = Conditions::of_new(input.command_id).context(ctx);
        let order = order(
            input.name,
            &input.scopes,
            input.expires_in,
            input.rotate_every,
        );
        let (context, order) = match (context, order) {
            (Ok(context), Ok(order)) => (context, order),
            (Err(refusal), _) | (_, Err(refusal)) => return Ok(refused(refusal)),
        };
        let operation = Operation::of(ctx);
        let (identity, caller) = (&operation.parts.auth, &operation.caller);
        let issued = identity.issue_key(&context, caller, order).await;
        told(ctx, issued).await
    }

    /// Makes another secret for an API key; the one before is good for a while beside it.
    #[graphql(directive = auth::apply(AuthRole::Known, None))]
    async fn rotate_api_key(
        &self,
        ctx: &Context<'_>,
        input: RotateApiKeyInput,
    ) -> Result<ApiKeyPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let ttl = length(input.expires_in, "expiresIn");
        let (context, ttl) = match (conditions.context(ctx), ttl) {
            (Ok(context), Ok(ttl)) => (context, ttl),
            (Err(refusal), _) | (_, Err(refusal)) => return Ok(refused(refusal)),
        };
        let operation = Operation::of(ctx);
        let (identity, caller) = (&operation.parts.auth, &operation.caller);
        let rotated = identity.rotate_key(&context, caller, &input.id, ttl).await;
        told(ctx, rotated).await
    }

    /// Takes an API key back: it is good for nothing any more, on every node within 5 seconds.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, None))]
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        input: RevokeApiKeyInput,
    ) -> Result<ApiKeyPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let context = match conditions.context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(refused(refusal)),
        };
        let operation = Operation::of(ctx);
        let (identity, caller) = (&operation.parts.auth, &operation.caller);
        let revoked = identity
            .revoke_key(&context, caller, &input.id, input.reason)
            .await;
        let revoked = revoked.map(|receipt| Issued {
            id: input.id.0,
            secret: None,
            receipt,
        });
        told(ctx, revoked).await
    }
}

fn order(
    name: String,
    scopes: &[String],
    expires_in: Option<Duration>,
    rotate_every: Option<Duration>,
) -> std::result::Result<KeyOrder, Refusal> {
    let mut known = std::collections::BTreeSet::new();
    for (index, word) in scopes.iter().enumerate() {
        let Some(scope) = Scope::of_word(word) else {
            let words: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            let message = format!("a scope is one of {}", words.join(", "));
            let refusal = Refusal::new(Code::Validation, message);
            return Err(refusal.at(["scopes".to_owned(), index.to_string()]));
        };
        known.insert(scope);
    }
    Ok(KeyOrder {
        name,
        scopes: known,
        ttl: length(expires_in, "expiresIn")?,
        rotate_every: length(rotate_every, "rotateEvery")?,
    })
}

fn length(
    length: Option<Duration>,
    field: &str,
) -> std::result::Result<Option<std::time::Duration>, Refusal> {
    let Some(Duration(length)) = length else {
        return Ok(None);
    };
    match length.to_std() {
        Ok(length) if length.as_secs() > 0 => Ok(Some(length)),
        _ => {
            let message = format!("{field} is not at least a second");
            Err(Refusal::new(Code::OutOfRange, message).at([field]))
        }
    }
}

fn refused(refusal: Refusal) -> ApiKeyPayload {
    ApiKeyPayload {
        outcome: Outcome::refused(refusal),
        secret: None,
    }
}

async fn told(
    ctx: &Context<'_>,
    issued: std::result::Result<Issued, AuthError>,
) -> Result<ApiKeyPayload> {
    let (mut id, mut secret) = (String::new(), None);
    let kept = issued.map_err(of_input).map(|issued| {
        id = issued.id;
        secret = issued.secret;
        issued.receipt
    });
    let outcome = Outcome::of(ctx, id, kept).await?;
    Ok(ApiKeyPayload { outcome, secret })
}

/// The domain speaks of when a key ends, whoever asks of how long it is good for.
fn of_input(error: AuthError) -> AuthError {
    match error {
        AuthError::Command(CommandError::Refused(refusal)) if refusal.path == ["expiresAt"] => {
            refusal.at(["expiresIn"]).into()
        }
        error => error,
    }
}
