//! Up to which position something else was given out, for what is not watched at the time.
//!
//! A read may end after one that began later, and know more than that one: `since` of a representation must not claim
//! the positions of others that were given something else. A watch sees those itself; here is what came before it. By
//! hash of the resource, in a table of fixed size: a collision costs one representation sent again.
//! Called by `watches` under its lock.
use super::key::ResourceKey;
use super::representation::{Representation, content_etag};
use super::tags::{TagHash, uri_tag};

const SLOTS: usize = 1024;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// The newest position that was given out.
    newest: u64,
    /// With which entity tag; `None` for what is like nothing else.
    etag: Option<TagHash>,
    /// The newest position that was given out with another one.
    other: u64,
}

/// What was given out last.
pub(super) struct Landed(Box<[Slot]>);

impl Default for Landed {
    fn default() -> Self {
        Self(vec![Slot::default(); SLOTS].into())
    }
}

/// What tells whether another read gave out the same: nothing for what is no success.
fn comparable(read: &Representation) -> Option<TagHash> {
    let etag = |read: &Representation| match read.weak {
        true => TagHash::of(&content_etag(&read.fields, &read.body)),
        false => TagHash::of(&read.etag),
    };
    (200..300).contains(&read.status).then(|| etag(read))
}

impl Landed {
    fn slot(&mut self, resource: &ResourceKey) -> &mut Slot {
        &mut self.0[uri_tag(resource).bucket(SLOTS)]
    }

    /// This was given out, last at `offset`; whether nothing else was at a later position.
    pub fn note(&mut self, resource: &ResourceKey, read: &Representation, offset: u64) -> bool {
        let etag = comparable(read);
        let slot = self.slot(resource);
        if etag.is_some() && slot.etag == etag {
            slot.newest = slot.newest.max(offset);
            offset >= slot.other
        } else if offset >= slot.newest {
            *slot = Slot { newest: offset, etag, other: slot.newest };
            true
        } else {
            slot.other = slot.other.max(offset);
            false
        }
    }

    /// A watch has ended, which read this last at `offset`: who was given something else while it was watched, was so before
    /// `since`.
    pub fn left(&mut self, resource: &ResourceKey, last: &Representation, offset: u64) {
        self.note(resource, last, offset);
        let slot = self.slot(resource);
        slot.other = slot.other.max(last.since.saturating_sub(1));
    }

    /// Say of a new representation from when on it is what everybody has who has anything. If something else was given
    /// out at a later position, it is for who asked for it and nobody else.
    pub fn settle(&mut self, resource: &ResourceKey, read: &mut Representation) {
        let slot = *self.slot(resource);
        let same = slot.etag.is_some() && slot.etag == comparable(read);
        let doubted = if same { slot.other } else { slot.newest };
        if doubted >= read.since {
            read.since = doubted + 1;
        }
        read.reusable &= read.since <= read.position.offset;
    }
}
