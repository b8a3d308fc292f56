//! Competitions through the front door: who sends a command for whom, and what a command on an entry needs
//! to know of its competition at the moment it is decided.
//!
//! A score is decided on the competition's stream at a version: whoever closes a period moves that version,
//! so no score comes into a period behind its seal.

mod closing;
pub mod due;

pub use closing::Closer;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::activity_log::SyncRecord;
use domain::competition::{
    Competition, CompetitionCommand, CompetitionRules, CompetitionStatus, Terms,
};
use domain::entry::{Entry, EntryCommand, Join, Submission, entry_id};
use domain::score::Score;
use domain::{Code, Position, Refusal, values};
use projections::ReadError;
use serde_json::Value;

use crate::auth::{Auth, Caller, Credential, Role};
use crate::commands::{
    ActivitiesReceipt, CommandContext, CommandError, Door, Receipt, SyncActivities,
};

/// How often somebody who joins looks for another place after others were faster.
const PLACE_TURNS_MAX: u32 = 100;

/// What happens to competitions. Cheap to clone.
#[derive(Clone)]
pub struct Competitions {
    door: Door,
    auth: Auth,
    closer: Closer,
}

/// Why nothing became of a command.
#[derive(Debug, thiserror::Error)]
pub enum CompetitionsError {
    /// It was refused, or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It is about another user, and the caller does not have the role that takes.
    #[error("the caller may not do this for another user")]
    Forbidden(Role),
    /// What has to be known first is not: the read models are behind the log by this much.
    #[error("the read models are at {reached}, the log at {head}")]
    Behind {
        /// How far the read models are.
        reached: Position,
        /// How far they should be.
        head: Position,
    },
    /// The read models could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Refusal> for CompetitionsError {
    fn from(refusal: Refusal) -> CompetitionsError {
        CompetitionsError::Command(refusal.into())
    }
}

/// An entry by its competition and its user.
#[derive(Clone, Debug)]
pub struct EntryOf {
    /// The competition, by id.
    pub competition: String,
    /// The user, by id; not given: the caller.
    pub user: Option<String>,
}

/// A score as somebody hands it in.
#[derive(Clone, Debug)]
pub struct HandedIn {
    /// What whoever hands it in calls it.
    pub id: Option<String>,
    /// The score: a decimal text or a whole number.
    pub score: Value,
    /// Tells equal scores apart; likewise.
    pub sub_score: Option<Value>,
    /// When it was achieved; not given: when it came here first.
    pub achieved_at: Option<DateTime<Utc>>,
    /// What it comes from.
    pub source: Option<String>,
    /// Was it entered by hand?
    pub manual: bool,
}

/// A score that waits for a moderator, and what they say of it.
#[derive(Clone, Debug)]
pub struct Moderated {
    /// In which period, by key.
    pub period: String,
    /// Which score: its number.
    pub attempt: u32,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// What an entry can be told that depends on nothing but the entry.
#[derive(Clone, Debug)]
pub enum Word {
    /// A score that waits never counts.
    Dismiss(Moderated),
    /// It is on no board.
    Exclude {
        /// Why.
        reason: String,
    },
    /// It is again.
    Reinstate {
        /// Why.
        reason: String,
    },
    /// The dispute is decided.
    Resolve {
        /// How it ends.
        outcome: domain::entry::DisputeOutcome,
        /// Why.
        reason: String,
    },
}

/// What became of a command on the object with this id.
type Kept = Result<(String, Receipt), CompetitionsError>;

impl Competitions {
    /// Those behind this door.
    pub fn new(door: Door, auth: Auth, closer: Closer) -> Competitions {
        Competitions { door, auth, closer }
    }

