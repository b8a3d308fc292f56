//! How many records: by type, name, version and bucket; which share of them are errors.

use chrono::{DateTime, Utc};
use domain::log_source::LogType;
use sqlx::{Postgres, QueryBuilder, Row};

use super::super::{LOG_GRAIN_S, NAME, type_code, word};
use super::buckets::{Buckets, LogBucket, Span};
use crate::{Page, ReadError, Snapshot};

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
    /// Where it ends.
    pub end: DateTime<Utc>,
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
    /// Where it ends.
    pub end: DateTime<Utc>,
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

/// Counts by bucket, then type, name and version as they are told apart; at most `first` of them. Kinds
/// without records are left out, and so are buckets where kinds are told apart.
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
    let (mut sql, buckets) = counted(snap, query, &columns, "")?;
    sql.push(" group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit ");
    sql.push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut volumes = Vec::with_capacity(rows.len());
    for row in &rows {
        let place = Buckets::place(row.try_get(0)?);
        let (bucket, end) = buckets.span(place);
        let code: Option<i16> = row.try_get(1)?;
        let row = VolumeRow {
            bucket,
            end,
            event_type: code.map(|code| word(LogType::ALL, code)).transpose()?,
            event_name: row.try_get(2)?,
            app_version: row.try_get(3)?,
            records: row.try_get(4)?,
        };
        volumes.push((place, row));
    }
    let volumes = if by == VolumeBy::default() {
        buckets.filled(volumes, first, |(bucket, end)| VolumeRow {
            bucket,
            end,
            event_type: None,
            event_name: None,
            app_version: None,
            records: 0,
        })
    } else {
        volumes.into_iter().map(|(_, row)| row).collect()
    };
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
    let (mut sql, buckets) = counted(snap, query, "null, null, null", &errors)?;
    sql.push(" group by 1 order by 1 limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut shares = Vec::with_capacity(rows.len());
    for row in &rows {
        let place = Buckets::place(row.try_get(0)?);
        let (records, errors) = (row.try_get(4)?, row.try_get(5)?);
        let share = |(bucket, end): Span| ErrorShare {
            bucket,
            end,
            records,
            errors,
        };
        shares.push((place, share(buckets.span(place))));
    }
    let shares = buckets.filled(shares, first, |(bucket, end)| ErrorShare {
        bucket,
        end,
        records: 0,
        errors: 0,
    });
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
    let (mut sql, _) = counted(snap, &whole, "null, event_name, null", rank)?;
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

/// The number of the bucket, these three columns, how many, and `more`, of what the query counts; to be
/// grouped.
fn counted<'q>(
    snap: &Snapshot,
    query: &'q VolumeQuery,
    columns: &str,
    more: &str,
) -> Result<(QueryBuilder<'q, Postgres>, Buckets), ReadError> {
    let (from, to) = grains(query.from, query.to)?;
    let buckets = Buckets::cut(query.bucket, &query.zone, (start(from), start(to)))?;
    let table = snap.name(NAME, "log_volume")?;
    let mut sql = QueryBuilder::new(format!(
        "select width_bucket(to_timestamp(bucket * {LOG_GRAIN_S}), "
    ));
    sql.push_bind(buckets.starts()).push(format!(
        "), {columns}, sum(records)::bigint{more} from {table} where tenant = "
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
    Ok((sql, buckets))
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
