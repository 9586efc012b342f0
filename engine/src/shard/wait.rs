//! Waits on sets (`<prefix>watch/…`): held until something changes or the cycle ends, and always answered with what any
//! cache may keep.
//!
//! A wait that is held is a long-poll like others, or an event stream, on a topic that all who ask for the same URL
//! share. What it asks for is in the URL; whether there is such a set, and what changed, `resource::monitors` knows.
use super::Shard;
use super::conn::{After, State};
use super::deadline::Due;
use super::work::Work;
use crate::dialect::monitor::{self, BadUrl};
use crate::http::fields::Fields;
use crate::http::json;
use crate::http::lists::accepts_event_stream;
use crate::http::refusal::{Refusal, problem};
use crate::http::response::{BodyFraming, LAST_CHUNK, write_head};
use crate::hub::Form;
use crate::net::slab::Key;
use crate::net::wheel::{TICK_MS, ticks};
use crate::resource::canonical::canonical_fields;
use crate::resource::carried::Carry;
use crate::resource::key::{Audience, ResourceKey, Selectors, VariantKey};
use crate::resource::monitors::{Asked, Hold, News, Waited};
use crate::resource::representation::Representation;
use crate::resource::set::Name;
use crate::resource::sets::NotUnited;
use crate::resource::watch::Source;
use crate::transport::sse::{self, Event};
use serde::Deserialize;
use std::cmp::Reverse;
use std::sync::atomic::Ordering::Relaxed;

/// Seconds for which a refusal may be kept: it hardly matters how many ask.
const REFUSAL_MAX_AGE_S: u64 = 1;

/// What the application is asked for, for watchers.
const WATCH_ACCEPT: &str = "text/event-stream, */*;q=0.1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    monitors: Vec<String>,
}

impl Shard {
    /// Whether a request is about a set.
    pub(super) fn is_monitor(&self, work: &Work) -> bool {
        let rest = work.target.strip_prefix(&*self.shared.options.prefix);
        let rest = rest.and_then(|rest| rest.strip_prefix("watch"));
        !work.admin && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }

    /// Answer such a request, whose body is there, or begin to wait.
    pub(super) fn answer_monitor(&mut self, key: Key, body: &[u8]) {
        let shared = self.shared.clone();
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let head_only = &*work.method == "HEAD";
        let one = work.target.len() > shared.options.prefix.len() + "watch".len();
        match (&*work.method, one) {
            ("GET" | "HEAD", true) => match shared.words.read(&work.target) {
                Ok(asked) => {
                    let events =
                        asked.events || (!head_only && accepts_event_stream(work.fields.all("accept")));
                    self.begin_wait(key, Asked { events, ..asked }, head_only, &[]);
                }
                Err(BadUrl::Malformed(form)) => self.refuse_wait(key, 400, "monitor_url", form),
                Err(BadUrl::OtherLog) => self.refuse_wait(key, 410, "other_log", monitor::GONE),
            },
            ("POST", false) => match self.unite(body) {
                Ok(url) => {
                    let text = shared.words.united(&url, shared.resources.log.head());
                    self.reply_to_wait(key, 200, monitor::fields("application/json", 1), text.as_bytes());
                }
                Err(refusal) => self.refuse_wait(key, refusal.status, refusal.reason, &refusal.detail),
            },
            ("OPTIONS", _) => self.answer_preflight(key),
            (_, true) => self.refuse_wait(key, 405, "method", "a monitor URL is read with GET"),
            (_, false) => {
                let detail = "POST {\"monitors\": [\"…\"]} makes one set of many";
                self.refuse_wait(key, 405, "method", detail);
            }
        }
    }

