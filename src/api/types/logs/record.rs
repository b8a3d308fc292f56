//! One log record, as lists and tails show it.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use domain::Position as LogPosition;
use domain::log_batch::{LogPersonal, PERSONAL_FIELD, personal_subject};
use projections::logs::LogRow;
use serde_json::Map;

use super::words::{LogPriority, LogType};
use crate::api::batch::Batch;
use crate::api::failure::{auth_refusal_or_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::TailPart;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, JsonObject, Long, Position};
use crate::auth::{PersonalValue, Role};
use crate::store::StoredEvent;
use crate::vault::Place;

/// One accepted log record.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogRecord {
    /// `position:index`: which record of which event this is.
    id: ID,
    /// Whose record: the source's name.
    source: String,
    /// When it happened, by the source's clock.
    timestamp: DateTime,
    /// When it was recorded, by the log's.
    recorded_at: DateTime,
    /// What it is about.
    event_type: LogType,
    /// What happened.
    event_name: String,
    /// How urgent it is.
    priority: LogPriority,
    /// A pseudonym of the user it is about: the same for the same user, and nothing that leads back to them.
    user_id: Option<String>,
    /// The session it belongs to.
    session_id: Option<String>,
    /// Version of the program that said so.
    app_version: Option<String>,
    /// Its number within its session.
    sequence_number: Option<Long>,
    /// The source's own id of it, if it declared one.
    event_id: Option<String>,
    /// What the program ran on, but for what is personal.
    device_info: JsonObject,
    /// Anything else, but for what is personal.
    properties: JsonObject,
    /// Position in the log of the event that carries it.
    position: Position,
    /// Its number in that event, from 0.
    index: i32,
    #[graphql(skip)]
    sealed: Option<String>,
    #[graphql(skip)]
    events: Events,
    #[graphql(skip)]
    live: bool,
}

/// What the source of a log record declared personal.
#[derive(Default, SimpleObject)]
pub struct LogPersonalValues {
    /// It was erased: nobody can read it again.
    erased: bool,
    /// The user's id as the source said it.
    user_id: Option<String>,
    /// Properties.
    properties: JsonObject,
    /// What the program ran on.
    device_info: JsonObject,
}

/// The next records of a tail: those of one batch, or of a part of it.
#[derive(SimpleObject)]
pub struct LogTail {
    /// What to send as `after` to go on behind these records: a position, or `position:index` where the
    /// batch goes on.
    pub id: ID,
    /// Whose records: the source's name.
    pub source: String,
    /// The records, in the order in which they were handed in; at least one.
    pub records: Vec<LogRecord>,
}

/// The events behind the records of a page.
type Events = Arc<Batch<LogPosition, Arc<StoredEvent>>>;

impl LogRecord {
    /// The records of a page: what is personal of them is looked up together.
    pub fn page(rows: &[LogRow]) -> impl Fn(LogRow) -> LogRecord + use<> {
        let with = rows.iter().filter(|row| row.personal.is_some());
        let mut positions: Vec<LogPosition> = with.map(|row| row.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let events: Events = Batch::of(positions);
        move |row| LogRecord::new(row, events.clone())
    }

    fn new(row: LogRow, events: Events) -> LogRecord {
        LogRecord {
            id: ID(format!("{}:{}", row.position, row.index)),
            source: row.source_id,
            timestamp: DateTime(row.timestamp),
            recorded_at: DateTime(row.recorded_at),
            event_type: row.event_type.into(),
            event_name: row.event_name,
            priority: row.priority.into(),
            user_id: row.user_id,
            session_id: row.session_id,
            app_version: row.app_version,
            sequence_number: row.sequence_number.map(Long),
            event_id: row.event_id,
            device_info: JsonObject(row.device_info),
            properties: JsonObject(row.properties),
            position: Position(row.position),
            index: row.index,
            sealed: row.personal,
            events,
            live: false,
        }
    }

    /// As a tail tells it.
    fn live(row: LogRow) -> LogRecord {
        LogRecord {
            live: true,
            ..LogRecord::new(row, Batch::of(Vec::new()))
        }
    }
}

impl From<&TailPart> for LogTail {
    fn from(part: &TailPart) -> LogTail {
        LogTail {
            id: ID(part.mark.to_string()),
            source: part.source().to_owned(),
            records: part.rows().map(LogRecord::live).collect(),
        }
    }
}

#[ComplexObject]
impl LogRecord {
    /// What its source declared personal: for administrators, to others FORBIDDEN. Null if there is nothing.
    /// Told by lists alone: what a tail tells is kept for those who resume, and must not outlive an erasure.
    async fn personal(&self, ctx: &Context<'_>) -> Result<Option<LogPersonalValues>> {
        let operation = Operation::of(ctx);
        if !operation.caller.may(Role::Admin) {
            let fault = Fault::of(FaultCode::Forbidden);
            return Err(fault.with("role", Role::Admin.as_str()).into());
        }
        if self.live {
            let why = "`personal` is told by `logs`, not by a tail";
            return Err(Fault::new(FaultCode::BadRequest, why).into());
        }
        let Some(sealed) = &self.sealed else {
            return Ok(None);
        };
        let load = |at| events(operation, at);
        let Some(event) = self.events.get(&self.position.0, load).await? else {
            return Ok(None);
        };
        let subject = personal_subject(&event.aggregate_id, self.user_id.as_deref());
        let place = Place {
            tenant: operation.tenant(),
            subject: &subject,
            field: PERSONAL_FIELD,
            event_id: event.event_id,
        };
        let opened = operation.parts.auth.open(&place, sealed).await;
        let opened = opened.map_err(|error| {
            auth_refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
        })?;
        let PersonalValue::Known(text) = opened else {
            return Ok(Some(LogPersonalValues {
                erased: true,
                ..LogPersonalValues::default()
            }));
        };
        let told: LogPersonal = serde_json::from_str(&text).map_err(|error| {
            tracing::error!(%error, id = self.id.as_str(), "what was sealed of a log record is not what is sealed: {error}");
            Fault::of(FaultCode::Internal)
        })?;
        Ok(Some(LogPersonalValues {
            erased: false,
            user_id: told.user_id,
            properties: JsonObject(Map::clone(&told.properties)),
            device_info: JsonObject(Map::clone(&told.device_info)),
        }))
    }
}

async fn events(
    operation: &Operation,
    positions: &[LogPosition],
) -> Result<HashMap<LogPosition, Arc<StoredEvent>>, Fault> {
    let store = &operation.parts.store;
    let events = store.read_positions(operation.tenant(), positions).await;
    let at = |event: StoredEvent| (event.position, Arc::new(event));
    Ok(events.map_err(store_fault)?.into_iter().map(at).collect())
}
