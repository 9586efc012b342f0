//! What the application answers: given to whom it is for, put together where others may have it too, and kept for them.
//!
//! What goes out as it comes goes through `pass`, what is whole through `get` or `push`.
use super::Shard;
use super::conn::State;
use super::exchange::{Exchange, Gathering, Purpose};
use super::get::forwarded;
use super::keep::{gets_etag, late_fill};
use super::reread::representation_too_large;
use super::work::{Intent, Sending};
use crate::app::{Answer, ExchangeId, ResponseHead};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::response::{self, CONTINUE};
use crate::net::slab::Key;
use crate::resource::annotate::{CacheStatus, Forward};
use crate::resource::key::Vary;
use crate::resource::policy::Sharing;
use crate::resource::representation::content_etag;
use crate::transport::websocket::close;
use bytes::Bytes;
use std::sync::Arc;

/// A body of a declared length up to this is waited for (for a tick at most), so that the representation is whole when
/// its head goes out.
const SHORT_BODY_BYTES: u64 = 64 * 1024;

impl Shard {
    /// The application says something.
    pub(super) fn answer(&mut self, id: ExchangeId, answer: Answer) {
        let exchange = Key { slot: id.slot(), generation: id.generation() };
        match self.exchanges.get(exchange).map(|exchange| exchange.purpose.clone()) {
            Some(Purpose::Client(key)) => self.answer_client(key, exchange, answer),
            Some(Purpose::Watchers(..)) => self.answer_watchers(exchange, answer),
            Some(Purpose::Refresh(refresh)) => self.answer_refresh(exchange, &refresh, answer),
            None => {}
        }
    }