    /// Begin to wait, or answer; with `first` an event stream begins.
    fn begin_wait(&mut self, key: Key, asked: Asked, head_only: bool, first: &[u8]) {
        let shared = self.shared.clone();
        let (monitors, grid) = (&shared.resources.monitors, shared.words.grid);
        let phase_ms = grid.phase_ms(asked.set);
        if asked.since > shared.resources.log.head() {
            return self.refuse_wait(
                key,
                410,
                "position",
                "this log has no such position (yet): read the resource again",
            );
        }
        if !grid.may_be_asked(phase_ms, asked.cycle, self.unix_ms) {
            return self.refuse_wait(
                key,
                400,
                "cycle",
                "this cycle is not the current one, nor the next: `next` names it",
            );
        }
        let left_ms = grid.left_ms(phase_ms, asked.cycle, self.unix_ms);
        let advance = || shared.resources.log.advance();
        let waited = monitors.wait(
            self.id,
            asked,
            left_ms.filter(|_| !head_only),
            self.now_ms,
            advance,
            |resource, offset| {
                let kept = shared.resources.riding(resource, shared.options.notice_body_bytes)?;
                (kept.position.offset >= offset).then_some(kept)
            },
        );
        shared.metrics.waits.fetch_add(1, Relaxed);
        match waited {
            Waited::Gone => self.refuse_wait(key, 410, "unknown_set", monitor::GONE),
            Waited::News(news) if asked.events => {
                self.stream_news(key, asked, &news, left_ms.is_some(), first)
            }
            Waited::News(news) => self.answer_with_news(key, &news, head_only),
            Waited::Held(Hold { topic, version, look, carry }) => {
                if let Some((at_ms, set)) = look {
                    // Rounded up, so that it is over by then.
                    let due = self.wheel.now() + (at_ms.saturating_sub(self.now_ms) / TICK_MS) as u32 + 2;
                    self.due.push(Reverse((due, Due::Lapse(set, at_ms))));
                }
                let left_s = left_ms.unwrap_or_default() as f64 / 1000.0;
                let now = self.wheel.now();
                // Rounded up, and one more: it never ends before its cycle does.
                let end = now + ticks(left_s) + 1;
                let mut out = self.buffer(key);
                if asked.events {
                    self.begin_stream(key, &mut out);
                    out.extend_from_slice(first);
                }
                let Some(conn) = self.conns.get_mut(key) else { return };
                let Some(work) = conn.work.as_deref_mut() else { return };
                (work.status, work.cache, work.position) = (200, "held", asked.since);
                let http_1_0 = work.minor == 0;
                conn.subscriptions = self.fanout.subscribe(key.slot, topic, version, conn.subscriptions);
                conn.on_set = true;
                if asked.events {
                    (conn.state, conn.variant_form, conn.tick) = (State::Sse, http_1_0, now);
                    self.due.push(Reverse((end, Due::CycleEnds(key))));
                } else {
                    (conn.state, conn.tick) = (State::Poll, end);
                    conn.keep_alive &= !http_1_0;
                }
                self.log(key);
                // From here on it holds nothing of its request.
                let Some(conn) = self.conns.get_mut(key) else { return };
                conn.work = None;
                if asked.events {
                    conn.input = None;
                    if conn.unread {
                        self.again.push(key);
                    }
                }
                if let Some((set, resources)) = carry {
                    self.carry(key, set, resources);
                }
                // It counts once the answer to it can say what has become of what it waits for.
                shared.metrics.waits_held.fetch_add(1, Relaxed);
                self.give(key, out);
                self.close_if_left(key);
                self.arm(key);
                self.end_in_drain(key, 0);
            }
        }
    }

    /// Begin an event stream of news.
    fn begin_stream(&mut self, key: Key, out: &mut Vec<u8>) {
        let options = &self.shared.options;
        let (least, most) = (options.retry_min_ms, options.retry_max_ms.max(options.retry_min_ms));
        let retry_ms = least + self.jitter(most - least + 1);
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let minor = work.minor;
        let mut fields = monitor::fields("text/event-stream", self.shared.words.grid.cycle_s());
        fields.push("x-accel-buffering", "no");
        fields.push("incremental", "?1");
        let framing = if minor == 0 { BodyFraming::Close } else { BodyFraming::Chunked };
        write_head(out, minor, 200, &fields, framing, true, self.date.at(self.unix_s));
        let retry = Event { event: None, id: None, retry_ms: Some(retry_ms), data: None };
        // It has no field that could be refused.
        let _ = if minor == 0 { sse::encode(&retry, out) } else { sse::encode_chunked(&retry, out) };
    }

