//! How many records: by type, name, version and bucket; which share of them are errors.

use chrono::{DateTime, Utc};
use domain::log_source::LogType;
use sqlx::{Postgres, QueryBuilder, Row};

use super::super::{LOG_GRAIN_S, NAME, type_code, word};
use crate::zone::check_zone;
use crate::{Page, ReadError, Snapshot};

/// How long the buckets of an answer are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogBucket {
    /// 15 minutes.
    QuarterHour,
    /// An hour of the zone.
    #[default]
    Hour,
    /// A day of the zone.
    Day,
    /// Seven of them, from Monday.
    Week,
    /// A month of the zone.
    Month,
    /// The whole span.
    Whole,
}

impl LogBucket {
    /// SQL for the start of the bucket of a time; `asked` says the zone, and where the span starts.
    pub(super) fn start(self, time: &str) -> String {
        let field = match self {
            LogBucket::QuarterHour => {
                return format!("date_bin('15 minutes', {time}, to_timestamp(0))");
            }
            LogBucket::Hour => "hour",
            LogBucket::Day => "day",
            LogBucket::Week => "week",
            LogBucket::Month => "month",
            LogBucket::Whole => return "asked.first".to_owned(),
        };
        format!("date_trunc('{field}', {time}, asked.zone)")
    }
}

/// By what is counted, beside buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeBy {
    /// Each type apart.
    pub log_type: bool,
    /// Each name apart.
    pub name: bool,
    /// Each version apart.
    pub version: bool,
}

/// Which records are counted, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeQuery {
    /// Of this source; `None`: of all.
    pub source_id: Option<String>,
    /// Of these types; none named: of any.
    pub event_types: Vec<LogType>,
    /// Of this name.
    pub event_name: Option<String>,
    /// Of this version.
    pub app_version: Option<String>,
    /// That happened from here on, cut down to a quarter of an hour.
    pub from: DateTime<Utc>,
    /// Up to here, cut up.
    pub to: DateTime<Utc>,
    /// How long buckets are.
    pub bucket: LogBucket,
    /// Whose hours, days, weeks and months: a name of the time zone database.
    pub zone: String,
    /// What is told apart.
    pub by: VolumeBy,
}

/// How many records of one kind in one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeRow {
    /// Where the bucket starts.
    pub bucket: DateTime<Utc>,
    /// Of which type, if types are told apart.
    pub event_type: Option<LogType>,
    /// Of which name, likewise.
    pub event_name: Option<String>,
    /// Of which version, likewise; empty where none was told.
    pub app_version: Option<String>,
    /// How many.
    pub records: i64,
}

/// How many records of a bucket are errors.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorShare {
    /// Where the bucket starts.
    pub bucket: DateTime<Utc>,
    /// How many records there are.
    pub records: i64,
    /// How many of them are of the type error.
    pub errors: i64,
}

/// How often a name was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NameCount {
    /// Its place: those that are as frequent share one, and the next is as if they did not.
    pub rank: i64,
    /// The name.
    pub event_name: String,
    /// How many records.
    pub records: i64,
}