    fn answer_client(&mut self, key: Key, exchange: Key, answer: Answer) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        match answer {
            Answer::EarlyHints(fields) => {
                if work.sending == Sending::Nothing && work.minor > 0 && matches!(work.intent, Intent::Once) {
                    let mut out = self.buffer(key);
                    response::write_interim(&mut out, 103, &fields);
                    self.give(key, out);
                }
            }
            Answer::Start { head, body, more } => {
                self.begun(exchange);
                if let Some((head, body, more)) = self.validated(key, head, body, more) {
                    self.started(key, exchange, head, body, more);
                }
            }
            Answer::Data { data, more } => self.continued(key, exchange, data, more, None),
            Answer::Trailers(fields) => self.continued(key, exchange, Bytes::new(), false, Some(fields)),
            Answer::Failed | Answer::Refused(_) if conn.state == State::Socket => {
                self.forget(exchange);
                self.farewell(key, close::INTERNAL, "the application failed", close::INTERNAL, String::new());
            }
            Answer::Failed => {
                let refusal = Refusal::new(500, "application_failed", "the application failed");
                self.failed(key, exchange, &refusal);
            }
            Answer::Refused(refusal) => self.failed(key, exchange, &refusal),
            Answer::Want if matches!(work.intent, Intent::Application(_)) => self.want_message(key),
            Answer::Want => {
                work.wanted += 1;
                if std::mem::take(&mut work.expects_continue)
                    && work.sending == Sending::Nothing
                    && work.body_bytes == 0
                    && !self.write(key, CONTINUE)
                {
                    return;
                }
                self.want(key);
            }
            Answer::Accept { subprotocol, fields } => self.accept_socket(key, exchange, subprotocol, &fields),
            Answer::Message(message) => self.send_message(key, message),
            Answer::Close { code, reason } => self.close_socket(key, code, &reason),
        }
    }

    /// There will be no answer, or no more of it.
    fn failed(&mut self, key: Key, exchange: Key, refusal: &Refusal) {
        if self.rescue(key) {
            return;
        }
        self.forget(exchange);
        if let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) {
            work.exchange = None;
        }
        self.fail(key, refusal);
    }

    fn started(&mut self, key: Key, exchange: Key, mut head: Box<ResponseHead>, body: Bytes, more: bool) {
        let max_bytes = self.shared.options.max_representation_bytes;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        if matches!(work.intent, Intent::Application(_)) {
            // A WebSocket that the application denies (ASGI's websocket.http.response) is a response like others.
            work.intent = Intent::Once;
            conn.keep_alive = false;
            return self.pass(key, exchange, *head, vec![], None, body, more);
        }
        if !matches!(&*work.method, "GET" | "HEAD") {
            self.write_invalidates(key, &head);
            return self.pass(key, exchange, *head, vec![], None, body, more);
        }
        let (credentials, position, once, head_only) =
            (work.credentials, work.position, matches!(work.intent, Intent::Once), &*work.method == "HEAD");
        let for_others = work.asks_as_anybody();
        let (mut decision, groups) = self.judge(&head, credentials);
        let too_large = body.len().max(head.content_length.unwrap_or(0) as usize) > max_bytes;
        let newest = self.shared.resources.newest_change(&self.tags_of(key, &groups));
        if newest > position {
            let anybody = !groups.is_empty() && decision.audience != Sharing::Private;
            late_fill(&mut head.fields, anybody);
            (decision.storable, decision.late) = (false, true);
        }
        let watching = !once && decision.watchable && !too_large;
        let keeping = once && decision.storable && for_others && !too_large;
        if !watching && !keeping {
            self.land_alone(key, once && !matches!(decision.vary, Vary::Any) && !decision.storable);
        }
        decision.storable &= for_others;
        if !once && !watching {
            if too_large {
                let detail = representation_too_large(max_bytes);
                return self.fail(key, &Refusal::new(502, "representation_too_large", detail));
            }
            if let Some(conn) = self.conns.get_mut(key)
                && let Some(work) = conn.work.as_deref_mut()
                && matches!(work.intent, Intent::Socket(..))
            {
                if (200..300).contains(&head.status) {
                    let detail = "what the application answers here cannot be watched";
                    return self.fail(key, &Refusal::new(406, "not_watchable", detail));
                }
                conn.keep_alive = false;
            }
        }
        let short =
            once && !head_only && head.content_length.is_some_and(|length| length <= SHORT_BODY_BYTES);
        let all_here = !more || (short && head.content_length == Some(body.len() as u64));
        let awaited = short && (keeping || gets_etag(&head));
        let gathering = Gathering { head, body: vec![], decision, groups };
        if all_here {
            return self.whole(key, exchange, gathering, body, watching, keeping);
        }
        if watching || awaited {
            self.took(key, body.len());
            if let Some(conn) = self.conns.get_mut(key)
                && let Some(work) = conn.work.as_deref_mut()
            {
                (work.awaits_rest, conn.tick) = (awaited && !watching, self.wheel.now());
                self.arm(key);
            }
            if let Some(exchange) = self.exchanges.get_mut(exchange) {
                exchange.gathering = Some(Gathering { body: body.into(), ..gathering });
            }
            return;
        }
        let Gathering { head, groups, decision, .. } = &gathering;
        let (head, groups, decided) = (head.clone(), groups.clone(), decision.clone());
        // Who watches it gets it too, also if nobody else may.
        let shown = once && !head_only && for_others && !too_large && gathering.decision.watchable;
        if (keeping || (shown && self.is_followed(key)))
            && let Some(exchange) = self.exchanges.get_mut(exchange)
        {
            exchange.gathering = Some(Gathering { body: body.to_vec(), ..gathering });
        }
        self.pass(key, exchange, *head, groups, Some(&decided), body, more);
    }

    /// A whole answer to a GET is there, its body apart: open the watch, or answer with it, and keep it if it may be kept.
    fn whole(
        &mut self,
        key: Key,
        exchange: Key,
        gathering: Gathering,
        mut body: Bytes,
        watching: bool,
        keeping: bool,
    ) {
        let Some(Exchange { position, .. }) = self.forget(exchange) else { return };
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        work.exchange = None;
        let head_only = &*work.method == "HEAD";
        let names = gathering.decision.vary.names().to_vec();
        let audience = gathering.decision.audience_of(&work.fields);
        let sharing = gathering.decision.audience;
        // An answer to HEAD need not say anything of the content: no validator is made from it.
        let etagged = !head_only && gets_etag(&gathering.head);
        let watchable = gathering.decision.watchable && !head_only;
        // Without a watch to tell and a condition to check, a representation is of no use.
        let compared =
            work.fields.get("if-none-match").is_some() || work.fields.get("if-modified-since").is_some();
        let followed = self.is_followed(key);
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let comparable = work.asks_as_anybody() && (compared || followed);
        let asked_about = work.asked_about;
        let has_etag =
            watchable && gathering.head.status == 200 && gathering.head.fields.get("etag").is_some();
        if !(keeping || watching || ((etagged || has_etag) && comparable)) {
            let Gathering { mut head, decision, groups, .. } = gathering;
            if watchable && followed {
                let gathering = Gathering {
                    head: head.clone(),
                    body: body.into(),
                    decision: decision.clone(),
                    groups: groups.clone(),
                };
                let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
                let Some(made) = self.make(work, gathering, position) else { return };
                body = made.body.clone();
                self.keep(key, &names, audience, &Arc::new(made), false);
            }
            if etagged {
                let etag = content_etag(&head.fields, &body);
                head.fields.push("etag", &*etag);
            }
            return self.pass(key, exchange, *head, groups, Some(&decision), body, false);
        }
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let gathering = Gathering { body: body.into(), ..gathering };
        let Some(made) = self.make(work, gathering, position) else { return };
        let flight = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()?.flight.take());
        if watching {
            self.watch(key, made, &names, audience);
        } else {
            let made = Arc::new(made);
            let why = match (keeping, asked_about) {
                (true, true) => Forward::Stale,
                (true, false) => Forward::Miss,
                (false, _) => forwarded(Some(sharing)),
            };
            let status = if keeping { CacheStatus::Stored(why) } else { CacheStatus::Forwarded(why) };
            if keeping || watchable {
                self.keep(key, &names, audience, &made, keeping);
            }
            self.serve(key, &made, status);
        }
        if let Some(flight) = flight {
            self.land(&flight, false);
        }
    }

    /// Whether others watch, or watched not long ago, what a client asks for.
    pub(super) fn is_followed(&self, key: Key) -> bool {
        let work = self.conns.get(key).and_then(|conn| conn.work.as_deref());
        work.and_then(|work| work.resource.as_ref())
            .is_some_and(|resource| self.shared.resources.watches.knows(resource))
    }

    /// More of a response.
    fn continued(&mut self, key: Key, exchange: Key, data: Bytes, more: bool, trailers: Option<Fields>) {
        let max_bytes = self.shared.options.max_representation_bytes;
        let Some(entry) = self.exchanges.get_mut(exchange) else { return };
        let mut too_large = false;
        if let Some(gathering) = &mut entry.gathering {
            gathering.body.extend_from_slice(&data);
            too_large = gathering.body.len() > max_bytes;
        }
        let all_here = !more
            || entry
                .gathering
                .as_ref()
                .is_some_and(|gathering| gathering.head.content_length == Some(gathering.body.len() as u64));
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let watching = work.intent.watches();
        if work.sending == Sending::Nothing {
            // A watch is about to open, or the body is short: nothing goes out before all of it is here.
            self.took(key, data.len());
            if too_large {
                let detail = representation_too_large(max_bytes);
                return self.fail(key, &Refusal::new(502, "representation_too_large", detail));
            }
            if all_here
                && let Some(mut gathering) = self.exchanges.get_mut(exchange).and_then(|e| e.gathering.take())
            {
                let keeping = !watching && gathering.decision.storable;
                let body = std::mem::take(&mut gathering.body).into();
                self.whole(key, exchange, gathering, body, watching, keeping);
            }
            return;
        }
        if too_large
            && let Some(gathering) = self.exchanges.get_mut(exchange).and_then(|e| e.gathering.take())
            && gathering.decision.storable
        {
            self.land_alone(key, true);
        }
        let mut out = self.buffer(key);
        self.append(key, &mut out, &data, more, trailers.as_ref());
        if !more {
            if let Some(Exchange { gathering: Some(gathering), position, .. }) = self.forget(exchange)
                && let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref())
            {
                let names = gathering.decision.vary.names().to_vec();
                let audience = gathering.decision.audience_of(&work.fields);
                let storable = gathering.decision.storable;
                if let Some(made) = self.make(work, gathering, position) {
                    self.keep(key, &names, audience, &Arc::new(made), storable);
                }
            }
            self.land_alone(key, false);
            self.complete(key);
        }
        self.give(key, out);
    }

    /// Bytes of the application's that were kept here instead of being sent.
    fn took(&mut self, key: Key, bytes: usize) {
        if let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) {
            work.owed += bytes;
        }
        self.settle(key, bytes);
    }

    /// Let go of who waited for this request's answer; `alone`: it cannot be shared.
    fn land_alone(&mut self, key: Key, alone: bool) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        let (flight, resource) = (work.flight.take(), work.resource.clone());
        if alone
            && matches!(work.intent, Intent::Once)
            && let Some(resource) = &resource
        {
            self.shared.resources.cache.mark_uncacheable(resource);
        }
        if let Some(flight) = flight {
            self.land(&flight, alone);
        }
    }
}