    /// Writes a competition down. Gives its id: as asked for, or made.
    pub async fn create(
        &self,
        ctx: &CommandContext,
        id: Option<String>,
        rules: CompetitionRules,
    ) -> Kept {
        let id = ctx.new_id(id, "competition")?;
        let id = values::key_part(&id, "id")?;
        let rules = Box::new(rules);
        let create = CompetitionCommand::Create { rules };
        let kept = self.door.execute::<Competition>(ctx, &id, create).await?;
        Ok((id, kept))
    }

    /// Tells a competition something.
    pub async fn on_competition(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: CompetitionCommand,
    ) -> Kept {
        let id = values::key_part(id, "id")?;
        let kept = self.door.execute::<Competition>(ctx, &id, command).await?;
        Ok((id, kept))
    }

    /// Closes a period that is over without waiting for it to be closed by itself.
    pub async fn close_period(&self, ctx: &CommandContext, id: &str, period: &str) -> Kept {
        let id = values::key_part(id, "competition")?;
        let kept = self.closer.close(ctx, &id, period).await?;
        Ok((id, kept))
    }

    /// Has a user take part. Groups are not for the user to say: whoever is in one may be invited with it.
    ///
    /// Where the competition has a size, places are numbered and the log gives each to one entry: whoever
    /// was not fast enough looks for another one, and is refused once there is none.
    pub async fn join(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        of: EntryOf,
        (consent, groups): (bool, BTreeSet<String>),
    ) -> Kept {
        if !groups.is_empty() && !acts_for_others(caller, Role::Operator) {
            return Err(CompetitionsError::Forbidden(Role::Operator));
        }
        let (competition, user) = self.entry(caller, of, Role::Operator).await?;
        let id = entry_id(&competition, &user);
        let mut place = None;
        let mut full = None;
        for _ in 0..PLACE_TURNS_MAX {
            let join = |known: &Competition| {
                EntryCommand::Join(Join {
                    competition: competition.clone(),
                    terms: Box::new(known.terms(&user, &groups)),
                    user: user.clone(),
                    consent,
                    groups: groups.clone(),
                    place,
                    now: ctx.now,
                })
            };
            let door = &self.door;
            let kept = door.execute_relying::<Entry, Competition>(ctx, &id, &competition, join);
            match kept.await {
                // No place was named yet: only now it is known that one is needed.
                Err(CommandError::Refused(refusal)) if refusal.code == Code::MaxSizeReached => {
                    full = Some(refusal);
                }
                // Somebody else was faster.
                Err(CommandError::Refused(refusal))
                    if full.is_some() && refusal.code == Code::ExternalIdTaken => {}
                kept => return Ok((id, kept?)),
            }
            let (known, _): (Competition, _) = door.load(&ctx.tenant, &competition).await?;
            let size = known.rules.and_then(|rules| rules.size_max).unwrap_or(0);
            place = door.free_place(&ctx.tenant, &competition, size).await?;
            if let (None, Some(refusal)) = (place, &full) {
                return Err(refusal.clone().into());
            }
        }
        let message = "others keep taking the places that are free; try again";
        Err(Refusal::new(Code::VersionConflict, message).into())
    }

    /// Has a user take part no more.
    pub async fn leave(&self, ctx: &CommandContext, caller: &Caller, of: EntryOf) -> Kept {
        let (competition, user) = self.entry(caller, of, Role::Operator).await?;
        let id = entry_id(&competition, &user);
        self.must_be_there(ctx, &id).await?;
        let leave = EntryCommand::Leave { now: ctx.now };
        let kept = self.door.execute::<Entry>(ctx, &id, leave).await?;
        Ok((id, kept))
    }

