//! Pages of log records, both ways.

use async_graphql::SimpleObject;
use async_graphql::connection::{Connection, CursorType as _, Edge};
use chrono::{DateTime as Instant, Utc};
use domain::Position as LogPosition;
use domain::log_batch::LogPriority;
use projections::logs::{self, LogCursor, LogPage, LogPlace, LogQuery, LogRow};
use serde::{Deserialize, Serialize};

use super::record::LogRecord;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::span::invalid;

/// How many records of a list may be passed over without a cursor: each is read.
const OFFSET_MAX: u32 = 10_000;

/// A page of log records.
pub type LogRecords = Paged<LogRecord, LogSearch>;

/// What a page of log records tells beside them.
#[derive(SimpleObject)]
pub struct LogSearch {
    /// The position in the log the page is as of: it shows every event up to it and none after.
    as_of_position: Position,
    /// Were there too many records to be searched? Then the page may lack some, and whoever wants to see
    /// those goes on from `searchedTo`; what `offset` has still to pass over is passed over there.
    stopped: bool,
    /// Where the search stopped: a cursor to send as `after`, or `before`. Null if it did not.
    searched_to: Option<String>,
    /// When the last record happened that was searched. Null if the search did not stop.
    searched_to_time: Option<DateTime>,
}

/// Which page of a list.
#[derive(Default)]
pub struct Window {
    /// At most this many, forwards.
    pub first: Option<i32>,
    /// Those behind this cursor.
    pub after: Option<String>,
    /// At most this many, backwards.
    pub last: Option<i32>,
    /// Those before this cursor.
    pub before: Option<String>,
    /// After so many from the beginning.
    pub offset: Option<i32>,
}

/// A record's place in a list, as cursors keep it, and how many behind it are to be passed over.
#[derive(Serialize, Deserialize)]
struct Place(LogPriority, Instant<Utc>, i64, i32, u32);

impl From<LogCursor> for Place {
    fn from(at: LogCursor) -> Place {
        Place(at.priority, at.timestamp, at.position.0, at.index, at.skip)
    }
}

impl From<&Place> for LogCursor {
    fn from(Place(priority, timestamp, position, index, skip): &Place) -> LogCursor {
        LogCursor {
            priority: *priority,
            timestamp: *timestamp,
            position: LogPosition(*position),
            index: *index,
            skip: *skip,
        }
    }
}

/// The page of a list; `name` tells lists of different questions apart.
pub async fn listed(
    operation: &Operation,
    name: &'static str,
    query: &LogQuery,
    window: Window,
) -> Result<LogRecords, Fault> {
    let back = window.last.is_some() || window.before.is_some();
    let forth = window.first.is_some() || window.after.is_some() || window.offset.is_some();
    if back && forth {
        let message = "a list is read either from its beginning or from its end";
        return Err(invalid("last", message));
    }
    let (size, beyond) = match back {
        false => (window.first, window.after),
        true => (window.last, window.before),
    };
    let ask = Ask::<Place>::read(operation, name, query, size, beyond.as_deref())?;
    let place = match (back, ask.after.as_ref(), window.offset) {
        (true, None, _) => LogPlace::End,
        (true, Some(place), _) => LogPlace::Before(place.into()),
        (false, None, offset) => LogPlace::Skip(offset.map_or(Ok(0), skip)?),
        (false, Some(place), None) => LogPlace::After(place.into()),
        (false, Some(_), Some(_)) => {
            return Err(invalid(
                "offset",
                "it counts from the beginning, not from a cursor",
            ));
        }
    };
    let mut snapshot = operation.read(&[logs::NAME]).await?;
    let page = logs::logs(&mut snapshot, query, place, ask.first).await;
    let page = snapshot.answer(page)?;
    Ok(connection(&ask, place, page))
}

fn skip(offset: i32) -> Result<u32, Fault> {
    match u32::try_from(offset) {
        Ok(skip) if skip <= OFFSET_MAX => Ok(skip),
        // A place in the list, like a cursor, and none that can be gone to.
        _ => Err(Fault::of(FaultCode::BadCursor).with("limit", OFFSET_MAX)),
    }
}

fn connection(ask: &Ask<Place>, place: LogPlace, page: LogPage) -> LogRecords {
    let (before, behind) = match place {
        LogPlace::Skip(skip) => (skip > 0, page.has_more),
        LogPlace::After(_) => (true, page.has_more),
        LogPlace::Before(_) => (page.has_more, true),
        LogPlace::End => (page.has_more, false),
    };
    let place = |at: LogCursor| ask.list.at(&Place::from(at));
    let search = LogSearch {
        as_of_position: Position(page.as_of),
        stopped: page.stopped_at.is_some(),
        searched_to: page.stopped_at.map(|at| place(at).encode_cursor()),
        searched_to_time: page.stopped_at.map(|at| DateTime(at.timestamp)),
    };
    let mut connection = Connection::with_additional_fields(before, behind, search);
    let node = LogRecord::page(&page.records);
    let edge = |row: LogRow| Edge::new(place(LogCursor::from(&row)), node(row));
    connection.edges.extend(page.records.into_iter().map(edge));
    connection
}
