//! How often: deployments, the days they fell on, and how many were rework.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate};
use sqlx::{QueryBuilder, Row};

use super::reached::push_reached;
use super::window::{Span, WHOLE, Window};
use super::{DoraQuery, FrequencyBand, rate};
use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

/// Deployment frequency.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequency {
    /// How many reached the tier.
    pub deployments: i64,
    /// How many a day, days without any included; `None` without any.
    pub per_day: Option<f64>,
    /// How many days of the zone had one.
    pub days_with_one: i64,
    /// Of the whole weeks (from Monday) within the span, the median of the days with one; `None` without
    /// a whole week or without a deployment.
    pub median_days_per_week: Option<f64>,
    /// What that is called.
    pub band: Option<FrequencyBand>,
}

/// Deployment rework rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rework {
    /// How many were unplanned fixes, or said to end an incident.
    pub deployments: i64,
    /// Their share of all; `None` without any.
    pub rate: Option<f64>,
}

/// What fell on one day.
#[derive(Clone, Copy, Debug, Default)]
struct DayCount {
    deployments: i64,
    rollbacks: i64,
    rework: i64,
}

/// What fell on the days of the whole span and of each bucket that had a deployment.
pub(super) struct Daily(Vec<BTreeMap<NaiveDate, DayCount>>);

pub(super) async fn frequency(
    snap: &mut Snapshot,
    query: &DoraQuery,
    window: &Window,
) -> Result<Daily, ReadError> {
    let table = snap.name(NAME, "deployments")?;
    let mut sql = QueryBuilder::new("select width_bucket(d.succeeded_at, ");
    sql.push_bind(&window.starts)
        .push("), (d.succeeded_at at time zone ")
        .push_bind(&query.zone);
    sql.push(format!(
        ")::date, count(*), count(*) filter (where d.reason = 'rollback'),
         count(*) filter (where d.reason = 'unplanned_fix' or d.remedies is not null)
         from {table} d where "
    ));
    push_reached(&mut sql, snap, query);
    sql.push(" group by 1, 2");
    let mut daily = vec![BTreeMap::new(); window.buckets() + 1];
    for row in sql.build().fetch_all(snap.connection()).await? {
        let n: i32 = row.try_get(0)?;
        let day: NaiveDate = row.try_get(1)?;
        let count = DayCount {
            deployments: row.try_get(2)?,
            rollbacks: row.try_get(3)?,
            rework: row.try_get(4)?,
        };
        for place in [WHOLE, usize::try_from(n).unwrap_or(WHOLE)] {
            let of: &mut BTreeMap<_, DayCount> = &mut daily[place];
            let of = of.entry(day).or_default();
            of.deployments += count.deployments;
            of.rollbacks += count.rollbacks;
            of.rework += count.rework;
        }
    }
    Ok(Daily(daily))
}

impl Daily {
    /// The figures of the whole span or of a bucket, and how many of its deployments are rollbacks.
    pub(super) fn figures(&self, span: Span, n: usize) -> (Frequency, Rework, i64) {
        let days = &self.0[n];
        let sum = |of: fn(&DayCount) -> i64| days.values().map(of).sum::<i64>();
        let deployments = sum(|day| day.deployments);
        let rework = sum(|day| day.rework);
        let some = deployments > 0;
        let per_day = some.then(|| deployments as f64 / span.days());
        let median = some
            .then(|| median(&mut days_per_week(days, span)))
            .flatten();
        let frequency = Frequency {
            deployments,
            per_day,
            days_with_one: i64::try_from(days.len()).unwrap_or(i64::MAX),
            median_days_per_week: median,
            band: median
                .zip(per_day)
                .map(|(median, per_day)| FrequencyBand::of(median, per_day)),
        };
        let rework = Rework {
            deployments: rework,
            rate: rate(rework, deployments),
        };
        (frequency, rework, sum(|day| day.rollbacks))
    }
}

/// For each whole week within the span, how many of its days had a deployment.
fn days_per_week(days: &BTreeMap<NaiveDate, DayCount>, span: Span) -> Vec<usize> {
    let first = span.local_start.date();
    let whole = first.and_hms_opt(0, 0, 0) == Some(span.local_start);
    let first = if whole { first } else { first + Days::new(1) };
    let to_monday = (7 - first.weekday().num_days_from_monday()) % 7;
    let mut monday = first + Days::new(to_monday.into());
    let mut weeks = Vec::new();
    while monday + Days::new(7) <= span.local_end.date() {
        let next = monday + Days::new(7);
        weeks.push(days.range(monday..next).count());
        monday = next;
    }
    weeks
}

fn median(values: &mut [usize]) -> Option<f64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: &str, to: &str) -> Span {
        let local = |text: &str| text.parse().expect("a test's time");
        Span {
            start: Default::default(),
            end: Default::default(),
            local_start: local(from),
            local_end: local(to),
        }
    }

    #[test]
    fn only_whole_weeks_count_and_those_without_a_deployment_do() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a test's day");
        // 2024-01-01 is a Monday.
        let days = ["2024-01-01", "2024-01-02", "2024-01-15", "2024-01-22"];
        let days = days.map(|text| (day(text), DayCount::default()));
        let days = BTreeMap::from(days);
        let check = |from: &str, to: &str, expect: &[usize]| {
            assert_eq!(days_per_week(&days, span(from, to)), expect, "{from} {to}");
        };
        check("2024-01-01T00:00:00", "2024-01-22T00:00:00", &[2, 0, 1]);
        check("2024-01-01T00:00:01", "2024-01-21T23:59:59", &[0]);
        check("2024-01-03T00:00:00", "2024-01-29T00:00:00", &[0, 1, 1]);
        check("2024-01-02T00:00:00", "2024-01-08T00:00:00", &[]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3]), Some(3.0));
        assert_eq!(median(&mut [5, 0]), Some(2.5));
        assert_eq!(median(&mut [4, 0, 1]), Some(1.0));
    }
}
