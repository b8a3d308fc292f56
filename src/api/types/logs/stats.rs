//! What log records add up to. All figures of an answer are of one moment, and each can list its records; but
//! for what was not accepted, which left none.

mod behind;
mod figures;

pub use behind::StatsAsked;
use figures::{
    LogActiveUsers, LogDelay, LogErrorShares, LogNameCount, LogSequenceGap, LogTallies,
    LogVisitors, LogVolumes,
};

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use domain::log_source::LogType;
use projections::logs::{self, GapCursor, VolumeBy};

use super::words::{LogBucket, LogVolumeBy};
use crate::api::failure::store_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{Date, DateTime, Position};
use crate::api::types::span::invalid;

/// Figures of one list.
const ROWS_DEFAULT: i32 = 1_000;
const ROWS_MAX: i32 = 10_000;
/// Names of a list of the most frequent.
const NAMES_DEFAULT: i32 = 20;
const NAMES_MAX: i32 = 1_000;

/// What log records of a span add up to. Volumes, shares of errors, frequent names and active users are
/// figures, which stay when a source's retention has taken their records away; all else is counted from
/// the records that can still be found.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogStats {
    /// Start of the span, included: as asked for, cut down to a quarter of an hour.
    from: DateTime,
    /// End of the span, excluded, cut up likewise.
    to: DateTime,
    /// How the span is cut. The first bucket and the last end with the span.
    bucket: LogBucket,
    /// Whose hours, days, weeks and months these are.
    zone: String,
    /// The position in the log all of it is as of, but for `notAccepted`, which is of the moment it is asked.
    as_of_position: Position,
    #[graphql(skip)]
    asked: Arc<StatsAsked>,
}

impl LogStats {
    /// The answer to a question.
    pub fn new(asked: StatsAsked, as_of: domain::Position) -> LogStats {
        LogStats {
            from: DateTime(asked.from),
            to: DateTime(asked.to),
            bucket: asked.bucket.into(),
            zone: asked.zone.clone(),
            as_of_position: Position(as_of),
            asked: Arc::new(asked),
        }
    }
}

/// How many rows are asked for.
fn rows(limit: Option<i32>, default: i32, most: i32) -> Result<u32, Fault> {
    match limit.unwrap_or(default) {
        limit if (1..=most).contains(&limit) => Ok(limit.unsigned_abs()),
        _ => Err(Fault::of(FaultCode::PageLimit).with("limit", most)),
    }
}

