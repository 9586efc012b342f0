//! The application's answers on their way to a client: passed on as they come, kept for others where they may be.
use super::Shard;
use super::conn::{After, State};
use super::exchange::{Exchange, Gathering, Purpose};
use super::get::{forwarded, push_link};
use super::keep::{gets_etag, late_fill};
use super::reread::representation_too_large;
use super::work::{Intent, Sending};
use crate::app::{Answer, ExchangeId, ResponseHead};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::response::{
    self, BodyFraming, CONTINUE, LAST_CHUNK, write_chunk, write_head, write_trailers,
};
use crate::net::slab::Key;
use crate::resource::annotate::{self, CacheStatus, Forward};
use crate::resource::key::Vary;
use crate::resource::outgoing::with_lines;
use crate::resource::pinned::{self, Answer as PinnedAnswer};
use crate::resource::policy::{Decision, Sharing, is_watchable};
use crate::resource::representation::content_etag;
use crate::resource::set::Contents;
use crate::transport::websocket::close;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

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
                exchange.gathering = Some(Gathering { body: body.to_vec(), ..gathering });
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
        body: Bytes,
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
                    body: body.to_vec(),
                    decision: decision.clone(),
                    groups: groups.clone(),
                };
                if let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref())
                    && let Some(made) = self.make(work, gathering, position)
                {
                    self.keep(key, &names, audience, &Arc::new(made), false);
                }
            }
            if etagged {
                let etag = content_etag(&head.fields, &body);
                head.fields.push("etag", &*etag);
            }
            return self.pass(key, exchange, *head, groups, Some(&decision), body, false);
        }
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let gathering = Gathering { body: body.to_vec(), ..gathering };
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

    /// Begin to pass a response on.
    #[allow(clippy::too_many_arguments)]
    fn pass(
        &mut self,
        key: Key,
        exchange: Key,
        head: ResponseHead,
        groups: Vec<Box<str>>,
        decision: Option<&Decision>,
        body: Bytes,
        more: bool,
    ) {
        let ResponseHead { status: code, fields, content_length, .. } = head;
        let mut fields = self.leaving(key, fields, decision, &groups);
        let sharing = decision.map(|decision| decision.audience);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        let position = self.shared.resources.position(work.position);
        if sharing.is_none() || (!more && work.asks_as_anybody()) {
            // What is streamed, or was asked for in a way of its own, is not compared with what watchers have: nobody
            // shall watch from it.
            annotate::fresh_position(&mut fields, position.salted(None));
        }
        let anybodys = sharing.is_some() && work.asks_as_anybody();
        if let (true, Some(resource)) = (anybodys, work.resource.clone()) {
            let (asked_at, pinned) = (work.position, work.pinned.is_some());
            let tags = self.tags_of(key, &groups);
            let private = sharing == Some(Sharing::Private);
            // How long what is passed on keeps is not looked at: it is not kept here either.
            let contents = Contents {
                resource: &resource,
                tags: &tags,
                groups: &groups,
                private,
                position: asked_at,
                expires_at_ms: None,
            };
            if pinned {
                let current = self.shared.resources.newest_change(&tags) <= asked_at;
                let answer = PinnedAnswer { status: code, private, tags: &tags, current };
                pinned::lifetime(&mut fields, answer, self.shared.options.pinned_max_age_s);
            }
            if is_watchable(code, &fields)
                && let Some(link) = self.shared.resources.link(contents, self.now_ms)
            {
                push_link(&mut fields, &link, &self.shared.words, self.unix_ms);
            }
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        let status = CacheStatus::Forwarded(forwarded(sharing));
        annotate::cache_status(&mut fields, status);
        let bodiless = code < 200 || matches!(code, 204 | 304);
        let head_only = bodiless || &*work.method == "HEAD";
        let known = if more { content_length } else { Some(body.len() as u64) };
        let (framing, sending) = match known {
            _ if head_only => {
                if !bodiless && fields.get("content-length").is_none() && !more && !body.is_empty() {
                    fields.push("content-length", body.len().to_string());
                }
                (BodyFraming::None, Sending::HeadOnly)
            }
            Some(length) => (BodyFraming::Length(length), Sending::Length),
            None if work.minor > 0 => (BodyFraming::Chunked, Sending::Chunks),
            None => {
                conn.keep_alive = false;
                (BodyFraming::Close, Sending::UntilClose)
            }
        };
        if !work.body.done() {
            // What is left of the request would be read as the next one.
            conn.keep_alive = false;
        }
        (work.sending, work.status, work.cache) = (sending, code, status.word());
        let (minor, keep_alive) = (work.minor, conn.keep_alive);
        let mut out = self.buffer(key);
        write_head(&mut out, minor, code, &fields, framing, keep_alive, self.date.at(self.unix_s));
        self.append(key, &mut out, &body, more, None);
        if !more {
            self.forget(exchange);
            self.complete(key);
        }
        self.give(key, out);
    }

    /// The application's fields as they leave the node.
    fn leaving(
        &self,
        key: Key,
        mut fields: Fields,
        decision: Option<&Decision>,
        groups: &[Box<str>],
    ) -> Fields {
        let outgoing = &self.shared.outgoing;
        let resource = self.conns.get(key).and_then(|conn| conn.work.as_deref()?.resource.as_ref());
        let (Some(decision), Some(resource)) = (decision, resource) else {
            outgoing.write_invalidation(&mut fields);
            return with_lines(fields, &Fields::default());
        };
        let lines = outgoing.lines(&fields, decision, resource.as_str(), groups);
        with_lines(fields, &lines)
    }

    /// Whether others watch, or watched not long ago, what a client asks for.
    fn is_followed(&self, key: Key) -> bool {
        let work = self.conns.get(key).and_then(|conn| conn.work.as_deref());
        work.and_then(|work| work.resource.as_ref())
            .is_some_and(|resource| self.shared.resources.watches.knows(resource))
    }

    /// The rest of a short body does not come: pass on what is there.
    pub(super) fn pass_on(&mut self, key: Key) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        work.awaits_rest = false;
        let Some(exchange) = work.exchange else { return };
        let Some(entry) = self.exchanges.get_mut(exchange) else { return };
        let Some(gathering) = &entry.gathering else { return };
        let (head, body) = (gathering.head.clone(), Bytes::copy_from_slice(&gathering.body));
        let (groups, decision) = (gathering.groups.clone(), gathering.decision.clone());
        let of_use = gathering.decision.storable || (gathering.decision.watchable && self.is_followed(key));
        let Some(entry) = self.exchanges.get_mut(exchange) else { return };
        if !of_use {
            entry.gathering = None;
        }
        // They were settled when they were kept back, and will be once more when they are sent.
        entry.flow.buffered.fetch_add(body.len(), SeqCst);
        self.pass(key, exchange, *head, groups, Some(&decision), body, true);
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

    /// Frame a piece of the body for the wire.
    fn append(&mut self, key: Key, out: &mut Vec<u8>, data: &[u8], more: bool, trailers: Option<&Fields>) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        work.owed += data.len();
        work.sent_bytes += data.len() as u64;
        match work.sending {
            // Nobody will take them: they are settled with what is sent.
            Sending::HeadOnly | Sending::Nothing => {}
            Sending::Length | Sending::UntilClose => out.extend_from_slice(data),
            Sending::Chunks => {
                write_chunk(out, data);
                match trailers {
                    _ if more => {}
                    Some(trailers) => write_trailers(out, trailers),
                    None => out.extend_from_slice(LAST_CHUNK),
                }
            }
        }
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

    /// The response is whole (what of it is unsent goes out later): the connection is free for the next request.
    pub(super) fn complete(&mut self, key: Key) {
        let now = self.wheel.now();
        self.log(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let work = conn.work.take();
        if work.as_ref().is_some_and(|work| !work.body.done()) {
            conn.keep_alive = false;
        }
        conn.keep_alive &= !self.draining;
        (conn.state, conn.tick) = (State::Idle, now);
        if conn.keep_alive {
            if (conn.input.is_some() || conn.unread || conn.half_closed) && self.turn != Some(key) {
                self.again.push(key);
            }
        } else {
            conn.after = After::Close;
        }
        if self.turn != Some(key) {
            self.arm(key);
        }
        if let Some(mut work) = work {
            // An exchange that is over needs no farewell; a flight does.
            if let Some(exchange) = work.exchange.take() {
                self.forget(exchange);
            }
            if let Some(flight) = work.flight.take() {
                self.land(&flight, false);
            }
        }
    }
}
