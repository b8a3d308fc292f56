//! What each vehicle did in each five minutes: fixes, speeds, and the path it took.
//!
//! Counts and sums add, maxima win, and a bucket's points are a set: associative and commutative.
//! What depends on the order of points (distance, moving, idle) is worked out from the whole set,
//! sorted by time, whenever it grows, so late fixes give what fixes in order would have given.

mod points;
mod write;
mod scope;
mod read;
mod edges;
mod evidence;

pub use evidence::evidence;
pub use read::{Trend, TrendBucket, TrendCompare, TrendMetric, TrendPoint, TrendQuery, trend};
pub use scope::Scope;
pub(crate) use scope::{push_steps, scope_as_of};

use std::collections::HashMap;

use domain::track::TrackEvent;
use domain::{Event, Recorded};
use sqlx::PgConnection;

use self::points::Points;
use crate::grain::{bucket_of, bucket_start, micro_speed};
use crate::hash::FastMap;
use crate::{Filling, Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "trends";

/// See the file's first lines.
pub(crate) struct TrackBuckets;

/// What each vehicle gained, by bucket. Buckets are counted from 1970 in units of the grain.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    vehicles: HashMap<String, FastMap<i64, Gain>>,
    buckets: usize,
}

/// What one vehicle gained in one bucket.
#[derive(Debug, Default, PartialEq)]
struct Gain {
    fixes: i32,
    speed_n: i32,
    speed_sum_um: i64,
    speed_max_mps: Option<f64>,
    points: Points,
}

impl Projection for TrackBuckets {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["track"];
    const TABLES: &'static [&'static str] = &["track_buckets"];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        write::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        let Event::Track(TrackEvent::PositionsReported(reported)) = &event.event else {
            return Ok(());
        };
        if !delta.vehicles.contains_key(&reported.vehicle_id) {
            delta
                .vehicles
                .insert(reported.vehicle_id.clone(), FastMap::default());
        }
        let buckets = delta
            .vehicles
            .get_mut(&reported.vehicle_id)
            .expect("it was inserted if it was missing");
        let before = buckets.len();
        let mut fixes = reported.fixes.as_slice();
        // Consecutive fixes mostly share the bucket: the map is touched once for a run.
        while let Some(first) = fixes.first() {
            let bucket = bucket_of(first.fix_time);
            let run = fixes
                .iter()
                .take_while(|fix| bucket_of(fix.fix_time) == bucket)
                .count();
            let (now, rest) = fixes.split_at(run);
            let gain = buckets.entry(bucket).or_default();
            gain.points.reserve(run);
            for fix in now {
                gain.count(fix.speed_mps);
                gain.points
                    .add(fix.fix_time - bucket_start(bucket), fix.lat, fix.lon);
            }
            fixes = rest;
        }
        delta.buckets += buckets.len() - before;
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (vehicle, gains) in from.vehicles {
            let Some(buckets) = into.vehicles.get_mut(&vehicle) else {
                into.buckets += gains.len();
                into.vehicles.insert(vehicle, gains);
                continue;
            };
            let before = buckets.len();
            for (bucket, gain) in gains {
                buckets.entry(bucket).or_default().merge(gain);
            }
            into.buckets += buckets.len() - before;
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.buckets
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::write(conn, target, delta).await
    }

    async fn fill<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
        filling: &'a Filling,
    ) -> Result<(), sqlx::Error> {
        write::fill(conn, target, delta, filling).await
    }
}

impl Gain {
    fn count(&mut self, speed_mps: Option<f64>) {
        self.fixes += 1;
        if let Some(speed) = speed_mps {
            self.speed_n += 1;
            self.speed_sum_um += micro_speed(speed);
            self.speed_max_mps = Some(self.speed_max_mps.map_or(speed, |max| max.max(speed)));
        }
    }

    fn merge(&mut self, from: Gain) {
        self.fixes += from.fixes;
        self.speed_n += from.speed_n;
        self.speed_sum_um += from.speed_sum_um;
        self.speed_max_mps = match (self.speed_max_mps, from.speed_max_mps) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.points.append(from.points);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{check_order_is_no_matter, deal, reports};

    proptest! {
        #[test]
        fn order_is_no_matter(events in reports(), deal in deal()) {
            check_order_is_no_matter::<TrackBuckets, _>(&events, &deal, |delta| {
                let mut buckets = BTreeMap::new();
                assert_eq!(delta.buckets, delta.vehicles.values().map(FastMap::len).sum::<usize>());
                for (vehicle, gains) in delta.vehicles {
                    for (bucket, mut gain) in gains {
                        let path = gain.points.settle();
                        buckets.insert((vehicle.clone(), bucket), (gain, path));
                    }
                }
                buckets
            });
        }
    }
}
