//! A rejected record goes in after all, by itself and once: the batch that carries it and the word that it
//! was recovered are one append.

use chrono::{DateTime, Utc};
use domain::log_batch::{LogReport, LogRules, from_kept, judge};
use domain::log_source::{LogSource, PersonalFields};
use domain::rejected_record::{RejectedRecord, RejectedRecordCommand};
use domain::values::parse_timestamp;
use domain::{Aggregate, Code, Event, Refusal, StreamKey};
use serde::Serialize;
use uuid::Uuid;

use super::deciding::Batch;
use super::rejected::KeptRejected;
use super::sent::{Earlier, is_there};
use super::{LogsError, LogsReceipt, pseudonym, receipt};
use crate::commands::decide::{Turn, forget, lost_race};
use crate::commands::envelope::Envelope;
use crate::commands::{CommandContext, CommandError, Door};
use crate::store::{Basis, Decided, NewEvent, StreamWrite, Tallies};
use crate::vault::{Vault, VaultError};

/// What the command is called.
const KIND: &str = "recoverRejected";

/// Takes a rejected record in after all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecoverRejected {
    /// The rejected record's id.
    pub id: String,
    /// What it should have said; what it said, as far as that is kept, if not said.
    pub record: Option<LogReport>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// The record as it is handed in again.
struct Again {
    kept: KeptRejected,
    report: LogReport,
    /// `None`: as the source declares them.
    personal_fields: Option<PersonalFields>,
}

impl Door {
    /// Takes a rejected record in as a batch of its own; `ALREADY_RECOVERED` if that was done before. If it
    /// is rejected again, nothing is kept. If its declared id is known by now, the receipt says so, and it
    /// is not recovered.
    pub async fn recover_rejected(
        &self,
        ctx: &CommandContext,
        asked: RecoverRejected,
    ) -> Result<LogsReceipt, CommandError> {
        let envelope = Envelope::new(ctx, KIND, &asked)?;
        let first = self.receipts.find(&ctx.tenant, &envelope).transpose()?;
        let first = match first {
            Some(first) => Some(first),
            None => self.first_receipt(ctx, &envelope).await?,
        };
        if let Some(first) = first {
            return Ok(receipt::read(&first, envelope.command_id, 1));
        }
        let vault = self.vault.as_ref().ok_or(VaultError::Absent)?;
        let mut turn = Turn::new(self.settings.attempts_max);
        loop {
            let again = self.again(ctx, &asked).await?;
            let (source_id, id) = (again.kept.source.clone(), again.kept.id.to_string());
            let attempt = self.append_recovered(ctx, &envelope, vault, &asked, again);
            match attempt.await {
                Ok(kept) => return Ok(kept),
                Err(LogsError::Command(error)) => return Err(error),
                // The source was told something else meanwhile, or somebody else recovers the record.
                Err(LogsError::Append(error)) => {
                    if is_there(&error) {
                        // By this very command, or by another of its id: that is refused.
                        self.earlier(&ctx.tenant, &envelope, 1).await?;
                    }
                    let lost = lost_race(error, &StreamKey::of::<RejectedRecord>(&id))?;
                    forget(&*self.loaded::<LogSource>(&ctx.tenant, &source_id).await?);
                    forget(&*self.loaded::<RejectedRecord>(&ctx.tenant, &id).await?);
                    turn.next(lost).await?;
                }
            }
        }
    }

    /// What there is to hand in again.
    async fn again(
        &self,
        ctx: &CommandContext,
        asked: &RecoverRejected,
    ) -> Result<Again, CommandError> {
        let gone = || {
            let why = "no such rejected record, or it is not kept any more";
            Refusal::new(Code::NotFound, why).at(["id"])
        };
        let id = Uuid::parse_str(&asked.id).map_err(|_| gone())?;
        let kept = self.rejected_log(&ctx.tenant, id).await?.ok_or_else(gone)?;
        if let Some(report) = asked.record.clone() {
            return Ok(Again {
                kept,
                report,
                personal_fields: None,
            });
        }
        let Some(report) = kept.record.clone() else {
            let why = "what the record said is not kept whole: send it";
            return Err(Refusal::new(Code::Validation, why).at(["record"]).into());
        };
        let (source, _) = self
            .load_settled::<LogSource>(&ctx.tenant, &kept.source)
            .await?;
        let (report, personal_fields) = from_kept(&report, &source.personal_fields);
        Ok(Again {
            kept,
            report,
            personal_fields: Some(personal_fields),
        })
    }

