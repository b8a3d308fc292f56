//! Votes: who votes, and whether they still may at the moment their vote is kept.

use domain::admins::{ADMINS_ID, Admins};
use domain::deployment::{Deployment, DeploymentCommand, Vote, Voter};
use domain::user::{Role, User, UserStanding};
use domain::{Code, Refusal};

use super::{Deployments, DeploymentsError};
use crate::auth::Caller;
use crate::commands::{CommandContext, CommandError, Receipt};

/// What somebody says to a deployment.
#[derive(Clone, Debug)]
pub struct Ballot {
    /// Yes?
    pub agrees: bool,
    /// On which revision: the one they looked at.
    pub revision: u32,
    /// What they say.
    pub comment: Option<String>,
}

impl Deployments {
    /// Votes. That the voter may is held by the append: it relies on what gives them the right, their
    /// account or the roster of administrators, which cannot be deactivated while they are on it.
    pub async fn vote(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
        ballot: Ballot,
    ) -> Result<Receipt, DeploymentsError> {
        let user_id = self.voter(caller).await?;
        let door = &self.0.door;
        let user: User = door.load_now(&ctx.tenant, &user_id).await?;
        let (voter_id, now) = (user_id.clone(), ctx.now);
        let vote = move |standing: UserStanding, may_vote: bool| {
            let vote = Vote {
                voter: Voter {
                    user_id: voter_id,
                    standing,
                    may_vote,
                },
                revision: ballot.revision,
                comment: ballot.comment,
                now,
            };
            match ballot.agrees {
                true => DeploymentCommand::Approve(vote),
                false => DeploymentCommand::Reject(vote),
            }
        };
        let kept = if user.roles.contains(&Role::Approver) {
            let by_account =
                |user: &User| vote(user.standing(), user.roles.contains(&Role::Approver));
            door.execute_relying::<Deployment, User>(ctx, id, &user_id, by_account)
                .await
        } else {
            let standing = user.standing();
            let by_roster = |roster: &Admins| match roster.names(&user_id) {
                true => vote(UserStanding::Active, true),
                false => vote(standing, false),
            };
            door.execute_relying::<Deployment, Admins>(ctx, id, ADMINS_ID, by_roster)
                .await
        };
        match kept {
            Err(CommandError::Refused(refusal)) if is_about_the_voter(refusal.code) => {
                Err(self.lost_right(ctx, &user_id, refusal).await?)
            }
            kept => Ok(kept?),
        }
    }

    /// Takes the caller's vote back.
    pub async fn revoke_vote(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
    ) -> Result<Receipt, DeploymentsError> {
        let by = self.voter(caller).await?;
        let command = DeploymentCommand::RevokeApproval { by, now: ctx.now };
        self.on_deployment(ctx, id, command).await
    }

    /// Breaks the glass, for whom the guard has let in as an administrator; one who has been dismissed
    /// since may not.
    pub async fn break_glass(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
        reason: String,
    ) -> Result<Receipt, DeploymentsError> {
        let by = match self.0.auth.person(caller).await? {
            Some(user_id) => {
                let roster: Admins = self.0.door.load_now(&ctx.tenant, ADMINS_ID).await?;
                if !roster.names(&user_id) {
                    return Err(DeploymentsError::Forbidden(Role::Admin));
                }
                user_id
            }
            // A program of the operator's own.
            None => caller.actor.id.to_string(),
        };
        let command = DeploymentCommand::Override {
            by,
            reason,
            now: ctx.now,
        };
        self.on_deployment(ctx, id, command).await
    }

    /// Whose vote the caller's would be.
    pub async fn voter(&self, caller: &Caller) -> Result<String, DeploymentsError> {
        let person = self.0.auth.person(caller).await?;
        person.ok_or_else(|| {
            let message = "a vote is a user's: the credentials belong to none";
            Refusal::new(Code::NotAnApprover, message).into()
        })
    }

    /// What a voter is told who is refused: that they may not vote any more, if that is so, else why not
    /// on this one.
    async fn lost_right(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        refusal: Refusal,
    ) -> Result<DeploymentsError, CommandError> {
        let door = &self.0.door;
        let user: User = door.load_now(&ctx.tenant, user_id).await?;
        let roster: Admins = door.load_now(&ctx.tenant, ADMINS_ID).await?;
        let active = user.standing() == UserStanding::Active;
        if active && (user.roles.contains(&Role::Approver) || roster.names(user_id)) {
            return Ok(refusal.into());
        }
        Ok(DeploymentsError::Forbidden(Role::Approver))
    }
}

fn is_about_the_voter(code: Code) -> bool {
    matches!(
        code,
        Code::NotAnApprover | Code::UserNotFound | Code::UserDeactivated | Code::UserErased
    )
}
