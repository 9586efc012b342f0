//! Single flight: of those who miss the same thing at the same time, one asks the application and the others wait.
use super::key::Selectors;
use hashbrown::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Who waits: a shard and the packed key of a connection there.
pub type Waiter = (u8, u64);

/// Reads under way, by what they read.
#[derive(Default)]
pub struct Flights {
    by_key: Mutex<HashMap<Box<str>, Vec<Waiter>, RandomState>>,
    hasher: RandomState,
}

impl Flights {
    /// A short name for what a request selects. If two are the same by accident, one waits for the other in vain.
    pub fn name(&self, selectors: &Selectors) -> u64 {
        self.hasher.hash_one(selectors)
    }

    /// Take the lead (true), or wait for whoever has it.
    pub fn board(&self, key: &str, waiter: Waiter) -> bool {
        let mut flights = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiters) = flights.get_mut(key) {
            waiters.push(waiter);
            return false;
        }
        flights.insert(key.into(), vec![]);
        true
    }

    /// Take the lead (true), or leave it to whoever has it.
    pub fn lead(&self, key: &str) -> bool {
        let mut flights = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let leads = !flights.contains_key(key);
        if leads {
            flights.insert(key.into(), vec![]);
        }
        leads
    }

    /// The leader has an answer, or never will: who waited for it.
    pub fn land(&self, key: &str) -> Vec<Waiter> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::{BuildHasherDefault, DefaultHasher};

    #[test]
    fn one_leads_and_the_others_are_named_when_it_lands() {
        let flights = Flights::default();
        assert!(flights.board("a", (0, 1)));
        assert!(!flights.board("a", (1, 2)));
        assert!(flights.board("b", (0, 3)));
        assert_eq!(flights.land("a"), [(1, 2)]);
        assert!(flights.board("a", (1, 2)));
        assert!(!flights.lead("a") && flights.lead("c") && !flights.board("c", (0, 4)));
        assert_eq!((flights.land("a"), flights.land("c")), (vec![], vec![(0, 4)]));
    }

    #[test]
    fn names_that_collide_under_a_key_that_everybody_knows_do_not_collide_here() {
        let selectors = |n: u64| Selectors::of(&[("a", n.to_string())].into_iter().collect(), &["a".into()]);
        let unseeded = BuildHasherDefault::<DefaultHasher>::default();
        let bucket = |hash: u64| hash & 0xff;
        let colliding: Vec<_> = (0..)
            .map(selectors)
            .filter(|selectors| bucket(unseeded.hash_one(selectors)) == 0)
            .take(300)
            .collect();
        for _ in 0..3 {
            let flights = Flights::default();
            let buckets: HashSet<_> = colliding.iter().map(|s| bucket(flights.name(s))).collect();
            assert!(buckets.len() > 100, "{} buckets", buckets.len());
        }
    }
}
