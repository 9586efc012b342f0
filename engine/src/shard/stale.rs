//! Copies whose lifetime has ended: asked about (RFC 9111 §4.3), used meanwhile, and used when asking fails (RFC 5861).
//!
//! Never one of which a tag changed, never a private one, and never for a read that is pinned to a position: those are read
//! anew by whoever asks.
use super::Shard;
use super::exchange::{Exchange, Purpose, exchange_id};
use super::reread::Collected;
use super::work::{Sending, Work};
use crate::app::{Answer, Flow, Kind, Request, ResponseHead};
use crate::net::slab::Key;
use crate::net::wheel::ticks;
use crate::resource::annotate::CacheStatus;
use crate::resource::canonical::canonical_fields;
use crate::resource::freshness::expired_for_ms;
use crate::resource::key::{Audience, Selectors, VariantKey, Vary};
use crate::resource::representation::Representation;
use crate::resource::validation::{conditional, freshened, is_error};
use crate::resource::watch::Source;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A read for which no client waits: a stale copy was used, and is asked about.
pub struct Refresh {
    /// The request.
    source: Source,
    /// The copy, and under which name it is kept.
    copy: Arc<Representation>,
    variant: VariantKey,
    /// Where those wait who come when the copy may not be used any more.
    flight: Box<str>,
}

impl Shard {
    /// Whether a copy may be used for so long after its lifetime: nothing but its lifetime stands in the way.
    fn usable(&self, copy: &Representation, window_ms: u64) -> bool {
        !copy.validate
            && !copy.is_private()
            && expired_for_ms(copy, self.now_ms) < window_ms
            && self.shared.resources.is_unchanged(copy)
    }

    /// As what a stale copy can be used at once, if it can: it is asked for meanwhile, or asking failed just now.
    pub(super) fn usable_stale(&self, copy: &Representation) -> Option<CacheStatus> {
        if self.usable(copy, copy.stale.while_revalidate_ms) {
            return Some(CacheStatus::StaleHit(expired_for_ms(copy, self.now_ms) / 1000));
        }
        let failed = copy.just_failed(self.now_ms) && self.usable(copy, copy.stale.if_error_ms);
        failed.then_some(CacheStatus::StaleIfError)
    }