/// The span, cut outwards to the grain, in buckets from 1970.
pub(super) fn grains(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<(i64, i64), ReadError> {
    if from >= to {
        return Err(ReadError::EmptySpan);
    }
    let whole = to.timestamp() + i64::from(to.timestamp_subsec_nanos() > 0);
    let after = (whole + LOG_GRAIN_S - 1).div_euclid(LOG_GRAIN_S);
    Ok((from.timestamp().div_euclid(LOG_GRAIN_S), after))
}

fn start(grain: i64) -> DateTime<Utc> {
    let seconds = grain.saturating_mul(LOG_GRAIN_S);
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Counts by bucket, then type, name and version as they are told apart; at most `first` of them. Buckets
/// and kinds without records are left out.
pub async fn volume(
    snap: &mut Snapshot,
    query: &VolumeQuery,
    first: u32,
) -> Result<Page<VolumeRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let by = query.by;
    let told = |apart: bool, column: &str, kind: &str| match apart {
        true => column.to_owned(),
        false => format!("null::{kind}"),
    };
    let columns = format!(
        "{}, {}, {}",
        told(by.log_type, "event_type", "smallint"),
        told(by.name, "event_name", "text"),
        told(by.version, "app_version", "text")
    );
    let mut sql = counted(snap, query, &columns, "").await?;
    sql.push(" group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit ");
    sql.push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut volumes = Vec::with_capacity(rows.len());
    for row in &rows {
        let code: Option<i16> = row.try_get(1)?;
        volumes.push(VolumeRow {
            bucket: row.try_get(0)?,
            event_type: code.map(|code| word(LogType::ALL, code)).transpose()?,
            event_name: row.try_get(2)?,
            app_version: row.try_get(3)?,
            records: row.try_get(4)?,
        });
    }
    Ok(Page::cut(volumes, first, as_of))
}

/// The share of errors by bucket, at most `first` of them; what the query tells apart is not.
pub async fn error_share(
    snap: &mut Snapshot,
    query: &VolumeQuery,
    first: u32,
) -> Result<Page<ErrorShare>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let errors = format!(
        ", coalesce(sum(records) filter (where event_type = {}), 0)::bigint",
        type_code(LogType::Error)
    );
    let mut sql = counted(snap, query, "null, null, null", &errors).await?;
    sql.push(" group by 1 order by 1 limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut shares = Vec::with_capacity(rows.len());
    for row in &rows {
        shares.push(ErrorShare {
            bucket: row.try_get(0)?,
            records: row.try_get(4)?,
            errors: row.try_get(5)?,
        });
    }
    Ok(Page::cut(shares, first, as_of))
}

/// The most frequent names of the whole span, at most `first`; of equal ones by name.
pub async fn top_names(
    snap: &mut Snapshot,
    query: &VolumeQuery,
    first: u32,
) -> Result<Page<NameCount>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let whole = VolumeQuery {
        bucket: LogBucket::Whole,
        ..query.clone()
    };
    let rank = ", rank() over (order by sum(records) desc)";
    let mut sql = counted(snap, &whole, "null, event_name, null", rank).await?;
    sql.push(" group by 1, 3 order by 5 desc, 3 limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        names.push(NameCount {
            rank: row.try_get(5)?,
            event_name: row.try_get(2)?,
            records: row.try_get(4)?,
        });
    }
    Ok(Page::cut(names, first, as_of))
}

/// Bucket, these three columns, how many, and `more`, of what the query counts; to be grouped.
async fn counted<'q>(
    snap: &mut Snapshot,
    query: &'q VolumeQuery,
    columns: &str,
    more: &str,
) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    check_zone(snap, &query.zone).await?;
    let (from, to) = grains(query.from, query.to)?;
    let table = snap.name(NAME, "log_volume")?;
    let bucket = query.bucket.start("v.happened");
    let mut sql = QueryBuilder::new("with asked as (select ");
    sql.push_bind(&query.zone).push("::text as zone, ");
    sql.push_bind(start(from)).push(format!(
        "::timestamptz as first)
         select {bucket}, {columns}, sum(records)::bigint{more}
         from asked, (select *, to_timestamp(bucket * {LOG_GRAIN_S}) as happened from {table}) v
         where tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    sql.push(" and bucket >= ").push_bind(from);
    sql.push(" and bucket < ").push_bind(to);
    for (column, value) in [
        ("source_id", &query.source_id),
        ("event_name", &query.event_name),
        ("app_version", &query.app_version),
    ] {
        if let Some(value) = value {
            sql.push(format!(" and {column} = ")).push_bind(value);
        }
    }
    if !query.event_types.is_empty() {
        let codes: Vec<i16> = query.event_types.iter().copied().map(type_code).collect();
        sql.push(" and event_type = any(")
            .push_bind(codes)
            .push(")");
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_outwards_to_quarters_of_an_hour() {
        let at = |text: &str| text.parse().unwrap();
        let check = |from: &str, to: &str, expect| {
            assert_eq!(grains(at(from), at(to)).unwrap(), expect, "[{from}, {to})");
        };
        check("1970-01-01T00:15:00Z", "1970-01-01T00:30:00Z", (1, 2));
        check("1970-01-01T00:29:59.9Z", "1970-01-01T00:30:00.1Z", (1, 3));
        check("1969-12-31T23:59:59Z", "1970-01-01T00:00:01Z", (-1, 1));
        let now = at("1970-01-01T00:15:00Z");
        assert!(matches!(grains(now, now), Err(ReadError::EmptySpan)));
    }
}
