//! Tags: names of what representations depend on (RFC 9875 calls them cache groups), and when each last changed.
//!
//! A tag is kept as a keyed 64-bit hash, so that a million of them cost a fixed amount; a collision costs a re-read that
//! was not needed, never a stale copy. A resource's own URI is a tag like any other. The table forgets the tags that
//! have been quiet longest: what it does not know counts as changed at its floor.
//! Called by whoever applies the log of changes, and by `freshness`.
use super::key::{ResourceKey, hash_of};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::fmt;

/// A tag as the engine keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagHash(u64);

impl TagHash {
    /// The hash of a tag's name; equal names are equal, byte by byte.
    pub fn of(name: &str) -> Self {
        Self(hash_of(name))
    }

    /// Which of so many buckets it falls into.
    pub(super) fn bucket(self, buckets: usize) -> usize {
        (self.0 % buckets as u64) as usize
    }
}

/// The implicit tag of a resource: its URI (RFC 9111 §4.4).
pub fn uri_tag(resource: &ResourceKey) -> TagHash {
    TagHash(resource.hash64())
}

/// The tags of a resource, few of which need no memory of their own.
pub type Tags = SmallVec<[TagHash; 3]>;

/// All that a representation of `resource` depends on.
pub fn all_tags(resource: Option<&ResourceKey>, groups: &[Box<str>]) -> Tags {
    resource.map(uri_tag).into_iter().chain(groups.iter().map(|group| TagHash::of(group))).collect()
}

/// Why a tag, or a list of them, is refused. The application is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTag {
    /// A tag without a character.
    Empty,
    /// A tag of more bytes than this (`max_tag_bytes`).
    TooLong(usize),
    /// A control character in a tag.
    Control,
    /// More tags than this (`max_tags`).
    TooMany(usize),
}

impl fmt::Display for BadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a tag must not be empty"),
            Self::TooLong(max) => write!(f, "a tag is longer than max_tag_bytes ({max})"),
            Self::Control => write!(f, "a tag must not contain control characters"),
            Self::TooMany(max) => write!(f, "more tags than max_tags ({max})"),
        }
    }
}

impl std::error::Error for BadTag {}

/// Whether a tag may be used.
pub fn check_tag(tag: &str, max_bytes: usize) -> Result<(), BadTag> {
    if tag.is_empty() {
        Err(BadTag::Empty)
    } else if tag.len() > max_bytes {
        Err(BadTag::TooLong(max_bytes))
    } else if tag.chars().any(char::is_control) {
        Err(BadTag::Control)
    } else {
        Ok(())
    }
}

/// The tags of one response or one change, each once, in order. All are good or none is taken: to leave one out would
/// be to miss its changes.
pub fn check_tags<'a>(
    tags: impl IntoIterator<Item = &'a str>,
    max_tags: usize,
    max_tag_bytes: usize,
) -> Result<Vec<Box<str>>, BadTag> {
    let mut kept: Vec<Box<str>> = Vec::new();
    for tag in tags {
        check_tag(tag, max_tag_bytes)?;
        if kept.iter().all(|k| **k != *tag) {
            if kept.len() == max_tags {
                return Err(BadTag::TooMany(max_tags));
            }
            kept.push(tag.into());
        }
    }
    Ok(kept)
}

/// A known tag: an element of a list in the order of change, linked by index.
#[derive(Clone, Copy, Debug)]
struct Known {
    tag: TagHash,
    /// Its last change.
    offset: u64,
    /// The one that changed before it, or [`NONE`].
    older: u32,
    /// The one that changed after it, or [`NONE`].
    newer: u32,
}

/// No neighbour in the list.
const NONE: u32 = u32::MAX;

/// When each tag last changed. Every operation is O(1); memory is bounded by `max_known`.
#[derive(Debug)]
pub struct TagTable {
    /// Tags remembered at most.
    max_known: usize,
    /// Where in `known` a tag is.
    slots: HashMap<TagHash, u32>,
    /// Grows to `max_known`, then the slot that changed longest ago is used again.
    known: Vec<Known>,
    oldest: u32,
    newest: u32,
    /// The last change of any tag that is not known is at or before this.
    floor: u64,
    /// The last change of all.
    head: u64,
}

impl TagTable {
    /// An empty table, floor and head at 0, that remembers so many tags.
    pub fn new(max_known: usize) -> Self {
        let max_known = max_known.min(NONE as usize);
        Self {
            max_known,
            slots: HashMap::new(),
            known: Vec::new(),
            oldest: NONE,
            newest: NONE,
            floor: 0,
            head: 0,
        }
    }

    /// A tag changed at `offset`. Offsets never fall; all tags of one change are applied under one exclusive borrow,
    /// since a reader that sees [`TagTable::head`] at an offset takes the changes up to it to be all there.
    pub fn changed(&mut self, tag: TagHash, offset: u64) {
        self.head = self.head.max(offset);
        if let Some(&slot) = self.slots.get(&tag) {
            self.unlink(slot);
            self.link_newest(
                slot,
                Known { offset: offset.max(self.known[slot as usize].offset), ..self.known[slot as usize] },
            );
            return;
        }
        let known = Known { tag, offset, older: NONE, newer: NONE };
        let slot = if self.known.len() < self.max_known {
            self.known.push(known);
            (self.known.len() - 1) as u32
        } else if self.oldest != NONE {
            self.forget_oldest()
        } else {
            self.floor = self.floor.max(offset);
            return;
        };
        self.slots.insert(tag, slot);
        self.link_newest(slot, known);
    }

