//! Bulk: log records of one source, judged one by one, appended as one event in a transaction of their own.

mod deciding;
mod receipt;
mod recovering;
mod rejected;
mod room;
mod sent;

pub use recovering::RecoverRejected;
pub use rejected::{KeptRejected, Recovered, RejectedOf};
pub use room::Room;
pub(super) use room::Rooms;

use std::sync::Arc;

use domain::log_batch::{LogReport, LogRules, RECORDS_MAX, judge};
use domain::log_source::{LogLimits, LogRetention, LogSource, LogSourceCommand, PersonalFields};
use domain::{Code, Position, Refusal, StreamKey, values};
use uuid::Uuid;

use super::decide::{Turn, forget, lost_race};
use super::envelope::Envelope;
use super::{CommandContext, CommandError, Door, Receipt};
use crate::store::{AppendError, RecordIds};
use crate::vault::{Vault, VaultError};
use deciding::Batch;
use sent::Earlier;

/// Where refused records say they came from.
const SOURCE: &str = "ingestLogs";

/// Scope of the pseudonyms that stand for the ids of users.
const USER_SCOPE: &str = "log.user_id";

/// Log records as they came, all of one source; 1 to [`RECORDS_MAX`].
#[derive(Clone, Debug, PartialEq)]
pub struct IngestLogs {
    /// Whose: the id of the source.
    pub source: String,
    /// In the caller's order; what could not be read is refused alone.
    pub records: Vec<Result<LogReport, Refusal>>,
    /// May an unknown source be registered?
    pub may_register: bool,
}

/// What became of a batch, record by record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogsReceipt {
    /// As for any command; at its position stand the accepted records, if there are any.
    pub receipt: Receipt,
    /// The batch, as its event's stream is called.
    pub batch_id: String,
    /// One per record, in the caller's order.
    pub outcomes: Vec<RecordOutcome>,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordOutcome {
    /// It is in the log, at the receipt's position.
    Accepted {
        /// Its index there.
        index: u32,
        /// Where a secret was taken out, such as `properties.password`.
        redacted: Vec<String>,
    },
    /// A record of an earlier batch declares the same id.
    Known {
        /// Where it is; `None` if its batch cannot be found any more.
        position: Option<Position>,
    },
    /// An earlier record of this batch declares the same id.
    Repeated {
        /// The index of that one at the receipt's position.
        index: u32,
        /// It does not say the same as that one.
        differs: bool,
    },
    /// It is not in the log, and why.
    Rejected(Refusal),
}

impl Door {
    /// What stands for a user's id in a tenant's records.
    pub fn log_user(&self, tenant: &Arc<str>, user: &str) -> Result<String, CommandError> {
        let vault = self.vault.as_ref().ok_or(VaultError::Absent)?;
        Ok(pseudonym(vault, tenant, &values::id(user, "user")?))
    }

    /// Takes in log records of one source, all of the batch in one transaction.
    ///
    /// A bad record is rejected alone; the rest is kept. A record whose declared id the log has is told
    /// where that one is. Fails as a whole only where the batch itself is unusable: no records, too many,
    /// a source that takes none, a reused `commandId`.
    pub async fn ingest_logs(
        &self,
        ctx: &CommandContext,
        batch: IngestLogs,
    ) -> Result<LogsReceipt, CommandError> {
        check_size(ctx, &batch)?;
        let source_id = values::id(&batch.source, "source")?;
        let envelope = Envelope::new(ctx, SOURCE, &intent(&batch))?;
        let first = self.receipts.find(&ctx.tenant, &envelope).transpose()?;
        // One question to the log spares a retry the judging of a whole batch.
        let first = match first {
            Some(first) => Some(first),
            None => self.first_receipt(ctx, &envelope).await?,
        };
        if let Some(first) = first {
            let batch_id = envelope.command_id;
            return Ok(receipt::read(&first, batch_id, batch.records.len()));
        }
        let vault = self.vault.as_ref().ok_or(VaultError::Absent)?;
        let mut turn = Turn::new(self.settings.attempts_max);
        let mut earlier = Earlier::nothing(&envelope);
        let mut is_counted = false;
        loop {
            let (source, version) = self
                .counted_source(ctx, &source_id, &batch, &mut is_counted)
                .await?;
            let source = (&*source_id, &source, version);
            let decided = self.append_logs(ctx, (&envelope, &earlier), vault, &batch, source);
            match decided.await {
                Ok(kept) => return Ok(kept),
                Err(LogsError::Command(error)) => return Err(error),
                // The source was told something else meanwhile, or the batch is there.
                Err(LogsError::Append(error)) => {
                    if sent::is_there(&error) {
                        let n = batch.records.len();
                        earlier = self.earlier(&ctx.tenant, &envelope, n).await?;
                    }
                    let stream = StreamKey::of::<LogSource>(&source_id);
                    let lost = lost_race(error, &stream)?;
                    let cell = self.loaded::<LogSource>(&ctx.tenant, &source_id).await?;
                    forget(&cell);
                    turn.next(lost).await?;
                }
            }
        }
    }

