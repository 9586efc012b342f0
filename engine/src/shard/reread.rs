//! Re-reads: a watched variant is read once for all its watchers, with a request that has nothing of any client's.
use super::Shard;
use super::deadline::Due;
use super::exchange::{Exchange, Gathering, Purpose, Waiting, exchange_id};
use super::shared::Role;
use super::work::Work;
use crate::app::{Address, Answer, Event, Flow, Kind, Request, ResponseHead};
use crate::hub::TopicId;
use crate::net::slab::Key;
use crate::net::wheel::{TICK_MS, ticks};
use crate::resource::key::{Audience, Selectors, Vary};
use crate::resource::policy::Decision;
use crate::resource::representation::Representation;
use crate::resource::watch::{Next, Outcome, Reader, Source};
use bytes::Bytes;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How far the body of a read is that no client waits for.
pub(super) enum Collected {
    /// More follows.
    More,
    /// More than `max_representation_bytes`.
    TooLarge,
    /// All of it, and the position of the read.
    Whole(Gathering, u64),
}

impl Shard {
    /// Read a watched variant again, unless that is under way.
    pub(super) fn read_again(&mut self, topic: TopicId) {
        if self.draining {
            return;
        }
        let shared = self.shared.clone();
        if !self.may_read() {
            return self.reads_waiting.push_back(Waiting::Variant(topic));
        }
        if self.rereads_per_tick().is_some() && self.reread_tokens < 1.0 {
            return self.paced.push_back(topic);
        }
        let advance = || shared.resources.log.advance();
        let Some((source, position)) = shared.resources.watches.begin_read(topic, advance) else { return };
        self.reread_tokens -= 1.0;
        shared.metrics.rereads.fetch_add(1, Relaxed);
        let Some((variant, _)) = shared.resources.watches.current(topic) else { return };
        let door = &shared.doors[source.listener as usize];
        let mut work = self.reread_work(&source);
        work.resource = Some(variant.resource);
        if self.is_own_resource(&work) {
            let outcome = match self.figures(&work, position) {
                Some(made) => Outcome::Read(Box::new(made)),
                None => Outcome::Failed,
            };
            return self.finish_read(topic, outcome);
        }
        if source.token_ends_unix_s.is_some_and(|ends| ends <= self.unix_s) {
            let outcome = Outcome::Gone(401, "the token that opened this watch has expired".into());
            return self.finish_read(topic, outcome);
        }
        shared.metrics.reads.fetch_add(1, Relaxed);
        let flow = Arc::new(Flow::default());
        let fields = source.fields.clone();
        let purpose = Purpose::Watchers(topic, source.clone());
        let exchange = self.exchanges.insert(Exchange::new(purpose, position, flow.clone(), true));
        self.reading += 1;
        self.rereads.push_back((self.wheel.now() + ticks(shared.options.app_timeout_s), exchange));
        self.ask(Request {
            id: exchange_id(self.id, exchange),
            kind: Kind::Http,
            method: "GET".into(),
            scheme: source.scheme,
            target: source.target.clone(),
            minor: 1,
            fields,
            client: None,
            server: match &door.address {
                Address::Ip(address) => Address::Ip(*address),
                unix => unix.clone(),
            },
            body: Bytes::new(),
            more_body: false,
            flow,
        });
    }

    /// How many re-reads may begin here in a tick; `None`: as many as there are.
    fn rereads_per_tick(&self) -> Option<f64> {
        let per_s = f64::from(self.shared.options.max_rereads_per_s);
        (per_s > 0.0).then(|| per_s * TICK_MS as f64 / 1000.0 / self.shared.inboxes.0.len() as f64)
    }

    /// A tick has passed: begin re-reads that waited for it.
    pub(super) fn pace_rereads(&mut self) {
        let Some(more) = self.rereads_per_tick() else { return };
        self.reread_tokens = (self.reread_tokens + more).min(more.max(1.0));
        for _ in 0..self.paced.len() {
            if self.reread_tokens < 1.0 {
                break;
            }
            let Some(topic) = self.paced.pop_front() else { break };
            self.read_again(topic);
        }
    }

