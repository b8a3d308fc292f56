//! The records of a user or a session, found by its index and put in order: if there are few.

use sqlx::{QueryBuilder, Row};

use super::conditions::{DaySpan, Sql, push_days, push_hours, push_known, push_rest};
use super::ids::{Id, OF_USER, USER_HASH};
use super::read::{LogCursor, LogFilter, LogQuery, LogRow, LogSort};
use super::{NAME, priority_code};
use crate::{ReadError, Snapshot};

/// So many records of a user (of the hours asked for) or a session are read and put in order; of more, those
/// are looked for in the order of time.
pub const FEW_ROWS_MAX: u32 = 20_000;

/// A part of the order of records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) ascending: bool,
    /// Beyond this place.
    pub(super) beyond: Option<LogCursor>,
    /// After so many.
    pub(super) skip: i64,
    /// At most so many.
    pub(super) most: i64,
}

/// Whose records an index leads to.
#[derive(Clone, Copy)]
enum Of<'a> {
    Session(&'a str),
    User(Id<&'a str>),
}

impl Of<'_> {
    /// What its index is asked for.
    fn push(self, sql: &mut Sql<'_>, filter: &LogFilter) {
        match self {
            Of::Session(id) => {
                sql.push("session_id is not null and hashtext(session_id) = hashtext(")
                    .push_bind(id.to_owned())
                    .push(")");
            }
            Of::User(id) => {
                sql.push(format!("{OF_USER} and {USER_HASH} = "));
                id.push_hash(sql);
                push_hours(sql, filter);
            }
        }
    }
}

/// Records of a filter that names a session or a user who has few; `None` where it names none, or there
/// are too many.
pub(super) async fn of_few(
    snap: &mut Snapshot,
    query: &LogQuery,
    days: DaySpan,
    cut: Cut,
) -> Result<Option<Vec<LogRow>>, ReadError> {
    let filter = &query.filter;
    let session = filter.session_id.as_deref().map(Of::Session);
    let user = filter
        .user_id
        .as_deref()
        .map(|user| Of::User(Id::user(user)));
    // A session has mostly fewer than its user.
    for whose in [session, user].into_iter().flatten() {
        if let Some(rows) = of_hash(snap, query, days, cut, whose).await? {
            return Ok(Some(rows));
        }
    }
    Ok(None)
}

/// The indexes know a hash, of whatever tenant, that of users the hour too: so it is the records that it leads to that are
/// counted, before any other condition.
async fn of_hash(
    snap: &mut Snapshot,
    query: &LogQuery,
    days: DaySpan,
    cut: Cut,
    whose: Of<'_>,
) -> Result<Option<Vec<LogRow>>, ReadError> {
    let table = snap.name(NAME, "log_records")?;
    // Of those that are not wanted nothing but their number is kept: 20,000 whole records would go to disk.
    let mut sql = QueryBuilder::new(
        "with few as materialized (
           select w.wanted, case when w.wanted then t end as kept
           from ",
    );
    sql.push(table);
    sql.push(" t, lateral (select ");
    let columns = order(query);
    push_wanted(&mut sql, snap.tenant(), query, (cut, columns));
    sql.push(" as wanted) w where ");
    whose.push(&mut sql, &query.filter);
    push_days(&mut sql, days);
    sql.push(" limit ").push_bind(i64::from(FEW_ROWS_MAX) + 1);
    sql.push(
        ")
         select n.looked_at, found.* from (select count(*) as looked_at from few) n
         left join (select (kept).* from few where wanted",
    );
    let direction = if cut.ascending { "asc" } else { "desc" };
    let order = columns.replace(',', &format!(" {direction},"));
    let order = format!(" order by {order} {direction}");
    sql.push(&order).push(" limit ").push_bind(cut.most);
    sql.push(" offset ").push_bind(cut.skip);
    sql.push(") found on true").push(order);
    // Planned for these days alone: a plan that is kept would lock every day there is.
    let rows = sql.build().persistent(false);
    let rows = rows.fetch_all(snap.connection()).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let looked_at: i64 = row.try_get("looked_at")?;
        if looked_at > i64::from(FEW_ROWS_MAX) {
            return Ok(None);
        }
        let position: Option<i64> = row.try_get("position")?;
        if position.is_some() {
            found.push(LogRow::read(row)?);
        }
    }
    Ok(Some(found))
}

/// The columns that the order is by.
fn order(query: &LogQuery) -> &'static str {
    match query.order.by {
        LogSort::Priority => "priority, happened_at, position, idx",
        LogSort::Time => "happened_at, position, idx",
    }
}

/// Adds whether a record is one of those that are asked for, as an expression.
fn push_wanted(
    sql: &mut Sql<'_>,
    tenant: &str,
    query: &LogQuery,
    (cut, columns): (Cut, &'static str),
) {
    sql.push("tenant = ").push_bind(tenant.to_owned());
    push_known(sql, &query.filter);
    if let Some(priority) = query.filter.priority {
        sql.push(" and priority = ")
            .push_bind(priority_code(priority));
    }
    push_rest(sql, query);
    if let Some(place) = &cut.beyond {
        let beyond = if cut.ascending { ">" } else { "<" };
        sql.push(format!(" and ({columns}) {beyond} ("));
        if query.order.by == LogSort::Priority {
            sql.push_bind(priority_code(place.priority)).push(", ");
        }
        sql.push_bind(place.timestamp).push(", ");
        sql.push_bind(place.position.0).push(", ");
        sql.push_bind(place.index).push(")");
    }
}
