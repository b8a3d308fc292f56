//! Competitions: one by id, and lists.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::competition::{CompetitionRules, CompetitionStatus};
use domain::prize::PrizePlan;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};

use crate::columns::{number, word};
use crate::competitions::NAME;
use crate::{Page, ReadError, Snapshot};

/// A competition as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CompetitionRow {
    /// Its id.
    pub id: String,
    /// What counts, how, when, for whom.
    pub rules: CompetitionRules,
    /// What its places are worth.
    pub prizes: Option<PrizePlan>,
    /// Where it stands.
    pub status: CompetitionStatus,
    /// When it was written down (recorded time).
    pub created_at: DateTime<Utc>,
    /// When it could be joined.
    pub opened_at: Option<DateTime<Utc>>,
    /// The first moment after it, where it was cut short, and the position that says so.
    pub cut: Option<(DateTime<Utc>, Position)>,
    /// When it was over or called off (recorded time).
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was cut short or called off.
    pub reason: Option<String>,
    /// How many take part, those who are excluded among them.
    pub entries: u64,
    /// How many are excluded, those who have left among them.
    pub excluded: u64,
    /// How many users and groups are invited.
    pub invited: u64,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

impl CompetitionRow {
    /// The first moment after it, as it was known at a position or as it is.
    pub fn ends_at(&self, known_at: Option<Position>) -> Option<DateTime<Utc>> {
        let known = self
            .cut
            .filter(|(_, said)| known_at.is_none_or(|known_at| *said <= known_at));
        let cut_at = known.map(|(at, _)| at);
        self.rules.ends_at.into_iter().chain(cut_at).min()
    }
}

/// One competition by id.
pub async fn competition(
    snap: &mut Snapshot,
    id: &str,
) -> Result<Option<CompetitionRow>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "competitions")?;
    let statement = format!(
        "select * from {table} where tenant = $1 and competition_id = $2 and created_pos > 0"
    );
    let row = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Competitions by ascending id, those after `after`, at most `first`; of one status alone if it is given.
pub async fn competitions(
    snap: &mut Snapshot,
    status: Option<CompetitionStatus>,
    after: Option<&str>,
    first: u32,
) -> Result<Page<CompetitionRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "competitions")?;
    let mut sql = QueryBuilder::new(format!(
        "select * from {table} where created_pos > 0 and tenant = "
    ));
    sql.push_bind(tenant.to_string());
    if let Some(status) = status {
        sql.push(" and status = ").push_bind(status.as_str());
    }
    if let Some(after) = after {
        sql.push(" and competition_id > ").push_bind(after);
    }
    sql.push(" order by competition_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(conn).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

fn read(row: &PgRow) -> Result<CompetitionRow, sqlx::Error> {
    let Json(rules) = row.try_get("rules")?;
    let prizes: Option<Json<PrizePlan>> = row.try_get("prizes")?;
    let cut_at: Option<DateTime<Utc>> = row.try_get("cut_at")?;
    let cut_pos = Position(row.try_get("cut_pos")?);
    Ok(CompetitionRow {
        id: row.try_get("competition_id")?,
        rules,
        prizes: prizes.map(|Json(prizes)| prizes),
        status: word(row, "status", CompetitionStatus::of_word)?,
        created_at: row.try_get("created_at")?,
        opened_at: row.try_get("opened_at")?,
        cut: cut_at.map(|at| (at, cut_pos)),
        ended_at: row.try_get("ended_at")?,
        reason: row.try_get("reason")?,
        entries: number(row, "entries")?,
        excluded: number(row, "excluded")?,
        invited: number(row, "invited")?,
        stream_version: row.try_get("stream_version")?,
        position: Position(row.try_get("position")?),
    })
}
