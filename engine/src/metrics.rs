//! The node's own figures: counters that any shard adds to, and the delay from a change to its delivery.
//!
//! Shown in two forms: a JSON object (which is also a live resource) and Prometheus text exposition format 0.0.4.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:literal;)+) => {
        /// Every counter and gauge.
        #[derive(Default)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)+
            /// Refusals by the limit or rule that caused them.
            refusals: Mutex<BTreeMap<&'static str, u64>>,
            /// From the announcement of a change to its handing to the kernel, per watcher.
            pub delay: Histogram,
        }
        impl Metrics {
            const FIGURES: &[(&str, &str, &str)] = &[$((stringify!($name), $kind, concat!($($doc),+)),)+];
            fn values(&self) -> Vec<u64> {
                vec![$(self.$name.load(Relaxed),)+]
            }
        }
    };
}

figures! {
    /// Open connections.
    connections: "gauge";
    /// Connections accepted so far.
    accepted: "counter";
    /// Connections that watch a resource.
    watchers: "gauge";
    /// Variants that are watched.
    watched: "gauge";
    /// Sets that can be waited on.
    sets: "gauge";
    /// Waits on sets that are held.
    waits_held: "gauge";
    /// Waits on sets so far.
    waits: "counter";
    /// Those of them that were answered with a change.
    wait_changes: "counter";
    /// GETs that were pinned to a position.
    pinned_reads: "counter";
    /// Requests answered or handed to the application.
    requests: "counter";
    /// Changes recorded.
    changes: "counter";
    /// Tags and resources that caches in front have purged, each counted for each cache.
    purges: "counter";
    /// Requests to purge that failed; most are tried again.
    purge_failures: "counter";
    /// Caches purged of everything, because too much waited at once (`max_purges`).
    purges_of_everything: "counter";
    /// Tags and resources that wait to be purged.
    purges_waiting: "gauge";
    /// Changes announced before it was known that what changed had left the caches in front (`purge_timeout_s`).
    purges_overdue: "counter";
    /// GETs that the application was asked, for clients and for watchers.
    reads: "counter";
    /// Those of them that brought a watched variant up to date.
    rereads: "counter";
    /// GETs answered from memory.
    hits: "counter";
    /// Representations delivered to watchers.
    messages: "counter";
    /// Bytes given to the kernel.
    bytes: "counter";
    /// Open connections to upstreams.
    upstream_connections: "gauge";
    /// Upstreams that are left out because they cannot be reached or are not healthy.
    upstreams_out: "gauge";
    /// Requests sent to an upstream once more, because the connection had ended before it answered.
    upstream_retries: "counter";
    /// Connections to upstreams that could not be made.
    upstream_failures: "counter";
    /// Lines of the access log that standard output did not take in time, or at all.
    log_lines_lost: "counter";
    /// Panics caught, each at the cost of one connection.
    panics: "counter";
}

impl Metrics {
    /// Count a refusal under its reason.
    pub fn refused(&self, reason: &'static str) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// All figures as a JSON object.
    pub fn json(&self, position: &str) -> String {
        let mut object = serde_json::Map::new();
        for ((name, ..), value) in Self::FIGURES.iter().zip(self.values()) {
            object.insert((*name).into(), value.into());
        }
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        object.insert("refusals".into(), serde_json::json!(refusals));
        let [p50, p99] = [0.5, 0.99].map(|q| self.delay.quantile(q).map(|d| d.as_micros() as f64 / 1000.0));
        object.insert("delay_ms".into(), serde_json::json!({ "p50": p50, "p99": p99 }));
        object.insert("position".into(), position.into());
        serde_json::Value::Object(object).to_string()
    }

    /// All figures in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for ((name, kind, doc), value) in Self::FIGURES.iter().zip(self.values()) {
            let suffix = if *kind == "counter" { "_total" } else { "" };
            let _ = write!(
                text,
                "# HELP freshwire_{name}{suffix}{doc}\n# TYPE freshwire_{name}{suffix} {kind}\nfreshwire_{name}{suffix} {value}\n"
            );
        }
        text.push_str(
            "# HELP freshwire_refusals_total Refusals by reason.\n# TYPE freshwire_refusals_total counter\n",
        );
        for (reason, count) in self.refusals.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(text, "freshwire_refusals_total{{reason=\"{reason}\"}} {count}");
        }
        let name = "freshwire_delivery_delay_seconds";
        let _ = write!(
            text,
            "# HELP {name} From a change to its delivery to a watcher.\n# TYPE {name} histogram\n"
        );
        let (mut total, mut sum) = (0, 0.0);
        for (bucket, count) in self.delay.buckets.iter().enumerate().map(|(i, b)| (i, b.load(Relaxed))) {
            total += count;
            sum += count as f64 * Histogram::upper_us(bucket) as f64 / 1e6;
            if bucket % 8 == 7 {
                let bound = Histogram::upper_us(bucket) as f64 / 1e6;
                let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
            }
        }
        let _ =
            write!(text, "{name}_bucket{{le=\"+Inf\"}} {total}\n{name}_sum {sum}\n{name}_count {total}\n");
        text
    }
}

const BUCKETS: usize = 128;

/// Durations in buckets of a quarter of a power of two of microseconds: at most 19 % off, up to an hour.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Histogram {
    fn bucket(us: u64) -> usize {
        if us < 4 {
            return us as usize;
        }
        let power = us.ilog2() as usize;
        let quarter = (us >> (power - 2)) as usize & 3;
        ((power - 1) * 4 + quarter).min(BUCKETS - 1)
    }

    /// The first value above a bucket.
    fn upper_us(bucket: usize) -> u64 {
        if bucket < 4 {
            return bucket as u64 + 1;
        }
        let (power, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
        (5 + quarter) << (power - 2)
    }

    /// `count` deliveries took this long.
    pub fn record(&self, delay: Duration, count: u64) {
        self.buckets[Self::bucket(delay.as_micros() as u64)].fetch_add(count, Relaxed);
    }

    /// The value that a share `q` (0 to 1) of all stayed under; `None` before the first.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = ((total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(Self::upper_us(bucket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket_and_quantiles_are_at_most_a_quarter_off() {
        for us in (0..5000).chain([1 << 20, 1 << 31]) {
            let bucket = Histogram::bucket(us);
            assert!(us < Histogram::upper_us(bucket), "{us}");
            assert!(bucket == 0 || us >= Histogram::upper_us(bucket - 1), "{us}");
        }
        let delays = Histogram::default();
        assert_eq!(delays.quantile(0.5), None);
        (1..=1000).for_each(|us| delays.record(Duration::from_micros(us), 1));
        let p50 = delays.quantile(0.5).unwrap().as_micros();
        assert!((500..=625).contains(&p50), "{p50}");
    }

    #[test]
    fn figures_are_valid_json_and_exposition_text() {
        let metrics = Metrics::default();
        metrics.refused("host");
        let json: serde_json::Value = serde_json::from_str(&metrics.json("e-1")).unwrap();
        assert_eq!((json["refusals"]["host"].as_u64(), json["watchers"].as_u64()), (Some(1), Some(0)));
        let text = metrics.prometheus();
        assert!(text.contains("freshwire_refusals_total{reason=\"host\"} 1\n"));
        assert!(text.contains("# TYPE freshwire_requests_total counter\nfreshwire_requests_total 0\n"));
    }
}
