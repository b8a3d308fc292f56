//! What is behind a figure: the deployments, changes and incidents, and the positions that say so.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::failures::FailureKind;
use super::judged::push_judged;
use super::lead::push_carried;
use super::reached::push_reached;
use super::{DoraQuery, window};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// Which figure's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoraEvidence {
    /// Deployments that reached the tier.
    Deployments,
    /// Those of them that are rollbacks.
    Rollbacks,
    /// Those of them that are rework.
    Rework,
    /// Changes with a lead time.
    LeadTimes,
    /// Changes left out because their lead time is not positive.
    Excluded,
    /// Deployments that broke something.
    Failures,
    /// Those of them that were recovered from.
    Recoveries,
    /// Those of them that were not.
    Open,
}

/// One thing that was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceItem {
    /// The deployment's time.
    pub at: DateTime<Utc>,
    /// Position of the event that says it ran.
    pub position: Position,
    /// The deployment.
    pub deployment: String,
    /// The change, where changes are counted.
    pub change: Option<String>,
    /// Lead or recovery time, where that is measured.
    pub seconds: Option<f64>,
    /// How it is known to have broken something, if it did.
    pub kinds: Vec<FailureKind>,
    /// Incidents it is linked to, where they say that it broke something.
    pub incidents: Vec<String>,
    /// Positions of all events behind it, ascending.
    pub positions: Vec<Position>,
}

/// Items by (time, position, change).
pub type EvidencePage = Page<EvidenceItem>;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceCursor {
    /// The last one's time.
    pub at: DateTime<Utc>,
    /// Its position.
    pub position: Position,
    /// Its change, where changes are counted.
    pub change: Option<String>,
}

impl From<&EvidenceItem> for EvidenceCursor {
    fn from(item: &EvidenceItem) -> EvidenceCursor {
        EvidenceCursor {
            at: item.at,
            position: item.position,
            change: item.change.clone(),
        }
    }
}

const OF_CHANGES: &str =
    " select succeeded_at, succeeded_pos, deployment_id, change_id, lead as seconds,
     array[position, succeeded_pos] as positions from carried where ";
const OF_DEPLOYMENTS: &str = " select succeeded_at, succeeded_pos, deployment_id,
     array[succeeded_pos] as positions";
const OF_FAILURES: &str = " select succeeded_at, succeeded_pos, deployment_id, recovery as seconds,
     explicit, inferred, rolled_back, undone, hotfix, incidents, positions from judged where ";

/// What is behind a figure of the query's whole span, those after `after`, at most `first`. There are as
/// many as the figure counts.
pub async fn evidence(
    snap: &mut Snapshot,
    query: &DoraQuery,
    of: DoraEvidence,
    after: Option<&EvidenceCursor>,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut query = DoraQuery {
        bucket: None,
        ..query.clone()
    };
    let whole = window::window(snap, &query).await?;
    // What lies before the page need not be looked at again.
    query.from = after.map_or(query.from, |after| after.at.max(query.from));
    let mut sql = QueryBuilder::new("");
    match of {
        DoraEvidence::Deployments | DoraEvidence::Rollbacks | DoraEvidence::Rework => {
            let table = snap.name(NAME, "deployments")?;
            sql.push(OF_DEPLOYMENTS)
                .push(format!(" from {table} d where "));
            push_reached(&mut sql, snap, &query);
            sql.push(" and ");
        }
        DoraEvidence::LeadTimes | DoraEvidence::Excluded => {
            push_carried(&mut sql, snap, &query, &whole)?;
            sql.push(OF_CHANGES);
        }
        DoraEvidence::Failures | DoraEvidence::Recoveries | DoraEvidence::Open => {
            push_judged(&mut sql, snap, &query, &whole)?;
            sql.push(OF_FAILURES);
        }
    }
    sql.push(match of {
        DoraEvidence::Deployments | DoraEvidence::Failures => "true",
        DoraEvidence::Rollbacks => "reason = 'rollback'",
        DoraEvidence::Rework => "(reason = 'unplanned_fix' or remedies is not null)",
        DoraEvidence::LeadTimes => "lead > 0",
        DoraEvidence::Excluded => "lead <= 0",
        DoraEvidence::Recoveries => "recovery is not null",
        DoraEvidence::Open => "recovery is null",
    });
    push_page(&mut sql, of, after, first);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let items = rows.iter().map(|row| read(row, of));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let as_of = query.known_at.map_or(as_of, |known| known.min(as_of));
    Ok(Page::cut(items, first, as_of))
}

fn counts_changes(of: DoraEvidence) -> bool {
    matches!(of, DoraEvidence::LeadTimes | DoraEvidence::Excluded)
}

fn push_page(
    sql: &mut QueryBuilder<'_, Postgres>,
    of: DoraEvidence,
    after: Option<&EvidenceCursor>,
    first: u32,
) {
    let change = if counts_changes(of) {
        ", change_id"
    } else {
        ""
    };
    if let Some(after) = after {
        sql.push(format!(" and (succeeded_at, succeeded_pos{change}) > ("))
            .push_bind(after.at)
            .push(", ")
            .push_bind(after.position.0);
        if counts_changes(of) {
            sql.push(", ")
                .push_bind(after.change.clone().unwrap_or_default());
        }
        sql.push(")");
    }
    sql.push(format!(
        " order by succeeded_at, succeeded_pos{change} limit "
    ))
    .push_bind(i64::from(first) + 1);
}

fn read(row: &PgRow, of: DoraEvidence) -> Result<EvidenceItem, sqlx::Error> {
    let mut positions: Vec<i64> = row.try_get("positions")?;
    positions.sort_unstable();
    positions.dedup();
    let (mut change, mut seconds, mut kinds, mut incidents) = (None, None, Vec::new(), Vec::new());
    match of {
        DoraEvidence::Deployments | DoraEvidence::Rollbacks | DoraEvidence::Rework => {}
        DoraEvidence::LeadTimes | DoraEvidence::Excluded => {
            change = row.try_get("change_id")?;
            seconds = row.try_get("seconds")?;
        }
        DoraEvidence::Failures | DoraEvidence::Recoveries | DoraEvidence::Open => {
            seconds = row.try_get("seconds")?;
            kinds = FailureKind::of(row)?;
            let linked: Option<Vec<String>> = row.try_get("incidents")?;
            incidents = linked.unwrap_or_default();
        }
    }
    Ok(EvidenceItem {
        at: row.try_get("succeeded_at")?,
        position: Position(row.try_get("succeeded_pos")?),
        deployment: row.try_get("deployment_id")?,
        change,
        seconds,
        kinds,
        incidents,
        positions: positions.into_iter().map(Position).collect(),
    })
}
