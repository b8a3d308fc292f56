//! Reading log records: by all that is said of them, in pages both ways.

use chrono::{DateTime, Utc};
use domain::log_batch::{LogPriority, LogRecord};
use domain::log_source::LogType;
use domain::{Event, Personal, Position, Recorded};
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::conditions::DaySpan;
use super::few::{Cut, of_few};
use super::ids::{read_declared, read_user};
use super::reach::known;
use super::walk::{Part, Walk};
use super::{NAME, priority_code, word};
use crate::{ReadError, Snapshot};

/// A page looks for what no index knows in at most this many records of the order; it then says how far it
/// has come.
pub const SEARCH_ROWS_MAX: u32 = 100_000;

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    /// Position of the event that carries it.
    pub position: Position,
    /// Its number in that event, from 0.
    pub index: i32,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// When it happened, by its source's clock.
    pub timestamp: DateTime<Utc>,
    /// Whose.
    pub source_id: String,
    /// What it is about.
    pub event_type: LogType,
    /// What happened.
    pub event_name: String,
    /// How urgent it is.
    pub priority: LogPriority,
    /// A pseudonym of its user.
    pub user_id: Option<String>,
    /// Its session.
    pub session_id: Option<String>,
    /// Version of the program.
    pub app_version: Option<String>,
    /// Its number within its session.
    pub sequence_number: Option<i64>,
    /// The source's own id of it.
    pub event_id: Option<String>,
    /// What the program ran on.
    pub device_info: Map<String, Value>,
    /// Anything else.
    pub properties: Map<String, Value>,
    /// What is personal, sealed.
    pub personal: Option<String>,
}

/// Which records; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFilter {
    /// Of this source.
    pub source_id: Option<String>,
    /// Of these types; none named: of any.
    pub event_types: Vec<LogType>,
    /// Of this name.
    pub event_name: Option<String>,
    /// Of the user of this pseudonym.
    pub user_id: Option<String>,
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this version of the program; empty: of none.
    pub app_version: Option<String>,
    /// As urgent as this.
    pub priority: Option<LogPriority>,
    /// That happened then or later.
    pub from: Option<DateTime<Utc>>,
    /// That happened earlier.
    pub to: Option<DateTime<Utc>>,
    /// In whose name or properties, as JSON, this text stands, its ASCII letters in capitals or not.
    pub text: Option<String>,
    /// Whose properties say all of this.
    pub properties: Vec<PropertyEquals>,
}

/// What a property must be.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyEquals {
    /// The way down to it: names of objects, numbers of lists from 0.
    pub path: Vec<String>,
    /// What is there. Numbers are equal by value.
    pub value: Value,
}

/// Which records in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogQuery {
    /// Which.
    pub filter: LogFilter,
    /// Which of these: behind some figures there are not all records of a filter.
    pub only: LogOnly,
    /// In which order.
    pub order: LogOrder,
}

/// Some of the records of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOnly {
    /// All of them.
    #[default]
    All,
    /// Those that are about somebody.
    OfUsers,
    /// Those that were not handed in as a backfill.
    Live,
}

/// An order of records. Of equal ones the place in the log decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOrder {
    /// By what.
    pub by: LogSort,
    /// The earliest first, or the least urgent and of these the earliest; else the other way round.
    pub ascending: bool,
}

/// What records are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSort {
    /// When they happened.
    #[default]
    Time,
    /// How urgent they are, then when they happened.
    Priority,
}

/// A record's place in both orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// How urgent it is.
    pub priority: LogPriority,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// Position of its event.
    pub position: Position,
    /// Its number in the event.
    pub index: i32,
    /// So many of the records behind it do not belong to the page that begins there: a search stopped while
    /// they were passed over.
    pub skip: u32,
}

/// Which page of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// From this many records after the list's beginning on.
    Skip(u32),
    /// What follows this place.
    After(LogCursor),
    /// What comes before it.
    Before(LogCursor),
    /// The list's last ones.
    End,
}

/// A page of records, in the order of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The records.
    pub records: Vec<LogRow>,
    /// Is there more beyond the page: after it or, where the page was read backwards, before it?
    pub has_more: bool,
    /// Where the search stopped, if there were too many records to be looked at. To go on from there is to
    /// ask for what is after, or before, this place.
    pub stopped_at: Option<LogCursor>,
    /// The log position the page is as of.
    pub as_of: Position,
}

impl From<&LogRow> for LogCursor {
    fn from(row: &LogRow) -> LogCursor {
        LogCursor {
            priority: row.priority,
            timestamp: row.timestamp,
            position: row.position,
            index: row.index,
            skip: 0,
        }
    }
}

/// A page of at most `first` records.
pub async fn logs(
    snap: &mut Snapshot,
    query: &LogQuery,
    place: LogPlace,
    first: u32,
) -> Result<LogPage, ReadError> {
    let mut page = LogPage {
        records: vec![],
        has_more: false,
        stopped_at: None,
        as_of: snap.position(&[NAME])?,
    };
    let Some(known) = known(snap, &query.filter).await? else {
        return Ok(page);
    };
    let backwards = matches!(place, LogPlace::Before(_) | LogPlace::End);
    let (beyond, skip) = match place {
        LogPlace::Skip(skip) => (None, skip),
        LogPlace::After(cursor) | LogPlace::Before(cursor) => (Some(cursor), cursor.skip),
        LogPlace::End => (None, 0),
    };
    let cut = Cut {
        ascending: query.order.ascending != backwards,
        beyond,
        skip: i64::from(skip),
        most: i64::from(first) + 1,
    };
    match of_few(snap, query, known.days, cut).await? {
        Some(records) => page.records = records,
        None => by_time(snap, query, known.days, cut, &mut page).await?,
    }
    let first = usize::try_from(first).expect("a u32 fits a usize on every supported platform");
    page.has_more = page.records.len() > first || page.stopped_at.is_some();
    page.records.truncate(first);
    if backwards {
        page.records.reverse();
    }
    Ok(page)
}

