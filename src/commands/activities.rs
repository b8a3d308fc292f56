//! Bulk: activities of one user as a source tells them, told apart one by one, appended in one transaction.
//!
//! Each belongs to the month in which it began, so a sync writes a stream for each month it tells of. The
//! log gives an activity to one month at a time: where the source has moved one to another month, it is
//! taken back where it was before it is recorded where it is.

mod deciding;
mod receipt;
mod sorting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::activity::{ActivityFlag, ActivityRef};
use domain::activity_log::{
    ACTIVITY_SCOPE, ActivityLog, ActivityLogCommand, SYNC_RECORDS_MAX, SyncRecord, activity_claim,
    activity_log_id,
};
use domain::{Code, Refusal, StreamKey, values};
use serde::Serialize;

use super::decide::{Turn, conflict, lost_race};
use super::envelope::Envelope;
use super::states::Cell;
use super::{CommandContext, CommandError, Door, Receipt};
use crate::store::{AppendError, digest};
use sorting::Sorted;

/// What a sync is called in the fingerprint of its command.
const KIND: &str = "syncActivities";

/// What a source says of the activities of one user; 1 to [`SYNC_RECORDS_MAX`] records.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncActivities {
    /// Whose, by id.
    pub user: String,
    /// In the caller's order. An activity that could not be read is rejected with what was wrong with it.
    pub records: Vec<Result<SyncRecord, Refusal>>,
}

impl SyncActivities {
    /// What the caller asked for.
    fn intent(&self) -> impl Serialize + '_ {
        let read = |record: &'_ Result<SyncRecord, Refusal>| match record {
            Ok(record) => serde_json::to_value(record).expect("records are plain data"),
            Err(refusal) => refusal.message.clone().into(),
        };
        let records: Vec<serde_json::Value> = self.records.iter().map(read).collect();
        (&self.user, records)
    }
}

/// What became of a sync, record by record.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivitiesReceipt {
    /// As for any command; `version` is 0 when the sync wrote several streams.
    pub receipt: Receipt,
    /// One per record, in the caller's order.
    pub outcomes: Vec<SyncOutcome>,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncOutcome {
    /// It is new.
    Recorded {
        /// Why it is hard to believe.
        flags: BTreeSet<ActivityFlag>,
    },
    /// It was known, and is told otherwise now.
    Amended {
        /// Why it is hard to believe.
        flags: BTreeSet<ActivityFlag>,
    },
    /// It was known to the letter.
    Duplicate,
    /// It was taken back.
    Removed,
    /// There was nothing to take back.
    Absent,
    /// It is not in the log, and why.
    Rejected(Refusal),
}

/// A month that a sync tells of.
struct Month<'s> {
    cell: Arc<Cell<ActivityLog>>,
    /// Such as `2026-11`.
    month: String,
    /// Each with its index in the sync.
    records: Vec<(usize, &'s SyncRecord)>,
}

impl Door {
    /// Takes in what a source says of a user's activities, all of it in one transaction.
    ///
    /// A record that cannot be believed is rejected alone; the rest is kept. Rejected ones are told to the
    /// caller and kept nowhere: what somebody did is theirs. Fails as a whole only where the sync itself is
    /// unusable (no records, too many, no user, a reused `commandId`).
    pub async fn sync_activities(
        &self,
        ctx: &CommandContext,
        sync: SyncActivities,
    ) -> Result<ActivitiesReceipt, CommandError> {
        check(ctx, &sync)?;
        let envelope = Envelope::new(ctx, KIND, &sync.intent())?;
        let count = sync.records.len();
        if let Some(first) = self.receipts.find(&ctx.tenant, &envelope) {
            return Ok(receipt::read(&first?, count));
        }
        if let Some(first) = self.first_receipt(ctx, &envelope).await? {
            return Ok(receipt::read(&first, count));
        }
        let sorted = Sorted::of(&sync, ctx.now);
        let stream = StreamKey::of::<ActivityLog>(&sync.user);
        let mut moved = BTreeSet::new();
        let mut turn = Turn::new(self.settings.attempts_max);
        loop {
            let months = self.months(ctx, &sync.user, &sorted).await?;
            let decided = self.decide_sync((ctx, &envelope), &sync, &sorted, &months, &moved)?;
            let Some((pending, outcomes)) = decided else {
                turn.wait(conflict(&stream, None)).await?;
                continue;
            };
            match pending.outcome().await {
                Ok(kept) => {
                    self.receipts.keep(&ctx.tenant, &envelope, &kept);
                    if kept.replayed {
                        return Ok(receipt::read(&kept, count));
                    }
                    return Ok(ActivitiesReceipt {
                        receipt: Receipt::from(&kept),
                        outcomes,
                    });
                }
                Err(AppendError::Claimed { scope, .. }) if scope == ACTIVITY_SCOPE => {
                    let taken_back = self.take_back_elsewhere(ctx, &sync.user, &months, &outcomes);
                    moved.extend(taken_back.await?);
                    turn.next(conflict(&stream, None)).await?;
                }
                Err(error) => turn.next(lost_race(error, &stream)?).await?,
            }
        }
    }

