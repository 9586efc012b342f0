//! Watchers: letting them in, giving them what is published, bringing those up who were behind, and letting them go.
use super::conn::{After, Conn, State, Wrote};
use super::request::SUBPROTOCOL;
use super::work::{Intent, Work};
use super::{Shard, WALK_SENDS};
use crate::http::fields::Fields;
use crate::http::lists::etag_matches;
use crate::http::response::{BodyFraming, write_head};
use crate::hub::fanout::NONE;
use crate::hub::{Delivery, Form, Message};
use crate::net::slab::Key;
use crate::net::sys;
use crate::net::wheel::ticks;
use crate::resource::annotate;
use crate::resource::key::Audience;
use crate::resource::position::own_offset;
use crate::resource::representation::Representation;
use crate::resource::watch::Opened;
use crate::transport::sse::{self, Event};
use crate::transport::websocket::handshake;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Shard {
    /// Let a watcher in: the head of its stream, and the representation unless it has that already.
    pub(super) fn admit_watcher(&mut self, key: Key, opened: Opened) {
        let Opened { topic, version, current, .. } = opened;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(mut work) = conn.work.take() else { return };
        if work.intent.watches()
            && let Some(flight) = work.flight.take()
        {
            self.land(&flight, false);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.subscriptions = self.fanout.subscribe(key.slot, topic, version, conn.subscriptions);
        self.shared.metrics.watchers.fetch_add(1, Relaxed);
        let retry_ms = {
            let options = &self.shared.options;
            let (least, most) = (options.retry_min_ms, options.retry_max_ms.max(options.retry_min_ms));
            least + self.jitter(most - least + 1)
        };
        let now = self.wheel.now();
        let mut out = self.buffer(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let http_1_0 = work.minor == 0;
        work.position = current.position.offset;
        work.cache = "watch";
        let first = match &work.intent {
            Intent::Once | Intent::Application(_) => return,
            Intent::Events(last_id) => {
                (conn.state, conn.variant_form, work.status) = (State::Sse, http_1_0, 200);
                let mut fields = stream_fields(&current);
                if let Some(origin) = foreign_origin(&work) {
                    allow_origin(&mut fields, origin);
                }
                let framing = if http_1_0 { BodyFraming::Close } else { BodyFraming::Chunked };
                write_head(&mut out, work.minor, 200, &fields, framing, true, self.date.at(self.unix_s));
                let retry = Event { event: None, id: None, retry_ms: Some(retry_ms), data: None };
                let _ = if http_1_0 {
                    sse::encode(&retry, &mut out)
                } else {
                    sse::encode_chunked(&retry, &mut out)
                };
                !has(&current, last_id.as_deref())
            }
            Intent::Socket(handshake, last_id) => {
                (conn.state, conn.variant_form, work.status) =
                    (State::Watch, handshake.deflate.is_some(), 101);
                let mut fields = Fields::default();
                annotate::fresh_position(&mut fields, current.id());
                handshake::write_response(
                    &mut out,
                    handshake,
                    Some(SUBPROTOCOL),
                    &fields,
                    handshake.deflate.is_some(),
                );
                !has(&current, last_id.as_deref())
            }
            Intent::Wait(wait_s) => {
                let wait_s = f64::from(*wait_s).min(self.shared.options.max_wait_s);
                (conn.state, conn.tick, work.status) = (State::Poll, now + ticks(wait_s.max(0.25)), 0);
                conn.keep_alive &= !http_1_0;
                let tag = current.etag.as_bytes();
                !etag_matches(work.fields.all("if-none-match"), tag, true)
            }
        };
        conn.work = Some(work);
        if conn.state != State::Poll {
            conn.tick = now;
            self.log(key);
        }
        // From here on a watcher holds nothing of its request.
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.work = None;
        if conn.state == State::Sse {
            conn.input = None;
        }
        // The end of a stream's client is heard without being read; a WebSocket's is not.
        if conn.unread && conn.state == State::Sse
            || conn.state == State::Watch && (conn.input.is_some() || conn.unread || conn.half_closed)
        {
            self.again.push(key);
        }
        self.give(key, out);
        if first {
            self.first_message(key);
        }
        self.close_if_left(key);
        self.arm(key);
        self.end_in_drain(key, 0);
    }

    /// What the client of an event stream still says means nothing: its end is behind it, and would not be heard. One that
    /// says more than a whole head could have does not stay.
    pub(super) fn ignore(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.unread = false;
        match sys::recv(conn.fd, &mut self.scratch) {
            Ok(Some(n)) if n == self.scratch.len() => {
                self.shared.metrics.refused("stream_input");
                self.close(key);
            }
            Ok(Some(0)) | Err(_) => self.close(key),
            Ok(_) => {}
        }
    }

    /// A watcher that ended its side before it was let in has gone: nothing more will be heard of it.
    pub(super) fn close_if_left(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.half_closed && matches!(conn.state, State::Sse | State::Poll) {
            self.close(key);
        }
    }

    /// Append the newest message of what a new watcher subscribes to.
    fn first_message(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        let (head, form) = (conn.subscriptions, conn.form());
        let Some((topic, _, _)) = self.fanout.subscription(head) else { return };
        let Some(message) = self.shared.hub.newest(topic) else { return };
        self.write(key, message.wire(form));
        self.fanout.caught_up(head, message.version);
        self.shared.metrics.messages.fetch_add(1, Relaxed);
        let Some(conn) = self.conns.get_mut(key) else { return };
        after_message(conn, &message);
        if conn.state == State::Poll {
            self.poll_answered(key);
        }
    }

    /// A long-poll has been given its answer: if that was the connection's last, it ends with it.
    fn poll_answered(&mut self, key: Key) {
        self.end_poll(key);
        let all_sent = |conn: &Conn| conn.after == After::Close && !conn.blocked;
        if self.turn != Some(key) && self.conns.get(key).is_some_and(all_sent) {
            self.sent(key);
        }
    }

    /// A long-poll ends: an ordinary connection again.
    fn end_poll(&mut self, key: Key) {
        self.unsubscribe(key);
        let now = self.wheel.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        (conn.state, conn.tick, conn.lagging) = (State::Idle, now, false);
        conn.keep_alive &= !self.draining && !conn.half_closed;
        conn.after = if conn.keep_alive { After::Stay } else { After::Close };
        self.again.push(key);
        self.arm(key);
    }

    /// Serve a piece of what was published.
    pub(super) fn walk(&mut self) {
        if !self.fanout.is_walking() && self.fanout.rests_until().is_none() {
            return;
        }
        let now = self.wheel.now();
        let (conns, retired) = (&mut self.conns, &mut self.retired);
        let (mut sent, mut told, mut bytes) = (0u64, 0u64, 0u64);
        let mut announced: Option<(Instant, u64)> = None;
        let metrics = &self.shared.metrics;
        self.fanout.walk(Instant::now(), WALK_SENDS, |slot, message| {
            let Some(key) = conns.key(slot) else { return Delivery::Sent };
            let Some(conn) = conns.get_mut(key) else { return Delivery::Sent };
            if conn.after != After::Stay {
                return Delivery::Sent;
            }
            if conn.blocked {
                conn.lagging = true;
                return Delivery::Later;
            }
            let wire = message.wire(conn.form());
            match conn.write_shared(wire) {
                Wrote::Dead => retired.push(key),
                wrote => {
                    sent += 1;
                    bytes += wire.len() as u64;
                    if conn.state != State::Poll {
                        conn.tick = now;
                    }
                    after_message(conn, message);
                    told += u64::from(conn.on_set);
                    if conn.state == State::Poll || (conn.after == After::Close && wrote == Wrote::All) {
                        retired.push(key);
                    }
                }
            }
            match (message.announced, &mut announced) {
                (Some(at), Some((since, count))) if *since == at => *count += 1,
                (Some(at), other) => {
                    if let Some((since, count)) = other.replace((at, 1)) {
                        metrics.delay.record(since.elapsed(), count);
                    }
                }
                (None, _) => {}
            }
            Delivery::Sent
        });
        if let Some((since, count)) = announced {
            metrics.delay.record(since.elapsed(), count);
        }
        metrics.messages.fetch_add(sent - told, Relaxed);
        metrics.wait_changes.fetch_add(told, Relaxed);
        metrics.bytes.fetch_add(bytes, Relaxed);
        for key in std::mem::take(&mut self.retired) {
            self.retire(key);
        }
    }

    fn retire(&mut self, key: Key) {
        match self.conns.get(key).map(|conn| (conn.state, conn.after)) {
            Some((State::Poll, _)) => self.poll_answered(key),
            Some((_, After::Close)) => self.sent(key),
            Some(_) => self.close(key),
            None => {}
        }
    }

    /// A connection that was behind can be written to again: the newest of each topic it subscribes to.
    pub(super) fn catch_up(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.lagging = false;
        let mut at = conn.subscriptions;
        while let Some((topic, cursor, sibling)) = self.fanout.subscription(at) {
            let Some(conn) = self.conns.get_mut(key) else { return };
            match self.shared.hub.newest(topic) {
                Some(message) if message.version > cursor && conn.after == After::Stay => {
                    if conn.blocked {
                        conn.lagging = true;
                        return;
                    }
                    let wire = message.wire(conn.form());
                    let wrote = conn.write_shared(wire);
                    after_message(conn, &message);
                    self.fanout.caught_up(at, message.version);
                    self.shared.metrics.messages.fetch_add(1, Relaxed);
                    self.shared.metrics.bytes.fetch_add(wire.len() as u64, Relaxed);
                    let poll = self.conns.get(key).is_some_and(|conn| conn.state == State::Poll);
                    if !self.wrote(key, wrote) || poll {
                        if poll {
                            self.poll_answered(key);
                        }
                        return;
                    }
                }
                Some(_) => {}
                None => return self.close(key),
            }
            at = sibling;
        }
    }

    /// The wait of a long-poll is over, in vain.
    pub(super) fn poll_ended(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.blocked {
            return self.close(key);
        }
        let newest = self
            .fanout
            .subscription(conn.subscriptions)
            .and_then(|(topic, ..)| self.shared.hub.newest(topic));
        let Some(message) = newest else { return self.close(key) };
        let unchanged = message.payload.unchanged(Form::Poll);
        self.end_poll(key);
        self.write(key, &unchanged);
    }

    /// End a connection's subscriptions.
    pub(super) fn unsubscribe(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let head = std::mem::replace(&mut conn.subscriptions, NONE);
        if head == NONE {
            return;
        }
        if std::mem::take(&mut conn.on_set) {
            self.shared.metrics.waits_held.fetch_sub(1, Relaxed);
            for topic in self.fanout.unsubscribe(head) {
                for (shard, watch) in self.shared.resources.monitors.leave(self.id, topic) {
                    self.shared.resources.watches.leave(shard, watch);
                }
            }
            return;
        }
        self.shared.metrics.watchers.fetch_sub(1, Relaxed);
        for topic in self.fanout.unsubscribe(head) {
            let Some(variant) = self.shared.resources.watches.leave(self.id, topic) else { continue };
            if matches!(variant.audience, Audience::Private(_)) {
                self.shared.resources.cache.remove(&variant);
            }
        }
        let watched = self.shared.resources.watches.len() as u64;
        self.shared.metrics.watched.store(watched, Relaxed);
    }
}

/// What follows from having written a message.
fn after_message(conn: &mut Conn, message: &Message) {
    if message.last && conn.state != State::Poll {
        conn.after = After::Close;
    }
}

/// Whether a client that names this position has the representation.
fn has(current: &Representation, last_id: Option<&str>) -> bool {
    let offset = last_id.and_then(|id| own_offset(id, current.position.epoch, current.salt));
    offset.is_some_and(|offset| offset >= current.since)
}

/// The origin of a page elsewhere that may follow resources here (`allow_origins`; others do not get this far).
fn foreign_origin(work: &Work) -> Option<&[u8]> {
    let origin = work.fields.get("origin")?;
    let own =
        format!("{}://{}", work.scheme, String::from_utf8_lossy(work.fields.get("host").unwrap_or_default()));
    (!origin.eq_ignore_ascii_case(own.as_bytes())).then_some(origin)
}

/// Let that page read the stream, unless the application has said whom it lets (security row 23).
fn allow_origin(fields: &mut Fields, origin: &[u8]) {
    if fields.get("access-control-allow-origin").is_none() {
        fields.push("access-control-allow-origin", origin);
        fields.push("access-control-allow-credentials", "true");
        fields.push("vary", "origin");
    }
}

/// The head of an event stream.
fn stream_fields(current: &Representation) -> Fields {
    let mut fields = Fields::with_capacity(16, 512);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("incremental", "?1"),
    ] {
        fields.push(name, value);
    }
    let carried = |name: &[u8]| name.starts_with(b"access-control-") || name == b"vary";
    current
        .fields
        .iter()
        .filter(|(name, _)| carried(name))
        .for_each(|(name, value)| fields.push(name, value));
    annotate::fresh_position(&mut fields, current.id());
    fields
}
