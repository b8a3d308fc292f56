//! The fixes behind a cell of the heat map.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::NAME;
use crate::evidence::{
    EvidenceCursor, EvidencePage, evidence_as_of, push_page, qualified, read_page,
};
use crate::geo::BaseCells;
use crate::grain::whole_buckets;
use crate::{BASE_RESOLUTION, H3Cell, ReadError, Snapshot, positions};

/// The fixes behind a cell's figures over `[from, to)`, cut to the base grain like the map itself;
/// by fix time, then vehicle, position and index. There are as many as the cell's `fixes`.
pub async fn evidence(
    snap: &mut Snapshot,
    cell: H3Cell,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    after: Option<&EvidenceCursor>,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let finer = ReadError::ResolutionTooFine {
        asked: cell.resolution(),
        finest: BASE_RESOLUTION,
    };
    let base = cell.base_cells().ok_or(finer)?;
    let (from, to) = whole_buckets(from, to)?;
    let as_of = evidence_as_of(snap, NAME)?;
    let history = snap.name(positions::NAME, "positions")?;
    let columns = qualified("p");
    let mut sql = QueryBuilder::new(format!(
        "select {columns} from {history} p where p.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    match base {
        // One look into the index for each base cell and the span; few enough to list.
        BaseCells::Few(cells) => {
            sql.push(" and p.cell = any(").push_bind(cells).push(")");
        }
        BaseCells::Range(cells) => {
            sql.push(" and p.cell between ").push_bind(*cells.start());
            sql.push(" and ").push_bind(*cells.end());
        }
    }
    sql.push(" and p.fix_time >= ")
        .push_bind(from)
        .push(" and p.fix_time < ")
        .push_bind(to);
    push_page(&mut sql, &as_of, after, first);
    read_page(snap, sql, as_of, first).await
}
