//! Which upstream is asked: the least busy of those that can be reached, in turn where several are.
//!
//! One that cannot be connected to is left out for a while, longer each time; if that is true of all, the one whose
//! time is up first is tried all the same. What a health check says (`health`) is believed without a try.
use crate::address::Address;
use freshwire_engine::metrics::Metrics;
use freshwire_engine::net::ring::Ring;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The most upstreams of a node.
pub const MAX_UPSTREAMS: usize = 64;
/// How long one is left out after its first failure, and at most; milliseconds.
const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 30_000;

/// One upstream, as all threads see it.
pub struct Upstream {
    /// Where it is.
    pub address: Address,
    /// Requests that it works on.
    busy: AtomicUsize,
    /// Failures to connect since the last success.
    failures: AtomicU32,
    /// Left out until then; milliseconds since the node's start, 0: it is in.
    out_until_ms: AtomicU64,
    /// What its health check said last.
    unhealthy: AtomicBool,
}

/// Why none can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// All were tried for this request.
    Tried,
    /// The health check has none left.
    Healthy,
}

/// All of them.
pub struct Balance {
    /// In the order of the option.
    pub upstreams: Vec<Upstream>,
    turn: AtomicUsize,
    started: Instant,
    metrics: Arc<Metrics>,
    /// What the operator should know, for whoever writes the log.
    reports: Arc<Ring<String>>,
}

impl Balance {
    /// All in.
    pub fn new(addresses: Vec<Address>, metrics: Arc<Metrics>, reports: Arc<Ring<String>>) -> Self {
        let upstream = |address| Upstream {
            address,
            busy: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            out_until_ms: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
        };
        Self {
            upstreams: addresses.into_iter().map(upstream).collect(),
            turn: AtomicUsize::new(0),
            started: Instant::now(),
            metrics,
            reports,
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }

    /// Which one to ask; `tried`: a bit for each that this request has tried.
    pub fn pick(&self, tried: u64) -> Result<usize, Nobody> {
        let count = self.upstreams.len();
        if count == 1 && tried == 0 && !self.upstreams[0].unhealthy.load(Relaxed) {
            return Ok(0);
        }
        let (now, first) = (self.now_ms(), self.turn.fetch_add(1, Relaxed));
        let left = || {
            (0..count)
                .map(|i| (first + i) % count)
                .filter(|i| tried & 1 << i == 0)
                .map(|i| (i, &self.upstreams[i]))
        };
        let healthy = || left().filter(|(_, upstream)| !upstream.unhealthy.load(Relaxed));
        let busy = |upstream: &Upstream| upstream.busy.load(Relaxed);
        let until = |upstream: &Upstream| upstream.out_until_ms.load(Relaxed);
        healthy()
            .filter(|(_, upstream)| until(upstream) <= now)
            .min_by_key(|(_, upstream)| busy(upstream))
            .or_else(|| healthy().min_by_key(|(_, upstream)| until(upstream)))
            .map(|(i, _)| i)
            .ok_or(if left().next().is_some() { Nobody::Healthy } else { Nobody::Tried })
    }

    /// A request begins at this upstream, until the guard is dropped.
    pub fn begin(self: &Arc<Self>, index: usize) -> Busy {
        self.upstreams[index].busy.fetch_add(1, Relaxed);
        Busy(self.clone(), index)
    }

    /// It could not be connected to.
    pub fn failed(&self, index: usize, why: &str) {
        let upstream = &self.upstreams[index];
        self.metrics.upstream_failures.fetch_add(1, Relaxed);
        let failures = upstream.failures.fetch_add(1, Relaxed);
        let pause_ms = (FIRST_PAUSE_MS << failures.min(8)).min(LONGEST_PAUSE_MS);
        if upstream.out_until_ms.swap(self.now_ms() + pause_ms, Relaxed) == 0 {
            self.metrics.upstreams_out.fetch_add(1, Relaxed);
            self.report(format!("the upstream {} cannot be reached: {why}", upstream.address.text));
        }
    }

    /// It could be connected to.
    pub fn worked(&self, index: usize) {
        let upstream = &self.upstreams[index];
        upstream.failures.store(0, Relaxed);
        if upstream.out_until_ms.swap(0, Relaxed) != 0 {
            self.metrics.upstreams_out.fetch_sub(1, Relaxed);
            self.report(format!("the upstream {} can be reached again", upstream.address.text));
        }
    }

    /// What its health check says; `why` if it is not healthy.
    pub fn checked(&self, index: usize, why: Option<&str>) {
        let upstream = &self.upstreams[index];
        if upstream.unhealthy.swap(why.is_some(), Relaxed) == why.is_some() {
            return;
        }
        let text = &upstream.address.text;
        match why {
            Some(why) => {
                self.metrics.upstreams_out.fetch_add(1, Relaxed);
                self.report(format!("the upstream {text} is not healthy: {why}"));
            }
            None => {
                self.metrics.upstreams_out.fetch_sub(1, Relaxed);
                self.report(format!("the upstream {text} is healthy again"));
            }
        }
    }

    fn report(&self, text: String) {
        self.reports.push(text);
        self.reports.wake();
    }
}

/// A request that an upstream works on.
pub struct Busy(Arc<Balance>, usize);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.upstreams[self.1].busy.fetch_sub(1, Relaxed);
    }
}

/// How long to wait between two looks at an upstream that has failed a check.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(count: usize) -> Arc<Balance> {
        let address = |i| Address::parse(&format!("http://127.0.0.1:{}", i + 1)).unwrap();
        let reports = Arc::new(Ring::new().unwrap());
        Arc::new(Balance::new((0..count).map(address).collect(), Arc::default(), reports))
    }

    #[test]
    fn each_has_its_turn_and_the_least_busy_goes_first() {
        let balance = balance(3);
        let mut seen: Vec<usize> = (0..3).map(|_| balance.pick(0).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        let _busy = [balance.begin(0), balance.begin(2)];
        assert!((0..6).all(|_| balance.pick(0) == Ok(1)));
        assert_eq!((0..6).filter(|_| balance.pick(1 << 1) == Ok(1)).count(), 0);
    }

    #[test]
    fn one_that_cannot_be_reached_is_left_out_until_no_other_is_left() {
        let balance = balance(2);
        balance.failed(0, "refused");
        assert!((0..4).all(|_| balance.pick(0) == Ok(1)));
        assert_eq!(balance.pick(1 << 1), Ok(0));
        (0..2).for_each(|_| balance.failed(1, "refused"));
        assert_eq!(balance.pick(0), Ok(0), "its time is up first");
        assert_eq!(balance.pick(0b11), Err(Nobody::Tried));
        assert_eq!(balance.metrics.upstreams_out.load(Relaxed), 2);
        balance.worked(0);
        balance.worked(0);
        assert_eq!(balance.metrics.upstreams_out.load(Relaxed), 1);
    }

    #[test]
    fn one_that_is_not_healthy_is_not_asked() {
        let balance = balance(2);
        balance.checked(0, Some("503"));
        assert!((0..4).all(|_| balance.pick(0) == Ok(1)));
        assert_eq!(balance.pick(1 << 1), Err(Nobody::Healthy));
        balance.checked(0, None);
        assert_eq!(balance.pick(1 << 1), Ok(0));
    }
}