    /// Hands a score in. Tells beside when it was achieved.
    ///
    /// One that says no time is known by its id, or by that of the command: sent again it is of the moment
    /// at which it came first.
    pub async fn submit(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        of: EntryOf,
        score: HandedIn,
    ) -> Result<((String, Receipt), DateTime<Utc>), CompetitionsError> {
        let (competition, user) = self.entry(caller, of, Role::Ingest).await?;
        let decimals = self.decimals(ctx, &competition).await?;
        let (id, achieved_at) = match score.achieved_at {
            Some(achieved_at) => (score.id, achieved_at),
            None => {
                let id = ctx.new_id(score.id, "score");
                let id = id.map_err(|refusal| refusal.at(["submissionId"]))?;
                let entry = entry_id(&competition, &user);
                let came_at = self.came_first(ctx, &entry, &id).await?;
                (Some(id), came_at.unwrap_or(ctx.now))
            }
        };
        let sub_score = score.sub_score.as_ref();
        let sub_score = sub_score.map(|score| Score::of_json(score, decimals, "subScore"));
        let submission = Submission {
            id,
            score: Score::of_json(&score.score, decimals, "score")?,
            sub_score: sub_score.transpose()?.unwrap_or_default(),
            achieved_at,
            source: score.source,
            manual: score.manual,
        };
        let submit = |terms| EntryCommand::SubmitScore {
            submission,
            terms,
            now: ctx.now,
        };
        let kept = self.relying(ctx, (&competition, &user), submit).await?;
        Ok((kept, achieved_at))
    }

    /// When a score of this id was achieved, if it was handed in before.
    async fn came_first(
        &self,
        ctx: &CommandContext,
        entry: &str,
        id: &str,
    ) -> Result<Option<DateTime<Utc>>, CommandError> {
        let known: Entry = self.door.load_now(&ctx.tenant, entry).await?;
        let mut submissions = known.periods.values().flat_map(|p| p.submissions.values());
        let same = submissions.find(|submission| submission.id.as_deref() == Some(id));
        Ok(same.map(|submission| submission.achieved_at))
    }

    /// Lets a score count that waits.
    pub async fn release(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        of: EntryOf,
        score: Moderated,
    ) -> Kept {
        let (competition, user) = self.entry(caller, of, Role::Operator).await?;
        let id = entry_id(&competition, &user);
        self.ready_to_seal(ctx, &id, &user).await?;
        let by = self.decider(caller).await?;
        let release = |terms| EntryCommand::ReleaseScore {
            period: score.period,
            attempt: score.attempt,
            by,
            reason: score.reason,
            terms,
        };
        self.relying(ctx, (&competition, &user), release).await
    }

    /// Tells an entry what was decided on it.
    pub async fn decide(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        of: EntryOf,
        word: Word,
    ) -> Kept {
        let (competition, user) = self.entry(caller, of, Role::Operator).await?;
        let by = self.decider(caller).await?;
        let command = match word {
            Word::Dismiss(score) => EntryCommand::DismissScore {
                period: score.period,
                attempt: score.attempt,
                by,
                reason: score.reason.unwrap_or_default(),
            },
            Word::Exclude { reason } => EntryCommand::Exclude { by, reason },
            Word::Reinstate { reason } => EntryCommand::Reinstate { by, reason },
            Word::Resolve { outcome, reason } => EntryCommand::ResolveDispute {
                outcome,
                by,
                reason,
            },
        };
        self.on_entry(ctx, (&competition, &user), command).await
    }

    /// Has a user disagree with what was decided.
    pub async fn dispute(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        of: EntryOf,
        statement: String,
    ) -> Kept {
        let (competition, user) = self.entry(caller, of, Role::Operator).await?;
        let dispute = EntryCommand::OpenDispute { statement };
        self.on_entry(ctx, (&competition, &user), dispute).await
    }

    /// Takes in what a source says of a user's activities.
    pub async fn sync(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        user: Option<String>,
        records: Vec<Result<SyncRecord, Refusal>>,
    ) -> Result<ActivitiesReceipt, CompetitionsError> {
        let user = self.whom(caller, user, Role::Ingest).await?;
        let sync = SyncActivities { user, records };
        Ok(self.door.sync_activities(ctx, sync).await?)
    }

