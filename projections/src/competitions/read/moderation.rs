//! What waits for a moderator: scores and disputes, whatever waits longest first.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::competition::GuardRule;
use domain::entry::Submission;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};

use super::sealed;
use crate::accounts::Sealed;
use crate::columns::{number, word};
use crate::competitions::NAME;
use crate::{Page, ReadError, Snapshot};

/// A score that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldRow {
    /// In which competition, by id.
    pub competition: String,
    /// Whose, by id.
    pub user: String,
    /// In which period it would count, by key.
    pub period: String,
    /// Its number among the user's of the period.
    pub attempt: u32,
    /// The score as it was handed in.
    pub submission: Submission,
    /// Which rule holds it.
    pub rule: GuardRule,
    /// What the rule found.
    pub found: String,
    /// Since when it waits (recorded time).
    pub at: DateTime<Utc>,
    /// Position of the event that says so: the list is in this order.
    pub position: Position,
}

/// A dispute that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct DisputeRow {
    /// In which competition, by id.
    pub competition: String,
    /// Whose, by id.
    pub user: String,
    /// What they say: field `statement`, sealed under a key of theirs.
    pub statement: Option<Sealed>,
    /// Are they excluded?
    pub excluded: bool,
    /// Since when it is open (recorded time).
    pub at: DateTime<Utc>,
    /// Position of the event that says so: the list is in this order.
    pub position: Position,
}

/// A page of a table that stands in order of a position.
async fn waiting(
    snap: &mut Snapshot,
    base: &str,
    (position, waits): (&str, &str),
    competition: Option<&str>,
    (after, first): (Option<Position>, u32),
) -> Result<Vec<PgRow>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, base)?;
    let mut sql = QueryBuilder::new(format!(
        "select * from {table} where {waits} and {position} > "
    ));
    sql.push_bind(after.unwrap_or_default().0);
    sql.push(" and tenant = ").push_bind(tenant.to_string());
    if let Some(competition) = competition {
        sql.push(" and competition_id = ").push_bind(competition);
    }
    sql.push(format!(" order by {position} limit "))
        .push_bind(i64::from(first) + 1);
    Ok(sql.build().fetch_all(conn).await?)
}

/// Scores that wait, of one competition or of all, those after `after`, at most `first`.
pub async fn held_scores(
    snap: &mut Snapshot,
    competition: Option<&str>,
    after: Option<Position>,
    first: u32,
) -> Result<Page<HeldRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let order = ("held_pos", "counts is null");
    let rows = waiting(snap, "competition_held", order, competition, (after, first)).await?;
    let rows = rows.iter().map(|row| {
        let Json(submission) = row.try_get("submission")?;
        Ok(HeldRow {
            competition: row.try_get("competition_id")?,
            user: row.try_get("user_id")?,
            period: row.try_get("period")?,
            attempt: number(row, "attempt")?,
            submission,
            rule: word(row, "rule", GuardRule::of_word)?,
            found: row.try_get("found")?,
            at: row.try_get("held_at")?,
            position: Position(row.try_get("held_pos")?),
        })
    });
    let rows = rows.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// Disputes that are open, of one competition or of all, those after `after`, at most `first`.
pub async fn open_disputes(
    snap: &mut Snapshot,
    competition: Option<&str>,
    after: Option<Position>,
    first: u32,
) -> Result<Page<DisputeRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let base = "competition_entries";
    let order = ("disputed_pos", "disputed_pos > resolved_pos");
    let rows = waiting(snap, base, order, competition, (after, first)).await?;
    let rows = rows.iter().map(|row| {
        let excluded_pos: i64 = row.try_get("excluded_pos")?;
        let reinstated_pos: i64 = row.try_get("reinstated_pos")?;
        Ok(DisputeRow {
            competition: row.try_get("competition_id")?,
            user: row.try_get("user_id")?,
            statement: sealed(row, "statement", "statement_event")?,
            excluded: excluded_pos > reinstated_pos,
            at: row.try_get("disputed_at")?,
            position: Position(row.try_get("disputed_pos")?),
        })
    });
    let rows = rows.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(rows, first, as_of))
}
