//! Coarse timers without links: a ring of buckets that hold keys, looked at when their tick comes.
//!
//! An entry is a hint, not a promise: whoever takes it out asks the connection what is really due, and puts it back
//! for later. A connection remembers the tick of its one valid entry, so that older hints are dropped.
use super::slab::Key;

/// Length of a tick, milliseconds.
pub const TICK_MS: u64 = 250;
const BUCKETS: u32 = 256;

/// Seconds as whole ticks, at least one.
pub fn ticks(seconds: f64) -> u32 {
    (seconds * 1000.0 / TICK_MS as f64).ceil().clamp(1.0, f64::from(u32::MAX / 4)) as u32
}

/// The ring.
pub struct Wheel {
    buckets: Vec<Vec<Key>>,
    /// The tick that was served last.
    now: u32,
    start_ms: u64,
}

impl Wheel {
    /// A wheel whose tick 0 is `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self { buckets: vec![vec![]; BUCKETS as usize], now: 0, start_ms: now_ms }
    }

    /// The current tick.
    pub fn now(&self) -> u32 {
        self.now
    }

    /// Put in a hint for `due`, or for as far ahead as the ring goes; the tick it stands at.
    pub fn arm(&mut self, key: Key, due: u32) -> u32 {
        let due = due.clamp(self.now + 1, self.now + BUCKETS - 1);
        self.buckets[(due % BUCKETS) as usize].push(key);
        due
    }

    /// Step to the next tick if `now_ms` has reached it; what was armed for it.
    pub fn step(&mut self, now_ms: u64) -> Option<Vec<Key>> {
        let reached = (now_ms.saturating_sub(self.start_ms) / TICK_MS) as u32;
        if self.now >= reached {
            return None;
        }
        self.now += 1;
        Some(std::mem::take(&mut self.buckets[(self.now % BUCKETS) as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_back_at_its_tick_and_a_far_one_at_the_end_of_the_ring() {
        let key = Key { slot: 1, generation: 0 };
        let mut wheel = Wheel::new(1000);
        assert_eq!(wheel.arm(key, 0), 1);
        assert_eq!(wheel.arm(key, 3), 3);
        assert_eq!(wheel.arm(key, 100_000), 255);
        assert_eq!(wheel.step(1000 + TICK_MS - 1), None);
        let served: Vec<usize> =
            std::iter::from_fn(|| wheel.step(1000 + 255 * TICK_MS)).map(|k| k.len()).collect();
        assert_eq!(served.len(), 255);
        assert_eq!((served[0], served[2], served[254]), (1, 1, 1));
    }
}
