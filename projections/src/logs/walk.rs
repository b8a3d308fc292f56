//! A walk through records in the order of time: what the index of time knows, then the rest.

use domain::Position;
use domain::log_batch::LogPriority;
use domain::log_source::LogType;
use sqlx::{QueryBuilder, Row};

use super::conditions::{DaySpan, Sql, has_rest, push_days, push_rest};
use super::reach::{Course, Reach, reach};
use super::read::{LogCursor, LogQuery, LogRow, SEARCH_ROWS_MAX};
use super::{NAME, priority_code, type_code, word};
use crate::{ReadError, Snapshot};

/// Records of one question and, if named, one priority.
pub(super) struct Walk<'a> {
    query: &'a LogQuery,
    priority: Option<LogPriority>,
    ascending: bool,
    /// Those beyond this place.
    beyond: Option<LogCursor>,
    reach: Reach,
}

/// A part of a list that is in the order of time.
pub(super) struct Part {
    pub(super) priority: Option<LogPriority>,
    pub(super) ascending: bool,
    pub(super) beyond: Option<LogCursor>,
}

impl<'a> Walk<'a> {
    /// Through what was recorded on these days, for the sake of so many; `None` if there is nothing.
    pub(super) async fn plan(
        snap: &mut Snapshot,
        query: &'a LogQuery,
        days: DaySpan,
        part: &Part,
        most: i64,
    ) -> Result<Option<Walk<'a>>, ReadError> {
        let Part {
            priority,
            ascending,
            beyond,
        } = *part;
        let mut walk = Walk {
            query,
            priority,
            ascending,
            beyond,
            reach: Reach { days, end: None },
        };
        // How many urgent ones a day has is not known.
        if walk.is_of_urgent() {
            return Ok(Some(walk));
        }
        let course = Course {
            filter: &query.filter,
            days,
            ascending,
            beyond,
            enough: walk.looks_at(most),
        };
        let Some(reach) = reach(snap, &course).await? else {
            return Ok(None);
        };
        walk.reach = reach;
        Ok(Some(walk))
    }

    /// The urgent ones have an index of their own.
    fn is_of_urgent(&self) -> bool {
        self.priority.is_some_and(|asked| priority_code(asked) > 0)
    }

    /// Is there anything that the index of time does not know and that is looked for in every record?
    pub(super) fn searches(&self) -> bool {
        has_rest(self.query) || (self.priority.is_some() && !self.is_of_urgent())
    }

    /// How many records are looked at to find so many.
    fn looks_at(&self, most: i64) -> i64 {
        if self.searches() {
            i64::from(SEARCH_ROWS_MAX)
        } else {
            most
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
        // Planned for these days alone: a plan that is kept would lock every day there is.
        let rows = sql.build().persistent(false);
        let rows = rows.fetch_all(snap.connection()).await?;
        let rows: Result<_, sqlx::Error> = rows.iter().map(LogRow::read).collect();
        Ok(rows?)
    }

    /// How many there are, at most so many.
    pub(super) async fn count(&self, snap: &mut Snapshot, most: i64) -> Result<i64, ReadError> {
        let mut sql = QueryBuilder::new("select count(*) from (select from ");
        self.push_found(&mut sql, snap, most)?;
        sql.push(" limit ").push_bind(most).push(") counted");
        let count = sql.build_query_scalar().persistent(false);
        Ok(count.fetch_one(snap.connection()).await?)
    }

    /// The last record that was looked at, if there are more than are looked at.
    pub(super) async fn searched_to(
        &self,
        snap: &mut Snapshot,
    ) -> Result<Option<LogCursor>, ReadError> {
        let mut sql = QueryBuilder::new("select priority, happened_at, position, idx from ");
        self.push_walks(&mut sql, snap, i64::from(SEARCH_ROWS_MAX))?;
        self.push_order(&mut sql);
        sql.push(" limit 1 offset ")
            .push_bind(i64::from(SEARCH_ROWS_MAX) - 1);
        let row = sql.build().persistent(false);
        let row = row.fetch_optional(snap.connection()).await?;
        let read = |row: sqlx::postgres::PgRow| {
            let own = || word(LogPriority::ALL, row.try_get("priority")?);
            Ok(LogCursor {
                // To go on with this part of the order, whatever stands at the place.
                priority: self.priority.map_or_else(own, Ok)?,
                timestamp: row.try_get("happened_at")?,
                position: Position(row.try_get("position")?),
                index: row.try_get("idx")?,
                skip: 0,
            })
        };
        let cursor: Result<_, sqlx::Error> = row.map(read).transpose();
        Ok(cursor?)
    }

    fn direction(&self) -> &'static str {
        if self.ascending { "asc" } else { "desc" }
    }

    fn push_order(&self, sql: &mut Sql<'_>) {
        let direction = self.direction();
        sql.push(format!(
            " order by happened_at {direction}, position {direction}, idx {direction}"
        ));
    }

    /// What matches, of as many as are looked at; the first `most` of it at least.
    fn push_found(&self, sql: &mut Sql<'_>, snap: &Snapshot, most: i64) -> Result<(), ReadError> {
        if !self.searches() {
            return self.push_walks(sql, snap, most);
        }
        sql.push("(select * from (select * from ");
        self.push_walks(sql, snap, i64::from(SEARCH_ROWS_MAX))?;
        self.push_order(sql);
        sql.push(" limit ").push_bind(i64::from(SEARCH_ROWS_MAX));
        sql.push(") looked_at where true");
        if let Some(priority) = self.priority {
            sql.push(" and priority = ")
                .push_bind(priority_code(priority));
        }
        push_rest(sql, self.query);
        sql.push(") found");
        Ok(())
    }

    /// What the index of time knows. Each type is walked by it, and the walks are put together: `most` of
    /// each are enough for as many of all.
    ///
    /// A walk asks for the index's own order, with all of the very time it ends at, and the whole puts those in
    /// order: the planner, who knows nothing of a day that has just begun, would sooner sort a whole type
    /// than read it in an order that the index has but in part.
    fn push_walks(&self, sql: &mut Sql<'_>, snap: &Snapshot, most: i64) -> Result<(), ReadError> {
        let table = snap.name(NAME, "log_records")?;
        let types = match self.query.filter.event_types.as_slice() {
            [] => LogType::ALL,
            some => some,
        };
        sql.push("(");
        for (n, log_type) in types.iter().enumerate() {
            if n > 0 {
                sql.push(" union all ");
            }
            sql.push(format!("(select * from {table} where tenant = "));
            sql.push_bind(snap.tenant().to_owned());
            sql.push(" and hashtext(tenant) = hashtext(");
            sql.push_bind(snap.tenant().to_owned()).push(")");
            sql.push(" and event_type = ")
                .push_bind(type_code(*log_type));
            self.push_span(sql);
            sql.push(format!(" order by happened_at {} ", self.direction()));
            sql.push("fetch first ").push_bind(most);
            sql.push(" rows with ties)");
        }
        sql.push(") known");
        Ok(())
    }

    fn push_span(&self, sql: &mut Sql<'_>) {
        push_days(sql, self.reach.days);
        let filter = &self.query.filter;
        if let Some(from) = filter.from {
            sql.push(" and happened_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            sql.push(" and happened_at < ").push_bind(to);
        }
        if let Some(end) = self.reach.end {
            let within = if self.ascending { "<=" } else { ">=" };
            sql.push(format!(" and happened_at {within} "))
                .push_bind(end);
        }
        if let Some(priority) = self.priority.filter(|_| self.is_of_urgent()) {
            // Written down, so that the index of the urgent is known to do.
            sql.push(format!(" and priority = {}", priority_code(priority)));
        }
        if let Some(cursor) = &self.beyond {
            self.push_beyond(sql, cursor);
        }
    }

    fn push_beyond(&self, sql: &mut Sql<'_>, cursor: &LogCursor) {
        let beyond = if self.ascending { ">" } else { "<" };
        // The first is what the index is asked, the second what is meant.
        sql.push(format!(" and happened_at {beyond}= "))
            .push_bind(cursor.timestamp);
        sql.push(format!(" and (happened_at, position, idx) {beyond} ("));
        sql.push_bind(cursor.timestamp).push(", ");
        sql.push_bind(cursor.position.0).push(", ");
        sql.push_bind(cursor.index).push(")");
    }
}
