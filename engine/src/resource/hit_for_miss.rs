//! Which resources answered last with what cannot be shared, so that concurrent misses of them do not wait for each
//! other only to find out.
//!
//! Two generations of hashes: when the young one is full it becomes the old one, and the old one is forgotten. A collision
//! costs a call of the application that could have been saved.
//! Used by `cache`, one a shard.
use hashbrown::HashSet;
use std::mem;

/// A bounded set of the resources marked last.
#[derive(Debug, Default)]
pub(super) struct HitForMiss {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl HitForMiss {
    /// Resources in one generation.
    const MAX: usize = 4096;

    /// Remember a resource.
    pub(super) fn insert(&mut self, resource: u64) {
        if self.young.len() == Self::MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(resource);
    }

    /// Whether it is remembered.
    pub(super) fn contains(&self, resource: u64) -> bool {
        self.young.contains(&resource) || self.old.contains(&resource)
    }

    /// Forget it: it has been shared.
    pub(super) fn remove(&mut self, resource: u64) {
        self.young.remove(&resource);
        self.old.remove(&resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_ones_and_never_more_than_two_generations() {
        let mut marked = HitForMiss::default();
        for resource in 0..100_000 {
            marked.insert(resource);
            assert!(marked.contains(resource) && marked.contains(resource.saturating_sub(4000)));
            assert!(marked.young.len() + marked.old.len() <= 2 * HitForMiss::MAX);
        }
        assert!(!marked.contains(0));
        marked.remove(99_999);
        assert!(!marked.contains(99_999));
    }
}
