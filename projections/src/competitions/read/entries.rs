//! Who takes part, and what they have come to.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::score::Score;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::sealed;
use crate::accounts::Sealed;
use crate::columns::{number, number_or_none};
use crate::competitions::NAME;
use crate::{Page, ReadError, Snapshot};

/// Somebody's part in a competition, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    /// In which competition, by id.
    pub competition: String,
    /// Who, by id.
    pub user: String,
    /// Since when they take part; `None`: they do not.
    pub joined_at: Option<DateTime<Utc>>,
    /// Since when they do not any more; `None`: they do.
    pub left_at: Option<DateTime<Utc>>,
    /// The groups whose boards they are on, by key.
    pub groups: BTreeSet<String>,
    /// Their place, from 1, where places are numbered.
    pub place: Option<u32>,
    /// Did they agree to taking part?
    pub consent: bool,
    /// Why they are on no board, if they are excluded. The words are field `reason` of the user.
    pub exclusion: Option<DecisionRow>,
    /// Is a dispute open?
    pub disputed: bool,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    /// When (recorded time).
    pub at: DateTime<Utc>,
    /// Who, by id.
    pub by: String,
    /// Why, sealed under a key of the user it is about.
    pub reason: Option<Sealed>,
    /// Position of the event that says so.
    pub position: Position,
}

/// What somebody has come to in a period, whether they are on its board or not.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayedRow {
    /// Which, by key.
    pub period: String,
    /// What the scores that count come to; of decrements all that was taken away.
    pub score: Score,
    /// Tells equal scores apart.
    pub sub_score: Score,
    /// When that was reached.
    pub achieved_at: DateTime<Utc>,
    /// How many scores count.
    pub attempts: u32,
    /// Position of the event that says so.
    pub position: Position,
}

impl EntryRow {
    /// Is it on the boards?
    pub fn ranks(&self) -> bool {
        self.joined_at.is_some() && self.exclusion.is_none()
    }
}

fn select(snap: &Snapshot) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "competition_entries")?;
    let mut sql = QueryBuilder::new(format!("select * from {table} where tenant = "));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

/// The entry of a user in a competition, if they ever joined.
pub async fn entry(
    snap: &mut Snapshot,
    competition: &str,
    user: &str,
) -> Result<Option<EntryRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and competition_id = ")
        .push_bind(competition.to_owned());
    sql.push(" and user_id = ").push_bind(user.to_owned());
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Everybody who ever joined a competition, by ascending user id, those after `after`, at most `first`.
pub async fn entries(
    snap: &mut Snapshot,
    competition: &str,
    after: Option<&str>,
    first: u32,
) -> Result<Page<EntryRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and competition_id = ")
        .push_bind(competition.to_owned());
    listed(snap, sql, "user_id", after, first).await
}

/// The entries of a user, by ascending id of the competition, those after `after`, at most `first`.
pub async fn entries_of_user(
    snap: &mut Snapshot,
    user: &str,
    after: Option<&str>,
    first: u32,
) -> Result<Page<EntryRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and user_id = ").push_bind(user.to_owned());
    listed(snap, sql, "competition_id", after, first).await
}

async fn listed(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'static, Postgres>,
    column: &str,
    after: Option<&str>,
    first: u32,
) -> Result<Page<EntryRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    if let Some(after) = after {
        sql.push(format!(" and {column} > "))
            .push_bind(after.to_owned());
    }
    sql.push(format!(" order by {column} limit "))
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// What a user has come to in the periods of a competition, by ascending key, those after `after`, at
/// most `first`. Of scores that were handed in: what activities come to is told by boards alone.
pub async fn played(
    snap: &mut Snapshot,
    competition: &str,
    user: &str,
    after: Option<&str>,
    first: u32,
) -> Result<Page<PlayedRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "competition_scores")?;
    let statement = format!(
        "select * from {table}
         where tenant = $1 and user_id = $2 and competition_id = $3 and period > $4
         order by period limit $5"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(user)
        .bind(competition)
        .bind(after.unwrap_or_default())
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let rows = rows.iter().map(|row| {
        Ok(PlayedRow {
            period: row.try_get("period")?,
            score: score(row, "score")?,
            sub_score: score(row, "sub_score")?,
            achieved_at: row.try_get("achieved_at")?,
            attempts: number(row, "attempts")?,
            position: Position(row.try_get("position")?),
        })
    });
    let rows = rows.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// A score in its smallest unit.
pub(super) fn score(row: &PgRow, column: &str) -> Result<Score, sqlx::Error> {
    let units: i64 = row.try_get(column)?;
    Score::of_units(units, column).map_err(|refusal| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: refusal.message.into(),
    })
}

fn read(row: &PgRow) -> Result<EntryRow, sqlx::Error> {
    let groups: Option<Json<BTreeSet<String>>> = row.try_get("groups")?;
    let excluded_pos: i64 = row.try_get("excluded_pos")?;
    let reinstated_pos: i64 = row.try_get("reinstated_pos")?;
    let disputed_pos: i64 = row.try_get("disputed_pos")?;
    let resolved_pos: i64 = row.try_get("resolved_pos")?;
    let consent: Option<bool> = row.try_get("consent")?;
    let exclusion = if excluded_pos > reinstated_pos {
        Some(DecisionRow {
            at: row.try_get("excluded_at")?,
            by: row.try_get("excluded_by")?,
            reason: sealed(row, "excluded_why", "excluded_event")?,
            position: Position(excluded_pos),
        })
    } else {
        None
    };
    Ok(EntryRow {
        competition: row.try_get("competition_id")?,
        user: row.try_get("user_id")?,
        joined_at: row.try_get("joined_at")?,
        left_at: row.try_get("left_at")?,
        groups: groups.map(|Json(groups)| groups).unwrap_or_default(),
        place: number_or_none(row, "place")?,
        consent: consent.unwrap_or(false),
        exclusion,
        disputed: disputed_pos > resolved_pos,
        stream_version: row.try_get("stream_version")?,
        position: Position(row.try_get("position")?),
    })
}
