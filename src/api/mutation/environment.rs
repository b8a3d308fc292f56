//! Commands on environments: what they are for, what it takes to deploy to them, when nobody may.

use std::collections::BTreeSet;

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::approval::{ApprovalPolicy, ApprovalRule};
use domain::environment::{EnvironmentCommand, Freeze, WeeklyWindow};

use super::deployment::settled;
use super::payload::{Conditions, Outcome, Receipt, Told, whole};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::deployment::environment;
use crate::api::scalars::DateTime;
use crate::api::types::deployment::{EnvironmentTier, Weekday};
use crate::api::types::environment::Environment;
use crate::commands::CommandContext;

/// The input of a command on an environment.
macro_rules! environment_input {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $(#[graphql($($with:tt)*)])? $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(InputObject)]
        struct $name {
            /// The project, 1 to 128 characters.
            project: String,
            /// The environment's name within the project, 1 to 128 characters.
            environment: String,
            $($(#[doc = $field_doc])* $(#[graphql($($with)*)])? $field: $ty,)*
            /// Idempotency key, 1 to 255 characters.
            command_id: Option<ID>,
            /// Refuse with VERSION_CONFLICT unless the environment is at this version.
            expected_version: Option<i32>,
        }

        impl $name {
            fn head(&self) -> Head {
                let conditions = Conditions {
                    command_id: self.command_id.clone(),
                    expected_version: self.expected_version,
                };
                (conditions, self.project.clone(), self.environment.clone())
            }
        }
    };
}

/// Which environment, under which conditions.
type Head = (Conditions, String, String);

environment_input! {
    /// Makes an environment known, or says anew what it is for.
    DefineEnvironmentInput {
        /// What it is for; deployments from before keep what it was for then.
        tier: EnvironmentTier,
    }
}
environment_input! {
    /// Says what it takes to deploy to an environment. Approvals that were asked for before keep theirs.
    SetApprovalPolicyInput {
        /// All must be met; none: approved at once. At most 10.
        rules: Vec<ApprovalRuleInput>,
        /// Who asks for a deployment does not approve it.
        #[graphql(default = true)]
        prevent_self_review: bool,
        /// Minutes between asking for approval and the earliest start; at most 43,200.
        #[graphql(default = 0)]
        wait_minutes: i32,
        /// Days between asking for approval and the latest start, 1 to 30.
        #[graphql(default = 30)]
        expiry_days: i32,
    }
}
environment_input! {
    /// Puts an entry into an environment's freeze calendar.
    FreezeEnvironmentInput {
        /// Its name within the environment, 1 to 128 characters; free again once it is over.
        freeze_id: ID,
        /// It begins then; now if not said.
        from: Option<DateTime>,
        /// It ends then; if not said, when somebody lifts it.
        until: Option<DateTime>,
        /// Why, for those who are kept waiting; 1 to 500 characters.
        reason: String,
        /// Only within these hours of each week; none: all the time. At most 14.
        weekly: Option<Vec<FreezeWindowInput>>,
    }
}
environment_input! {
    /// Lifts a freeze.
    UnfreezeEnvironmentInput {
        /// Which one.
        freeze_id: ID,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}

/// So many votes of this group.
#[derive(InputObject)]
struct ApprovalRuleInput {
    /// The group's name, once in a policy.
    group: String,
    /// Its members, by user id; at most 200.
    members: Vec<ID>,
    /// How many of them must agree, 1 to 20.
    #[graphql(default = 1)]
    required: i32,
}

/// The same hours of each week, by a clock that is never put forward or back.
#[derive(InputObject)]
struct FreezeWindowInput {
    /// The day it begins on.
    day: Weekday,
    /// Minutes after that day's midnight at which it begins.
    start_minute: i32,
    /// How many minutes it takes, a week at most.
    minutes: i32,
    /// How many minutes the clock is ahead of UTC.
    #[graphql(default = 0)]
    utc_offset_minutes: i32,
}

/// What became of a command on an environment.
struct EnvironmentPayload(Outcome);

/// What became of a command on an environment.
#[Object]
impl EnvironmentPayload {
    /// The environment after the command; null if it was refused.
    async fn environment(&self, ctx: &Context<'_>) -> Result<Option<Environment>> {
        match self.0.id() {
            Some(id) => environment(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.0.errors()
    }
}

/// Commands on environments.
#[derive(Default)]
pub struct EnvironmentCommands;

#[Object]
impl EnvironmentCommands {
    /// Makes an environment known, or says anew what it is for.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn define_environment(
        &self,
        ctx: &Context<'_>,
        input: DefineEnvironmentInput,
    ) -> Result<EnvironmentPayload> {
        on_environment(ctx, input.head(), |_| {
            Ok(EnvironmentCommand::Define {
                project: input.project,
                name: input.environment,
                tier: input.tier.into(),
            })
        })
        .await
    }

    /// Says what it takes to deploy to an environment, whole.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn set_approval_policy(
        &self,
        ctx: &Context<'_>,
        input: SetApprovalPolicyInput,
    ) -> Result<EnvironmentPayload> {
        on_environment(ctx, input.head(), |_| {
            let rules = input.rules.into_iter().enumerate();
            let rules = rules.map(|(n, rule)| {
                let place = ["rules".to_owned(), n.to_string()];
                rule.read().map_err(|refusal| refusal.under(place))
            });
            let policy = ApprovalPolicy {
                rules: rules.collect::<std::result::Result<_, _>>()?,
                prevent_self_review: input.prevent_self_review,
                wait_minutes: whole(input.wait_minutes, "waitMinutes")?,
                expiry_days: whole(input.expiry_days, "expiryDays")?,
            };
            Ok(EnvironmentCommand::SetApprovalPolicy { policy })
        })
        .await
    }

    /// Lets nothing be deployed to an environment for a while, or in the same hours of each week.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn freeze_environment(
        &self,
        ctx: &Context<'_>,
        input: FreezeEnvironmentInput,
    ) -> Result<EnvironmentPayload> {
        on_environment(ctx, input.head(), |context| {
            let weekly = input.weekly.unwrap_or_default().into_iter().enumerate();
            let weekly = weekly.map(|(n, window)| {
                let place = ["weekly".to_owned(), n.to_string()];
                window.read().map_err(|refusal| refusal.under(place))
            });
            let freeze = Freeze {
                id: input.freeze_id.0,
                from: input.from.map_or(context.now, |from| from.0),
                until: input.until.map(|until| until.0),
                reason: input.reason,
                weekly: weekly.collect::<std::result::Result<_, _>>()?,
            };
            let now = context.now;
            Ok(EnvironmentCommand::Freeze { freeze, now })
        })
        .await
    }

    /// Lifts a freeze.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn unfreeze_environment(
        &self,
        ctx: &Context<'_>,
        input: UnfreezeEnvironmentInput,
    ) -> Result<EnvironmentPayload> {
        on_environment(ctx, input.head(), |_| {
            Ok(EnvironmentCommand::Unfreeze {
                freeze_id: input.freeze_id.0,
                reason: input.reason,
            })
        })
        .await
    }
}

impl ApprovalRuleInput {
    fn read(self) -> Told<ApprovalRule> {
        let members: BTreeSet<String> = self.members.into_iter().map(|id| id.0).collect();
        Ok(ApprovalRule {
            group: self.group,
            members,
            required: whole(self.required, "required")?,
        })
    }
}

impl FreezeWindowInput {
    fn read(self) -> Told<WeeklyWindow> {
        Ok(WeeklyWindow {
            day: self.day.into(),
            start_minute: whole(self.start_minute, "startMinute")?,
            minutes: whole(self.minutes, "minutes")?,
            utc_offset_minutes: self.utc_offset_minutes,
        })
    }
}

async fn on_environment(
    ctx: &Context<'_>,
    (conditions, project, name): Head,
    command: impl FnOnce(&CommandContext) -> Told<EnvironmentCommand> + Send,
) -> Result<EnvironmentPayload> {
    let context = conditions.context(ctx);
    let read = context.and_then(|context| Ok((command(&context)?, context)));
    let kept = match read {
        Ok((command, context)) => {
            let deployments = &Operation::of(ctx).parts.deployments;
            deployments
                .on_environment(&context, &project, &name, command)
                .await
        }
        Err(refusal) => Err(refusal.into()),
    };
    Ok(EnvironmentPayload(settled(ctx, kept).await?))
}
