//! What a deployment can be told.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::life::Status;
use super::plan::{Change, Plan, Requester, Tier};
use crate::approval::ApprovalPolicy;
use crate::environment::Frozen;
use crate::user::UserStanding;

/// What a deployment can be told. Its id comes with the stream. What is seen by us rather than said
/// by the caller (the time, how users and environments stand) is no part of a command's fingerprint.
///
/// Where a time can be said and is not, it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum DeploymentCommand {
    /// Want it. Known already: `ALREADY_EXISTS`.
    Request(Request),
    /// Tell of it as it stands where it is carried out. Known already by the same external id: already
    /// so, whatever else is said; known otherwise: `ALREADY_EXISTS`.
    Record(Record),
    /// Ask those whom the environment's policy names. No rule: approved at once. A policy that is met
    /// only with the vote of who asks, which does not count, is taken all the same: then the glass can
    /// be broken.
    RequestApproval {
        /// The environment's policy at this moment.
        #[serde(skip_serializing)]
        policy: ApprovalPolicy,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Agree. What completes the approval is told by an event of its own; votes beyond that are kept,
    /// and count where others are taken back.
    Approve(Vote),
    /// Say no: one member of one group is enough.
    Reject(Vote),
    /// Take one's vote back.
    RevokeApproval {
        /// Whose vote, by user id.
        by: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Let it start without votes, before its wait timer ends and while its environment is frozen.
    /// Who may is for the caller to know. Overridden already: already so.
    Override {
        /// Who breaks the glass, by user id.
        by: String,
        /// Why, in their words.
        reason: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Give it up if its approval has run out. Not run out yet: already so.
    Expire {
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Begin.
    Start {
        /// When.
        at: Option<DateTime<Utc>>,
        /// What keeps the environment from being deployed to at this moment.
        #[serde(skip_serializing)]
        frozen: Option<Frozen>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Run.
    Succeed {
        /// Since when.
        at: Option<DateTime<Utc>>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Have come to nothing.
    Fail {
        /// When.
        at: Option<DateTime<Utc>>,
        /// Why, in the words of whoever deploys.
        reason: Option<String>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Be replaced by a version from before.
    RollBack(RollBack),
    /// Be called off.
    Cancel {
        /// When.
        at: Option<DateTime<Utc>>,
        /// Why, in the operator's words.
        reason: Option<String>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Be another one, before it starts: votes are void. No difference: already so; changes are the
    /// same if their ids are.
    Amend(Amendment),
    /// Tell more of what it carries. All known: already so. Once approval was asked for and until it
    /// starts, that would be another deployment than people look at: amend it.
    AddChanges {
        /// The changes; those that are known are passed over.
        changes: Vec<Change>,
    },
    /// Say that it was so broken that it needed a fix. Said already: already so.
    MarkHotfix {
        /// The deployment that fixed it, by id.
        fixed_by: Option<String>,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Say that it needed none. Not said before: already so.
    UnmarkHotfix {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What, where to, why.
    pub plan: Plan,
    /// What the environment is for at this moment; `None`: there is no such environment.
    #[serde(skip_serializing)]
    pub tier: Option<Tier>,
    /// Who wants it.
    pub requested_by: Requester,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// What is told of a deployment somewhere else.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What, where to, why.
    pub plan: Plan,
    /// What the environment is for.
    pub tier: Tier,
    /// Who wanted it.
    pub requested_by: Option<Requester>,
    /// Where it stands.
    pub status: Status,
    /// When it was wanted; needed where nothing else has happened yet.
    pub requested_at: Option<DateTime<Utc>>,
    /// When it began; needed while it is under way.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; needed where it has.
    pub finished_at: Option<DateTime<Utc>>,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// A vote.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// Whose.
    pub voter: Voter,
    /// On which revision: the one they looked at.
    pub revision: u32,
    /// What they say.
    pub comment: Option<String>,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// What replaces a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RollBack {
    /// Which version runs again.
    pub to: String,
    /// Since when.
    pub at: Option<DateTime<Utc>>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Was that version ever deployed to this service and environment?
    #[serde(skip_serializing)]
    pub known_version: bool,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// What becomes of a deployment before it starts. What is left out stays.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amendment {
    /// Who says so, if it is a user of ours, by id: it is what they ask for, too.
    pub by: Option<String>,
    /// The version from now on.
    pub version: Option<String>,
    /// The description from now on.
    pub description: Option<String>,
    /// The changes from now on, whole.
    pub changes: Option<Vec<Change>>,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// Somebody who votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// Who, by id.
    pub user_id: String,
    /// How that user stands at this moment.
    #[serde(skip_serializing)]
    pub standing: UserStanding,
    /// Do their roles let them vote at this moment?
    #[serde(skip_serializing)]
    pub may_vote: bool,
}