    /// The application answers a re-read.
    pub(super) fn answer_watchers(&mut self, exchange: Key, answer: Answer) {
        let limit = self.shared.options.max_representation_bytes;
        let Some(entry) = self.exchanges.get_mut(exchange) else { return };
        let Purpose::Watchers(topic, source) = entry.purpose.clone() else { return };
        let (data, more) = match answer {
            Answer::Start { head, body, more } => {
                self.begun(exchange);
                let credentials = crate::resource::key::has_credentials(&source.fields);
                let (decision, groups) = self.judge(&head, credentials);
                if let Some(outcome) =
                    self.verdict(topic, &source, &head, decision.watchable, &decision.vary, &decision)
                {
                    self.drop_read(exchange);
                    return self.finish_read(topic, outcome);
                }
                self.gather(exchange, head, decision, groups);
                (body, more)
            }
            Answer::Data { data, more } => (data, more),
            Answer::Trailers(_) => (Bytes::new(), false),
            Answer::EarlyHints(_) | Answer::Want => return,
            Answer::Failed
            | Answer::Refused(_)
            | Answer::Accept { .. }
            | Answer::Message(_)
            | Answer::Close { .. } => {
                self.drop_read(exchange);
                return self.finish_read(topic, Outcome::Failed);
            }
        };
        let (gathering, position) = match self.collect(exchange, &data, more) {
            None | Some(Collected::More) => return,
            Some(Collected::TooLarge) => {
                // It will hardly be smaller soon, and a watch could not be opened with it either.
                self.drop_read(exchange);
                return self.finish_read(topic, Outcome::Gone(502, representation_too_large(limit)));
            }
            Some(Collected::Whole(gathering, position)) => (gathering, position),
        };
        let mut work = self.reread_work(&source);
        work.resource = self.shared.resources.watches.current(topic).map(|(variant, _)| variant.resource);
        let outcome = match self.make(&work, gathering, position) {
            Some(made) => Outcome::Read(Box::new(made)),
            None => Outcome::Failed,
        };
        self.finish_read(topic, outcome);
    }

    /// The head of an answer is here whose body is collected.
    pub(super) fn gather(
        &mut self,
        exchange: Key,
        head: Box<ResponseHead>,
        decision: Decision,
        groups: Vec<Box<str>>,
    ) {
        if let Some(entry) = self.exchanges.get_mut(exchange) {
            entry.gathering = Some(Gathering { head, body: vec![], decision, groups });
        }
    }

    /// A piece of the body of a read that no client waits for; when it is whole, the exchange is over.
    pub(super) fn collect(&mut self, exchange: Key, data: &[u8], more: bool) -> Option<Collected> {
        let entry = self.exchanges.get_mut(exchange)?;
        let taken = data.len().min(entry.flow.buffered.load(SeqCst));
        entry.flow.buffered.fetch_sub(taken, SeqCst);
        let drained = entry.flow.wants_drain.swap(false, SeqCst);
        let gathering = entry.gathering.as_mut()?;
        gathering.body.extend_from_slice(data);
        let length = gathering.body.len().max(gathering.head.content_length.unwrap_or(0) as usize);
        if length > self.shared.options.max_representation_bytes {
            self.shared.metrics.refused("representation_too_large");
            return Some(Collected::TooLarge);
        }
        if more {
            if drained {
                self.tell(exchange, Event::Drained);
            }
            return Some(Collected::More);
        }
        let Exchange { gathering, position, .. } = self.forget(exchange)?;
        Some(Collected::Whole(gathering?, position))
    }

    /// What the head of an answer already decides: `None` if it is a representation of the same variant.
    fn verdict(
        &self,
        topic: TopicId,
        source: &Source,
        head: &ResponseHead,
        watchable: bool,
        vary: &Vary,
        decision: &Decision,
    ) -> Option<Outcome> {
        let (variant, _) = self.shared.resources.watches.current(topic)?;
        match head.status {
            500.. | 408 | 425 | 429 => return Some(Outcome::Failed),
            status if !(200..300).contains(&status) => {
                let detail = format!("the application answers {status} now");
                return Some(Outcome::Gone(status, detail));
            }
            _ if !watchable => return Some(Outcome::Reset),
            _ => {}
        }
        let Vary::Names(names) = vary else { return Some(Outcome::Reset) };
        let audience = decision.audience_of(&source.fields);
        let same_audience = match (&variant.audience, &audience) {
            (Audience::Private(_), Audience::Private(_)) => true,
            (before, after) => before == after,
        };
        let same = same_audience && Selectors::of(&source.fields, names) == variant.selectors;
        (!same).then_some(Outcome::Reset)
    }

