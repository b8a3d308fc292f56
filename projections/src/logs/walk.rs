//! A walk through records in the order of time: what is known of the filter to an index, then the rest.

use chrono::{DateTime, NaiveDate, Utc};
use domain::Position;
use domain::log_batch::LogPriority;
use domain::log_source::LogType;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::read::{LogCursor, LogFilter, LogRow, SEARCH_ROWS_MAX};
use super::{NAME, priority_code, type_code, word};
use crate::{ReadError, Snapshot};

/// Records of one filter and, if named, one priority.
pub(super) struct Walk<'a> {
    pub(super) filter: &'a LogFilter,
    pub(super) priority: Option<LogPriority>,
    /// The first and the last day on which any of them was recorded.
    pub(super) days: (NaiveDate, NaiveDate),
    pub(super) ascending: bool,
    /// Those beyond this place.
    pub(super) beyond: Option<LogCursor>,
}

type Sql<'q> = QueryBuilder<'q, Postgres>;

/// The days on which records of this time, source and type were recorded, the first and the last; `None`
/// if there are none. A record's own time says little of when it was recorded, so that is kept by day.
pub(super) async fn days(
    snap: &mut Snapshot,
    filter: &LogFilter,
) -> Result<Option<(NaiveDate, NaiveDate)>, ReadError> {
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && from >= to
    {
        return Err(ReadError::EmptySpan);
    }
    let (conn, tenant, table) = snap.table(NAME, "log_days")?;
    let mut sql = QueryBuilder::new(format!(
        "select min(day), max(day) from {table} where tenant = "
    ));
    sql.push_bind(tenant.as_ref());
    if let Some(from) = filter.from {
        sql.push(" and last_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        sql.push(" and first_at < ").push_bind(to);
    }
    if let Some(source_id) = &filter.source_id {
        sql.push(" and source_id = ").push_bind(source_id);
    }
    if !filter.event_types.is_empty() {
        sql.push(" and event_type = any(")
            .push_bind(codes(&filter.event_types))
            .push(")");
    }
    let row = sql.build().fetch_one(conn).await?;
    let (first, last): (Option<NaiveDate>, Option<NaiveDate>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(first.zip(last))
}

fn codes(types: &[LogType]) -> Vec<i16> {
    types.iter().copied().map(type_code).collect()
}

impl<'a> Walk<'a> {
    /// Through all records of the filter.
    pub(super) fn of(filter: &'a LogFilter, days: (NaiveDate, NaiveDate)) -> Walk<'a> {
        Walk {
            filter,
            priority: filter.priority,
            days,
            ascending: false,
            beyond: None,
        }
    }

    /// At most so many, after so many.
    pub(super) async fn rows(
        &self,
        snap: &mut Snapshot,
        skip: i64,
        most: i64,
    ) -> Result<Vec<LogRow>, ReadError> {
        let mut sql = QueryBuilder::new("select * from ");
        self.push_found(&mut sql, snap, skip.saturating_add(most))?;
        self.push_order(&mut sql);
        sql.push(" limit ").push_bind(most);
        sql.push(" offset ").push_bind(skip);
        let rows = sql.build().fetch_all(snap.connection()).await?;
        let rows: Result<_, sqlx::Error> = rows.iter().map(LogRow::read).collect();
        Ok(rows?)
    }

    /// How many there are, at most so many.
    pub(super) async fn count(&self, snap: &mut Snapshot, most: i64) -> Result<i64, ReadError> {
        let mut sql = QueryBuilder::new("select count(*) from (select from ");
        self.push_found(&mut sql, snap, most)?;
        sql.push(" limit ").push_bind(most).push(") counted");
        let count = sql.build_query_scalar().fetch_one(snap.connection());
        Ok(count.await?)
    }

    /// The last record that was looked at, if there are more than are looked at.
    pub(super) async fn searched_to(
        &self,
        snap: &mut Snapshot,
    ) -> Result<Option<LogCursor>, ReadError> {
        let mut sql = QueryBuilder::new("select priority, happened_at, position, idx from ");
        self.push_walks(&mut sql, snap, Some(i64::from(SEARCH_ROWS_MAX)))?;
        self.push_order(&mut sql);
        sql.push(" limit 1 offset ")
            .push_bind(i64::from(SEARCH_ROWS_MAX) - 1);
        let row = sql.build().fetch_optional(snap.connection()).await?;
        let read = |row: sqlx::postgres::PgRow| {
            Ok(LogCursor {
                priority: word(LogPriority::ALL, row.try_get("priority")?)?,
                timestamp: row.try_get("happened_at")?,
                position: Position(row.try_get("position")?),
                index: row.try_get("idx")?,
            })
        };
        let cursor: Result<_, sqlx::Error> = row.map(read).transpose();
        Ok(cursor?)
    }

    fn push_order(&self, sql: &mut Sql<'_>) {
        let direction = if self.ascending { "asc" } else { "desc" };
        sql.push(format!(
            " order by happened_at {direction}, position {direction}, idx {direction}"
        ));
    }

    /// What matches, of as many as are looked at; the first `most` of it at least.
    fn push_found(&self, sql: &mut Sql<'_>, snap: &Snapshot, most: i64) -> Result<(), ReadError> {
        let filter = self.filter;
        if !filter.searches() {
            return self.push_walks(sql, snap, Some(most));
        }
        sql.push("(select * from (select * from ");
        self.push_walks(sql, snap, Some(i64::from(SEARCH_ROWS_MAX)))?;
        self.push_order(sql);
        sql.push(" limit ").push_bind(i64::from(SEARCH_ROWS_MAX));
        sql.push(") looked_at where true");
        if let Some(text) = &filter.text {
            let pattern = format!("%{}%", literal(text));
            sql.push(" and (event_name ilike ")
                .push_bind(pattern.clone());
            // As names are: letters of ASCII alone have capitals, whatever the database's locale.
            sql.push(" or properties::text collate \"C\" ilike ")
                .push_bind(pattern);
            sql.push(")");
        }
        for equals in &filter.properties {
            sql.push(" and properties #> ")
                .push_bind(equals.path.clone());
            sql.push(" = ").push_bind(Json(equals.value.clone()));
        }
        sql.push(") found");
        Ok(())
    }

    /// All that matches by columns.
    pub(super) fn push_known(&self, sql: &mut Sql<'_>, snap: &Snapshot) -> Result<(), ReadError> {
        self.push_walks(sql, snap, None)
    }

    /// What matches by columns. Of a user or a session there are few; of all others each type is walked by
    /// the index of time and type, and the walks are put together: `most` of each are enough for as many
    /// of all.
    fn push_walks(
        &self,
        sql: &mut Sql<'_>,
        snap: &Snapshot,
        most: Option<i64>,
    ) -> Result<(), ReadError> {
        let table = snap.name(NAME, "log_records")?;
        let filter = self.filter;
        let types = match filter.event_types.as_slice() {
            [] => LogType::ALL,
            some => some,
        };
        let few = filter.user_id.is_some() || filter.session_id.is_some();
        let walks: Vec<&[LogType]> = if few {
            vec![types]
        } else {
            types.chunks(1).collect()
        };
        sql.push("(");
        for (n, types) in walks.into_iter().enumerate() {
            if n > 0 {
                sql.push(" union all ");
            }
            sql.push(format!("(select * from {table} where tenant = "));
            sql.push_bind(snap.tenant().to_owned());
            // Not where the index of users or sessions is to be asked alone.
            if !few {
                sql.push(" and hashtext(tenant) = hashtext(");
                sql.push_bind(snap.tenant().to_owned()).push(")");
            }
            match types {
                [one] => sql.push(" and event_type = ").push_bind(type_code(*one)),
                some => {
                    sql.push(" and event_type = any(").push_bind(codes(some));
                    sql.push(")")
                }
            };
            self.push_conditions(sql);
            if let Some(most) = most {
                self.push_order(sql);
                sql.push(" limit ").push_bind(most);
            }
            sql.push(")");
        }
        sql.push(") known");
        Ok(())
    }

    fn push_conditions(&self, sql: &mut Sql<'_>) {
        let filter = self.filter;
        sql.push(" and recorded_day between ")
            .push_bind(self.days.0);
        sql.push(" and ").push_bind(self.days.1);
        if let Some(from) = filter.from {
            sql.push(" and happened_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            sql.push(" and happened_at < ").push_bind(to);
        }
        if let Some(priority) = self.priority {
            // Written down, so that the index of the urgent is known to do.
            sql.push(format!(" and priority = {}", priority_code(priority)));
        }
        for (column, hashed, value) in [
            ("user_id", true, &filter.user_id),
            ("session_id", true, &filter.session_id),
            ("source_id", false, &filter.source_id),
            ("event_name", false, &filter.event_name),
            ("app_version", false, &filter.app_version),
        ] {
            let Some(value) = value else { continue };
            if column == "app_version" && value.is_empty() {
                sql.push(" and app_version is null");
                continue;
            }
            if hashed {
                sql.push(format!(" and hashtext({column}) = hashtext("))
                    .push_bind(value.clone())
                    .push(")");
            }
            sql.push(format!(" and {column} = "))
                .push_bind(value.clone());
        }
        if let Some(cursor) = &self.beyond {
            self.push_beyond(sql, cursor);
        }
    }

    fn push_beyond(&self, sql: &mut Sql<'_>, cursor: &LogCursor) {
        let beyond = if self.ascending { ">" } else { "<" };
        let at: DateTime<Utc> = cursor.timestamp;
        // The first is what the index is asked, the second what is meant.
        sql.push(format!(" and happened_at {beyond}= "))
            .push_bind(at);
        sql.push(format!(" and (happened_at, position, idx) {beyond} ("));
        sql.push_bind(at).push(", ");
        sql.push_bind(cursor.position.0).push(", ");
        sql.push_bind(cursor.index).push(")");
    }
}

/// A text that means itself where a pattern is meant.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_text_means_itself() {
        assert_eq!(literal(r"100%_of\it"), r"100\%\_of\\it");
    }
}