    /// Asking the application failed: answer with the copy that may be used then. False: there is none.
    pub(super) fn rescue(&mut self, key: Key) -> bool {
        let work = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut());
        let unanswered = |work: &&mut Work| work.sending == Sending::Nothing && work.pinned.is_none();
        let Some(work) = work.filter(unanswered) else { return false };
        let Some(copy) = work.stale.take() else { return false };
        if !self.usable(&copy, copy.stale.if_error_ms) {
            return false;
        }
        copy.asking_failed(self.now_ms);
        let work = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut());
        if let Some(exchange) = work.and_then(|work| work.exchange.take()) {
            self.hang_up(exchange);
        }
        self.serve(key, &copy, CacheStatus::StaleIfError);
        true
    }

    /// The answer to a request that asked about a copy: what it would have been in full. `None`: asking failed, and the
    /// copy has gone out.
    pub(super) fn validated(
        &mut self,
        key: Key,
        head: Box<ResponseHead>,
        body: Bytes,
        more: bool,
    ) -> Option<(Box<ResponseHead>, Bytes, bool)> {
        let work = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut());
        let Some(work) = work.filter(|work| work.stale.is_some()) else { return Some((head, body, more)) };
        if head.status == 304 && work.asked_about {
            let copy = work.stale.take()?;
            // As if the application had sent it.
            work.flow.get_or_insert_default().buffered.fetch_add(copy.body.len(), SeqCst);
            return Some((Box::new(freshened(&copy, *head)), copy.body.clone(), false));
        }
        if is_error(head.status) && self.rescue(key) {
            return None;
        }
        Some((head, body, more))
    }

    /// Ask about a stale copy for nobody in particular, unless that is under way.
    pub(super) fn refresh(&mut self, key: Key, copy: &Arc<Representation>, flight: Box<str>) {
        let shared = self.shared.clone();
        let Some(conn) = self.conns.get(key) else { return };
        let Some(work) = conn.work.as_deref() else { return };
        let Some(resource) = work.resource.clone() else { return };
        if self.draining || copy.just_failed(self.now_ms) || !self.may_read() {
            return;
        }
        if !shared.resources.flights.lead(&flight) {
            return;
        }
        let vary = Vary::of(&copy.fields);
        let plain = canonical_fields(&work.fields, vary.names(), false, None);
        let audience = if copy.is_public() { Audience::Public } else { Audience::Anonymous };
        let refresh = Arc::new(Refresh {
            variant: VariantKey { resource, audience, selectors: Selectors::of(&work.fields, vary.names()) },
            source: Source {
                scheme: work.scheme,
                target: work.target.clone(),
                fields: conditional(&plain, copy).unwrap_or(plain).into(),
                token_ends_unix_s: None,
                listener: conn.listener,
            },
            copy: copy.clone(),
            flight,
        });
        shared.metrics.reads.fetch_add(1, Relaxed);
        let flow = Arc::new(Flow::default());
        let position = shared.resources.log.advance();
        let purpose = Purpose::Refresh(refresh.clone());
        let exchange = self.exchanges.insert(Exchange::new(purpose, position, flow.clone(), true));
        self.reading += 1;
        self.rereads.push_back((self.wheel.now() + ticks(shared.options.app_timeout_s), exchange));
        self.ask(Request {
            id: exchange_id(self.id, exchange),
            kind: Kind::Http,
            method: "GET".into(),
            scheme: refresh.source.scheme,
            target: refresh.source.target.clone(),
            minor: 1,
            fields: refresh.source.fields.clone(),
            client: None,
            server: shared.doors[refresh.source.listener as usize].address.clone(),
            body: Bytes::new(),
            more_body: false,
            flow,
        });
    }

    /// The application answers such a read.
    pub(super) fn answer_refresh(&mut self, exchange: Key, refresh: &Refresh, answer: Answer) {
        let (data, more) = match answer {
            Answer::Start { head, body, more } => {
                self.begun(exchange);
                if is_error(head.status) {
                    return self.refresh_failed(exchange, refresh);
                }
                let (head, body, more) = if head.status == 304 {
                    (Box::new(freshened(&refresh.copy, *head)), refresh.copy.body.clone(), false)
                } else {
                    (head, body, more)
                };
                let (decision, groups) = self.judge(&head, false);
                if !decision.storable {
                    // What it says now is for nobody else, and what it said before is over.
                    self.shared.resources.cache.remove(&refresh.variant);
                    self.drop_read(exchange);
                    return self.land(&refresh.flight, true);
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
                return self.refresh_failed(exchange, refresh);
            }
        };
        match self.collect(exchange, &data, more) {
            None | Some(Collected::More) => {}
            Some(Collected::TooLarge) => {
                self.shared.resources.cache.remove(&refresh.variant);
                self.drop_read(exchange);
                self.land(&refresh.flight, true);
            }
            Some(Collected::Whole(gathering, position)) => {
                let work = Work {
                    resource: Some(refresh.variant.resource.clone()),
                    ..self.reread_work(&refresh.source)
                };
                let vary = gathering.decision.vary.names().to_vec();
                let audience = gathering.decision.audience_of(&work.fields);
                if let Some(made) = self.make(&work, gathering, position) {
                    let late = self.shared.resources.newest_change(&made.tags) > position;
                    self.keep_read(&work, &vary, audience, &Arc::new(made), !late);
                }
                self.land(&refresh.flight, false);
            }
        }
    }

    /// Asking failed: the copy is used as long as it may, and asked about again in a while.
    pub(super) fn refresh_failed(&mut self, exchange: Key, refresh: &Refresh) {
        refresh.copy.asking_failed(self.now_ms);
        self.drop_read(exchange);
        self.land(&refresh.flight, false);
    }
}
