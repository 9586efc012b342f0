//! Pinned reads (`?fresh=<position>`): an ordinary GET, whose answer is of that position or later and can be kept for
//! long by any cache.
//!
//! The application is asked only after the position was visible, so what it answers is new enough; a copy that is fresh
//! is as good as read at the newest position. What is left is to refuse positions that are not ours, and to say how long
//! the answer keeps.
use super::Shard;
use crate::dialect::monitor;
use crate::http::fields::Fields;
use crate::net::slab::Key;
use crate::resource::key::{Audience, Vary};
use crate::resource::pinned::{self, Answer};
use crate::resource::representation::Representation;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Shard {
    /// Read a resource, unless it is pinned to a position that this log does not have.
    pub(super) fn read_resource(&mut self, key: Key) {
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let Some(offset) = work.pinned else { return self.advance(key) };
        self.shared.metrics.pinned_reads.fetch_add(1, Relaxed);
        if offset <= self.shared.resources.log.head() {
            return self.advance(key);
        }
        self.shared.metrics.refused("position");
        let detail = "this log has no such position (yet): read the resource without it";
        let fields = monitor::fields("application/problem+json", 1);
        self.reply_to_wait(key, 410, fields, &self.gone(detail));
    }

    /// A fresh copy for a request that is pinned to a later position than its own: nothing it depends on has changed
    /// since, so it is what a read at that position would have given. From now on that is where it counts as read.
    pub(super) fn at_pinned(&mut self, key: Key, kept: Arc<Representation>) -> Arc<Representation> {
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return kept };
        let Some(offset) = work.pinned.filter(|offset| *offset > kept.position.offset) else { return kept };
        let raised = Arc::new(kept.read_at(offset));
        let audience = match (kept.is_private(), kept.is_public()) {
            (true, _) => Audience::private(&work.fields),
            (false, true) => Audience::Public,
            (false, false) => Audience::Anonymous,
        };
        self.keep(
            key,
            Vary::of(&kept.fields).names(),
            audience,
            &raised,
            kept.reusable && !kept.is_private(),
        );
        raised
    }

    /// Say how long caches may keep the answer to a pinned read that is made from a representation.
    pub(super) fn pinned_lifetime(&self, fields: &mut Fields, rep: &Representation) {
        let current = self.shared.resources.is_fresh(rep, self.now_ms);
        let answer = Answer { status: rep.status, private: rep.is_private(), tags: &rep.tags, current };
        pinned::lifetime(fields, answer, self.shared.options.pinned_max_age_s);
    }
}
