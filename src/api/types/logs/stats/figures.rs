//! Figures of log records, each with the records behind it, if there are any.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use domain::log_source::LogType as Type;
use projections::Page;
use projections::logs::{
    ActiveUsers, Delay, Distinct, ErrorShare, Gap, LogFilter, LogOnly, NameCount, VolumeRow,
};

use super::super::list::LogRecords;
use super::super::words::{LogActiveSpan, LogType};
use super::behind::{Behind, StatsAsked};
use crate::api::scalars::{Date, DateTime, Long};
use crate::store::Tally;

/// Volumes, by bucket and kind.
#[derive(SimpleObject)]
pub struct LogVolumes {
    /// By bucket, then type, name and version as they are told apart.
    rows: Vec<LogVolume>,
    /// Are there more than `limit` let through?
    more: bool,
}

/// How many records of one kind there are in one bucket.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogVolume {
    /// Start of the bucket, included.
    start: DateTime,
    /// End of the bucket, excluded.
    end: DateTime,
    /// Of which type; null if types are not told apart.
    event_type: Option<LogType>,
    /// Of which name; null if names are not told apart.
    event_name: Option<String>,
    /// Of which version, empty where none was told; null if versions are not told apart.
    app_version: Option<String>,
    /// How many records.
    records: Long,
    #[graphql(skip)]
    behind: Behind,
}

/// Shares of errors, by bucket.
#[derive(SimpleObject)]
pub struct LogErrorShares {
    /// In order of time.
    rows: Vec<LogErrorShare>,
    /// Are there more than `limit` let through?
    more: bool,
}

/// How many records of a bucket are errors.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogErrorShare {
    /// Start of the bucket, included.
    start: DateTime,
    /// End of the bucket, excluded.
    end: DateTime,
    /// How many records there are.
    records: Long,
    /// How many of them are of the type `ERROR`.
    errors: Long,
    /// The second divided by the first; null without any.
    share: Option<f64>,
    #[graphql(skip)]
    behind: Behind,
}

/// How often a name was recorded.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogNameCount {
    /// Its place: those that are as frequent share one, and the next is as if they did not.
    rank: Long,
    /// The name.
    event_name: String,
    /// How many records.
    records: Long,
    #[graphql(skip)]
    behind: Behind,
}

/// Records that were not accepted, by hour, source and code.
#[derive(SimpleObject)]
pub struct LogTallies {
    /// From then on all are counted; what is older is forgotten, or soon will be.
    counted_from: DateTime,
    /// In order of time, then source and code.
    rows: Vec<LogTally>,
    /// Are there more than `limit` let through?
    more: bool,
}

/// How many records of a source were not accepted in an hour, for one reason.
#[derive(SimpleObject)]
pub struct LogTally {
    /// Start of the hour, UTC.
    start: DateTime,
    /// Whose records.
    source: String,
    /// `DUPLICATE`; `DUPLICATE_DIFFERS` for one that says something else than an earlier record of its batch
    /// with its id; or the code it was rejected for.
    code: String,
    /// How many records.
    records: Long,
}

/// Users and sessions, by bucket.
#[derive(SimpleObject)]
pub struct LogVisitors {
    /// In order of time.
    rows: Vec<LogVisitorCount>,
    /// Are there more than `limit` let through?
    more: bool,
}

/// Users and sessions that the records of a bucket name.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogVisitorCount {
    /// Start of the bucket, included.
    start: DateTime,
    /// End of the bucket, excluded.
    end: DateTime,
    /// How many records there are.
    records: Long,
    /// How many batches they came in.
    batches: Long,
    /// How many users they are about.
    users: Long,
    /// How many sessions they belong to: an id counts once for each source.
    sessions: Long,
    #[graphql(skip)]
    behind: Behind,
}

/// How long records take from their source into the log; of a source whose clock is ahead, less than nothing.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogDelay {
    /// Of how many records.
    records: Long,
    /// Median in seconds, interpolated; null without any.
    p50_seconds: Option<f64>,
    /// 95th percentile in seconds, interpolated; null without any.
    p95_seconds: Option<f64>,
    #[graphql(skip)]
    behind: Behind,
}

/// Numbers that are missing between the records of a session.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogSequenceGap {
    /// Whose session.
    source: String,
    /// The session.
    session_id: String,
    /// The first number that is missing.
    first: Long,
    /// The last.
    last: Long,
    /// A record of the number before the first, as `position:index`.
    before: String,
    /// A record of the number after the last, as `position:index`.
    after: String,
    #[graphql(skip)]
    behind: Behind,
}

/// Users with a record on a day, or on one of the days before it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LogActiveUsers {
    /// The day, in UTC.
    day: Date,
    /// On that day.
    daily: Long,
    /// On it or one of the 6 days before.
    weekly: Long,
    /// On it or one of the 29 days before.
    monthly: Long,
}

