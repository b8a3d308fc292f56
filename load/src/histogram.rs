//! How long things took, in buckets whose number is fixed: bounded memory, known precision.

/// Each power of two is cut into so many buckets: a bucket is at most 1/128 as wide as what is in it.
const SUB_BUCKETS: u64 = 128;

/// Up to here every microsecond is a bucket of its own.
const EXACT_US: u64 = 2 * SUB_BUCKETS;

/// Powers of two that are told apart: 2^36 us are nineteen hours.
const BITS_MAX: u32 = 36;

/// The largest value; more counts as this.
pub const VALUE_MAX_US: u64 = (1 << BITS_MAX) - 1;

/// How many buckets there are: 30 KiB a histogram.
const BUCKETS: usize = bucket_of(VALUE_MAX_US) + 1;

/// How often which time was taken, in microseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_us: u64,
    min_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            count: 0,
            sum_us: 0,
            min_us: u64::MAX,
            max_us: 0,
        }
    }
}

impl Histogram {
    /// Takes a value in.
    pub fn record(&mut self, us: u64) {
        let us = us.min(VALUE_MAX_US);
        self.counts[bucket_of(us)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.min_us = self.min_us.min(us);
        self.max_us = self.max_us.max(us);
    }

    /// Takes all values of another in.
    pub fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value; none without values.
    pub fn min_us(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min_us)
    }

    /// The greatest value; none without values.
    pub fn max_us(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_us)
    }

    /// The mean; none without values.
    pub fn mean_us(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_us as f64 / self.count as f64)
    }

    /// The value that so many percent do not exceed, at most 1/128 above the true one; none without values.
    pub fn percentile_us(&self, percent: f64) -> Option<u64> {
        let rank = (self.count as f64 * percent / 100.0).ceil() as u64;
        let rank = rank.clamp(1, self.count.max(1));
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(last_of(bucket).clamp(self.min_us, self.max_us))
    }
}

/// The bucket of a value.
const fn bucket_of(us: u64) -> usize {
    if us < EXACT_US {
        return us as usize;
    }
    let shift = us.ilog2() - SUB_BUCKETS.ilog2();
    (EXACT_US + (shift as u64 - 1) * SUB_BUCKETS + (us >> shift) - SUB_BUCKETS) as usize
}

/// The greatest value of a bucket.
const fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT_US {
        return bucket;
    }
    let shift = (bucket - EXACT_US) / SUB_BUCKETS + 1;
    let leading = (bucket - EXACT_US) % SUB_BUCKETS + SUB_BUCKETS;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut first = 0;
        for bucket in 0..BUCKETS {
            let last = last_of(bucket);
            assert_eq!(bucket_of(first), bucket);
            assert_eq!(bucket_of(last), bucket);
            assert!((last - first) * SUB_BUCKETS <= last, "{first}..={last}");
            first = last + 1;
        }
        assert_eq!(first, VALUE_MAX_US + 1);
    }

    #[test]
    fn percentiles_are_the_sorted_values_but_for_the_width_of_a_bucket() {
        let (mut chance, mut histogram, mut values) =
            (Chance::new(7), Histogram::default(), Vec::new());
        for _ in 0..10_000 {
            let value = chance.bits() >> (30 + chance.bits() % 30);
            histogram.record(value);
            values.push(value.min(VALUE_MAX_US));
        }
        values.sort_unstable();
        for percent in [0.0, 0.01, 1.0, 50.0, 95.0, 99.0, 99.99, 100.0] {
            let rank = (values.len() as f64 * percent / 100.0).ceil() as usize;
            let exact = values[rank.max(1) - 1];
            let told = histogram.percentile_us(percent).unwrap();
            assert!(
                told >= exact && told - exact <= exact / SUB_BUCKETS,
                "p{percent}: {told} instead of {exact}"
            );
        }
        assert_eq!(histogram.min_us(), values.first().copied());
        assert_eq!(histogram.max_us(), values.last().copied());
    }

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=200).for_each(|us| histogram.record(us));
        assert_eq!(histogram.percentile_us(50.0), Some(100));
        assert_eq!(histogram.percentile_us(99.0), Some(198));
        assert_eq!(histogram.mean_us(), Some(100.5));
    }

    #[test]
    fn without_values_nothing_is_told() {
        let none = Histogram::default();
        assert_eq!(none.percentile_us(99.0), None);
        assert_eq!((none.min_us(), none.max_us()), (None, None));
        assert_eq!(none.mean_us(), None);
    }

    #[test]
    fn what_is_beyond_measure_counts_as_the_greatest_value() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile_us(50.0), Some(VALUE_MAX_US));
    }

    #[test]
    fn two_added_up_are_as_one_that_saw_all() {
        let (mut one, mut two, mut all) = <(Histogram, Histogram, Histogram)>::default();
        for us in 0..5_000 {
            if us % 3 == 0 { &mut one } else { &mut two }.record(us * 7);
            all.record(us * 7);
        }
        one.add(&two);
        one.add(&Histogram::default());
        assert_eq!(one.counts, all.counts);
        assert_eq!(
            (one.count, one.sum_us, one.min_us, one.max_us),
            (all.count, all.sum_us, all.min_us, all.max_us)
        );
    }
}
