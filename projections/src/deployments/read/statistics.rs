//! Deployments in numbers: how many stand where, what is waited for, and how long steps take.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::Status;
use sqlx::{Postgres, QueryBuilder, Row};

use super::board::{read, select};
use super::{DeploymentRow, ListCursor, push_equal, push_page, push_span, word};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// Whose deployments, and those known when; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatisticsQuery {
    /// Those of this project.
    pub project: Option<String>,
    /// Those known from then on.
    pub from: Option<DateTime<Utc>>,
    /// Those known before then.
    pub to: Option<DateTime<Utc>>,
}

/// Deployments in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub deployments: i64,
    /// How many stand where, in the order of [`Status::ALL`]; none is left out.
    pub by_status: Vec<(Status, i64)>,
    /// Since when the one has waited for votes that has waited longest; `None` if none does.
    pub waiting_since: Option<DateTime<Utc>>,
    /// From asking for approval to having it.
    pub approval_wait: Taken,
    /// From the start to the end, good or bad.
    pub duration: Taken,
    /// From wanting a deployment to production to its running.
    pub request_to_production: Taken,
    /// How many incidents are open, whenever they began.
    pub open_incidents: i64,
    /// The log position all of it is as of.
    pub as_of: Position,
}

/// How long something took, of those of which both ends are known, the first not after the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// How many.
    pub deployments: i64,
    /// Median, in seconds; `None` without any.
    pub p50_s: Option<f64>,
    /// 95th percentile, in seconds; `None` without any.
    pub p95_s: Option<f64>,
}

/// One of the numbers, and with it the deployments that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsEvidence {
    /// Those that stand there.
    Status(Status),
    /// Those of which is known how long approval took.
    ApprovalWait,
    /// Those of which is known how long they took.
    Duration,
    /// Those of which is known how long they took from being wanted to running in production.
    RequestToProduction,
}

impl StatisticsEvidence {
    const SPANS: [StatisticsEvidence; 3] = [
        StatisticsEvidence::ApprovalWait,
        StatisticsEvidence::Duration,
        StatisticsEvidence::RequestToProduction,
    ];

    /// What the number measures, from and to; `None` where it only counts.
    fn span(self) -> Option<(&'static str, &'static str)> {
        match self {
            StatisticsEvidence::Status(_) => None,
            StatisticsEvidence::ApprovalWait => Some(("d.asked_at", "d.voted_at")),
            StatisticsEvidence::Duration => {
                Some(("d.started_at", "coalesce(d.succeeded_at, d.failed_at)"))
            }
            StatisticsEvidence::RequestToProduction => Some((
                "d.requested_at",
                "case when d.tier = 'production' then d.succeeded_at end",
            )),
        }
    }
}

/// The deployments that a number counts, those known last first, those after `after`, at most `first`.
pub async fn counted(
    snap: &mut Snapshot,
    (query, of): (&StatisticsQuery, StatisticsEvidence),
    after: Option<&ListCursor>,
    first: u32,
) -> Result<Page<DeploymentRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    push_equal(&mut sql, "d.project", query.project.as_deref());
    push_span(&mut sql, "d.known_at", query.from, query.to);
    if let StatisticsEvidence::Status(status) = of {
        push_equal(&mut sql, "d.status", Some(status.as_str()));
    }
    if let Some((from, to)) = of.span() {
        sql.push(format!(" and {to} >= {from}"));
    }
    push_page(&mut sql, ("d.known_at", "d.deployment_id"), after, first);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// Deployments in numbers: three statements.
pub async fn statistics(
    snap: &mut Snapshot,
    query: &StatisticsQuery,
) -> Result<Statistics, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = QueryBuilder::new("select d.status, count(*), min(d.asked_at)");
    push_known(&mut sql, snap, query)?;
    sql.push(" group by 1");
    let mut found = Vec::new();
    for row in sql.build().fetch_all(snap.connection()).await? {
        let status = word(&row, "status", Status::of_word)?;
        found.push((status, row.try_get::<i64, _>(1)?, row.try_get(2)?));
    }
    let of = |status: Status| found.iter().find(|(s, ..)| *s == status);
    let count = |status: &Status| (*status, of(*status).map_or(0, |(_, count, _)| *count));
    let by_status: Vec<_> = Status::ALL.iter().map(count).collect();
    let waiting_since = of(Status::AwaitingApproval).and_then(|(.., since)| *since);
    let [approval_wait, duration, request_to_production] = taken(snap, query).await?;
    Ok(Statistics {
        deployments: by_status.iter().map(|(_, count)| count).sum(),
        by_status,
        waiting_since,
        approval_wait,
        duration,
        request_to_production,
        open_incidents: open_incidents(snap, query).await?,
        as_of,
    })
}

async fn taken(snap: &mut Snapshot, query: &StatisticsQuery) -> Result<[Taken; 3], ReadError> {
    let spans = StatisticsEvidence::SPANS.iter().filter_map(|of| of.span());
    let columns = spans.map(|(from, to)| {
        let seconds = format!("date_part('epoch', {to} - {from})");
        let known = format!("filter (where {to} >= {from})");
        format!(
            "count(*) {known},
             percentile_cont(array[0.5, 0.95]) within group (order by {seconds}) {known}"
        )
    });
    let columns: Vec<_> = columns.collect();
    let mut sql = QueryBuilder::new(format!("select {}", columns.join(", ")));
    push_known(&mut sql, snap, query)?;
    let row = sql.build().fetch_one(snap.connection()).await?;
    let mut all = <[Taken; 3]>::default();
    for (n, taken) in all.iter_mut().enumerate() {
        let percentiles: Option<Vec<f64>> = row.try_get(2 * n + 1)?;
        let percentile = |n: usize| percentiles.as_ref()?.get(n).copied();
        *taken = Taken {
            deployments: row.try_get(2 * n)?,
            p50_s: percentile(0),
            p95_s: percentile(1),
        };
    }
    Ok(all)
}

async fn open_incidents(snap: &mut Snapshot, query: &StatisticsQuery) -> Result<i64, ReadError> {
    let table = snap.name(NAME, "incidents")?;
    let mut sql = QueryBuilder::new(format!(
        "select count(*) from {table} i
         where i.opened_at is not null and i.resolved_at is null and i.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    push_equal(&mut sql, "i.project", query.project.as_deref());
    let row = sql.build().fetch_one(snap.connection()).await?;
    Ok(row.try_get(0)?)
}

fn push_known(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &StatisticsQuery,
) -> Result<(), ReadError> {
    let table = snap.name(NAME, "deployments")?;
    sql.push(format!(
        " from {table} d where d.known_at is not null and d.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    push_equal(sql, "d.project", query.project.as_deref());
    push_span(sql, "d.known_at", query.from, query.to);
    Ok(())
}