/// A figure's records.
macro_rules! evidence {
    ($($(#[$about:meta])* $figure:ident)*) => {$(
        #[ComplexObject]
        impl $figure {
            $(#[$about])*
            async fn evidence(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")]
                first: Option<i32>,
                #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
            ) -> Result<LogRecords> {
                self.behind.evidence(ctx, first, after).await
            }
        }
    )*};
}

evidence! {
    /// The records that are counted, those that happened first first; those that can still be found.
    LogVolume
    /// The errors, those that happened first first; those that can still be found.
    LogErrorShare
    /// The records of this name, those that happened first first; those that can still be found.
    LogNameCount
    /// The records that are counted, those that happened first first.
    LogVisitorCount
    /// The records that are counted, those that happened first first.
    LogDelay
    /// The records of the session, in the span or not, those that happened first first.
    LogSequenceGap
}

#[ComplexObject]
impl LogActiveUsers {
    /// The records by which users were there, of any source, those that happened first first; those that can
    /// still be found.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Of the day, of the week or of the month.",
            default_with = "LogActiveSpan::Day"
        )]
        of: LogActiveSpan,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<LogRecords> {
        let behind = Behind::of_days(self.day.0, of.days_before());
        behind.evidence(ctx, first, after).await
    }
}

impl LogVolumes {
    /// Those that were found.
    pub fn new(asked: &Arc<StatsAsked>, page: Page<VolumeRow>) -> LogVolumes {
        let row = |row: VolumeRow| {
            let span = (row.bucket, row.end);
            let behind = asked.behind(span, |filter: &mut LogFilter| {
                if let Some(event_type) = row.event_type {
                    filter.event_types = vec![event_type];
                }
                filter.event_name = row.event_name.clone().or(filter.event_name.take());
                filter.app_version = row.app_version.clone().or(filter.app_version.take());
            });
            LogVolume {
                start: DateTime(span.0),
                end: DateTime(span.1),
                event_type: row.event_type.map(Into::into),
                event_name: row.event_name,
                app_version: row.app_version,
                records: Long(row.records),
                behind,
            }
        };
        LogVolumes {
            more: page.has_next,
            rows: page.items.into_iter().map(row).collect(),
        }
    }
}

impl LogErrorShares {
    /// Those that were found.
    pub fn new(asked: &Arc<StatsAsked>, page: Page<ErrorShare>) -> LogErrorShares {
        let row = |row: ErrorShare| {
            let span = (row.bucket, row.end);
            LogErrorShare {
                start: DateTime(span.0),
                end: DateTime(span.1),
                records: Long(row.records),
                errors: Long(row.errors),
                share: (row.records > 0).then(|| row.errors as f64 / row.records as f64),
                behind: asked.behind(span, |filter| filter.event_types = vec![Type::Error]),
            }
        };
        LogErrorShares {
            more: page.has_next,
            rows: page.items.into_iter().map(row).collect(),
        }
    }
}

impl LogNameCount {
    /// One that was found.
    pub fn new(asked: &Arc<StatsAsked>, row: NameCount) -> LogNameCount {
        let name = row.event_name.clone();
        LogNameCount {
            rank: Long(row.rank),
            event_name: row.event_name,
            records: Long(row.records),
            behind: asked.behind((asked.from, asked.to), |filter| {
                filter.event_name = Some(name);
            }),
        }
    }
}

impl LogTallies {
    /// Those that were found, at most `limit` of them; all that there were from a time on.
    pub fn new(
        mut found: Vec<Tally>,
        limit: u32,
        counted_from: chrono::DateTime<chrono::Utc>,
    ) -> LogTallies {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let row = |tally: Tally| LogTally {
            start: DateTime(tally.hour),
            source: tally.source,
            code: tally.code,
            records: Long(tally.records),
        };
        LogTallies {
            counted_from: DateTime(counted_from),
            rows: found.into_iter().map(row).collect(),
            more,
        }
    }
}

impl LogVisitors {
    /// Those that were found.
    pub fn new(asked: &Arc<StatsAsked>, page: Page<Distinct>) -> LogVisitors {
        let row = |row: Distinct| {
            let span = (row.bucket, row.end);
            LogVisitorCount {
                start: DateTime(span.0),
                end: DateTime(span.1),
                records: Long(row.records),
                batches: Long(row.batches),
                users: Long(row.users),
                sessions: Long(row.sessions),
                behind: asked.behind(span, |_| ()),
            }
        };
        LogVisitors {
            more: page.has_next,
            rows: page.items.into_iter().map(row).collect(),
        }
    }
}

impl LogDelay {
    /// The one that was found.
    pub fn new(asked: &Arc<StatsAsked>, found: Delay) -> LogDelay {
        LogDelay {
            records: Long(found.records),
            p50_seconds: found.p50_s,
            p95_seconds: found.p95_s,
            behind: asked
                .behind((asked.from, asked.to), |_| ())
                .only(LogOnly::Live),
        }
    }
}

impl LogSequenceGap {
    /// One that was found.
    pub fn new(asked: &Arc<StatsAsked>, gap: Gap) -> LogSequenceGap {
        let (source, session) = (gap.source_id.clone(), gap.session_id.clone());
        let id = |(position, index): (domain::Position, i32)| format!("{position}:{index}");
        LogSequenceGap {
            source: gap.source_id,
            session_id: gap.session_id,
            first: Long(gap.first),
            last: Long(gap.last),
            before: id(gap.before),
            after: id(gap.after),
            behind: asked.behind((asked.from, asked.to), |filter| {
                filter.source_id = Some(source);
                filter.session_id = Some(session);
                (filter.from, filter.to) = (None, None);
            }),
        }
    }
}

impl From<ActiveUsers> for LogActiveUsers {
    fn from(found: ActiveUsers) -> LogActiveUsers {
        LogActiveUsers {
            day: Date(found.day),
            daily: Long(found.daily),
            weekly: Long(found.weekly),
            monthly: Long(found.monthly),
        }
    }
}
