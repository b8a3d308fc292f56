//! Every fix of one vehicle, in fix-time order.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::QueryBuilder;

use super::{COLUMNS, FixRow, NAME};
use crate::{Page, ReadError, Snapshot};

/// A fix's place in its vehicle's time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FixKey {
    /// When.
    pub fix_time: DateTime<Utc>,
    /// Position of its event.
    pub position: Position,
    /// Its number in the event.
    pub index: i32,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryOrder {
    /// Ascending fix time.
    #[default]
    OldestFirst,
    /// Descending fix time.
    NewestFirst,
}

/// Which fixes: of one vehicle with `from <= fix time < to`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryQuery {
    /// Whose.
    pub vehicle_id: String,
    /// Included.
    pub from: DateTime<Utc>,
    /// Excluded.
    pub to: DateTime<Utc>,
    /// Which end comes first.
    pub order: HistoryOrder,
}

/// Fixes of one vehicle after `after` in the asked order, at most `first`.
pub async fn history(
    snap: &mut Snapshot,
    query: &HistoryQuery,
    after: Option<&FixKey>,
    first: u32,
) -> Result<Page<FixRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "positions")?;
    let (beyond, direction) = match query.order {
        HistoryOrder::OldestFirst => (">", "asc"),
        HistoryOrder::NewestFirst => ("<", "desc"),
    };
    let mut sql = QueryBuilder::new(format!("select {COLUMNS} from {table} where tenant = "));
    sql.push_bind(tenant.as_ref());
    sql.push(" and vehicle_id = ").push_bind(&query.vehicle_id);
    sql.push(" and fix_time >= ").push_bind(query.from);
    sql.push(" and fix_time < ").push_bind(query.to);
    if let Some(after) = after {
        sql.push(format!(" and (fix_time, position, idx) {beyond} ("));
        sql.push_bind(after.fix_time).push(", ");
        sql.push_bind(after.position.0)
            .push(", ")
            .push_bind(after.index)
            .push(")");
    }
    sql.push(format!(
        " order by fix_time {direction}, position {direction}, idx {direction} limit "
    ));
    sql.push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(conn).await?;
    let fixes = rows
        .iter()
        .map(FixRow::read)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(fixes, first, as_of))
}
