//! What people decided about read models, who and why: kept in the transaction of what they decided.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{PgConnection, Row};

use super::ConsumerError;
use crate::store::Store;

/// Who decides, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// Who, such as `user:ann`.
    pub by: String,
    /// Why; kept with it.
    pub reason: Option<String>,
}

impl Decider {
    /// Somebody who does not say why.
    pub fn of(by: impl Into<String>) -> Decider {
        Decider {
            by: by.into(),
            reason: None,
        }
    }

    /// The same, for a reason.
    pub fn because(self, reason: Option<String>) -> Decider {
        Decider { reason, ..self }
    }
}

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop keeping it up to date.
    Pause,
    /// Go on; try the event it stopped at again.
    Resume,
    /// Go on without an event.
    Skip,
    /// Build a generation.
    Rebuild,
    /// Let a rebuild rest.
    PauseRebuild,
    /// Let it go on.
    ResumeRebuild,
    /// End it.
    CancelRebuild,
    /// Go back to the generation that is kept.
    RollBack,
    /// Drop a generation.
    Drop,
}

impl Action {
    /// Every one of them.
    pub const ALL: [Action; 9] = [
        Action::Pause,
        Action::Resume,
        Action::Skip,
        Action::Rebuild,
        Action::PauseRebuild,
        Action::ResumeRebuild,
        Action::CancelRebuild,
        Action::RollBack,
        Action::Drop,
    ];

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Skip => "skip",
            Action::Rebuild => "rebuild",
            Action::PauseRebuild => "pause_rebuild",
            Action::ResumeRebuild => "resume_rebuild",
            Action::CancelRebuild => "cancel_rebuild",
            Action::RollBack => "roll_back",
            Action::Drop => "drop",
        }
    }
}

/// What is decided on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) tenant: &'a str,
    pub(super) projection: &'a str,
    pub(super) generation: Option<i32>,
    pub(super) position: Option<i64>,
}

/// A decision, as kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// In the order of deciding.
    pub number: i64,
    /// About which read model.
    pub projection: String,
    /// About which generation of it.
    pub generation: Option<i32>,
    /// What was decided: see [`Action::as_str`].
    pub action: String,
    /// At which event, or up to which.
    pub position: Option<Position>,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Keeps a decision.
pub(super) async fn note(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    action: Action,
    decider: &Decider,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into projection_decisions
            (tenant, projection, generation, action, position, decided_by, reason)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(subject.tenant)
    .bind(subject.projection)
    .bind(subject.generation)
    .bind(action.as_str())
    .bind(subject.position)
    .bind(&decider.by)
    .bind(&decider.reason)
    .execute(conn)
    .await?;
    let (projection, tenant, what, by) = (
        subject.projection,
        subject.tenant,
        action.as_str(),
        &decider.by,
    );
    tracing::info!(
        projection,
        tenant,
        by,
        "{what} of {projection}, decided by {by}"
    );
    Ok(())
}

/// What was decided about a read model, or about all of them: the last first, those before a number.
pub async fn decisions(
    store: &Store,
    tenant: &str,
    projection: Option<&str>,
    before: Option<i64>,
    first: u32,
) -> Result<Vec<Decision>, ConsumerError> {
    let rows = sqlx::query(
        "select number, projection, generation, action, position, decided_by, reason, decided_at
         from projection_decisions
         where tenant = $1 and ($2::text is null or projection = $2)
           and number < coalesce($3, 9223372036854775807)
         order by number desc limit $4",
    )
    .bind(tenant)
    .bind(projection)
    .bind(before)
    .bind(i64::from(first))
    .fetch_all(store.pool())
    .await?;
    let of = |row: &sqlx::postgres::PgRow| Decision {
        number: row.get(0),
        projection: row.get(1),
        generation: row.get(2),
        action: row.get(3),
        position: row.get::<Option<i64>, _>(4).map(Position),
        by: row.get(5),
        reason: row.get(6),
        at: row.get(7),
    };
    Ok(rows.iter().map(of).collect())
}
