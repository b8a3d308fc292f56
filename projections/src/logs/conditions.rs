//! What a filter asks of a record, as SQL.

use chrono::NaiveDate;
use domain::log_source::LogType;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};

use super::ids::{HOUR, Id, OF_USER, USER_HASH, hour};
use super::read::{LogFilter, LogOnly, LogQuery};
use super::{NAME, type_code};
use crate::{ReadError, Snapshot};

pub(super) type Sql<'q> = QueryBuilder<'q, Postgres>;

/// Days of recording, the first and the last.
pub(super) type DaySpan = (NaiveDate, NaiveDate);

/// The rest of a question: what no index of time knows.
pub(super) fn has_rest(query: &LogQuery) -> bool {
    let LogFilter {
        source_id,
        event_types: _,
        event_name,
        user_id,
        session_id,
        app_version,
        // Of those that are asked for by time, see `Walk`.
        priority: _,
        from: _,
        to: _,
        text,
        properties,
    } = &query.filter;
    let texts = [
        source_id,
        event_name,
        user_id,
        session_id,
        app_version,
        text,
    ];
    texts.iter().any(|text| text.is_some()) || !properties.is_empty() || query.only != LogOnly::All
}

/// The rest, looked at record by record.
pub(super) fn push_rest(sql: &mut Sql<'_>, query: &LogQuery) {
    push_columns(sql, &query.filter);
    push_searched(sql, &query.filter);
    match query.only {
        LogOnly::All => {}
        LogOnly::OfUsers => {
            sql.push(format!(" and {OF_USER}"));
        }
        LogOnly::Live => {
            sql.push(" and not backfill");
        }
    }
}

fn push_columns(sql: &mut Sql<'_>, filter: &LogFilter) {
    if let Some(user_id) = &filter.user_id {
        Id::user(user_id).push_equal(sql);
    }
    for (column, value) in [
        ("session_id", &filter.session_id),
        ("source_id", &filter.source_id),
        ("event_name", &filter.event_name),
        ("app_version", &filter.app_version),
    ] {
        match value.as_deref() {
            None => {}
            Some("") if column == "app_version" => {
                sql.push(" and app_version is null");
            }
            Some(value) => {
                sql.push(format!(" and {column} = "))
                    .push_bind(value.to_owned());
            }
        }
    }
}

fn push_searched(sql: &mut Sql<'_>, filter: &LogFilter) {
    if let Some(text) = &filter.text {
        let pattern = format!("%{}%", literal(text));
        sql.push(" and (event_name ilike ")
            .push_bind(pattern.clone());
        sql.push(" or properties ilike ").push_bind(pattern);
        sql.push(")");
    }
    for equals in &filter.properties {
        sql.push(" and properties::jsonb #> ")
            .push_bind(equals.path.clone());
        sql.push(" = ").push_bind(Json(equals.value.clone()));
    }
}

/// Type and time.
pub(super) fn push_known(sql: &mut Sql<'_>, filter: &LogFilter) {
    if !filter.event_types.is_empty() {
        sql.push(" and event_type = any(")
            .push_bind(codes(&filter.event_types))
            .push(")");
    }
    if let Some(from) = filter.from {
        sql.push(" and happened_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        sql.push(" and happened_at < ").push_bind(to);
    }
}

/// The hours of a filter by time, for the index of users.
pub(super) fn push_hours(sql: &mut Sql<'_>, filter: &LogFilter) {
    if let Some(from) = filter.from {
        sql.push(format!(" and {HOUR} >= ")).push_bind(hour(from));
    }
    if let Some(to) = filter.to {
        sql.push(format!(" and {HOUR} <= ")).push_bind(hour(to));
    }
}

pub(super) fn push_days(sql: &mut Sql<'_>, (first, last): DaySpan) {
    sql.push(" and recorded_day between ").push_bind(first);
    sql.push(" and ").push_bind(last);
}

/// All records of a filter, but for what is searched for, as a table: for figures that are counted from
/// them. The planner is told of every index, and takes the one that leads to fewest.
pub(super) fn push_counted(
    sql: &mut Sql<'_>,
    snap: &Snapshot,
    filter: &LogFilter,
    days: DaySpan,
) -> Result<(), ReadError> {
    let table = snap.name(NAME, "log_records")?;
    sql.push(format!("(select * from {table} where tenant = "));
    sql.push_bind(snap.tenant().to_owned());
    sql.push(" and hashtext(tenant) = hashtext(");
    sql.push_bind(snap.tenant().to_owned()).push(")");
    push_days(sql, days);
    push_known(sql, filter);
    if filter.event_types.is_empty() {
        // For the index of time, which begins with types.
        sql.push(" and event_type = any(")
            .push_bind(codes(LogType::ALL))
            .push(")");
    }
    if let Some(priority) = filter.priority {
        sql.push(format!(
            " and priority = {}",
            super::priority_code(priority)
        ));
    }
    if let Some(user_id) = &filter.user_id {
        sql.push(format!(" and {OF_USER} and {USER_HASH} = "));
        Id::user(user_id).push_hash(sql);
        push_hours(sql, filter);
    }
    if let Some(session_id) = &filter.session_id {
        sql.push(" and hashtext(session_id) = hashtext(")
            .push_bind(session_id.clone())
            .push(")");
    }
    push_columns(sql, filter);
    sql.push(") known");
    Ok(())
}

pub(super) fn codes(types: &[LogType]) -> Vec<i16> {
    types.iter().copied().map(type_code).collect()
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
