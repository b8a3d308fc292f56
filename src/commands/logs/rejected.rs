//! What is kept of a batch, for whoever asks later: its receipt, and its rejected records without what is
//! personal by what their source says today.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::log_batch::{LogBatch, LogReport, LogRules, to_keep};
use domain::log_format::report_of;
use domain::log_source::LogSource;
use domain::rejected_record::{RejectedRecord, RejectedRecordEvent};
use domain::{Aggregate, Code, Event, Position, Recorded, Refusal};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{LogsReceipt, SOURCE, receipt};
use crate::commands::{CommandError, Door};
use crate::store::{RejectedFilter, RejectedRow};

/// Which rejected records; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct RejectedOf {
    /// Those of this source.
    pub source: Option<String>,
    /// Those rejected for this.
    pub code: Option<Code>,
    /// Those rejected from then on.
    pub from: Option<DateTime<Utc>>,
    /// Those rejected before then.
    pub to: Option<DateTime<Utc>>,
}

/// A rejected record as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRejected {
    /// Its own id; later ones are greater.
    pub id: Uuid,
    /// When it was rejected.
    pub at: DateTime<Utc>,
    /// Whose it is.
    pub source: String,
    /// The batch it came in.
    pub batch_id: String,
    /// Why.
    pub refusal: Refusal,
    /// What was said, but for secrets and for what is personal; `None` if it could not be read, or was too
    /// much to be kept.
    pub record: Option<LogReport>,
    /// What became of it, if it was recovered.
    pub recovered: Option<Recovered>,
}

/// A rejected record that is in the log after all.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// The batch that carries it.
    pub batch_id: String,
    /// Its index within that batch's event.
    pub index: u32,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// Where the log says so.
    pub position: Position,
}

impl Door {
    /// Whose a batch was, and the receipt that was given for it; `None` if there was none, or it is not
    /// remembered any more.
    pub async fn ingest_receipt(
        &self,
        tenant: &Arc<str>,
        batch_id: Uuid,
    ) -> Result<Option<(String, LogsReceipt)>, CommandError> {
        let Some(first) = self.store.receipt_of(tenant, batch_id).await? else {
            return Ok(None);
        };
        let id = batch_id.to_string();
        let events = self
            .store
            .first_events(tenant, LogBatch::TYPE, &[&id])
            .await?;
        let accepted = match events.first() {
            None => None,
            Some(stored) => match decoded::<LogBatch>(stored)?.event {
                Event::LogBatch(domain::log_batch::LogBatchEvent::LogBatchAccepted(e)) => {
                    Some((e.source_id, e.records.len()))
                }
                _ => None,
            },
        };
        Ok(receipt::read_later(&first, batch_id, accepted))
    }

    /// Rejected log records, the last first, from behind `after` on; at most `first` of them.
    pub async fn rejected_logs(
        &self,
        tenant: &Arc<str>,
        of: &RejectedOf,
        after: Option<Uuid>,
        first: u32,
    ) -> Result<Vec<KeptRejected>, CommandError> {
        let filter = RejectedFilter {
            door: SOURCE,
            source: of.source.clone(),
            code: of.code.map(|code| code.as_str().to_owned()),
            from: of.from,
            to: of.to,
        };
        let rows = self.store.rejected_records(tenant, &filter, after, first);
        let rows = rows.await?;
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let mut recovered = self.recovered(tenant, &ids).await?;
        // As the log has them now: another process may have declared more personal a moment ago.
        let mut sources: HashMap<String, LogSource> = HashMap::new();
        let mut found = Vec::with_capacity(rows.len());
        for (row, id) in rows.into_iter().zip(&ids) {
            let source_id = row.log_source.clone().unwrap_or_default();
            if !sources.contains_key(&source_id) {
                let source = self.load_now::<LogSource>(tenant, &source_id).await?;
                sources.insert(source_id.clone(), source);
            }
            let mut record = kept(row, &sources[&source_id])?;
            record.recovered = recovered.remove(id);
            found.push(record);
        }
        Ok(found)
    }

    /// One of them; not whether it was recovered.
    pub(super) async fn rejected_log(
        &self,
        tenant: &Arc<str>,
        id: Uuid,
    ) -> Result<Option<KeptRejected>, CommandError> {
        let Some(row) = self.store.rejected_record(tenant, SOURCE, id).await? else {
            return Ok(None);
        };
        let source_id = row.log_source.as_deref().unwrap_or_default();
        let source = self.load_now::<LogSource>(tenant, source_id).await?;
        kept(row, &source).map(Some)
    }

    /// Which of these were recovered, by id.
    async fn recovered(
        &self,
        tenant: &Arc<str>,
        ids: &[String],
    ) -> Result<HashMap<String, Recovered>, CommandError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let events = self
            .store
            .first_events(tenant, RejectedRecord::TYPE, &ids)
            .await?;
        let mut found = HashMap::with_capacity(events.len());
        for stored in &events {
            let recorded = decoded::<RejectedRecord>(stored)?;
            let Event::RejectedRecord(RejectedRecordEvent::RejectedRecordRecovered(e)) =
                recorded.event
            else {
                continue;
            };
            let recovered = Recovered {
                batch_id: e.batch_id,
                index: e.index,
                reason: e.reason,
                at: recorded.recorded_at,
                position: recorded.position,
            };
            found.insert(recorded.aggregate_id.to_string(), recovered);
        }
        Ok(found)
    }
}

/// What may be shown of a row: its source may have declared more personal since.
fn kept(row: RejectedRow, source: &LogSource) -> Result<KeptRejected, CommandError> {
    let unreadable = |reason: String| CommandError::Unreadable {
        stream: format!("rejected_records {}", row.id),
        reason,
    };
    // What cannot be read any more is as good as not kept; the others of its page are shown.
    let stored: Stored = serde_json::from_str(&row.record).unwrap_or_default();
    let report = stored.record.and_then(|record| report_of(record).ok());
    let why: Why = serde_json::from_str(&row.details).map_err(|e| unreadable(e.to_string()))?;
    let rules = LogRules {
        limits: &source.limits,
        personal_fields: &source.personal_fields,
        now: row.recorded_at,
        backfill: false,
        // It is one already.
        pseudonym: &|user| user.to_owned(),
    };
    let code = Code::of_word(&row.code).unwrap_or(Code::Validation);
    let mut refusal = Refusal::new(code, why.message).at(why.path);
    refusal.details = why.facts;
    Ok(KeptRejected {
        id: row.id,
        at: row.recorded_at,
        source: row.log_source.unwrap_or_default(),
        batch_id: row.command_id.to_string(),
        refusal,
        record: report.map(|report| to_keep(&report, &rules)),
        recovered: None,
    })
}

/// How a rejected record is stored.
#[derive(Default, Deserialize)]
struct Stored {
    /// Not there if it could not be read, or was cut.
    record: Option<Map<String, Value>>,
}

/// How it is stored why.
#[derive(Deserialize)]
struct Why {
    message: String,
    path: Vec<String>,
    facts: Map<String, Value>,
}

fn decoded<A: Aggregate>(
    stored: &crate::store::StoredEvent,
) -> Result<Recorded<Event>, CommandError> {
    stored.decode().map_err(|e| CommandError::Unreadable {
        stream: domain::StreamKey::of::<A>(&stored.aggregate_id).to_string(),
        reason: e.to_string(),
    })
}
