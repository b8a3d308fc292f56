//! Samples counted: of the window, and of each span that an alert looks back over.

use chrono::{DateTime, TimeDelta, Utc};
use domain::slo::{Method, PARTS_PER_MILLION};
use sqlx::{Postgres, QueryBuilder, Row};

use super::samples::push_samples;
use super::window::Window;
use super::{BURN_RULES, BurnRate, Counted, SloQuery};
use crate::{ReadError, Snapshot};

/// What was counted.
pub(super) struct Counts {
    pub(super) samples: Counted,
    pub(super) negative: i64,
    pub(super) percentile_s: Option<f64>,
    pub(super) counted: Counted,
    pub(super) burn: Vec<BurnRate>,
}

/// Counts all of it with one statement over one list of samples.
pub(super) async fn count(
    snap: &mut Snapshot,
    query: &SloQuery,
    window: &Window,
) -> Result<Counts, ReadError> {
    let rules = BURN_RULES
        .iter()
        .filter_map(|rule| rule.over(window.length));
    let rules: Vec<_> = rules.collect();
    // Alerts look back beyond the start of a calendar window, never further than one is long.
    let back = |minutes: u32| window.to - TimeDelta::minutes(i64::from(minutes));
    let spans = rules.iter().flat_map(|r| [r.long_minutes, r.short_minutes]);
    let starts: Vec<_> = [window.from].into_iter().chain(spans.map(back)).collect();
    let first = starts.iter().copied().min().unwrap_or(window.from);
    let mut sql = QueryBuilder::new("with ");
    push_samples(&mut sql, snap, query, first)?;
    push_overall(&mut sql, query, window.from);
    sql.push(" union all select n::integer, total, good, 0, null from (");
    let places = starts.len();
    push_spans(&mut sql, query, starts);
    sql.push(") u");
    let mut counts = Counts {
        samples: Counted::default(),
        negative: 0,
        percentile_s: None,
        counted: Counted::default(),
        burn: Vec::with_capacity(rules.len()),
    };
    let mut spans = vec![Counted::default(); places];
    for row in sql.build().fetch_all(snap.connection()).await? {
        let (total, good) = (row.try_get(1)?, row.try_get(2)?);
        let counted = Counted { total, good };
        match usize::try_from(row.try_get::<i32, _>(0)?) {
            Ok(0) | Err(_) => {
                counts.samples = counted;
                counts.negative = row.try_get(3)?;
                counts.percentile_s = row.try_get(4)?;
            }
            Ok(n) => spans[n - 1] = counted,
        }
    }
    counts.counted = spans[0];
    let pairs = rules.into_iter().zip(spans[1..].chunks_exact(2));
    let rates = pairs.map(|(rule, pair)| BurnRate {
        rule,
        long: pair[0],
        short: pair[1],
    });
    counts.burn.extend(rates);
    Ok(counts)
}

/// Adds a select of what is said of all samples of the window, as row 0.
fn push_overall(sql: &mut QueryBuilder<'_, Postgres>, query: &SloQuery, from: DateTime<Utc>) {
    let counts = "filter (where kind <> 'negative')";
    sql.push(format!(
        " select 0, count(*) {counts}, count(*) filter (where kind = 'good'),
                 count(*) filter (where kind = 'negative'), "
    ));
    match query.objective.percentile_ppm {
        None => {
            sql.push("null::float8");
        }
        Some(ppm) => {
            sql.push("percentile_cont(")
                .push_bind(f64::from(ppm) / f64::from(PARTS_PER_MILLION))
                .push(format!(") within group (order by seconds) {counts}"));
        }
    }
    sql.push(" from samples where ended >= ").push_bind(from);
}

/// Adds a select of what the method counts since each of these moments: their number from 1, how many there
/// are, how many are good.
fn push_spans(sql: &mut QueryBuilder<'_, Postgres>, query: &SloQuery, starts: Vec<DateTime<Utc>>) {
    push_counted(sql, query, |sql| {
        sql.push("select p.n, s.ended, s.kind from unnest(")
            .push_bind(starts)
            .push(
                "::timestamptz[]) with ordinality p (since, n)
                 join samples s on s.ended >= p.since where s.kind <> 'negative'",
            );
    });
}

/// Adds a select of what the method counts by group: `n`, `total`, `good`. What is counted is a select of
/// `n`, `ended` and `kind`. A slice is good if enough of its samples are; one without any is none. Slices
/// follow each other from the start of 1970, so that the same look later cuts them the same.
pub(super) fn push_counted(
    sql: &mut QueryBuilder<'_, Postgres>,
    query: &SloQuery,
    push_what: impl FnOnce(&mut QueryBuilder<'_, Postgres>),
) {
    match query.objective.method {
        Method::Occurrences {} => {
            sql.push(
                "select n, count(*) as total, count(*) filter (where kind = 'good') as good from (",
            );
            push_what(sql);
            sql.push(") w group by n");
        }
        Method::Timeslices {
            slice_minutes,
            slice_objective_ppm,
        } => {
            sql.push(format!(
                "select n, count(*) as total, count(*) filter (
                     where good * {PARTS_PER_MILLION}::numeric >= total * {slice_objective_ppm}::numeric
                 ) as good
                 from (select n, count(*) as total, count(*) filter (where kind = 'good') as good from ("
            ));
            push_what(sql);
            sql.push(format!(
                ") w group by n, date_bin(interval '{slice_minutes} minutes', ended, 'epoch')) t
                 group by n"
            ));
        }
    }
}
