//! Erasing what log records tell of somebody who has no account.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, Result};
use domain::log_person::LogPersonId;

use super::payload::{Conditions, Receipt, Told, settle, user_errors};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::failure::refusal_or_fault;
use crate::api::operation::Operation;
use crate::commands;

/// Whom log records are about.
#[derive(OneofObject)]
enum LogPersonInput {
    /// The user whom the sources call so.
    User(String),
    /// The user with this pseudonym, as `userId` of a log record shows it.
    Pseudonym(ID),
    /// Whoever the records of this batch are about that name no user.
    BatchId(ID),
}

/// Erases what is personal of somebody in log records.
#[derive(InputObject)]
struct EraseLogPersonInput {
    /// Of whom.
    person: LogPersonInput,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// What became of an erasure.
struct EraseLogPersonPayload(Told<commands::Receipt>);

/// What became of an erasure.
#[Object]
impl EraseLogPersonPayload {
    /// Proof that it was done; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.as_ref().ok().map(|kept| (*kept).into())
    }

    /// Why it was refused; empty if it was done.
    async fn user_errors(&self) -> Vec<UserError> {
        user_errors(&self.0)
    }
}

/// Erasing people whom log records alone know.
#[derive(Default)]
pub struct LogPersonCommands;

#[Object]
impl LogPersonCommands {
    /// Erases what is personal of somebody in all log records so far, for good: the key under which it lies
    /// sealed in the log is destroyed. The records stay, with the pseudonym. Records that come later are
    /// sealed with another key, and can be erased in turn.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn erase_log_person(
        &self,
        ctx: &Context<'_>,
        input: EraseLogPersonInput,
    ) -> Result<EraseLogPersonPayload> {
        let operation = Operation::of(ctx);
        let refused =
            |refusal: domain::Refusal| EraseLogPersonPayload(Err(refusal.under(["input"])));
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(refused(refusal)),
        };
        let who = match input.person {
            LogPersonInput::Pseudonym(pseudonym) => LogPersonId::User(pseudonym.0),
            LogPersonInput::BatchId(id) => LogPersonId::Batch(id.0),
            LogPersonInput::User(user) => {
                let known = operation.parts.door.log_user(operation.tenant(), &user);
                match known.map_err(refusal_or_fault) {
                    Ok(pseudonym) => LogPersonId::User(pseudonym),
                    Err(refused_or_fault) => return Ok(refused(refused_or_fault?)),
                }
            }
        };
        let kept = operation.parts.auth.erase_log_person(&context, &who).await;
        let told = settle(ctx, kept, |receipt| *receipt).await?;
        Ok(EraseLogPersonPayload(told))
    }
}