    /// The months a sync tells of, by the ids of their streams. What is taken back is of the month that
    /// holds it now.
    async fn months<'s>(
        &self,
        ctx: &CommandContext,
        user: &str,
        sorted: &Sorted<'s>,
    ) -> Result<BTreeMap<String, Month<'s>>, CommandError> {
        let mut by_month = sorted.months.clone();
        let removed: Vec<&ActivityRef> = sorted.removed.iter().map(|(.., named)| named).collect();
        for (n, holder) in self.activity_holders(ctx, user, &removed).await? {
            let (index, record, _) = sorted.removed[n];
            let month = month_in(&holder).to_owned();
            by_month.entry(month).or_default().push((index, record));
        }
        let ids: Vec<String> = by_month.keys().map(|m| activity_log_id(user, m)).collect();
        let keys: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.ready_new::<ActivityLog>(&ctx.tenant, &keys).await?;
        let mut months = BTreeMap::new();
        for (id, (month, mut records)) in ids.into_iter().zip(by_month) {
            let cell = self.loaded::<ActivityLog>(&ctx.tenant, &id).await?;
            records.sort_unstable_by_key(|(index, _)| *index);
            let month = Month {
                cell,
                month,
                records,
            };
            months.insert(id, month);
        }
        Ok(months)
    }

    /// Which of these activities of a user are held, and by the stream of which month.
    async fn activity_holders(
        &self,
        ctx: &CommandContext,
        user: &str,
        named: &[&ActivityRef],
    ) -> Result<Vec<(usize, String)>, CommandError> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let claims = named.iter().map(|named| activity_claim(user, named));
        let claims: Vec<_> = claims
            .map(|claim| (claim.scope, digest(&[claim.value.as_bytes()])))
            .collect();
        Ok(self.store.claim_holders(&ctx.tenant, &claims).await?)
    }

    /// Takes activities back in the months that hold them, where the source tells now that they began in
    /// another one. Gives those that it was done with.
    async fn take_back_elsewhere(
        &self,
        ctx: &CommandContext,
        user: &str,
        months: &BTreeMap<String, Month<'_>>,
        outcomes: &[SyncOutcome],
    ) -> Result<BTreeSet<ActivityRef>, CommandError> {
        let is_new = |index: &usize| {
            let outcome = outcomes.get(*index);
            matches!(
                outcome,
                Some(SyncOutcome::Recorded { .. } | SyncOutcome::Amended { .. })
            )
        };
        let mut told = Vec::new();
        for (id, month) in months {
            for (index, record) in &month.records {
                if let SyncRecord::Activity(activity) = record
                    && is_new(index)
                {
                    told.push((id, activity.named().checked()?));
                }
            }
        }
        let named: Vec<&ActivityRef> = told.iter().map(|(_, named)| named).collect();
        let mut elsewhere: BTreeMap<String, Vec<ActivityRef>> = BTreeMap::new();
        for (n, holder) in self.activity_holders(ctx, user, &named).await? {
            if *told[n].0 != holder {
                elsewhere.entry(holder).or_default().push(told[n].1.clone());
            }
        }
        // A step of the sync, not the sync: its receipt is not the caller's.
        let step = CommandContext {
            command_id: None,
            ..ctx.clone()
        };
        for (holder, named) in &elsewhere {
            let command = ActivityLogCommand {
                user: user.to_owned(),
                month: month_in(holder).to_owned(),
                records: named.iter().cloned().map(SyncRecord::Remove).collect(),
                rules: self.settings.activities.clone(),
                now: ctx.now,
            };
            self.execute::<ActivityLog>(&step, holder, command).await?;
        }
        Ok(elsewhere.into_values().flatten().collect())
    }
}

/// The month that a stream is of: the part of its key that follows the user.
fn month_in(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, month)| month)
}

fn check(ctx: &CommandContext, sync: &SyncActivities) -> Result<(), Refusal> {
    values::key_part(&sync.user, "user")?;
    let count = sync.records.len();
    if count == 0 {
        let message = "a sync has at least one record";
        return Err(Refusal::new(Code::Validation, message).at(["records"]));
    }
    if count > SYNC_RECORDS_MAX {
        let message = format!("a sync has at most {SYNC_RECORDS_MAX} records");
        return Err(Refusal::new(Code::TooLarge, message)
            .at(["records"])
            .with("limit", SYNC_RECORDS_MAX)
            .with("actual", count));
    }
    if ctx.expected_version.is_some() {
        let message = "a sync writes many streams and takes no expectedVersion";
        return Err(Refusal::new(Code::Validation, message).at(["expectedVersion"]));
    }
    Ok(())
}
