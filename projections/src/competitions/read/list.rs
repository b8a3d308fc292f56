//! Competitions: one by id, and lists.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::competition::{CompetitionRules, CompetitionStatus};
use domain::prize::PrizePlan;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

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
    /// The end of the last period that takes no more scores.
    pub sealed_until: Option<DateTime<Utc>>,
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

/// The competitions of a tenant, each with how far its periods are sealed.
fn select(snap: &Snapshot) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "competitions")?;
    let periods = snap.name(NAME, "competition_periods")?;
    let mut sql = QueryBuilder::new(format!(
        "select c.*, (select max(p.end_at) from {periods} p
                      where p.tenant = c.tenant and p.competition_id = c.competition_id
                        and p.sealed_pos > 0) as sealed_until
         from {table} c where c.created_pos > 0 and c.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

/// One competition by id.
pub async fn competition(
    snap: &mut Snapshot,
    id: &str,
) -> Result<Option<CompetitionRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and c.competition_id = ")
        .push_bind(id.to_owned());
    let row = sql.build().fetch_optional(snap.connection()).await?;
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
    let mut sql = select(snap)?;
    if let Some(status) = status {
        sql.push(" and c.status = ").push_bind(status.as_str());
    }
    if let Some(after) = after {
        sql.push(" and c.competition_id > ")
            .push_bind(after.to_owned());
    }
    sql.push(" order by c.competition_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
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
        sealed_until: row.try_get("sealed_until")?,
        ended_at: row.try_get("ended_at")?,
        reason: row.try_get("reason")?,
        entries: number(row, "entries")?,
        excluded: number(row, "excluded")?,
        invited: number(row, "invited")?,
        stream_version: row.try_get("stream_version")?,
        position: Position(row.try_get("position")?),
    })
}
