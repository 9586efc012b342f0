//! Requests at a steady rate, whatever becomes of them: each has a time at which it should be sent, and waits for a
//! connection that is free, so that a server which is slow does not slow down what it is measured with.
use std::collections::VecDeque;
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub struct Pacer {
    /// A second; 0: none.
    rate: f64,
    /// When the first is due, nanoseconds since 1970; 0: not running.
    start_ns: u64,
    made: u64,
    /// How many there are to be.
    most: u64,
    /// When those that have not been sent should have been.
    backlog: VecDeque<u64>,
    /// Connections that may be free.
    pub free: Vec<u32>,
}

impl Pacer {
    /// At rest.
    pub fn new(rate: f64) -> Self {
        Self { rate, ..Self::default() }
    }

    /// Begin; the first is due now. It ends by itself after so many seconds, if given.
    pub fn start(&mut self, now_ns: u64, seconds: Option<f64>) {
        if self.rate > 0.0 {
            let most = seconds.map_or(u64::MAX, |seconds| (self.rate * seconds).ceil() as u64);
            (self.start_ns, self.made, self.most) = (now_ns, 0, most);
        }
    }

    /// Stop; how many have not been sent.
    pub fn stop(&mut self) -> usize {
        self.start_ns = 0;
        std::mem::take(&mut self.backlog).len()
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.start_ns > 0
    }

    /// Whether some are late.
    pub fn waits(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Time from one to the next.
    pub fn interval_ns(&self) -> u64 {
        (1e9 / self.rate) as u64
    }

    fn due_ns(&self) -> Option<u64> {
        let due = || self.start_ns + (self.made as f64 / self.rate * 1e9) as u64;
        (self.runs() && self.made < self.most).then(due)
    }

    /// How long until the next is due.
    pub fn wait(&self, now_ns: u64) -> Option<Duration> {
        Some(Duration::from_nanos(self.due_ns()?.saturating_sub(now_ns)))
    }

    /// When the next that is to be sent now should have been.
    pub fn next(&mut self, now_ns: u64) -> Option<u64> {
        while let Some(due) = self.due_ns().filter(|due| *due <= now_ns) {
            self.backlog.push_back(due);
            self.made += 1;
        }
        self.backlog.front().copied()
    }

    /// It has been sent.
    pub fn sent(&mut self) {
        self.backlog.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_sent_keeps_its_time() {
        let mut pacer = Pacer::new(10.0);
        assert_eq!((pacer.next(5), pacer.wait(5)), (None, None));
        pacer.start(1_000_000_000, None);
        assert_eq!(pacer.next(1_000_000_000), Some(1_000_000_000));
        pacer.sent();
        assert_eq!(pacer.next(1_050_000_000), None);
        assert_eq!(pacer.wait(1_050_000_000), Some(Duration::from_millis(50)));
        assert_eq!(pacer.next(1_250_000_000), Some(1_100_000_000));
        assert_eq!(pacer.next(1_250_000_000), Some(1_100_000_000), "until it has been sent");
        pacer.sent();
        assert_eq!(pacer.next(1_250_000_000), Some(1_200_000_000));
        assert_eq!(pacer.stop(), 1);
        assert_eq!(pacer.next(9_000_000_000), None);
        pacer.start(1_000_000_000, Some(0.2));
        assert!(
            (pacer.next(9_000_000_000), pacer.sent()).0.is_some()
                && (pacer.next(0), pacer.sent()).0.is_some()
        );
        assert_eq!(pacer.next(9_000_000_000), None, "ten a second are two in a fifth of it");
    }
}
