//! Reading activities: by time, by what a source calls them, and what they come to.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use domain::activity::{Activity, ActivityFlag, ActivityRef, count_once};
use domain::competition::Metric;
use domain::{Position, Zone};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::NAME;
use crate::columns::number;
use crate::{Page, ReadError, Snapshot};

/// An activity as it was told last.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityRow {
    /// Who did it, by id.
    pub user: String,
    /// What its source says.
    pub activity: Activity,
    /// How often it was told otherwise, from 1.
    pub revision: u32,
    /// Why it is hard to believe.
    pub flags: BTreeSet<ActivityFlag>,
    /// Position of the event that says so.
    pub position: Position,
}

/// Where a page of activities ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityCursor {
    /// When the last one began.
    pub start: DateTime<Utc>,
    /// What it is known by.
    pub named: ActivityRef,
}

/// What a user's activities of one day come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayTotal {
    /// The day they began on, by the clocks of the zone asked for.
    pub day: NaiveDate,
    /// How much, in the metric's smallest unit.
    pub units: i128,
    /// How many activities count.
    pub activities: u32,
}

/// A stretch of time: from its first moment up to but without the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: Option<DateTime<Utc>>,
}

/// An activity and why it is hard to believe.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) activity: Activity,
    flags: BTreeSet<ActivityFlag>,
    /// Position of the event that says so.
    pub(crate) position: Position,
}

impl Told {
    pub(crate) fn is_flagged(&self) -> bool {
        !self.flags.is_empty()
    }
}

/// Activities of these users as they were told last, at a position or by now.
fn select(
    snap: &Snapshot,
    users: &[&str],
    as_of: Option<Position>,
) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "activities")?;
    let as_of = as_of.map_or(i64::MAX, |as_of| as_of.0);
    let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
    let mut sql = QueryBuilder::new(format!(
        "select a.* from {table} a
         where a.start_at is not null and not exists (
             select from {table} l
             where l.tenant = a.tenant and l.user_id = a.user_id and l.source = a.source
               and l.external_id = a.external_id and l.position > a.position and l.position <= "
    ));
    sql.push_bind(as_of);
    sql.push(") and a.position <= ").push_bind(as_of);
    sql.push(" and a.tenant = ")
        .push_bind(snap.tenant().to_owned());
    sql.push(" and a.user_id = any(").push_bind(users).push(")");
    Ok(sql)
}

fn push_span(sql: &mut QueryBuilder<'static, Postgres>, span: &Span) {
    sql.push(" and a.start_at >= ").push_bind(span.from);
    if let Some(to) = span.to {
        sql.push(" and a.start_at < ").push_bind(to);
    }
}

/// What users did that began within a span, each one's in order of the start.
pub(crate) async fn told_of(
    snap: &mut Snapshot,
    users: &[&str],
    span: &Span,
    as_of: Option<Position>,
) -> Result<BTreeMap<String, Vec<Told>>, ReadError> {
    let mut sql = select(snap, users, as_of)?;
    push_span(&mut sql, span);
    sql.push(" order by a.user_id, a.start_at");
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for row in &rows {
        let ActivityRow {
            user,
            activity,
            flags,
            position,
            ..
        } = read(row)?;
        let of_user = told.entry(user).or_default();
        of_user.push(Told {
            activity,
            flags,
            position,
        });
    }
    Ok(told)
}

/// One activity of a user by what it is known by, unless it was taken back.
pub async fn activity(
    snap: &mut Snapshot,
    user: &str,
    named: &ActivityRef,
) -> Result<Option<ActivityRow>, ReadError> {
    let mut sql = select(snap, &[user], None)?;
    sql.push(" and a.source = ").push_bind(named.source.clone());
    sql.push(" and a.external_id = ")
        .push_bind(named.external_id.clone());
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// The activities of a user that began within `[from, to)`, the earliest first, those after `after`, at
/// most `first`.
pub async fn activities(
    snap: &mut Snapshot,
    user: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    after: Option<&ActivityCursor>,
    first: u32,
) -> Result<Page<ActivityRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap, &[user], None)?;
    push_span(&mut sql, &Span { from, to: Some(to) });
    if let Some(after) = after {
        sql.push(" and (a.start_at, a.source, a.external_id) > (")
            .push_bind(after.start);
        sql.push(", ").push_bind(after.named.source.clone());
        sql.push(", ").push_bind(after.named.external_id.clone());
        sql.push(")");
    }
    sql.push(" order by a.start_at, a.source, a.external_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// What the activities of a user that began within `[from, to)` come to on each day, what two sources tell
/// of one time once: that of the source that stands first in `sources`, see
/// [`domain::activity::count_once`]. What overlaps is judged within the span alone. Flags and manual
/// entries are no matter here. Days on which nothing was measured are left out.
pub async fn day_totals(
    snap: &mut Snapshot,
    user: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    (metric, sources): (&Metric, &[String]),
    zone: Zone,
) -> Result<Vec<DayTotal>, ReadError> {
    let span = Span { from, to: Some(to) };
    let told = told_of(snap, &[user], &span, None).await?;
    let told = told.get(user).map_or(&[][..], Vec::as_slice);
    let counted = count_once(told.iter().map(|told| &told.activity), sources, metric);
    let mut days: BTreeMap<NaiveDate, DayTotal> = BTreeMap::new();
    for activity in counted.counts {
        let Some(score) = activity.measures.of(metric) else {
            continue;
        };
        let day = zone.shown(activity.start).date();
        let total = days.entry(day).or_insert(DayTotal {
            day,
            units: 0,
            activities: 0,
        });
        total.units += i128::from(score.units());
        total.activities += 1;
    }
    Ok(days.into_values().collect())
}

fn read(row: &PgRow) -> Result<ActivityRow, sqlx::Error> {
    let Json(activity) = row.try_get("activity")?;
    let Json(flags) = row.try_get("flags")?;
    Ok(ActivityRow {
        user: row.try_get("user_id")?,
        activity,
        revision: number(row, "revision")?,
        flags,
        position: Position(row.try_get("position")?),
    })
}