    /// An event stream that begins with news: then it goes on from there until the cycle ends.
    fn stream_news(&mut self, key: Key, asked: Asked, news: &News, goes_on: bool, first: &[u8]) {
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let form = if work.minor == 0 { Form::SseUnchunked } else { Form::Sse };
        let next = self.shared.words.next_cycle(news, self.unix_ms);
        let event = [first, &self.shared.words.event(form, news, next)].concat();
        self.shared.metrics.wait_changes.fetch_add(u64::from(!news.changes.is_empty()), Relaxed);
        if goes_on {
            // Whatever changes from here on is heard of: the wait begins with what this event has said.
            return self.begin_wait(key, Asked { since: news.offset, ..asked }, false, &event);
        }
        let mut out = self.buffer(key);
        self.begin_stream(key, &mut out);
        out.extend_from_slice(&event);
        if form == Form::Sse {
            out.extend_from_slice(LAST_CHUNK);
        }
        if let Some(conn) = self.conns.get_mut(key)
            && let Some(work) = conn.work.as_deref_mut()
        {
            (work.status, work.cache, work.position, work.sent_bytes) =
                (200, "at-once", news.offset, event.len() as u64);
            conn.keep_alive &= form == Form::Sse;
        }
        self.complete(key);
        self.give(key, out);
    }

    /// Watch what is public and small of a set, so that the answer to a wait on it can say what has become of it.
    fn carry(&mut self, key: Key, set: Key, resources: Vec<ResourceKey>) {
        let shared = self.shared.clone();
        let Some(listener) = self.conns.get(key).map(|conn| conn.listener) else { return };
        for resource in resources {
            let Some(latest) = shared.resources.riding(&resource, shared.options.notice_body_bytes) else {
                continue;
            };
            let Some((scheme, host)) = resource.origin().split_once("://") else { continue };
            let request: Fields = [("host", host)].into_iter().collect();
            let source = Source {
                scheme: if scheme == "https" { "https" } else { "http" },
                target: resource.path_and_query().into(),
                fields: canonical_fields(&request, &[], false, Some(WATCH_ACCEPT)).into(),
                token_ends_unix_s: None,
                listener,
            };
            let audience = if latest.is_public() { Audience::Public } else { Audience::Anonymous };
            let selectors = Selectors::of(&request, &[]);
            let variant = VariantKey { resource: resource.clone(), audience, selectors };
            let changed = |rep: &Representation| shared.resources.newest_change(&rep.tags);
            let opened =
                shared.resources.watches.open(self.id, &variant, &[], source, latest.copy(), changed);
            let Some(opened) = opened else { continue };
            if opened.created {
                self.rest(opened.topic);
            }
            let (topic, latest) = (opened.topic, opened.current);
            let carry = Carry { topic, shard: self.id, resource, latest, before: None };
            if !shared.resources.monitors.carry(set, carry) {
                shared.resources.watches.leave(self.id, topic);
            }
        }
        let watched = shared.resources.watches.len() as u64;
        shared.metrics.watched.store(watched, Relaxed);
    }

