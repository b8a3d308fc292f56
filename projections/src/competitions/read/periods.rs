//! Periods that have ended, and what was awarded for them.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::competition::PrizesCalculated;
use domain::prize::Award;
use domain::standing::Standing;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::columns::number;
use crate::competitions::NAME;
use crate::{Page, ReadError, Snapshot};

/// A period that takes no more scores.
#[derive(Clone, Debug, PartialEq)]
pub struct PeriodRow {
    /// Which, by key.
    pub period: String,
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
    /// Since when it takes no scores (recorded time).
    pub sealed_at: DateTime<Utc>,
    /// Position of the event that says so: what stands before it in the log counts.
    pub sealed_position: Position,
    /// Its board, once it is frozen.
    pub closed: Option<ClosedRow>,
    /// What its prizes come to, where there are any.
    pub prizes: Option<PrizesCalculated>,
}

/// A board that is frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedRow {
    /// How far the log was read for it.
    pub as_of: Position,
    /// How many are on it.
    pub entries: u64,
    /// SHA-256 of it, lower-case hexadecimal.
    pub standings_hash: String,
    /// The first of it.
    pub top: Vec<Standing>,
    /// Since when it is frozen (recorded time).
    pub at: DateTime<Utc>,
    /// Position of the event that says so.
    pub position: Position,
}

/// What somebody was awarded.
#[derive(Clone, Debug, PartialEq)]
pub struct AwardRow {
    /// In which competition, by id.
    pub competition: String,
    /// For which period, by key.
    pub period: String,
    /// Who, for which rank, how much.
    pub award: Award,
    /// What is given, such as `EUR`.
    pub currency: String,
    /// How many decimal places an amount has.
    pub decimals: u8,
    /// Position of the event that says so.
    pub position: Position,
}

/// Where a page of a period's awards ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwardCursor {
    /// The last one's rank.
    pub rank: u64,
    /// The last one's user.
    pub user: String,
}

/// One period of a competition by key, if it takes no more scores.
pub async fn period(
    snap: &mut Snapshot,
    competition: &str,
    key: &str,
) -> Result<Option<PeriodRow>, ReadError> {
    Ok(periods_of(snap, competition, &[key]).await?.pop())
}

/// Those of these periods of a competition, by key, that take no more scores; in no order.
pub async fn periods_of(
    snap: &mut Snapshot,
    competition: &str,
    keys: &[&str],
) -> Result<Vec<PeriodRow>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "competition_periods")?;
    let statement = format!(
        "select * from {table}
         where tenant = $1 and competition_id = $2 and period = any($3) and sealed_pos > 0"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(competition)
        .bind(keys)
        .fetch_all(conn)
        .await?;
    let rows = rows.iter().map(read);
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// The periods of a competition that take no more scores, the latest first, those before `before` in
/// time (as of their `sealed_position`), at most `first`.
pub async fn periods(
    snap: &mut Snapshot,
    competition: &str,
    before: Option<Position>,
    first: u32,
) -> Result<Page<PeriodRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "competition_periods")?;
    let statement = format!(
        "select * from {table}
         where tenant = $1 and competition_id = $2 and sealed_pos > 0 and sealed_pos < $3
         order by sealed_pos desc limit $4"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(competition)
        .bind(before.map_or(i64::MAX, |before| before.0))
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// The awards of a tenant, each with what is given. What prizes come to is told before they are
/// awarded, so it is always there.
fn select_awards(snap: &Snapshot) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "competition_awards")?;
    let periods = snap.name(NAME, "competition_periods")?;
    let mut sql = QueryBuilder::new(format!(
        "select a.*, p.currency, p.decimals
         from {table} a join {periods} p using (tenant, competition_id, period)
         where p.prizes_pos > 0 and a.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

/// The awards of a period, by rank and user, those after `after`, at most `first`.
pub async fn awards(
    snap: &mut Snapshot,
    competition: &str,
    period: &str,
    after: Option<&AwardCursor>,
    first: u32,
) -> Result<Page<AwardRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select_awards(snap)?;
    sql.push(" and a.competition_id = ")
        .push_bind(competition.to_owned());
    sql.push(" and a.period = ").push_bind(period.to_owned());
    if let Some(after) = after {
        let rank = i64::try_from(after.rank).unwrap_or(i64::MAX);
        sql.push(" and (a.rank, a.user_id) > (").push_bind(rank);
        sql.push(", ").push_bind(after.user.clone()).push(")");
    }
    sql.push(" order by a.rank, a.user_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(award).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// The awards of a user, the latest first, those before `before`, at most `first`. A user has one for
/// a period, so that no two are of one position.
pub async fn awards_of_user(
    snap: &mut Snapshot,
    user: &str,
    before: Option<Position>,
    first: u32,
) -> Result<Page<AwardRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select_awards(snap)?;
    sql.push(" and a.user_id = ").push_bind(user.to_owned());
    sql.push(" and a.position < ")
        .push_bind(before.map_or(i64::MAX, |before| before.0));
    sql.push(" order by a.position desc limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(award).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

fn read(row: &PgRow) -> Result<PeriodRow, sqlx::Error> {
    let period: String = row.try_get("period")?;
    let closed_pos: i64 = row.try_get("closed_pos")?;
    let prizes_pos: i64 = row.try_get("prizes_pos")?;
    Ok(PeriodRow {
        start: row.try_get("start_at")?,
        end: row.try_get("end_at")?,
        sealed_at: row.try_get("sealed_at")?,
        sealed_position: Position(row.try_get("sealed_pos")?),
        closed: (closed_pos > 0).then(|| closed(row)).transpose()?,
        prizes: (prizes_pos > 0).then(|| prizes(row, &period)).transpose()?,
        period,
    })
}

fn closed(row: &PgRow) -> Result<ClosedRow, sqlx::Error> {
    let Json(top) = row.try_get("top")?;
    Ok(ClosedRow {
        as_of: Position(row.try_get("as_of")?),
        entries: number(row, "entries")?,
        standings_hash: row.try_get("standings_hash")?,
        top,
        at: row.try_get("closed_at")?,
        position: Position(row.try_get("closed_pos")?),
    })
}

fn prizes(row: &PgRow, period: &str) -> Result<PrizesCalculated, sqlx::Error> {
    Ok(PrizesCalculated {
        period: period.to_owned(),
        currency: row.try_get("currency")?,
        decimals: number(row, "decimals")?,
        pool: row.try_get("pool")?,
        total: row.try_get("total")?,
        winners: number(row, "winners")?,
    })
}

fn award(row: &PgRow) -> Result<AwardRow, sqlx::Error> {
    Ok(AwardRow {
        competition: row.try_get("competition_id")?,
        period: row.try_get("period")?,
        award: Award {
            user: row.try_get("user_id")?,
            rank: number(row, "rank")?,
            amount: row.try_get("amount")?,
        },
        currency: row.try_get("currency")?,
        decimals: number(row, "decimals")?,
        position: Position(row.try_get("position")?),
    })
}
