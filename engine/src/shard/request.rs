//! Reading requests: from bytes to a [`Work`] and who does it.
use super::admin::wants_exposition;
use super::conn::{After, State};
use super::shared::Role;
use super::work::{Intent, Work};
use super::{Shard, TURN_BYTES};
use crate::app::Address;
use crate::http::body::Body;
use crate::http::fields::Fields;
use crate::http::forwarded::is_proxys_word;
use crate::http::head::{self, Framing, Head, Upgrade};
use crate::http::lists::{accepts_event_stream, prefer_wait};
use crate::http::path::normalise;
use crate::http::refusal::Refusal;
use crate::net::slab::Key;
use crate::net::sys;
use crate::resource::key::{ResourceKey, has_credentials};
use crate::resource::pinned;
use crate::transport::websocket::handshake;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

/// The subprotocol of a watch.
pub(super) const SUBPROTOCOL: &str = "freshwire.v1";
/// What a watcher's request tells the application that it accepts.
const WATCH_ACCEPT: &str = "text/event-stream, */*;q=0.1";
/// Bytes of a request's body that go to the application with its head.
const FIRST_BODY_BYTES: usize = 64 * 1024;

/// A refusal, and fields that go with it.
type Refused = (Refusal, &'static [(&'static str, &'static str)]);

fn refused<T>(status: u16, reason: &'static str, detail: impl Into<String>) -> Result<T, Refused> {
    Err((Refusal::new(status, reason, detail), &[]))
}

impl Shard {
    /// Read what has come on a connection that is between requests, and answer as much of it as is whole.
    pub(super) fn read_requests(&mut self, key: Key) {
        loop {
            let Some(conn) = self.conns.get_mut(key) else { return };
            if conn.state != State::Idle || conn.blocked {
                return;
            }
            let had = conn.input.take().map_or(0, |input| {
                self.scratch[..input.len()].copy_from_slice(&input);
                input.len()
            });
            let room = self.scratch.len() - had;
            let (n, more, eof) = if room < self.shared.head_limits.bytes {
                (0, true, false)
            } else {
                match sys::recv(conn.fd, &mut self.scratch[had..]) {
                    Ok(Some(0)) => (0, false, true),
                    Ok(Some(n)) => (n, n == room, false),
                    Ok(None) => (0, false, false),
                    Err(_) => return self.close(key),
                }
            };
            if had + n == 0 {
                if eof {
                    self.close(key);
                }
                return;
            }
            let known = if conn.partial { had } else { 0 };
            // The end may have come with the last bytes.
            let eof = eof || (conn.half_closed && !more);
            conn.unread = more;
            self.requests(key, known, had + n, eof);
            // More than one turn's worth: the others first.
            if !more || self.again.last() == Some(&key) {
                return;
            }
        }
    }

    /// Serve the requests in `scratch[..n]`, of which `scratch[..old]` is known to be no whole head. What they are
    /// answered with at once leaves in one write.
    fn requests(&mut self, key: Key, old: usize, n: usize, eof: bool) {
        let scratch = std::mem::take(&mut self.scratch);
        self.turn = Some(key);
        let limit = self.shared.head_limits.bytes;
        let mut partial = old > 0 && n < limit && !head::complete(&scratch[..n], old);
        let (mut at, mut end) = (0, false);
        while at < n && !end && !partial && self.out.len() < TURN_BYTES {
            if !matches!(self.conns.get(key), Some(conn) if conn.state == State::Idle && !conn.blocked) {
                break;
            }
            let shared = self.shared.clone();
            let plan = |head: &Head<'_>| {
                let line = (head.method, &*head.path_and_query, head.minor);
                self.plan(key, head).inspect_err(|(refusal, _)| self.log_refusal(key, Some(line), refusal))
            };
            match head::parse(&scratch[at..n], &shared.head_limits, plan) {
                Ok(None) => partial = true,
                Err(refusal) => {
                    self.log_refusal(key, None, &refusal);
                    end = self.turn_down(&refusal, &[], head::is_head(&scratch[at..n]));
                }
                Ok(Some((_, Err((refusal, extra))))) => {
                    end = self.turn_down(&refusal, extra, head::is_head(&scratch[at..n]));
                }
                Ok(Some((length, Ok(mut work)))) => {
                    at += length;
                    let mut body = vec![];
                    let upto = n.min(at + FIRST_BODY_BYTES);
                    match work.body.feed(&scratch[at..upto], |data| body.extend_from_slice(data)) {
                        Ok(_) if body.len() as u64 > shared.options.max_body_bytes => {
                            let refusal = body_too_large(shared.options.max_body_bytes);
                            self.log_refusal(key, Some((&work.method, &work.target, work.minor)), &refusal);
                            end = self.turn_down(&refusal, &[], &*work.method == "HEAD");
                        }
                        Ok(used) => {
                            at += used;
                            work.body_bytes = body.len() as u64;
                            end = !self.begin(key, work, body);
                        }
                        Err(refusal) => {
                            self.log_refusal(key, Some((&work.method, &work.target, work.minor)), &refusal);
                            end = self.turn_down(&refusal, &[], &*work.method == "HEAD");
                        }
                    }
                }
            }
        }
        let now = self.wheel.now();
        let more = at < n && !partial;
        if let Some(conn) = self.conns.get_mut(key) {
            if at < n && !end && conn.state != State::Sse {
                if partial && (old == 0 || at > 0) {
                    // The clock of a head starts with its first byte.
                    conn.tick = now;
                }
                conn.input = Some(Box::new(scratch[at..n].to_vec()));
            }
            conn.partial = partial;
            conn.half_closed |= eof;
            if conn.state == State::Idle && (end || (eof && !more)) {
                conn.after = After::Close;
            }
        }
        self.scratch = scratch;
        self.turn = None;
        let out = std::mem::take(&mut self.out);
        self.give(key, out);
        let Some(conn) = self.conns.get(key) else { return };
        match conn.state {
            State::Idle if more && !conn.blocked => self.again.push(key),
            State::Watch | State::Socket if conn.input.is_some() || conn.half_closed => self.read_frames(key),
            State::Busy if conn.half_closed => self.client_left(key),
            State::Sse | State::Poll => {
                self.close_if_left(key);
                self.arm(key);
            }
            _ => self.arm(key),
        }
    }

    /// Answer what cannot be read as a request; the connection ends (true).
    fn turn_down(&mut self, refusal: &Refusal, extra: &[(&str, &str)], to_head: bool) -> bool {
        let mut out = std::mem::take(&mut self.out);
        self.refuse(&mut out, refusal, extra);
        if to_head {
            // RFC 9110 §9.3.2: never content, whatever the answer.
            out.truncate(out.len() - refusal.body_bytes());
        }
        self.out = out;
        true
    }

    /// What a request is, and whether it may be.
    fn plan(&mut self, key: Key, head: &Head<'_>) -> Result<Box<Work>, Refused> {
        let shared = self.shared.clone();
        shared.metrics.requests.fetch_add(1, Relaxed);
        let now = self.wheel.now();
        let Some(conn) = self.conns.get_mut(key) else {
            return refused(400, "gone", "the connection has gone");
        };
        // Whatever the peer sends behind an upgrade, ignored, refused or not, is never read as a request (security row 2).
        let keep_alive = head.keep_alive && head.upgrade == Upgrade::None && !self.draining;
        (conn.asked, conn.tick, conn.keep_alive) = (true, now, keep_alive);
        let door = &shared.doors[conn.listener as usize];
        let host = head.host.unwrap_or_default();
        if !(door.hosts.allows(host) || (head.minor == 0 && head.host.is_none())) {
            let detail = format!("this node does not answer to the host {host:?} (allow_hosts)");
            return refused(421, "host", detail);
        }
        let target = normalise(&head.path_and_query);
        let reads = matches!(head.method, "GET" | "HEAD") && head.upgrade != Upgrade::WebSocket;
        let own = door.role == Role::Admin || target.starts_with(&*shared.options.prefix);
        let (path, pinned) = match reads && !own {
            true => pinned::strip(&target, shared.resources.epoch),
            false => (Cow::Borrowed(&*target), None),
        };
        let mut fields = head.fields();
        let peer = conn.peer.address();
        let peer_ip = if let Address::Ip(address) = &peer { Some(address.ip()) } else { None };
        let forwarded = shared.proxies.client(peer_ip, &fields);
        let spoofed = |name: &[u8]| is_proxys_word(name, matches!(head.method, "GET" | "HEAD"));
        if fields.iter().any(|(name, _)| spoofed(name)) && !shared.proxies.trusts(peer_ip) {
            shared.metrics.refused("forwarding_fields");
            fields = fields.without(spoofed);
        }
        let client = match (forwarded.client, peer) {
            (Some(ip), _) => Address::Ip(SocketAddr::new(ip, forwarded.port.unwrap_or(0))),
            (None, peer) => peer,
        };
        let scheme = forwarded.scheme.unwrap_or("http");
        // RFC 9110 §7.4.
        if head.authority.is_some() && head.target.as_bytes().get(4) != Some(&b':') && scheme != "https" {
            return refused(421, "scheme", "an https target needs TLS, here or at a trusted proxy");
        }
        let mut work = Box::new(Work {
            minor: head.minor,
            body: Body::new(head.framing),
            expects_continue: head.expect_continue,
            admin: door.role == Role::Admin,
            pinned,
            ..Work::new(head.method, &path, scheme, fields, client, self.now_ms)
        });
        let limit = shared.options.max_body_bytes;
        if matches!(head.framing, Framing::Length(length) if length > limit) {
            return Err((body_too_large(limit), &[]));
        }
        work.credentials = has_credentials(&work.fields);
        let authority = match (door.role, host) {
            // No Host can be this: the operator's resources are not the application's.
            (Role::Admin, _) => "!admin",
            (_, "") => "-",
            (_, host) => host,
        };
        match head.upgrade {
            Upgrade::WebSocket if !matches!(head.framing, Framing::None | Framing::Length(0)) => {
                // Where it ends and the frames begin, two servers could see differently.
                return refused(400, "websocket_handshake", "a WebSocket handshake has no body");
            }
            Upgrade::WebSocket => self.plan_websocket(&mut work, authority)?,
            _ if matches!(head.method, "GET" | "HEAD") && head.framing == Framing::None => {
                work.resource = Some(ResourceKey::new(work.scheme, authority, &work.target));
                if head.method == "GET" && !self.is_monitor(&work) {
                    self.plan_watch(&mut work, authority)?;
                }
            }
            _ => {
                if work.credentials && !matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE") {
                    self.check_origin(&work, authority)?;
                }
                work.resource = Some(ResourceKey::new(work.scheme, authority, &work.target));
            }
        }
        Ok(work)
    }

    /// Whether an ordinary GET is to follow the resource.
    fn plan_watch(&self, work: &mut Work, authority: &str) -> Result<(), Refused> {
        let last_id = text(&work.fields, "last-event-id").map(Box::from);
        if accepts_event_stream(work.fields.all("accept")) {
            work.intent = Intent::Events(last_id);
        } else if let Some(wait_s) = prefer_wait(work.fields.all("prefer"))
            && work.fields.get("if-none-match").is_some()
        {
            work.intent = Intent::Wait(wait_s);
            self.check_origin(work, authority)?;
            let mut fields = work.fields.without(|name| name == b"accept-encoding");
            fields.push("accept-encoding", "identity");
            work.fields = fields.into();
            return Ok(());
        } else {
            return Ok(());
        }
        self.check_origin(work, authority)?;
        work.fields = watch_fields(&work.fields).into();
        Ok(())
    }

    fn plan_websocket(&self, work: &mut Work, authority: &str) -> Result<(), Refused> {
        let mut handshake = match handshake::check(&work.fields, &work.method, work.minor) {
            Ok(handshake) => handshake,
            Err(error) => {
                let extra: &[_] = if error.status == 426 {
                    &[("upgrade", "websocket"), ("sec-websocket-version", "13")]
                } else {
                    &[]
                };
                return Err((Refusal::new(error.status, "websocket_handshake", error.detail), extra));
            }
        };
        self.check_origin(work, authority)?;
        if work.fields.get("origin").is_none() && work.fields.get("cookie").is_some() {
            return refused(403, "origin", "a WebSocket that cookies authenticate needs an Origin");
        }
        if !self.shared.options.deflate {
            handshake.deflate = None;
        }
        if handshake.subprotocols.iter().any(|name| name == SUBPROTOCOL) {
            // All watchers share one compressed form, so one with a smaller window gets the plain one.
            handshake.deflate = handshake.deflate.filter(|deflate| deflate.fits(usize::MAX));
            let last_id = text(&work.fields, "last-event-id").map(Box::from);
            work.fields = watch_fields(&work.fields).into();
            work.resource = Some(ResourceKey::new(work.scheme, authority, &work.target));
            work.intent = Intent::Socket(Box::new(handshake), last_id);
        } else {
            work.intent = Intent::Application(Box::new(handshake));
        }
        Ok(())
    }

    /// Pages of other origins may not follow resources, nor change any with a user's credentials (security row 1).
    fn check_origin(&self, work: &Work, authority: &str) -> Result<(), Refused> {
        let mut lines = work.fields.all("origin");
        let Some(origin) = lines.next() else { return Ok(()) };
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        if lines.next().is_some() {
            return refused(403, "origin", "a request has one Origin");
        }
        if self.shared.origins.allows(origin, work.scheme, authority) {
            return Ok(());
        }
        refused(403, "origin", format!("the origin {origin:?} may not do this (allow_origins)"))
    }

    /// Begin the work of a request. False: the connection ends after what was written.
    fn begin(&mut self, key: Key, work: Box<Work>, body: Vec<u8>) -> bool {
        let asks_node = work.admin || work.target.starts_with(&*self.shared.options.prefix);
        let resource_of_node = self.is_own_resource(&work) && !wants_exposition(&work);
        // With a body it means something else to the application than what the resource's address means to all.
        let reads = matches!(&*work.method, "GET" | "HEAD")
            && work.resource.is_some()
            && work.body.done()
            && body.is_empty();
        let Some(conn) = self.conns.get_mut(key) else { return false };
        (conn.state, conn.work) = (State::Busy, Some(work));
        if asks_node && !resource_of_node {
            self.serve_own(key, body);
        } else if reads {
            self.read_resource(key);
        } else {
            self.call(key, body, None);
        }
        self.conns.get(key).is_some_and(|conn| conn.state != State::Idle || conn.keep_alive)
    }
}

/// A body above the limit, declared or not.
pub(super) fn body_too_large(limit: u64) -> Refusal {
    Refusal::new(413, "body_too_large", format!("a request body may have {limit} bytes (max_body_bytes)"))
}

/// The text of a field that must be short and plain to mean anything.
fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    std::str::from_utf8(fields.get(name)?).ok().filter(|value| value.len() <= 64)
}

/// The request of a watcher as the application sees it: an ordinary GET that accepts anything, unencoded.
fn watch_fields(fields: &Fields) -> Fields {
    let mut ordinary = fields.without(|name| {
        matches!(name, b"accept" | b"accept-encoding" | b"connection" | b"upgrade" | b"range")
            || name.starts_with(b"sec-websocket-")
    });
    ordinary.reserve(2, 64);
    ordinary.push("accept", WATCH_ACCEPT);
    ordinary.push("accept-encoding", "identity");
    ordinary
}