    fn answer_with_news(&mut self, key: Key, news: &News, head_only: bool) {
        let words = self.shared.words.clone();
        let phase_ms = words.grid.phase_ms(news.set);
        let max_age_s = match news.changes.is_empty() {
            // The cycle after it says more.
            true => {
                let current = words.grid.cycle(phase_ms, self.unix_ms);
                words.grid.left_ms(phase_ms, current, self.unix_ms).unwrap_or(0) / 1000
            }
            false => words.grid.cycle_s(),
        };
        let max_age_s = if head_only { REFUSAL_MAX_AGE_S } else { max_age_s };
        let next = match news.changes.is_empty() && head_only {
            true => news.cycle,
            false => words.next_cycle(news, self.unix_ms),
        };
        self.shared.metrics.wait_changes.fetch_add(u64::from(!news.changes.is_empty()), Relaxed);
        if let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) {
            (work.cache, work.position) = ("at-once", news.offset);
        }
        let text = words.json(news, next);
        self.reply_to_wait(key, 200, monitor::fields("application/json", max_age_s), text.as_bytes());
    }

    /// The cycle of an event stream has ended, or the node does.
    pub(super) fn cycle_ended(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key).filter(|conn| conn.state == State::Sse && conn.on_set) else {
            return;
        };
        if conn.after == After::Close {
            return;
        }
        if conn.blocked {
            return self.close(key);
        }
        let (subscription, form) = (self.fanout.subscription(conn.subscriptions), conn.form());
        let newest =
            subscription.and_then(|(topic, cursor, _)| Some((self.shared.hub.newest(topic)?, cursor)));
        let Some((message, cursor)) = newest else { return self.close(key) };
        let mut out = vec![];
        if message.version > cursor {
            // Published in this very turn, and not walked yet.
            out.extend_from_slice(message.wire(form));
        }
        if !message.last {
            out.extend_from_slice(&message.payload.unchanged(form));
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.after = After::Close;
        }
        self.write(key, &out);
    }

    /// One set of many: its monitor URL.
    fn unite(&self, body: &[u8]) -> Result<String, Refusal> {
        let shared = &self.shared;
        let bad = |detail: String| Refusal::new(422, "bad_set", detail);
        if json::too_deep(body) {
            return Err(bad(format!("JSON may nest {} deep", json::MAX_DEPTH)));
        }
        let page: Page = serde_json::from_slice(body)
            .map_err(|error| bad(format!("a set is made of {{\"monitors\": [\"…\"]}}: {error}")))?;
        let limit = shared.options.max_set_resources;
        let too_many = || {
            Refusal::new(
                413,
                "max_set_resources",
                format!("a set may have {limit} resources (max_set_resources)"),
            )
        };
        if page.monitors.is_empty() {
            return Err(bad("a set has at least one monitor URL".into()));
        }
        if page.monitors.len() > limit {
            return Err(too_many());
        }
        let gone = |urls: &[&str]| {
            Refusal::new(410, "unknown_set", format!("{}: {}", monitor::GONE, urls.join(" ")))
        };
        let mut asked: Vec<(Name, u64)> = vec![];
        for url in &page.monitors {
            match shared.words.read(url) {
                Ok(Asked { set, since, .. }) if since <= shared.resources.log.head() => {
                    asked.push((set, since))
                }
                Ok(_) | Err(BadUrl::OtherLog) => return Err(gone(&[url])),
                Err(BadUrl::Malformed(form)) => return Err(bad(format!("{url:?}: {form}"))),
            }
        }
        let (name, since) =
            shared.resources.monitors.unite(&asked, self.now_ms).map_err(|error| match error {
                NotUnited::Gone(places) => {
                    let urls: Vec<&str> = places.iter().map(|at| &*page.monitors[*at]).collect();
                    gone(&urls)
                }
                NotUnited::TooMany(_) => too_many(),
                NotUnited::Full => {
                    Refusal::new(503, "max_sets", "all sets are waited on (max_sets, max_set_bytes)")
                }
            })?;
        let cycle = shared.words.grid.cycle(shared.words.grid.phase_ms(name), self.unix_ms);
        Ok(shared.words.url(name, since, cycle))
    }

    /// A page of another origin asks whether it may ask (the Fetch standard's CORS preflight).
    fn answer_preflight(&mut self, key: Key) {
        let mut fields = Fields::default();
        fields.push("access-control-allow-origin", "*");
        fields.push("access-control-allow-methods", "GET, HEAD, POST");
        fields.push("access-control-allow-headers", "content-type, last-event-id, cache-control");
        fields.push("access-control-max-age", "86400");
        fields.push("cache-control", "public, max-age=86400");
        self.reply_to_wait(key, 200, fields, b"");
    }

    fn refuse_wait(&mut self, key: Key, status: u16, reason: &'static str, detail: &str) {
        self.shared.metrics.refused(reason);
        let mut fields = monitor::fields("application/problem+json", REFUSAL_MAX_AGE_S);
        if status == 503 {
            fields.push("retry-after", self.retry_after());
        }
        let problem = if status == 410 { self.gone(detail) } else { problem(status, detail) };
        self.reply_to_wait(key, status, fields, &problem);
    }

    /// The problem of a position or a set that is not known, with a position from which to go on. It is a new one, so that
    /// no cache has what is pinned to it: a copy that a cache has may itself lead to the set that is gone.
    pub(super) fn gone(&self, detail: &str) -> Vec<u8> {
        self.shared.words.gone(detail, self.shared.resources.log.advance())
    }

    /// A whole answer.
    pub(super) fn reply_to_wait(&mut self, key: Key, status: u16, mut fields: Fields, body: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        let head_only = &*work.method == "HEAD";
        let framing = match head_only {
            true => {
                fields.push("content-length", body.len().to_string());
                BodyFraming::None
            }
            false => BodyFraming::Length(body.len() as u64),
        };
        let body = if head_only { &[][..] } else { body };
        (work.status, work.sent_bytes) = (status, body.len() as u64);
        let (minor, keep_alive) = (work.minor, conn.keep_alive);
        let mut out = self.buffer(key);
        write_head(&mut out, minor, status, &fields, framing, keep_alive, self.date.at(self.unix_s));
        out.extend_from_slice(body);
        self.complete(key);
        self.give(key, out);
    }
}