#[ComplexObject]
impl LogStats {
    /// How many records there are, by bucket, and by whatever is told apart beside: then kinds and buckets
    /// without records are left out, otherwise no bucket is. Only for filters by source, types, name and
    /// version.
    async fn volume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is told apart; nothing if not said.")] by: Option<Vec<LogVolumeBy>>,
        #[graphql(desc = "At most this many, 1 to 10,000; 1,000 if not said.")] limit: Option<i32>,
    ) -> Result<LogVolumes> {
        let limit = rows(limit, ROWS_DEFAULT, ROWS_MAX)?;
        let by = by.unwrap_or_default();
        let by = VolumeBy {
            log_type: by.contains(&LogVolumeBy::Type),
            name: by.contains(&LogVolumeBy::Name),
            version: by.contains(&LogVolumeBy::Version),
        };
        let query = self.asked.volume(by)?;
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::volume(&mut snapshot, &query, limit).await;
        Ok(LogVolumes::new(&self.asked, snapshot.answer(found)?))
    }

    /// How many of the records are of the type `ERROR`, by bucket, none left out. Only for filters by source, types (`ERROR`
    /// among them), name and version.
    async fn error_share(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 10,000; 1,000 if not said.")] limit: Option<i32>,
    ) -> Result<LogErrorShares> {
        let limit = rows(limit, ROWS_DEFAULT, ROWS_MAX)?;
        let query = self.asked.volume(VolumeBy::default())?;
        if !query.event_types.is_empty() && !query.event_types.contains(&LogType::Error) {
            return Err(invalid("types", "errors are not among the types asked for").into());
        }
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::error_share(&mut snapshot, &query, limit).await;
        Ok(LogErrorShares::new(&self.asked, snapshot.answer(found)?))
    }

    /// The most frequent names of the whole span; of equal ones by name. Only for filters by source, types,
    /// name and version.
    async fn top_names(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 1,000; 20 if not said.")] limit: Option<i32>,
    ) -> Result<Vec<LogNameCount>> {
        let limit = rows(limit, NAMES_DEFAULT, NAMES_MAX)?;
        let query = self.asked.volume(VolumeBy::default())?;
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::top_names(&mut snapshot, &query, limit).await;
        let found = snapshot.answer(found)?.items.into_iter();
        let name = |row| LogNameCount::new(&self.asked, row);
        Ok(found.map(name).collect())
    }

    /// Users and sessions that records name, exactly, by bucket, none left out.
    async fn visitors(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 10,000; 1,000 if not said.")] limit: Option<i32>,
    ) -> Result<LogVisitors> {
        let limit = rows(limit, ROWS_DEFAULT, ROWS_MAX)?;
        let asked = &self.asked;
        let filter = asked.counted()?;
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::distinct(&mut snapshot, &filter, asked.bucket, &asked.zone, limit).await;
        Ok(LogVisitors::new(asked, snapshot.answer(found)?))
    }

    /// From a record's own time to its being recorded, over the whole span. What was handed in as a backfill
    /// does not count.
    async fn ingestion_delay(&self, ctx: &Context<'_>) -> Result<LogDelay> {
        let filter = self.asked.counted()?;
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::delay(&mut snapshot, &filter).await;
        Ok(LogDelay::new(&self.asked, snapshot.answer(found)?))
    }

    /// Records that came in the span, whatever their own times, and were not accepted: by hour (UTC), source
    /// and code, duplicates among them. Kept as long as receipts are (`countedFrom`), and read when it is asked,
    /// not as of `asOfPosition`; `ingestReceipt` tells of each one, and `rejectedRecords` lists those that were
    /// refused. Only for filters by source.
    async fn not_accepted(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 10,000; 1,000 if not said.")] limit: Option<i32>,
    ) -> Result<LogTallies> {
        let limit = rows(limit, ROWS_DEFAULT, ROWS_MAX)?;
        let source = self.asked.of_source()?;
        let operation = Operation::of(ctx);
        let (store, span) = (&operation.parts.store, (self.asked.from, self.asked.to));
        let since = store.log_tallies_since(operation.parts.clock.now());
        let tallies = store.log_tallies(operation.tenant(), source, span, limit + 1);
        let tallies = tallies.await.map_err(store_fault)?;
        Ok(LogTallies::new(tallies, limit, since.max(span.0)))
    }

    /// Numbers that are missing between the records that a session has in the span, by source, session and
    /// number: those that no record of the session has, whenever it happened. What comes before the first of
    /// these numbers, or after the last, is not missing; what retention has taken away is. Only for filters by
    /// source and session.
    async fn sequence_gaps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<LogSequenceGap>> {
        let operation = Operation::of(ctx);
        let query = self.asked.sessions()?;
        type Place = (String, String, i64);
        let ask = Ask::<Place>::read(operation, "sequenceGaps", &query, first, after.as_deref())?;
        let after = ask.after.clone();
        let after = after.map(|(source_id, session_id, first)| GapCursor {
            source_id,
            session_id,
            first,
        });
        let mut snapshot = operation.read(&[logs::NAME]).await?;
        let page = logs::gaps(&mut snapshot, &query, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |gap: &logs::Gap| (gap.source_id.clone(), gap.session_id.clone(), gap.first);
        let node = |gap| LogSequenceGap::new(&self.asked, gap);
        Ok(ask.connection(page, as_of, place, node))
    }

    /// Users of any source with a record on a day (UTC), in the week up to it and in the month up to it; the
    /// span and the filter do not matter.
    async fn active_users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The day.")] day: Date,
    ) -> Result<LogActiveUsers> {
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let found = logs::active_users(&mut snapshot, day.0).await;
        Ok(snapshot.answer(found)?.into())
    }
}