    /// The application need not go on with a read.
    pub(super) fn drop_read(&mut self, exchange: Key) {
        if let Some(gone) = self.forget(exchange) {
            gone.flow.disconnected.store(true, SeqCst);
            self.tell(exchange, Event::Disconnect);
        }
    }

    /// Give up re-reads that have taken too long, and forget those that have ended: each has the same time.
    pub(super) fn abandon_reads(&mut self, now: u32) {
        while let Some((deadline, exchange)) = self.rereads.front().copied()
            && (deadline <= now || self.exchanges.get(exchange).is_none())
        {
            self.rereads.pop_front();
            self.abandon_read(exchange);
        }
    }

    fn abandon_read(&mut self, exchange: Key) {
        match self.exchanges.get(exchange).map(|e| e.purpose.clone()) {
            Some(Purpose::Watchers(topic, _)) => {
                self.shared.metrics.refused("reread_timeout");
                self.drop_read(exchange);
                self.finish_read(topic, Outcome::Failed);
            }
            Some(Purpose::Refresh(refresh)) => {
                self.shared.metrics.refused("reread_timeout");
                self.refresh_failed(exchange, &refresh);
            }
            Some(Purpose::Client(_)) | None => {}
        }
    }

    fn finish_read(&mut self, topic: TopicId, outcome: Outcome) {
        let shared = self.shared.clone();
        let gone = matches!(outcome, Outcome::Gone(..) | Outcome::Reset);
        let before = shared.resources.watches.current(topic);
        let changed = |rep: &Representation| shared.resources.newest_change(&rep.tags);
        let (next, landing) = shared.resources.watches.end_read(topic, outcome, changed);
        match next {
            Next::Rest => {
                self.keep_watched(topic);
                self.rest(topic);
            }
            Next::Again => {
                self.keep_watched(topic);
                self.read_again(topic);
            }
            Next::Pause(failures) => {
                let options = &shared.options;
                let doubled = options.reread_backoff_s * f64::from(1u32 << (failures - 1).min(16));
                let pause_ms = (doubled.min(options.reread_backoff_max_s) * 1000.0) as u64;
                let jittered = pause_ms / 2 + self.jitter(pause_ms / 2 + 1);
                let due = self.wheel.now() + (jittered / TICK_MS).max(1) as u32;
                self.due.push(Reverse((due, Due::Retry(topic))));
            }
            Next::Over => {
                if let Some((variant, _)) = before
                    && (gone || matches!(variant.audience, Audience::Private(_)))
                {
                    shared.resources.cache.remove(&variant);
                }
                shared.metrics.watched.store(shared.resources.watches.len() as u64, Relaxed);
            }
        }
        // Only now is it in the cache, where those who waited for it look.
        let read = shared.resources.watches.current(topic).map(|(_, current)| current);
        let read = read.filter(|_| matches!(next, Next::Rest | Next::Again));
        shared.resources.monitors.landed(topic, read.as_ref());
        for waiter in landing.waiters {
            shared.inboxes.landed(waiter, landing.alone);
        }
    }

    /// A watched representation answers later GETs too, if it may.
    fn keep_watched(&self, topic: TopicId) {
        let resources = &self.shared.resources;
        if let Some((variant, current)) = resources.watches.current(topic)
            && current.reusable
            && let Some(vary) = resources.watches.vary(&variant.resource)
        {
            resources.cache.insert(variant, &vary, current);
        }
    }

    /// Nothing to do for a watch until its representation's lifetime ends.
    pub(super) fn rest(&mut self, topic: TopicId) {
        if let Some(at) = self.shared.resources.watches.next_look(topic, self.now_ms) {
            let due = self.wheel.now() + (at.saturating_sub(self.now_ms) / TICK_MS).max(1) as u32 + 1;
            self.due.push(Reverse((due, Due::Expire(topic, at))));
        }
    }

    /// A re-read in the form that representations are made from.
    pub(super) fn reread_work(&self, source: &Source) -> Work {
        let admin = self.shared.doors[source.listener as usize].role == Role::Admin;
        let nobody = Address::Unix(None);
        Work {
            admin,
            ..Work::new("GET", &source.target, source.scheme, source.fields.clone(), nobody, self.now_ms)
        }
    }
}

/// Why what is too large is not watched.
pub(super) fn representation_too_large(limit: usize) -> String {
    format!("a watched representation may have {limit} bytes (max_representation_bytes)")
}
