//! The wall-clock grid on which waits end: cycle `k` of a set ends at `phase + (k + 1) × T` since 1970.
//!
//! Every cache in the world that holds a wait of a set asks for the same URL in the same cycle, and the next is always
//! `k + 1`. The phase is a hash of the set, so that sets do not end all at once. No clock here: `unix_ms` is handed in.
//! Called by whoever writes a monitor URL or holds a wait.
use super::set::Name;

/// How long a cycle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    cycle_ms: u64,
}

impl Grid {
    /// Cycles of so many seconds, at least a tenth.
    pub fn new(cycle_s: f64) -> Self {
        Self { cycle_ms: (cycle_s * 1000.0).clamp(100.0, 3_600_000.0) as u64 }
    }

    /// Seconds of a cycle, rounded up.
    pub fn cycle_s(self) -> u64 {
        self.cycle_ms.div_ceil(1000)
    }

    /// By how much the cycles of a set are shifted, milliseconds.
    pub fn phase_ms(self, name: Name) -> u64 {
        name.number() % self.cycle_ms
    }

    /// The cycle that runs at this time.
    pub fn cycle(self, phase_ms: u64, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub(phase_ms) / self.cycle_ms
    }

    /// Milliseconds until a cycle ends; `None`: it has ended already. Never more than two cycles for one that may be
    /// waited for (see [`Grid::may_be_asked`]), whatever the clock does afterwards.
    pub fn left_ms(self, phase_ms: u64, cycle: u64, unix_ms: u64) -> Option<u64> {
        let ends = cycle.saturating_add(1).saturating_mul(self.cycle_ms).saturating_add(phase_ms);
        ends.checked_sub(unix_ms).filter(|left| *left > 0)
    }

    /// Whether a client can have this cycle from us: the next one at most.
    pub fn may_be_asked(self, phase_ms: u64, cycle: u64, unix_ms: u64) -> bool {
        cycle <= self.cycle(phase_ms, unix_ms) + 1
    }

    /// The cycle after a wait of `cycle` that ends now: the next one, but the current one if the clock or the end was
    /// not where it should have been. Never the same again, which a cache would answer at once and for ever.
    pub fn after(self, phase_ms: u64, cycle: u64, unix_ms: u64) -> u64 {
        let current = self.cycle(phase_ms, unix_ms);
        if current == cycle || current == cycle + 1 { cycle + 1 } else { current }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cycles_follow_each_other_without_gap_or_overlap(
            cycle_ms in 1000u64..100_000, phase in any::<u64>(), unix_ms in 1_000_000u64..1 << 45,
        ) {
            let grid = Grid::new(cycle_ms as f64 / 1000.0);
            let phase = phase % grid.cycle_ms;
            let cycle = grid.cycle(phase, unix_ms);
            let left = grid.left_ms(phase, cycle, unix_ms).unwrap();
            prop_assert!((1..=grid.cycle_ms).contains(&left));
            prop_assert_eq!(grid.cycle(phase, unix_ms + left - 1), cycle);
            prop_assert_eq!(grid.cycle(phase, unix_ms + left), cycle + 1);
            prop_assert_eq!(grid.left_ms(phase, cycle, unix_ms + left), None);
            prop_assert!(grid.left_ms(phase, cycle + 1, unix_ms).unwrap() <= 2 * grid.cycle_ms);
        }

        #[test]
        fn what_comes_next_may_be_asked_and_is_another_whatever_the_clock_did(
            phase in 0u64..12_000, cycle in 100_000_000u64..200_000_000, unix_ms in 0u64..1 << 42,
        ) {
            let grid = Grid::new(12.0);
            let next = grid.after(phase, cycle, unix_ms);
            prop_assert!(next != cycle);
            prop_assert!(grid.may_be_asked(phase, next, unix_ms));
        }
    }

    #[test]
    fn a_wait_that_ends_on_the_grid_goes_on_with_the_next_cycle() {
        let grid = Grid::new(12.0);
        for late_ms in [0, 250, 11_999] {
            assert_eq!(grid.after(500, 100, 500 + 101 * 12_000 + late_ms), 101);
        }
        assert_eq!(grid.after(500, 100, 500 + 101 * 12_000 - 1), 101, "a moment early");
        assert_eq!(grid.after(500, 100, 500 + 200 * 12_000), 200, "the clock jumped");
        assert_eq!(grid.after(500, 100, 500 + 50 * 12_000), 50, "and back");
    }
}