    /// Anything may have changed up to `offset`: the log began there for us, or has a gap before it.
    pub fn all_changed(&mut self, offset: u64) {
        self.slots.clear();
        self.known.clear();
        (self.oldest, self.newest) = (NONE, NONE);
        self.floor = self.floor.max(offset);
        self.head = self.head.max(offset);
    }

    /// The last change of a tag, or the floor if it is not known.
    pub fn last_change(&self, tag: TagHash) -> u64 {
        self.slots.get(&tag).map_or(self.floor, |&slot| self.known[slot as usize].offset)
    }

    /// Where an unknown tag counts as changed.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The last change of all: what is valid here is valid.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Free the slot of the tag that has been quiet longest.
    fn forget_oldest(&mut self) -> u32 {
        let slot = self.oldest;
        let Known { tag, offset, .. } = self.known[slot as usize];
        self.floor = self.floor.max(offset);
        self.slots.remove(&tag);
        self.unlink(slot);
        slot
    }

    fn unlink(&mut self, slot: u32) {
        let Known { older, newer, .. } = self.known[slot as usize];
        match older {
            NONE => self.oldest = newer,
            _ => self.known[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.known[newer as usize].older = older,
        }
    }

    fn link_newest(&mut self, slot: u32, known: Known) {
        self.known[slot as usize] = Known { older: self.newest, newer: NONE, ..known };
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.known[newest as usize].newer = slot,
        }
        self.newest = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the table should do, with a list and no cleverness.
    struct Model {
        max_known: usize,
        /// Longest quiet first.
        known: Vec<(u8, u64)>,
        floor: u64,
    }

    impl Model {
        fn changed(&mut self, tag: u8, offset: u64) {
            self.known.retain(|k| k.0 != tag);
            self.known.push((tag, offset));
            if self.known.len() > self.max_known {
                self.floor = self.known.remove(0).1;
            }
        }
        fn last_change(&self, tag: u8) -> u64 {
            self.known.iter().find(|k| k.0 == tag).map_or(self.floor, |k| k.1)
        }
    }

    fn hash(tag: u8) -> TagHash {
        TagHash::of(&tag.to_string())
    }

    proptest! {
        #[test]
        fn the_table_remembers_what_a_naive_list_would(
            max_known in 0usize..12,
            changes in proptest::collection::vec((0u8..24, 0u64..3, prop::bool::weighted(0.02)), 0..300),
        ) {
            let mut table = TagTable::new(max_known);
            let mut model = Model { max_known, known: vec![], floor: 0 };
            let mut truth = [0; 24];
            let mut offset = 0;
            for (tag, step, all) in changes {
                offset += step;
                if all {
                    table.all_changed(offset);
                    model = Model { max_known, known: vec![], floor: offset };
                    truth = [offset; 24];
                } else {
                    table.changed(hash(tag), offset);
                    model.changed(tag, offset);
                    truth[tag as usize] = offset;
                }
                prop_assert_eq!(table.floor(), model.floor);
                prop_assert_eq!(table.head(), offset);
                for tag in 0..24 {
                    prop_assert_eq!(table.last_change(hash(tag)), model.last_change(tag));
                    prop_assert!(table.last_change(hash(tag)) >= truth[tag as usize]);
                }
                prop_assert!(table.known.len() <= max_known);
                prop_assert_eq!(table.slots.len(), table.known.len());
            }
        }
    }

    #[test]
    fn one_busy_tag_does_not_make_the_quiet_ones_forgotten() {
        let mut table = TagTable::new(2);
        table.changed(hash(0), 1);
        (2..1000).for_each(|offset| table.changed(hash(1), offset));
        assert_eq!((table.last_change(hash(0)), table.floor()), (1, 0));
    }

    #[test]
    fn a_tag_is_refused_for_what_is_wrong_with_it() {
        assert_eq!(check_tag("match:7", 7), Ok(()));
        assert_eq!(check_tag("spiel:ä", 255), Ok(()));
        assert_eq!(check_tag("", 7), Err(BadTag::Empty));
        assert_eq!(check_tag("match:77", 7), Err(BadTag::TooLong(7)));
        for bad in ["a\n", "a\0", "\u{7f}", "\u{85}"] {
            assert_eq!(check_tag(bad, 7), Err(BadTag::Control));
        }
    }

    #[test]
    fn tags_are_taken_once_each_and_all_or_none() {
        assert_eq!(check_tags(["a", "b", "a"], 2, 9).unwrap().len(), 2);
        assert_eq!(check_tags(["a", "b", "c"], 2, 9), Err(BadTag::TooMany(2)));
        assert_eq!(check_tags(["a", ""], 2, 9), Err(BadTag::Empty));
    }
}
