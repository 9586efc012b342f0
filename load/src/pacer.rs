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

    /// Begin; the first is due now.
    pub fn start(&mut self, now_ns: u64) {
        if self.rate > 0.0 {
            (self.start_ns, self.made) = (now_ns, 0);
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

    fn due_ns(&self) -> u64 {
        self.start_ns + (self.made as f64 / self.rate * 1e9) as u64
    }

    /// How long until the next is due.
    pub fn wait(&self, now_ns: u64) -> Option<Duration> {
        self.runs().then(|| Duration::from_nanos(self.due_ns().saturating_sub(now_ns)))
    }

    /// When the next that is to be sent now should have been.
    pub fn next(&mut self, now_ns: u64) -> Option<u64> {
        while self.runs() && self.due_ns() <= now_ns {
            self.backlog.push_back(self.due_ns());
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
        pacer.start(1_000_000_000);
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
    }
}
