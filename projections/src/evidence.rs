//! The fixes behind a figure: what any aggregate of positions can be traced back to.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{Postgres, QueryBuilder};

use crate::positions::{self, FixRow};
use crate::{Page, ReadError, Snapshot};

/// A page of the fixes behind a figure, by (fix time, vehicle, position, index).
/// A fix is the record `index` of the event at `position`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidencePage {
    /// The fixes.
    pub fixes: Vec<FixRow>,
    /// Are there more?
    pub has_next: bool,
    /// The log position up to which fixes are listed: that of the figure's read model.
    pub as_of: Position,
    /// False while the history of positions has not come as far as the figure: fixes may be missing.
    pub complete: bool,
}

/// Where a page of evidence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceCursor {
    /// When.
    pub fix_time: DateTime<Utc>,
    /// Whose.
    pub vehicle_id: String,
    /// Position of its event.
    pub position: Position,
    /// Its number in the event.
    pub index: i32,
}

impl From<&FixRow> for EvidenceCursor {
    fn from(fix: &FixRow) -> EvidenceCursor {
        EvidenceCursor {
            fix_time: fix.fix_time,
            vehicle_id: fix.vehicle_id.clone(),
            position: fix.position,
            index: fix.index,
        }
    }
}

/// How far the figure has come, and whether the history has come as far.
pub(crate) struct EvidenceAsOf {
    figure: Position,
    complete: bool,
}

/// Of a figure of this read model.
pub(crate) fn evidence_as_of(
    snap: &Snapshot,
    figure: &'static str,
) -> Result<EvidenceAsOf, ReadError> {
    let figure = snap.live(figure)?.position;
    let history = snap.live(positions::NAME)?.position;
    Ok(EvidenceAsOf {
        figure,
        complete: history >= figure,
    })
}

/// A fix's columns of the history `p`.
pub(crate) fn qualified(table: &str) -> String {
    positions::COLUMNS
        .split(", ")
        .map(|c| format!("{table}.{c}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Adds to a select from the history `p`: nothing the figure does not know, order, and the page.
pub(crate) fn push_page(
    sql: &mut QueryBuilder<'_, Postgres>,
    as_of: &EvidenceAsOf,
    after: Option<&EvidenceCursor>,
    first: u32,
) {
    sql.push(" and p.position <= ").push_bind(as_of.figure.0);
    if let Some(after) = after {
        sql.push(" and (p.fix_time, p.vehicle_id, p.position, p.idx) > (");
        sql.push_bind(after.fix_time)
            .push(", ")
            .push_bind(after.vehicle_id.clone());
        sql.push(", ")
            .push_bind(after.position.0)
            .push(", ")
            .push_bind(after.index)
            .push(")");
    }
    sql.push(" order by p.fix_time, p.vehicle_id, p.position, p.idx limit ");
    sql.push_bind(i64::from(first) + 1);
}

/// Reads the page.
pub(crate) async fn read_page(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'_, Postgres>,
    as_of: EvidenceAsOf,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let fixes = rows
        .iter()
        .map(FixRow::read)
        .collect::<Result<Vec<_>, _>>()?;
    let page = Page::cut(fixes, first, as_of.figure);
    Ok(EvidencePage {
        fixes: page.items,
        has_next: page.has_next,
        as_of: page.as_of,
        complete: as_of.complete,
    })
}