/// Walks through the parts of the order, one after the other, until there are enough records.
async fn by_time(
    snap: &mut Snapshot,
    query: &LogQuery,
    days: DaySpan,
    cut: Cut,
    page: &mut LogPage,
) -> Result<(), ReadError> {
    let mut skip = cut.skip;
    for part in parts(query, cut) {
        let found = i64::try_from(page.records.len()).unwrap_or(i64::MAX);
        let wanted = cut.most - found;
        let walk = Walk::plan(snap, query, days, &part, skip.saturating_add(wanted)).await?;
        let Some(walk) = walk else { continue };
        let rows = walk.rows(snap, skip, wanted).await?;
        let whole = i64::try_from(rows.len()).unwrap_or(i64::MAX) == wanted;
        page.records.extend(rows);
        if whole {
            break;
        }
        // What was passed over here is not passed over again.
        if skip > 0 && page.records.is_empty() {
            skip -= walk.count(snap, skip).await?;
        } else {
            skip = 0;
        }
        if walk.searches()
            && let Some(stopped) = walk.searched_to(snap).await?
        {
            let skip = u32::try_from(skip).unwrap_or(u32::MAX);
            page.stopped_at = Some(LogCursor { skip, ..stopped });
            break;
        }
    }
    Ok(())
}

/// What is personal of a record. Nothing plain gets out of the log, and nothing plain gets in here.
pub(super) fn sealed(record: &LogRecord) -> Option<&str> {
    match &record.personal {
        Some(Personal::Sealed(sealed)) => Some(sealed),
        Some(Personal::Plain(_)) | None => None,
    }
}

/// By time there is one; by priority one for each priority, from that of the place on.
fn parts(query: &LogQuery, cut: Cut) -> Vec<Part> {
    let Cut {
        ascending, beyond, ..
    } = cut;
    let asked = query.filter.priority;
    let part = |priority, beyond| Part {
        priority,
        ascending,
        beyond,
    };
    if query.order.by == LogSort::Time {
        return vec![part(asked, beyond)];
    }
    let mut priorities = LogPriority::ALL.to_vec();
    if !ascending {
        priorities.reverse();
    }
    let at = beyond.map(|cursor| priority_code(cursor.priority));
    let to_come = |priority: &LogPriority| {
        let code = priority_code(*priority);
        at.is_none_or(|at| if ascending { code >= at } else { code <= at })
    };
    let of_place = |priority| beyond.filter(|cursor| cursor.priority == priority);
    let priorities = priorities
        .into_iter()
        .filter(|p| asked.is_none_or(|asked| asked == *p));
    let parts = priorities
        .filter(to_come)
        .map(|priority| part(Some(priority), of_place(priority)));
    parts.collect()
}

impl LogRow {
    /// A record as its event tells it.
    pub fn of(event: &Recorded<Event>, source_id: &str, index: i32, record: &LogRecord) -> LogRow {
        LogRow {
            position: event.position,
            index,
            recorded_at: event.recorded_at,
            timestamp: record.timestamp,
            source_id: source_id.to_owned(),
            event_type: record.event_type,
            event_name: record.event_name.clone(),
            priority: record.priority,
            user_id: record.user_id.clone(),
            session_id: record.session_id.clone(),
            app_version: record.app_version.clone(),
            sequence_number: record.sequence_number,
            event_id: record.event_id.clone(),
            device_info: Map::clone(&record.device_info),
            properties: Map::clone(&record.properties),
            personal: sealed(record).map(str::to_owned),
        }
    }

    pub(super) fn read(row: &PgRow) -> Result<LogRow, sqlx::Error> {
        let object = |column| -> Result<Map<String, Value>, sqlx::Error> {
            let json: Option<&str> = row.try_get(column)?;
            let read = |json| serde_json::from_str(json).map_err(|e| sqlx::Error::Decode(e.into()));
            json.map_or_else(|| Ok(Map::new()), read)
        };
        Ok(LogRow {
            position: Position(row.try_get("position")?),
            index: row.try_get("idx")?,
            recorded_at: row.try_get("recorded_at")?,
            timestamp: row.try_get("happened_at")?,
            source_id: row.try_get("source_id")?,
            event_type: word(LogType::ALL, row.try_get("event_type")?)?,
            event_name: row.try_get("event_name")?,
            priority: word(LogPriority::ALL, row.try_get("priority")?)?,
            user_id: read_user(row)?,
            session_id: row.try_get("session_id")?,
            app_version: row.try_get("app_version")?,
            sequence_number: row.try_get("sequence_number")?,
            event_id: read_declared(row)?,
            device_info: object("device_info")?,
            properties: object("properties")?,
            personal: row.try_get("personal")?,
        })
    }
}