    async fn relying(
        &self,
        ctx: &CommandContext,
        (competition, user): (&str, &str),
        command: impl FnOnce(Box<Terms>) -> EntryCommand + Clone,
    ) -> Kept {
        let id = entry_id(competition, user);
        let door = &self.door;
        let nowhere = BTreeSet::new();
        let kept = door
            .execute_relying::<Entry, Competition>(ctx, &id, competition, |known| {
                command(Box::new(known.terms(user, &nowhere)))
            })
            .await?;
        Ok((id, kept))
    }

    async fn on_entry(
        &self,
        ctx: &CommandContext,
        (competition, user): (&str, &str),
        command: EntryCommand,
    ) -> Kept {
        let id = entry_id(competition, user);
        self.ready_to_seal(ctx, &id, user).await?;
        let kept = self.door.execute::<Entry>(ctx, &id, command).await?;
        Ok((id, kept))
    }

    /// What is said of an entry is sealed under its user's key. Nobody gets one who never took part.
    async fn ready_to_seal(
        &self,
        ctx: &CommandContext,
        id: &str,
        user: &str,
    ) -> Result<(), CommandError> {
        self.must_be_there(ctx, id).await?;
        self.door.key_outsider(&ctx.tenant, user).await
    }

    /// Refuses what is about an entry of nobody who ever joined.
    async fn must_be_there(&self, ctx: &CommandContext, id: &str) -> Result<(), CommandError> {
        let entry: Entry = self.door.load_now(&ctx.tenant, id).await?;
        if entry.user.is_empty() {
            return Err(Refusal::new(Code::NotFound, "no such entry").into());
        }
        Ok(())
    }

    /// How many decimal places scores of a competition have: by rules that stay, or as the log says now.
    async fn decimals(&self, ctx: &CommandContext, id: &str) -> Result<u8, CommandError> {
        let (mut known, _): (Competition, _) = self.door.load(&ctx.tenant, id).await?;
        if matches!(known.status, None | Some(CompetitionStatus::Draft)) {
            known = self.door.load_now(&ctx.tenant, id).await?;
        }
        let missing = || Refusal::new(Code::NotFound, "no such competition").at(["competition"]);
        let rules = known.rules.ok_or_else(missing)?;
        Ok(rules.decimals)
    }

    /// The competition and the user of an entry, if the caller may speak for it.
    async fn entry(
        &self,
        caller: &Caller,
        of: EntryOf,
        role: Role,
    ) -> Result<(String, String), CompetitionsError> {
        let user = self.whom(caller, of.user, role).await?;
        let competition = values::key_part(&of.competition, "competition")?;
        Ok((competition, user))
    }

    /// Whom a command or a question is about: the caller themselves, or whoever is named by somebody who may
    /// speak for others, by this role or an API key.
    pub async fn whom(
        &self,
        caller: &Caller,
        named: Option<String>,
        role: Role,
    ) -> Result<String, CompetitionsError> {
        let own = self.auth.person(caller).await?;
        let user = match (named, own) {
            (Some(named), own) => {
                let is_own = own.is_some_and(|own| own == named);
                if !is_own && !acts_for_others(caller, role) {
                    return Err(CompetitionsError::Forbidden(role));
                }
                named
            }
            (None, Some(own)) => own,
            (None, None) => {
                let message =
                    "the credentials belong to no user: which one is meant has to be said";
                return Err(Refusal::new(Code::Validation, message).at(["user"]).into());
            }
        };
        Ok(values::key_part(&user, "user")?)
    }

    /// Who decides: the user the caller acts for, or a program that is nobody's.
    async fn decider(&self, caller: &Caller) -> Result<String, CommandError> {
        let person = self.auth.person(caller).await?;
        Ok(person.unwrap_or_else(|| caller.actor.id.to_string()))
    }
}

/// May the caller speak for users beside themselves? An API key may: the guard has asked for its scope.
fn acts_for_others(caller: &Caller, role: Role) -> bool {
    caller.credential == Credential::ApiKey || caller.may(role)
}
