//! An answer on its way out to its client: its head as it leaves the node, its body as it comes, and its end.
//!
//! What is done with an answer, this or something else, is decided in `answer`.
use super::Shard;
use super::conn::{After, State};
use super::get::{forwarded, push_link};
use super::work::Sending;
use crate::app::ResponseHead;
use crate::http::fields::Fields;
use crate::http::response::{BodyFraming, LAST_CHUNK, write_chunk, write_head, write_trailers};
use crate::net::slab::Key;
use crate::resource::annotate::{self, CacheStatus};
use crate::resource::outgoing::with_lines;
use crate::resource::pinned::{self, Answer as PinnedAnswer};
use crate::resource::policy::{Decision, Sharing, is_watchable};
use crate::resource::set::Contents;
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;

impl Shard {
    /// Begin to pass a response on.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn pass(
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

    /// Frame a piece of the body for the wire.
    pub(super) fn append(
        &mut self,
        key: Key,
        out: &mut Vec<u8>,
        data: &[u8],
        more: bool,
        trailers: Option<&Fields>,
    ) {
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
