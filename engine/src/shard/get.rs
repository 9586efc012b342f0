//! GETs of resources: from memory if what is there is fresh, else through the application, once for all who ask.
use super::Shard;
use super::exchange::Gathering;
use super::keep::late_fill;
use super::work::{Intent, Sending, Work};
use crate::dialect::monitor::Words;
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::response::{BodyFraming, write_head, write_head_end, write_head_start};
use crate::net::slab::Key;
use crate::resource::annotate::{self, CacheStatus, Forward};
use crate::resource::canonical::canonical_fields;
use crate::resource::conditional::{self, Outcome};
use crate::resource::key::{Audience, ResourceKey, Selectors, VariantKey, Vary};
use crate::resource::monitors::Link;
use crate::resource::policy::{Sharing, is_representation};
use crate::resource::range;
use crate::resource::representation::{Made, Representation};
use crate::resource::token::expires_unix_s;
use crate::resource::watch::{Opened, Reader, Source};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Shard {
    /// Go on with a GET: answer it, wait for somebody else's read, or ask the application.
    pub(super) fn advance(&mut self, key: Key) {
        let shared = self.shared.clone();
        let resources = &shared.resources;
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let Some(resource) = work.resource.clone() else { return };
        let once = matches!(work.intent, Intent::Once);
        let in_part = work.fields.get("range").is_some();
        if once && conditional::for_origin(&work.fields) {
            return self.call(key, vec![], None);
        }
        let kept = resources.cache.lookup(&resource, &work.fields, work.credentials);
        if once && in_part {
            let fresh = kept.filter(|kept| &*work.method == "GET" && self.is_usable(kept));
            let part = fresh.as_deref().and_then(|kept| range::wanted(&work.fields, kept));
            return match (fresh, part) {
                (Some(kept), Some(part)) => self.serve_part(key, &kept, part),
                _ => self.call(key, vec![], None),
            };
        }
        if let Some(kept) = &kept
            && (self.is_usable(kept) || work.waited_for(kept))
            && (once || kept.is_public() || !work.credentials)
        {
            shared.metrics.hits.fetch_add(1, Relaxed);
            // What is no representation opens no watch: it is the answer, as it would be from the application.
            let refused = !is_representation(kept.status);
            if once || refused {
                let collapsed = work.waits_since.is_some() && !resources.is_fresh(kept, self.now_ms);
                let status =
                    if collapsed { CacheStatus::Collapsed(Forward::Stale) } else { CacheStatus::Hit };
                if let Some(conn) = self.conns.get_mut(key) {
                    conn.keep_alive &=
                        !matches!(conn.work.as_deref(), Some(Work { intent: Intent::Socket(..), .. }));
                }
                let kept = self.at_pinned(key, kept.clone());
                return self.serve(key, &kept, status);
            }
            // The copy's own, whatever others of the resource have said since.
            let vary = Vary::of(&kept.fields);
            let audience = if kept.is_public() { Audience::Public } else { Audience::Anonymous };
            let selectors = Selectors::of(&work.fields, vary.names());
            let variant = VariantKey { resource, audience, selectors };
            let as_new = |current: &Representation| current.position.offset >= kept.position.offset;
            return match resources.watches.join(self.id, &variant, as_new) {
                Some(opened) => self.greet(key, opened),
                None => self.watch(key, kept.copy(), vary.names(), variant.audience),
            };
        }
        let stale = kept.filter(|kept| once && !kept.is_private());
        if let Some(copy) = &stale
            && work.pinned.is_none()
            && let Some(status) = self.usable_stale(copy)
        {
            let flight = self.flight(&resource, &work.fields, once);
            self.refresh(key, copy, flight);
            return self.serve(key, copy, status);
        }
        if self.join(key, once) {
            return;
        }
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        if self.is_own_resource(work) {
            return self.serve_figures(key);
        }
        let shareable = !work.credentials || stale.as_deref().is_some_and(Representation::is_public);
        let alone = work.alone
            || !shareable
            || &*work.method != "GET"
            || (once && resources.cache.is_uncacheable(&resource))
            || stale.as_deref().is_some_and(|copy| copy.validate);
        let fields = work.fields.clone();
        if &*work.method == "GET"
            && let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut())
        {
            work.stale = stale;
        }
        if alone {
            return self.call(key, vec![], None);
        }
        let flight = self.flight(&resource, &fields, once);
        if resources.flights.board(&flight, (self.id, key.pack())) {
            self.call(key, vec![], Some(flight));
        } else {
            self.wait(key);
        }
    }

    /// The name of the read that all wait for who ask for what this request selects.
    fn flight(&self, resource: &ResourceKey, fields: &Fields, once: bool) -> Box<str> {
        let resources = &self.shared.resources;
        let vary =
            resources.cache.vary(resource).or_else(|| resources.watches.vary(resource)).unwrap_or_default();
        let selected = resources.flights.name(&Selectors::of(fields, &vary));
        format!("{resource} {once} {selected:x}").into()
    }

    /// Whether a copy may be used as it is.
    fn is_usable(&self, copy: &Representation) -> bool {
        !copy.validate && self.shared.resources.is_fresh(copy, self.now_ms)
    }

    /// Wait for somebody else's read.
    fn wait(&mut self, key: Key) {
        let head = self.shared.resources.log.head();
        if let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) {
            work.waits_since.get_or_insert(head);
        }
        self.arm(key);
    }

    /// Try to join a watch that exists, to wait for the read of it that is under way, or to use the one that has just ended.
    /// A private one is always opened through the application.
    fn join(&mut self, key: Key, once: bool) -> bool {
        let shared = self.shared.clone();
        let resources = &shared.resources;
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return false };
        let Some(resource) = work.resource.as_ref().filter(|_| !work.alone) else { return false };
        let Some(vary) = resources.watches.vary(resource) else { return false };
        let audiences = [Some(Audience::Public), (!work.credentials).then_some(Audience::Anonymous)];
        for audience in audiences.into_iter().flatten() {
            let selectors = Selectors::of(&work.fields, &vary);
            let variant = VariantKey { resource: resource.clone(), audience, selectors };
            let fresh = |current: &Representation| {
                resources.is_fresh(current, self.now_ms) || work.waited_for(current)
            };
            if !once && let Some(opened) = resources.watches.join(self.id, &variant, fresh) {
                self.greet(key, opened);
                return true;
            }
            if resources.watches.await_read(&variant, (self.id, key.pack()), once) {
                self.wait(key);
                return true;
            }
            // A read that ended after this request looked for a copy is about to be kept.
            if once
                && let Some(read) = resources.watches.newest(&variant)
                && read.reusable
                && self.is_usable(&read)
            {
                shared.metrics.hits.fetch_add(1, Relaxed);
                let read = self.at_pinned(key, read);
                self.serve(key, &read, CacheStatus::Hit);
                return true;
            }
        }
        false
    }

    /// A flight has landed: whoever waited looks again.
    pub(super) fn landed(&mut self, key: Key, alone: bool) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        if work.exchange.is_some() || work.sending != Sending::Nothing {
            return;
        }
        work.alone |= alone;
        self.advance(key);
    }

    /// Let those who waited for a flight go on.
    pub(super) fn land(&mut self, flight: &str, alone: bool) {
        for waiter in self.shared.resources.flights.land(flight) {
            self.shared.inboxes.landed(waiter, alone);
        }
    }

    /// Make a representation of an answer of the application, and keep it if it may be kept.
    pub(super) fn make(&self, work: &Work, gathering: Gathering, position: u64) -> Option<Representation> {
        let resource = work.resource.as_ref()?;
        let Gathering { head, body, decision, groups } = gathering;
        let private = decision.audience == Sharing::Private;
        let salt = decision.vary.select(&work.fields).and_then(|selectors| {
            let audience = decision.audience_of(&work.fields);
            VariantKey { resource: resource.clone(), audience, selectors }
                .salt(&self.shared.resources.salt_key)
        });
        let lines = self.shared.outgoing.lines(&head.fields, &decision, resource.as_str(), &groups);
        let mut made = Representation::new(Made {
            head: &head,
            // It may have come in pieces, into memory with room for more.
            body: body.into_boxed_slice().into(),
            decision: &decision,
            resource,
            groups,
            lines,
            position: self.shared.resources.position(position),
            salt,
            now_ms: self.now_ms,
        });
        if private && let Some(ends) = self.token_ends(&work.fields) {
            // What the token opened is looked at again when it ends.
            let left_ms = (ends - self.unix_s).saturating_mul(1000);
            let at = self.now_ms.saturating_add(left_ms);
            made.expires_at_ms = Some(made.expires_at_ms.map_or(at, |before| before.min(at)));
        }
        Some(made)
    }

    /// When the request's token will end. Whether one that has ended counts is for the application to say, and it has.
    fn token_ends(&self, fields: &Fields) -> Option<u64> {
        expires_unix_s(fields).filter(|ends| *ends > self.unix_s)
    }

    /// Answer with a representation, or with 304 if the client has it.
    pub(super) fn serve(&mut self, key: Key, rep: &Arc<Representation>, status: CacheStatus) {
        let shared = self.shared.clone();
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        let evaluated = conditional::evaluate(&work.fields, rep);
        let pinned = work.pinned.is_some();
        // The operator's listener has no waits, and the node's own resources change with the time.
        let linked = if work.admin || work.target.starts_with(&*shared.options.prefix) {
            None
        } else {
            work.resource.clone()
        };
        if (evaluated, status) == (Outcome::Full, CacheStatus::Hit) && &*work.method == "GET" && !pinned {
            let start = rep.hit_head.get_or_init(|| {
                let mut fields = annotate::fields(rep);
                annotate::cache_status(&mut fields, status);
                let mut start = vec![];
                write_head_start(&mut start, rep.status, &fields, rep.body.len() as u64);
                start.into()
            });
            (work.status, work.cache, work.position) = (rep.status, status.word(), rep.position.offset);
            work.sent_bytes = rep.body.len() as u64;
            let (minor, keep_alive) = (work.minor, conn.keep_alive);
            let mut out = self.buffer(key);
            out.extend_from_slice(start);
            if let Some(resource) = &linked {
                let write = |link: &Link| write_link(&mut out, link, &shared.words, self.unix_ms);
                shared.resources.with_link(rep, resource, now_ms, write);
            }
            let undated = rep.counts_from_now || rep.fields.get("date").is_none();
            let date = undated.then(|| self.date.at(self.unix_s));
            write_head_end(&mut out, minor, date, annotate::age_s(rep, now_ms), keep_alive);
            self.complete(key);
            return self.give_kept(key, out, &rep.body);
        }
        let (code, mut fields, length) = match evaluated {
            Outcome::NotModified => (304, annotate::not_modified(rep), None),
            Outcome::Full => (rep.status, annotate::fields(rep), Some(rep.body.len() as u64)),
        };
        if pinned {
            self.pinned_lifetime(&mut fields, rep);
        }
        if let Some(resource) = &linked {
            let add = |link: &Link| push_link(&mut fields, link, &shared.words, self.unix_ms);
            shared.resources.with_link(rep, resource, now_ms, add);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        if matches!(status, CacheStatus::Collapsed(_)) {
            late_fill(&mut fields, !rep.groups.is_empty() && !rep.is_private());
        }
        let made_now = matches!(status, CacheStatus::Stored(_) | CacheStatus::Forwarded(_));
        if !made_now || rep.initial_age_s > 0 {
            annotate::age(&mut fields, rep, now_ms);
        }
        annotate::cache_status(&mut fields, status);
        let head_only = &*work.method == "HEAD";
        let framing = match length {
            None => BodyFraming::None,
            Some(length) if head_only => {
                fields.push("content-length", length.to_string());
                BodyFraming::None
            }
            Some(length) => BodyFraming::Length(length),
        };
        (work.status, work.cache) = (code, status.word());
        work.position = rep.position.offset;
        let (minor, keep_alive) = (work.minor, conn.keep_alive);
        let with_body = length.is_some() && !head_only;
        if with_body {
            work.sent_bytes = rep.body.len() as u64;
        }
        let mut out = self.buffer(key);
        write_head(&mut out, minor, code, &fields, framing, keep_alive, self.date.at(self.unix_s));
        self.complete(key);
        if with_body { self.give_kept(key, out, &rep.body) } else { self.give(key, out) }
    }

    /// Answer with some of the bytes of a copy, or with 304 if the client has it. It says no position: who has a part does
    /// not have what a watch compares with.
    fn serve_part(&mut self, key: Key, copy: &Arc<Representation>, part: Range<usize>) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        if conditional::evaluate(&work.fields, copy) == Outcome::NotModified {
            return self.serve(key, copy, CacheStatus::Hit);
        }
        let mut fields = annotate::fields(copy).without(|name| name == b"fresh-position");
        let (last, whole) = (part.end - 1, copy.body.len());
        fields.push_display("content-range", format_args!("bytes {}-{last}/{whole}", part.start));
        annotate::age(&mut fields, copy, self.now_ms);
        annotate::cache_status(&mut fields, CacheStatus::Hit);
        (work.status, work.cache, work.position) = (206, CacheStatus::Hit.word(), copy.position.offset);
        work.sent_bytes = part.len() as u64;
        let (minor, keep_alive) = (work.minor, conn.keep_alive);
        let framing = BodyFraming::Length(part.len() as u64);
        let mut out = self.buffer(key);
        write_head(&mut out, minor, 206, &fields, framing, keep_alive, self.date.at(self.unix_s));
        self.shared.metrics.hits.fetch_add(1, Relaxed);
        self.complete(key);
        self.give_kept(key, out, &copy.body.slice(part));
    }

    /// Open a watch with a representation that was just read, or is still fresh.
    pub(super) fn watch(&mut self, key: Key, rep: Representation, vary: &[Box<str>], audience: Audience) {
        let shared = self.shared.clone();
        let Some(conn) = self.conns.get(key) else { return };
        let Some(work) = conn.work.as_deref() else { return };
        let Some(resource) = work.resource.clone() else { return };
        let private = matches!(audience, Audience::Private(_));
        let source = Source {
            scheme: work.scheme,
            target: work.target.clone(),
            fields: canonical_fields(&work.fields, vary, private, Some("text/event-stream, */*;q=0.1"))
                .into(),
            token_ends_unix_s: private.then(|| self.token_ends(&work.fields)).flatten(),
            listener: conn.listener,
        };
        let variant = VariantKey { resource, audience, selectors: Selectors::of(&work.fields, vary) };
        let changed = |rep: &Representation| shared.resources.newest_change(&rep.tags);
        let Some(opened) = shared.resources.watches.open(self.id, &variant, vary, source, rep, changed)
        else {
            let limit = shared.options.max_watched;
            let detail = format!("{limit} variants are watched already (max_watched)");
            return self.fail(key, &Refusal::new(503, "max_watched", detail));
        };
        if opened.current.reusable {
            shared.resources.cache.insert(variant, vary, opened.current.clone());
        }
        self.greet(key, opened);
    }

    /// Arm the end of a new watch's lifetime, and let its watcher in.
    fn greet(&mut self, key: Key, opened: Opened) {
        if opened.created {
            self.shared.metrics.watched.fetch_add(1, Relaxed);
            self.rest(opened.topic);
        }
        self.admit_watcher(key, opened);
    }
}

/// Append the line that says from where a representation can be waited on (RFC 5989).
fn write_link(out: &mut Vec<u8>, link: &Link, words: &Words, unix_ms: u64) {
    link.ticket.give();
    out.extend_from_slice(b"link: ");
    let write = |pieces: &[&str]| pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    words.link(link.ticket.name, link.since, unix_ms, write);
    out.extend_from_slice(b"\r\n");
}

/// The same as a field.
pub(super) fn push_link(fields: &mut Fields, link: &Link, words: &Words, unix_ms: u64) {
    link.ticket.give();
    words.link(link.ticket.name, link.since, unix_ms, |pieces| fields.push_pieces("link", pieces));
}

/// Why a GET went to the application, for `Cache-Status`.
pub(super) fn forwarded(sharing: Option<Sharing>) -> Forward {
    match sharing {
        Some(Sharing::Shared { .. }) => Forward::Miss,
        Some(Sharing::Private) => Forward::Bypass,
        None => Forward::Method,
    }
}
