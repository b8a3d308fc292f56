//! Questions about log records.

use async_graphql::{Context, ID, Object, Result};
use chrono::TimeDelta;
use projections::logs::{self, LogOnly, LogQuery, LogSourceRow};

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::DateTime;
use crate::api::types::logs::{
    LogBucket, LogFilterInput, LogOrder, LogRecords, LogSource, LogStats, LogStatus, StatsAsked,
    Window, listed,
};

/// The span of figures if it is not said, up to its end.
const SPAN_DEFAULT: TimeDelta = TimeDelta::hours(24);

/// Questions about log records.
#[derive(Default)]
pub struct LogRecordQueries;

#[Object]
impl LogRecordQueries {
    /// Log records, forwards by `first` and `after` or backwards by `last` and `before`. For what is looked for
    /// record by record, a page looks at 100,000 records at most; it then says how far it came. Records that
    /// their source's retention has taken away are in the log, and not here.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn logs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<LogFilterInput>,
        #[graphql(desc = "In which order.", default_with = "LogOrder::NewestFirst")]
        order_by: LogOrder,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end, or before `before`: 1 to 200.")]
        last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "Those after so many from the beginning, 0 to 10,000; not with a cursor."
        )]
        offset: Option<i32>,
    ) -> Result<LogRecords> {
        let operation = Operation::of(ctx);
        let query = LogQuery {
            filter: filter.unwrap_or_default().read(operation)?,
            only: LogOnly::All,
            order: order_by.into(),
        };
        let window = Window {
            first,
            after,
            last,
            before,
            offset,
        };
        Ok(listed(operation, "logs", &query, window).await?)
    }

    /// One source of log records; null if there is none of this name.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn log_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's name.")] id: ID,
    ) -> Result<Option<LogSource>> {
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let row = logs::log_source(&mut snapshot, &id).await;
        Ok(snapshot.answer(row)?.map(LogSource::from))
    }

    /// Sources of log records, by ascending name.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn log_sources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<LogSource>> {
        let operation = Operation::of(ctx);
        let ask = Ask::<String>::read(operation, "logSources", &(), first, after.as_deref())?;
        let mut snapshot = operation.read(&[logs::NAME]).await?;
        let page = logs::log_sources(&mut snapshot, ask.after.as_deref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &LogSourceRow| row.id.clone();
        Ok(ask.connection(page, as_of, place, LogSource::from))
    }

    /// All sources of log records together.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn log_status(&self, ctx: &Context<'_>) -> Result<LogStatus> {
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let totals = logs::log_totals(&mut snapshot).await;
        Ok(snapshot.answer(totals)?.into())
    }

    /// What log records of a span add up to, ten years at most. The span is that of `from` and `to`, cut
    /// outwards to quarters of an hour; what `filter` says of time is not looked at. Cursors within are good
    /// for the span: whoever left `to` or `from` out asks for the next page with those that were answered.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn log_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which records; all if not said.")] filter: Option<LogFilterInput>,
        #[graphql(desc = "Time of a record, included; a day before `to` if not said.")]
        from: Option<DateTime>,
        #[graphql(desc = "Time of a record, excluded; now if not said.")] to: Option<DateTime>,
        #[graphql(desc = "How the span is cut.", default_with = "LogBucket::Hour")]
        bucket: LogBucket,
        #[graphql(desc = "Zone of the IANA database whose days are meant; UTC if not said.")]
        zone: Option<String>,
    ) -> Result<LogStats> {
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default().read(operation)?;
        let to = to.map_or_else(|| operation.parts.clock.now(), |to| to.0);
        let from = from.map_or_else(|| to - SPAN_DEFAULT, |from| from.0);
        let asked = StatsAsked::new(filter, (from, to), bucket, zone)?;
        let snapshot = operation.read(&[logs::NAME]).await?;
        let as_of = snapshot.position(&[logs::NAME]);
        let as_of = snapshot.answer(as_of)?;
        Ok(LogStats::new(asked, as_of))
    }
}