    /// One attempt, by what the source says now.
    async fn append_recovered(
        &self,
        ctx: &CommandContext,
        envelope: &Envelope,
        vault: &Vault,
        asked: &RecoverRejected,
        again: Again,
    ) -> Result<LogsReceipt, LogsError> {
        let (source_id, id) = (&again.kept.source, again.kept.id.to_string());
        let recovered = self.recovered_once(ctx, envelope, asked, &id).await?;
        let (source, version) = self.source_of(ctx, source_id, false).await?;
        let is_kept = again.personal_fields.is_some();
        let pseudonym = |user: &str| match is_kept {
            // It is one already.
            true => user.to_owned(),
            false => pseudonym(vault, &ctx.tenant, user),
        };
        let fields = again.personal_fields.as_ref();
        let rules = LogRules {
            limits: &source.limits,
            personal_fields: fields.unwrap_or(&source.personal_fields),
            now: judged_at(&again.report, again.kept.at, ctx.now),
            backfill: ctx.backfill,
            pseudonym: &pseudonym,
        };
        let judged = judge(&again.report, &rules).map_err(|refusal| {
            // Its place in `record`, wherever it came from.
            CommandError::from(refusal.under(["record"]))
        })?;
        let earlier = Earlier::nothing(envelope);
        let judged = [Ok(judged)].into_iter();
        let mut batch = Batch::new((source_id, version), envelope, &earlier, judged);
        let ids = self.sealed(&ctx.tenant, &mut batch, &source).await?;
        let decided = self.store.append_batch(&ctx.tenant, &ids, |known| {
            let mut append = batch.decide(known).append;
            if let [_source, _batch] = &append.writes[..] {
                // Before the batch: at the receipt's position stands the record.
                append.writes.insert(1, written(&id, &recovered));
            }
            Decided {
                append,
                tallies: Tallies::default(),
            }
        });
        let kept = decided.await?;
        self.receipts.keep(&ctx.tenant, envelope, &kept);
        Ok(receipt::read(&kept, envelope.command_id, 1))
    }

    /// The word that the record was recovered, unless it was before.
    async fn recovered_once(
        &self,
        ctx: &CommandContext,
        envelope: &Envelope,
        asked: &RecoverRejected,
        id: &str,
    ) -> Result<Event, CommandError> {
        let (state, _) = self.load_settled::<RejectedRecord>(&ctx.tenant, id).await?;
        let recover = RejectedRecordCommand::Recover {
            batch_id: envelope.command_id.to_string(),
            index: 0,
            reason: asked.reason.clone(),
        };
        let event = state.decide(&recover)?.pop();
        // A batch's id is its command's, and that one was not answered before.
        Ok(event.expect("it is new").into())
    }
}

fn written(id: &str, event: &Event) -> StreamWrite {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: event
            .payload()
            .expect("events are plain data with string keys"),
    };
    StreamWrite {
        stream: StreamKey::of::<RejectedRecord>(id),
        expected: 0,
        events: vec![event],
        basis: Basis::default(),
    }
}

/// The time a record is judged by: what came in time does not come too late by being recovered, and what
/// was ahead of its time may have been caught up with.
fn judged_at(report: &LogReport, came: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    match parse_timestamp(&report.timestamp) {
        Ok(at) => at.clamp(came.min(now), now),
        // It is refused for that, whatever the time.
        Err(_) => now,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_record_is_judged_by_when_it_came_and_by_now() {
        let came = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let now = came + TimeDelta::days(20);
        let at = |timestamp: DateTime<Utc>| {
            let report = LogReport {
                timestamp: timestamp.to_rfc3339(),
                ..LogReport::default()
            };
            judged_at(&report, came, now)
        };
        assert_eq!(at(came - TimeDelta::days(9)), came, "as old as it was");
        let between = came + TimeDelta::days(5);
        assert_eq!(at(between), between, "it is no more ahead");
        assert_eq!(at(now + TimeDelta::days(1)), now, "as far ahead as it is");
    }
}
