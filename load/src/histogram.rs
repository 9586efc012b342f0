//! A log-linear histogram of durations, as HdrHistogram has it: 128 buckets for each power of two, so that a quantile is
//! off by less than 1 %, whatever its size.
use serde_json::{Value, json};

/// Buckets of a power of two, as a power of two.
const PRECISION: u32 = 7;
const LINEAR: u64 = 1 << PRECISION;

/// How often each duration came, nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Grown to the largest that came.
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    (u64::from(shift) * LINEAR + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / LINEAR).saturating_sub(1);
    let first = bucket - shift * LINEAR;
    (((u128::from(first) + 1) << shift) - 1) as u64
}

impl Histogram {
    /// Count a duration.
    pub fn add(&mut self, ns: u64) {
        let bucket = bucket(ns);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(ns);
    }

    /// Count all that another has.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that this share of all does not exceed; `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|n| {
            seen += n;
            seen >= wanted
        })?;
        Some(top(found).min(self.max))
    }

    /// Quantiles in microseconds, and every bucket that is not empty: `[largest, how many]`.
    pub fn as_json(&self) -> Value {
        let us = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1000.0);
        let filled = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        json!({
            "count": self.count,
            "p50": us(self.quantile(0.5)),
            "p90": us(self.quantile(0.9)),
            "p99": us(self.quantile(0.99)),
            "p999": us(self.quantile(0.999)),
            "max": us((self.count > 0).then_some(self.max)),
            "buckets": filled.map(|(at, n)| json!([top(at) as f64 / 1000.0, n])).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_off_by_less_than_a_hundredth(
            mut values in prop::collection::vec(prop_oneof![0u64..300, 0u64..1 << 40, any::<u64>()], 1..200),
            share in 0.0..=1.0f64,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            values.sort_unstable();
            let exact = values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
            let said = histogram.quantile(share).unwrap();
            prop_assert!(said >= exact && (said - exact) as f64 <= exact as f64 / 100.0, "{said} for {exact}");
            prop_assert_eq!(histogram.quantile(1.0), values.last().copied());
        }
    }

    #[test]
    fn merged_is_as_if_counted_together() {
        let (mut a, mut b, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for value in [5, 70_000, 900] {
            a.add(value);
            both.add(value);
        }
        for value in [1, 1 << 50] {
            b.add(value);
            both.add(value);
        }
        a.merge(&b);
        assert_eq!(a.as_json(), both.as_json());
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
