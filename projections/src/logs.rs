//! Log records, one row each, partitioned by the day they were recorded; what they add up to; and the
//! sources they come from.
//!
//! Counts add up, first and last times are a minimum and a maximum, users of a day are a set, and of what
//! is said of a source the greater position wins: so ranges of the log may arrive in any order.
//!
//! A source's retention is applied to these tables alone, by [`sweep`], of a generation that is built anew
//! before it answers as well; the log is never touched.

mod fold;
mod ids;
mod sources;
mod tables;
mod write;
mod sweep;
mod read;
mod conditions;
mod reach;
mod few;
mod walk;
mod matching;
mod figures;
#[cfg(test)]
mod tests;

pub use few::FEW_ROWS_MAX;
pub use figures::active::{ActiveUsers, Distinct, active_users, distinct};
pub use figures::buckets::{LOG_BUCKETS_MAX, LogBucket};
pub use figures::delay::{Delay, delay};
pub use figures::gaps::{Gap, GapCursor, GapQuery, gaps};
pub use figures::volume::{
    ErrorShare, NameCount, VolumeBy, VolumeQuery, VolumeRow, error_share, top_names, volume,
};
pub use read::{
    LogCursor, LogFilter, LogOnly, LogOrder, LogPage, LogPlace, LogQuery, LogRow, LogSort,
    PropertyEquals, SEARCH_ROWS_MAX, logs,
};
pub use sources::{LogSourceRow, LogTotals, log_source, log_sources, log_totals};
pub use sweep::{drop_empty_days, sweep};

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use domain::log_batch::LogPriority;
use domain::log_source::LogType;
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::copy::CopyRows;
use crate::{Poison, Projection, Swept, Target};

/// The read model's name.
pub const NAME: &str = "logs";
/// Volumes are kept in buckets of this many seconds: every zone's days begin with one.
pub const LOG_GRAIN_S: i64 = 900;

/// See the file's first lines.
pub(crate) struct Logs;

/// Records to add, and what they add up to.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    records: CopyRows,
    days: BTreeMap<DayKey, Day>,
    volume: BTreeMap<VolumeKey, i64>,
    /// By the day of the record's own time, in UTC.
    users: HashSet<(NaiveDate, ids::Id<String>)>,
    sources: HashMap<String, sources::SourceChange>,
}

/// Records of one type that were recorded on one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DayKey {
    day: NaiveDate,
    source_id: String,
    log_type: LogType,
}

/// When they happened: where to look for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Day {
    records: i64,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VolumeKey {
    /// Counted from 1970.
    bucket: i64,
    source_id: String,
    log_type: LogType,
    name: String,
    /// Empty if none was told; no version is.
    version: String,
}

impl Day {
    fn merge(&mut self, from: Day) {
        self.records += from.records;
        self.first = self.first.min(from.first);
        self.last = self.last.max(from.last);
    }
}

impl Projection for Logs {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 3;
    const AGGREGATES: &'static [&'static str] = &["log_batch", "log_source"];
    const TABLES: &'static [&'static str] = &[
        "log_records",
        "log_days",
        "log_volume",
        "log_user_days",
        "log_sources",
    ];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        tables::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        match &event.event {
            Event::LogBatch(batch) => fold::batch(delta, event, batch),
            Event::LogSource(what) => {
                let change = delta.sources.entry(event.aggregate_id.to_string());
                change.or_default().hear(event, what);
            }
            // Of other aggregates: not asked for.
            _ => {}
        }
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        into.records.append(from.records);
        for (key, day) in from.days {
            let kept = into.days.entry(key);
            kept.and_modify(|kept| kept.merge(day)).or_insert(day);
        }
        for (key, records) in from.volume {
            *into.volume.entry(key).or_default() += records;
        }
        into.users.extend(from.users);
        for (id, change) in from.sources {
            into.sources.entry(id).or_default().merge(change);
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.records.len() + delta.sources.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }

    async fn sweep<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        today: NaiveDate,
    ) -> Result<Swept, sqlx::Error> {
        sweep(conn, target, today).await
    }
}

/// How a type is stored: its place in the list of types, to whose end alone is added.
fn type_code(log_type: LogType) -> i16 {
    code(LogType::ALL, log_type)
}

/// How a priority is stored, likewise: the greater, the more urgent.
fn priority_code(priority: LogPriority) -> i16 {
    code(LogPriority::ALL, priority)
}

fn code<W: PartialEq>(list: &[W], word: W) -> i16 {
    let place = list.iter().position(|w| *w == word);
    let place = place.expect("a word is in the list of its words");
    i16::try_from(place).expect("lists of words are short")
}

/// The word a stored code stands for.
fn word<W: Copy>(list: &[W], code: i16) -> Result<W, sqlx::Error> {
    let word = usize::try_from(code).ok().and_then(|place| list.get(place));
    let unknown = || sqlx::Error::Decode(format!("{code} stands for no word").into());
    word.copied().ok_or_else(unknown)
}
