//! What is remembered of variants that are no longer watched, so that a watcher that comes back hears nothing if nothing
//! changed. Bounded; the oldest is forgotten first, at the cost of one representation sent again.
//!
//! Called by `watches` under its lock.
use super::key::{ResourceKey, VariantKey};
use super::representation::Representation;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::RandomState;

/// Remembered at most, and what their names may take, bytes: they have what clients sent in them.
const MAX_GHOSTS: usize = 16 * 1024;
const MAX_BYTES: usize = 8 * 1024 * 1024;

struct Ghost {
    etag: Box<str>,
    since: u64,
    /// Which of the variant's burials this is: an older entry of the queue is not its.
    serial: u64,
}

/// Variants that were watched.
#[derive(Default)]
pub(super) struct Ghosts {
    by_key: HashMap<VariantKey, Ghost, RandomState>,
    /// How many of them a resource has.
    by_resource: HashMap<ResourceKey, usize, RandomState>,
    /// Oldest first; also such as have gone since.
    order: VecDeque<(VariantKey, u64)>,
    /// Bytes of the names in it.
    bytes: usize,
    serial: u64,
}

impl Ghosts {
    /// Whether some variant of the resource is remembered.
    pub fn knows(&self, resource: &ResourceKey) -> bool {
        !self.by_resource.is_empty() && self.by_resource.contains_key(resource)
    }

    /// The last watcher has left: remember what it may have.
    pub fn remember(&mut self, key: VariantKey, last: &Representation) {
        self.forget(&key);
        self.serial += 1;
        let ghost = Ghost { etag: last.etag.clone(), since: last.since, serial: self.serial };
        *self.by_resource.entry(key.resource.clone()).or_default() += 1;
        self.bytes += key.weight();
        self.order.push_back((key.clone(), self.serial));
        self.by_key.insert(key, ghost);
        while self.order.len() > MAX_GHOSTS || self.bytes > MAX_BYTES {
            let Some((oldest, serial)) = self.order.pop_front() else { break };
            self.bytes -= oldest.weight();
            if self.by_key.get(&oldest).is_some_and(|ghost| ghost.serial == serial) {
                self.forget(&oldest);
            }
        }
    }

    /// The variant is watched again: since when it has been what `read` is, if nothing else was seen in between.
    pub fn revive(&mut self, key: &VariantKey, read: &Representation) -> Option<u64> {
        self.forget(key).filter(|ghost| ghost.etag == read.etag && !read.weak).map(|ghost| ghost.since)
    }

    /// A client was given this: if it differs, or is a refusal, who has the old one is no longer up to date.
    pub fn saw(&mut self, key: &VariantKey, read: &Representation) {
        let refused = !(200..300).contains(&read.status);
        if self.by_key.get(key).is_some_and(|ghost| refused || ghost.etag != read.etag) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &VariantKey) -> Option<Ghost> {
        let ghost = self.by_key.remove(key)?;
        if let Some(count) = self.by_resource.get_mut(&key.resource) {
            *count -= 1;
            if *count == 0 {
                self.by_resource.remove(&key.resource);
            }
        }
        Some(ghost)
    }
}