    /// The source of a batch that was counted by what it takes a minute: once, however often the batch is
    /// decided.
    async fn counted_source(
        &self,
        ctx: &CommandContext,
        id: &str,
        batch: &IngestLogs,
        is_counted: &mut bool,
    ) -> Result<(LogSource, i64), CommandError> {
        let (mut source, mut version) = self.source_of(ctx, id, batch.may_register).await?;
        let known = source.limits.records_per_minute_max;
        let records = batch.records.len();
        if let Err(over) = self.count_records(ctx, (id, known), records, is_counted) {
            // Another process may have told it otherwise since.
            forget(&*self.loaded::<LogSource>(&ctx.tenant, id).await?);
            (source, version) = self.source_of(ctx, id, batch.may_register).await?;
            let now = source.limits.records_per_minute_max;
            if now == known {
                return Err(over);
            }
            self.count_records(ctx, (id, now), records, is_counted)?;
        }
        Ok((source, version))
    }

    /// Counts a batch against what its source takes a minute, whatever becomes of its records: it is let
    /// in whole or not at all. One that was counted before must fit all the same.
    fn count_records(
        &self,
        ctx: &CommandContext,
        (source_id, per_minute): (&str, Option<u32>),
        records: usize,
        is_counted: &mut bool,
    ) -> Result<(), CommandError> {
        let (Some(limiter), Some(per_minute)) = (&self.limiter, per_minute) else {
            return Ok(());
        };
        let count = records as u64;
        if count > per_minute.into() {
            // Waiting would not help: there is never room for it.
            let why = "the batch has more records than its source takes in a minute";
            let refusal = Refusal::new(Code::TooLarge, why).at(["logs"]);
            let refusal = refusal.with("limit", per_minute);
            return Err(refusal.with("actual", records).into());
        }
        if !*is_counted {
            let counted = limiter.log_records(&ctx.tenant, source_id, per_minute, count);
            counted.map_err(CommandError::Limited)?;
            *is_counted = true;
        }
        Ok(())
    }

    /// One attempt, by what the source says at this version.
    async fn append_logs(
        &self,
        ctx: &CommandContext,
        (envelope, earlier): (&Envelope, &Earlier),
        vault: &Vault,
        reports: &IngestLogs,
        (source_id, source, version): (&str, &LogSource, i64),
    ) -> Result<LogsReceipt, LogsError> {
        let pseudonym = |user: &str| pseudonym(vault, &ctx.tenant, user);
        let rules = LogRules {
            limits: &source.limits,
            personal_fields: &source.personal_fields,
            now: ctx.now,
            backfill: ctx.backfill,
            pseudonym: &pseudonym,
        };
        let judged = reports.records.iter().map(|report| {
            let report = report.as_ref().map_err(Clone::clone)?;
            judge(report, &rules)
        });
        let mut batch = Batch::new((source_id, version), envelope, earlier, judged);
        batch.keep_rejected(reports, &rules, self.settings.rejected_record_bytes_max);
        let ids = self.sealed(&ctx.tenant, &mut batch, source).await?;
        let decided = self
            .store
            .append_batch(&ctx.tenant, &ids, |known| batch.decide(known));
        let kept = decided.await?;
        self.receipts.keep(&ctx.tenant, envelope, &kept);
        Ok(receipt::read(
            &kept,
            envelope.command_id,
            reports.records.len(),
        ))
    }

