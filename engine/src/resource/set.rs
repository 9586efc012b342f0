//! One set: its name, what is in it, and how much it weighs in the table (`sets`).
//!
//! A set is one resource with its tags, or many sets of one. Pure.
use super::few::Few;
use super::key::ResourceKey;
use super::tags::{TagHash, Tags};
use crate::net::slab::Key;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// The name of a set: 128 bits that nobody without the key can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(super) [u8; 16]);

impl Name {
    /// Characters of its text.
    pub const TEXT_BYTES: usize = 22;

    /// From the text in a URL; exactly what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let whole = text.len() == Self::TEXT_BYTES;
        (whole && URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()? == 16).then_some(Self(bytes))
    }

    /// Its text.
    pub fn text(self, buffer: &mut [u8; Self::TEXT_BYTES]) -> &str {
        // It fits exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut buffer[..]);
        std::str::from_utf8(buffer).unwrap_or_default()
    }

    /// Some of its bits.
    pub(super) fn number(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::TEXT_BYTES]))
    }
}

/// What is known of a set wherever its `Link` is given: its name, and whether it is still in the table.
#[derive(Debug)]
pub struct Ticket {
    /// The set.
    pub name: Name,
    pub(super) listed: AtomicBool,
    /// Better registered anew from then on: the set ends not long after.
    pub(super) renew_at_ms: u64,
    /// Not everybody is given what is in it, so that each of its readers reads for himself.
    pub(super) private: bool,
    /// How many were given its `Link` since it changed.
    pub(super) readers: AtomicU32,
}

impl Ticket {
    /// Whether the set can be waited on.
    pub fn is_good(&self, now_ms: u64) -> bool {
        self.listed.load(Relaxed) && now_ms < self.renew_at_ms
    }

    /// The link is given to one more.
    pub fn give(&self) {
        if self.private {
            self.readers.fetch_add(1, Relaxed);
        }
    }
}

/// A resource with what its representation depends on.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// What it is a representation of.
    pub resource: &'a ResourceKey,
    /// Its own URI and the tags that the application gave.
    pub tags: &'a [TagHash],
    /// The names of the latter.
    pub groups: &'a [Box<str>],
    /// Not everybody is given it.
    pub private: bool,
    /// At which offset the representation was made.
    pub position: u64,
    /// When the lifetime of the representation ends, monotonic.
    pub expires_at_ms: Option<u64>,
}

impl Contents<'_> {
    /// The end of its lifetime, if that is known.
    pub(super) fn expires(&self) -> Option<Expires> {
        self.expires_at_ms.map(|at_ms| Expires { at_ms, position: self.position })
    }
}

/// The end of a representation's lifetime.
#[derive(Clone, Copy)]
pub(super) struct Expires {
    /// Monotonic.
    pub(super) at_ms: u64,
    /// At which offset the representation was made.
    pub(super) position: u64,
}

/// What is in a set.
pub(super) enum Kind {
    One {
        resource: ResourceKey,
        /// Sorted.
        tags: Tags,
        /// The sets of many that it is in.
        parents: Few<Key>,
        /// Of what was given out of it since its newest change: when the first lifetime ends, and from which offset that
        /// representation is. Then it counts as changed.
        expires: Option<Expires>,
    },
    Many(Box<[Key]>),
}

/// A set in the table.
pub(super) struct Set {
    /// What stands for it in the table of what was revoked.
    pub(super) revocable: TagHash,
    /// When it ends, monotonic; [`NEVER`] if it is not private.
    pub(super) ends_at_ms: u64,
    pub(super) kind: Kind,
    pub(super) newest: u64,
    /// Waits that are held.
    pub(super) held: u32,
    /// Over how many seconds its readers better spread their re-reads after its newest change.
    pub(super) spread_s: f32,
    /// Waited on since the hand was here.
    pub(super) used: bool,
    pub(super) ticket: Arc<Ticket>,
}

/// The time at which ends what does not end.
pub(super) const NEVER: u64 = u64::MAX;

impl Set {
    /// When the lifetime of what is in it ends, if it is one.
    pub(super) fn expires_at_ms(&self) -> Option<u64> {
        if let Kind::One { expires, .. } = &self.kind { expires.as_ref().map(|it| it.at_ms) } else { None }
    }
}

/// What stands for a set in the table of what was revoked: a hash of its contents without what revoking them changes.
pub(super) fn revocable(id: &[u8; 32]) -> TagHash {
    TagHash::of(&URL_SAFE_NO_PAD.encode(id))
}

pub(super) fn id_of_one(contents: &Contents<'_>, ends_at_ms: u64) -> [u8; 32] {
    let mut groups: Vec<&str> = contents.groups.iter().map(|group| &**group).collect();
    groups.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"one").update(&ends_at_ms.to_be_bytes());
    for part in std::iter::once(contents.resource.as_str()).chain(groups) {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Bytes of a ticket, of the entries in the indices of all sets, and of what is around a URI, about.
const LISTING_BYTES: usize = 112;

/// Bytes of an entry in the index by tag, about.
const TAG_BYTES: usize = 40;

/// Bytes that a set takes, with its entries in the indices, about.
pub(super) fn weight(kind: &Kind) -> usize {
    match kind {
        Kind::One { resource, tags, .. } => weight_of_one(resource, tags.len()),
        Kind::Many(members) => weight_of_many(members.len()),
    }
}

pub(super) fn weight_of_one(resource: &ResourceKey, tags: usize) -> usize {
    size_of::<Set>() + LISTING_BYTES + resource.as_str().len() + tags * TAG_BYTES
}

pub(super) fn weight_of_many(members: usize) -> usize {
    size_of::<Set>() + LISTING_BYTES + members * 32
}
