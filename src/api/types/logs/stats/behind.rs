//! A question about figures, and the records behind one of them.

use async_graphql::Context;
use chrono::{DateTime as Instant, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use projections::logs::{
    GapQuery, LOG_GRAIN_S, LogBucket as Bucket, LogFilter, LogOnly, LogOrder, LogQuery, LogSort,
    VolumeBy, VolumeQuery,
};

use super::super::filter::SPAN_DAYS_MAX;
use super::super::list::{LogRecords, Window, listed};
use super::super::words::LogBucket;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::types::span::{invalid, zone};

/// A question about figures.
#[derive(Clone, Debug)]
pub struct StatsAsked {
    /// Of which records; its span is ours.
    filter: LogFilter,
    /// Start of the span, at a quarter of an hour.
    pub from: Instant<Utc>,
    /// Its end, likewise.
    pub to: Instant<Utc>,
    /// How it is cut.
    pub bucket: Bucket,
    /// By whose clocks.
    pub zone: String,
}

/// The records behind a figure.
pub struct Behind(LogFilter, LogOnly);

impl StatsAsked {
    /// Checks a question. The span of its filter is cut outwards to what volumes are kept in.
    pub fn new(
        mut filter: LogFilter,
        (from, to): (Instant<Utc>, Instant<Utc>),
        bucket: LogBucket,
        zone_name: Option<String>,
    ) -> Result<StatsAsked, Fault> {
        if from >= to {
            return Err(invalid("to", "the span is empty: `to` is not after `from`"));
        }
        if (to - from).num_days() > SPAN_DAYS_MAX {
            return Err(invalid("to", "the span is longer than ten years"));
        }
        let zone = zone(zone_name)?;
        let (from, to) = (cut_down(from), cut_up(to));
        (filter.from, filter.to) = (Some(from), Some(to));
        Ok(StatsAsked {
            filter,
            from,
            to,
            bucket: bucket.into(),
            zone,
        })
    }

    /// The filter of figures that are counted from the records.
    pub fn counted(&self) -> Result<LogFilter, Fault> {
        let filter = &self.filter;
        if filter.text.is_some() || !filter.properties.is_empty() {
            let message = "figures are not of what is searched for record by record: leave out `text`, \
                           `provider` and `properties`";
            return Err(invalid("filter", message));
        }
        Ok(filter.clone())
    }

    /// The source, where nothing else is asked for.
    pub fn of_source(&self) -> Result<Option<&str>, Fault> {
        let of_source = LogFilter {
            source_id: self.filter.source_id.clone(),
            from: self.filter.from,
            to: self.filter.to,
            ..LogFilter::default()
        };
        if self.filter != of_source {
            let message = "what was not accepted is counted by source: leave out all else";
            return Err(invalid("filter", message));
        }
        Ok(self.filter.source_id.as_deref())
    }

    /// The question for volumes, which are kept by source, type, name and version.
    pub fn volume(&self, by: VolumeBy) -> Result<VolumeQuery, Fault> {
        let filter = self.counted()?;
        if filter.user_id.is_some() || filter.session_id.is_some() || filter.priority.is_some() {
            let message = "volumes are kept by source, type, name and version: leave out `user`, \
                           `pseudonym`, `session` and `priority`";
            return Err(invalid("filter", message));
        }
        Ok(VolumeQuery {
            source_id: filter.source_id,
            event_types: filter.event_types,
            event_name: filter.event_name,
            app_version: filter.app_version,
            from: self.from,
            to: self.to,
            bucket: self.bucket,
            zone: self.zone.clone(),
            by,
        })
    }

    /// The question for missing numbers, which are a session's own.
    pub fn sessions(&self) -> Result<GapQuery, Fault> {
        let sessions = GapQuery {
            source_id: self.filter.source_id.clone(),
            session_id: self.filter.session_id.clone(),
            from: self.filter.from,
            to: self.filter.to,
        };
        let of_sessions = LogFilter {
            source_id: sessions.source_id.clone(),
            session_id: sessions.session_id.clone(),
            from: sessions.from,
            to: sessions.to,
            ..LogFilter::default()
        };
        if self.filter != of_sessions {
            let message = "a number is missing if no record of the session has it, whatever else it says: \
                           leave out all but `source` and `session`";
            return Err(invalid("filter", message));
        }
        Ok(sessions)
    }

    /// The records of a part of the span, narrowed down.
    pub fn behind(
        &self,
        (from, to): (Instant<Utc>, Instant<Utc>),
        narrow: impl FnOnce(&mut LogFilter),
    ) -> Behind {
        let mut filter = self.filter.clone();
        (filter.from, filter.to) = (Some(from), Some(to));
        narrow(&mut filter);
        Behind(filter, LogOnly::All)
    }
}

impl Behind {
    /// Of these alone.
    pub fn only(self, only: LogOnly) -> Behind {
        Behind(self.0, only)
    }

    /// Records about users, of any source, of a day (UTC) and so many before it.
    pub fn of_days(last: NaiveDate, before: u64) -> Behind {
        let start = |day: Option<NaiveDate>| day.map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let filter = LogFilter {
            from: start(last.checked_sub_days(Days::new(before))),
            to: start(last.checked_add_days(Days::new(1))),
            ..LogFilter::default()
        };
        Behind(filter, LogOnly::OfUsers)
    }

    /// A page of them, those that happened first first.
    pub async fn evidence(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<LogRecords> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let query = LogQuery {
            filter: self.0.clone(),
            only: self.1,
            order: LogOrder {
                by: LogSort::Time,
                ascending: true,
            },
        };
        let window = Window {
            first,
            after,
            ..Window::default()
        };
        Ok(listed(operation, "logEvidence", &query, window).await?)
    }
}

fn cut_down(at: Instant<Utc>) -> Instant<Utc> {
    let seconds = at.timestamp().div_euclid(LOG_GRAIN_S) * LOG_GRAIN_S;
    Instant::from_timestamp(seconds, 0).unwrap_or(at)
}

fn cut_up(at: Instant<Utc>) -> Instant<Utc> {
    let below = cut_down(at);
    match below == at {
        true => at,
        false => below + TimeDelta::seconds(LOG_GRAIN_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_span_is_cut_outwards() {
        for (time, down, up) in [
            (
                "2016-01-05T00:00:00Z",
                "2016-01-05T00:00:00Z",
                "2016-01-05T00:00:00Z",
            ),
            (
                "2016-01-05T00:14:59.9Z",
                "2016-01-05T00:00:00Z",
                "2016-01-05T00:15:00Z",
            ),
            (
                "1969-12-31T23:59:59Z",
                "1969-12-31T23:45:00Z",
                "1970-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(
                (cut_down(at(time)), cut_up(at(time))),
                (at(down), at(up)),
                "{time}"
            );
        }
    }
}