    /// Seals what is personal in a batch, and gives the ids its records declare.
    async fn sealed(
        &self,
        tenant: &Arc<str>,
        batch: &mut Batch<'_>,
        source: &LogSource,
    ) -> Result<RecordIds, CommandError> {
        let subjects = batch.subjects();
        if !subjects.is_empty() {
            let mut keyring = self.keyring(tenant);
            keyring.fetch_or_make(subjects).await?;
            batch.seal(&keyring);
        }
        Ok(batch.ids(source.retention.id_days))
    }

    /// The source, which takes records, and its version; registered on its first batch if the caller may.
    async fn source_of(
        &self,
        ctx: &CommandContext,
        id: &str,
        may_register: bool,
    ) -> Result<(LogSource, i64), CommandError> {
        let cell = self.loaded::<LogSource>(&ctx.tenant, id).await?;
        let (source, version) = self.load_settled::<LogSource>(&ctx.tenant, id).await?;
        if source.must_take_records().is_ok() {
            return Ok((source, version));
        }
        // Another process may have told it so since.
        forget(&cell);
        let (source, version) = self.load_settled::<LogSource>(&ctx.tenant, id).await?;
        if source.registered || !may_register {
            source.must_take_records()?;
            return Ok((source, version));
        }
        let register = LogSourceCommand::Register {
            limits: LogLimits::default(),
            retention: LogRetention::default(),
            personal_fields: PersonalFields::default(),
            on_first_batch: true,
        };
        // Its own command: a copy of the batch that is faster registers it just as well.
        let own = CommandContext {
            command_id: None,
            said: None,
            ..ctx.clone()
        };
        match self.execute::<LogSource>(&own, id, register).await {
            Err(CommandError::Refused(refusal)) if refusal.code == Code::AlreadyExists => {
                forget(&cell);
            }
            registered => drop(registered?),
        }
        let (source, version) = self.load_settled::<LogSource>(&ctx.tenant, id).await?;
        source.must_take_records()?;
        Ok((source, version))
    }
}

/// Why one attempt came to nothing.
enum LogsError {
    Append(AppendError),
    Command(CommandError),
}

impl From<AppendError> for LogsError {
    fn from(error: AppendError) -> LogsError {
        LogsError::Append(error)
    }
}

impl From<CommandError> for LogsError {
    fn from(error: CommandError) -> LogsError {
        LogsError::Command(error)
    }
}

/// What a caller asked for, for telling a retry from a reuse of its id.
fn intent(batch: &IngestLogs) -> (&str, Vec<Result<&LogReport, String>>) {
    let said = batch.records.iter().map(|record| {
        let unread = |refusal: &Refusal| format!("{refusal} {:?}", refusal.details);
        record.as_ref().map_err(unread)
    });
    (&batch.source, said.collect())
}

/// What stands for a user's id: the same for the same id, and nothing that leads back to it.
fn pseudonym(vault: &Vault, tenant: &Arc<str>, user: &str) -> String {
    let digest = vault.pseudonym(tenant, USER_SCOPE, user);
    let half = digest.first_chunk().expect("a digest has 32 bytes");
    Uuid::from_bytes(*half).simple().to_string()
}

fn check_size(ctx: &CommandContext, batch: &IngestLogs) -> Result<(), Refusal> {
    let n = batch.records.len();
    if n == 0 {
        let why = "a batch has at least one record";
        return Err(Refusal::new(Code::Validation, why).at(["logs"]));
    }
    if n > RECORDS_MAX {
        let why = format!("a batch has at most {RECORDS_MAX} records");
        return Err(Refusal::new(Code::TooLarge, why)
            .at(["logs"])
            .with("limit", RECORDS_MAX)
            .with("actual", n));
    }
    if ctx.expected_version.is_some() {
        let why = "a batch is a stream of its own and takes no expectedVersion";
        return Err(Refusal::new(Code::Validation, why).at(["expectedVersion"]));
    }
    Ok(())
}

fn at(i: usize) -> [String; 2] {
    ["logs".to_owned(), i.to_string()]
}
