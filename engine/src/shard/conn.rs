//! A connection: a slab slot for its whole life.
//!
//! What an idle connection does not need is in a box that it does not have: unsent bytes, a partial request, a request
//! in progress, a WebSocket's half-received message. SSE, WebSocket and long-poll are states of the same slot.
use crate::app::Address;
use crate::hub::Form;
use crate::limits::Options;
use crate::net::sys;
use crate::shard::socket::Socket;
use crate::shard::work::Work;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;

/// Who is at the other end, in as few bytes as the common case needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// IPv4 address and port.
    V4(Ipv4Addr, u16),
    /// IPv6.
    V6(Box<SocketAddr>),
    /// A Unix socket.
    Unix,
}

impl Peer {
    /// From what `accept` says.
    pub fn new(address: Option<SocketAddr>) -> Self {
        match address {
            Some(SocketAddr::V4(v4)) => Self::V4(*v4.ip(), v4.port()),
            Some(v6) => Self::V6(Box::new(v6)),
            None => Self::Unix,
        }
    }

    /// As the application is told.
    pub fn address(&self) -> Address {
        match self {
            Self::V4(ip, port) => Address::Ip(SocketAddr::from((*ip, *port))),
            Self::V6(address) => Address::Ip(**address),
            Self::Unix => Address::Unix(None),
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Between requests, or with part of a request's head.
    Idle,
    /// A request is with the application, or waits for somebody else's read; see `work`.
    Busy,
    /// An event stream of a watched resource.
    Sse,
    /// A WebSocket on a watched resource.
    Watch,
    /// A long-poll on a watched resource.
    Poll,
    /// A WebSocket of the application's.
    Socket,
    /// Our side is closed; what the peer still sends is thrown away for a moment, so that it can read what we said.
    Linger,
}

/// What happens once everything unsent is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Stay,
    /// Our side is closed.
    Close,
}

/// Bytes that the kernel has not taken yet.
pub struct Unsent {
    bytes: Bytes,
    /// What comes behind them.
    body: Option<bytes::Bytes>,
    /// How fast the peer takes them, since somebody looked.
    pace: Option<Pace>,
}

enum Bytes {
    /// The rest of what is shared with other connections.
    Shared(Arc<[u8]>, usize),
    /// The rest of a representation that is kept.
    Kept(bytes::Bytes),
    /// Bytes of this connection alone.
    Own(Vec<u8>, usize),
}

impl Unsent {
    fn new(bytes: Bytes) -> Option<Box<Self>> {
        Some(Box::new(Self { bytes, body: None, pace: None }))
    }

    fn rest(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Shared(bytes, at) => &bytes[*at..],
            Bytes::Kept(bytes) => bytes,
            Bytes::Own(bytes, at) => &bytes[*at..],
        }
    }

    /// The kernel has taken `n` bytes.
    fn took(&mut self, n: usize) {
        match &mut self.bytes {
            Bytes::Shared(_, at) => *at += n,
            Bytes::Kept(bytes) => bytes::Buf::advance(bytes, n),
            Bytes::Own(bytes, at) => {
                *at += n;
                // Not sooner, so that no byte is moved more often than twice.
                if *at > 64 * 1024 && *at > bytes.len() / 2 {
                    bytes.drain(..std::mem::take(at));
                }
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.given += n as u64;
        }
    }
}

/// How fast a peer takes what it is sent: what it has acknowledged counts, because the kernel asks for more only once
/// it has room for a lot.
struct Pace {
    /// When somebody first looked, and when the last progress was seen; milliseconds.
    since_ms: u64,
    progress_ms: u64,
    /// Bytes in the kernel when somebody first looked, and given to it since.
    given: u64,
    /// Bytes acknowledged since then, as last seen.
    acknowledged: u64,
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The kernel has all of it.
    All,
    /// The rest is kept, and goes out when the peer reads.
    Some,
    /// The connection is dead.
    Dead,
}

/// One connection.
pub struct Conn {
    /// The socket; ours to close.
    pub fd: RawFd,
    /// What it is doing.
    pub state: State,
    /// What happens when everything is sent.
    pub after: After,
    /// Nothing is written until the kernel says that it may.
    pub blocked: bool,
    /// A subscription may be behind its topic.
    pub lagging: bool,
    /// The request in hand lets the connection live on.
    pub keep_alive: bool,
    /// A request was read from it.
    pub asked: bool,
    /// `input` is part of a head, known not to be all of it.
    pub partial: bool,
    /// The kernel may have bytes that nobody has asked for.
    pub unread: bool,
    /// The peer has ended its side.
    pub half_closed: bool,
    /// The WebSocket compresses; or the event stream is unchunked (HTTP/1.0).
    pub variant_form: bool,
    /// It waits on a set, not on a variant.
    pub on_set: bool,
    /// Index of the listener it came from.
    pub listener: u8,
    /// First subscription.
    pub subscriptions: u32,
    /// When it was last active, or (long-poll) when its wait ends; ticks.
    pub tick: u32,
    /// The tick of its valid entry in the wheel.
    pub armed: u32,
    /// The other end.
    pub peer: Peer,
    /// What the kernel has not taken.
    pub unsent: Option<Box<Unsent>>,
    /// Part of a request's head, or requests read too early.
    pub input: Option<Box<Vec<u8>>>,
    /// The request in hand.
    pub work: Option<Box<Work>>,
    /// What a WebSocket needs while it is being spoken to.
    pub socket: Option<Box<Socket>>,
}

impl Conn {
    /// A connection that has just been accepted.
    pub fn new(fd: RawFd, peer: Peer, listener: u8, tick: u32) -> Self {
        Self {
            fd,
            state: State::Idle,
            after: After::Stay,
            blocked: false,
            lagging: false,
            keep_alive: true,
            asked: false,
            partial: false,
            unread: false,
            half_closed: false,
            variant_form: false,
            on_set: false,
            listener,
            subscriptions: crate::hub::fanout::NONE,
            tick,
            armed: 0,
            peer,
            unsent: None,
            input: None,
            work: None,
            socket: None,
        }
    }

    /// Whether it watches a resource.
    pub fn is_push(&self) -> bool {
        matches!(self.state, State::Sse | State::Watch | State::Poll)
    }

    /// In which form it takes messages.
    pub fn form(&self) -> Form {
        match (self.state, self.variant_form) {
            (State::Sse, false) => Form::Sse,
            (State::Sse, true) => Form::SseUnchunked,
            (State::Poll, _) => Form::Poll,
            (_, false) => Form::WebSocket,
            (_, true) => Form::WebSocketDeflate,
        }
    }

    /// Write bytes that others get too, without copying them. Not while blocked.
    pub fn write_shared(&mut self, bytes: &Arc<[u8]>) -> Wrote {
        debug_assert!(!self.blocked);
        match sys::send(self.fd, bytes) {
            Ok(Some(n)) if n == bytes.len() => Wrote::All,
            Ok(n) => {
                self.blocked = true;
                self.unsent = Unsent::new(Bytes::Shared(bytes.clone(), n.unwrap_or(0)));
                Wrote::Some
            }
            Err(_) => Wrote::Dead,
        }
    }

    /// Write bytes of this connection alone, after what is unsent.
    pub fn write(&mut self, bytes: &[u8]) -> Wrote {
        if self.blocked {
            match self.unsent.as_deref_mut() {
                Some(Unsent { bytes: Bytes::Own(own, _), body: None, .. }) => own.extend_from_slice(bytes),
                Some(shared) => {
                    let mut own = shared.rest().to_vec();
                    own.extend_from_slice(&shared.body.take().unwrap_or_default());
                    own.extend_from_slice(bytes);
                    shared.bytes = Bytes::Own(own, 0);
                }
                None => self.unsent = Unsent::new(Bytes::Own(bytes.to_vec(), 0)),
            }
            return Wrote::Some;
        }
        match sys::send(self.fd, bytes) {
            Ok(Some(n)) if n == bytes.len() => Wrote::All,
            Ok(n) => {
                self.blocked = true;
                self.unsent = Unsent::new(Bytes::Own(bytes[n.unwrap_or(0)..].to_vec(), 0));
                Wrote::Some
            }
            Err(_) => Wrote::Dead,
        }
    }

    /// Write a head and a representation that is kept, without copying what of it does not go out at once: a client
    /// that does not read it costs nothing. Not while blocked.
    pub fn write_kept(&mut self, head: &[u8], body: &bytes::Bytes) -> Wrote {
        debug_assert!(!self.blocked);
        let n = match sys::send_two(self.fd, head, body) {
            Ok(n) => n.unwrap_or(0),
            Err(_) => return Wrote::Dead,
        };
        if n == head.len() + body.len() {
            return Wrote::All;
        }
        self.blocked = true;
        self.unsent = match n.checked_sub(head.len()) {
            Some(of_body) => Unsent::new(Bytes::Kept(body.slice(of_body..))),
            None => Unsent::new(Bytes::Own(head[n..].to_vec(), 0)),
        };
        if n < head.len()
            && let Some(unsent) = self.unsent.as_deref_mut()
        {
            unsent.body = Some(body.clone());
        }
        Wrote::Some
    }

    /// The kernel takes bytes again: give it what is unsent. How many it took, and whether that was all of it.
    pub fn flush(&mut self) -> std::io::Result<(usize, bool)> {
        let mut taken = 0;
        while let Some(unsent) = self.unsent.as_deref_mut() {
            let n = sys::send(self.fd, unsent.rest())?.unwrap_or(0);
            unsent.took(n);
            taken += n;
            if !unsent.rest().is_empty() {
                return Ok((taken, false));
            }
            match unsent.body.take() {
                Some(body) => unsent.bytes = Bytes::Kept(body),
                None => self.unsent = None,
            }
        }
        self.blocked = false;
        Ok((taken, true))
    }

    /// Whether the peer takes what is unsent more slowly than it may (security row 10). To be asked now and then.
    pub fn reads_too_slowly(&mut self, options: &Options, now_ms: u64) -> bool {
        let Some(unsent) = self.unsent.as_deref_mut() else { return false };
        let queued = sys::queued(self.fd) as u64;
        let pace = unsent.pace.get_or_insert(Pace {
            since_ms: now_ms,
            progress_ms: now_ms,
            given: queued,
            acknowledged: 0,
        });
        let acknowledged = pace.given.saturating_sub(queued);
        if acknowledged > pace.acknowledged {
            (pace.acknowledged, pace.progress_ms) = (acknowledged, now_ms);
        }
        let seconds_since = |ms: u64| now_ms.saturating_sub(ms) as f64 / 1000.0;
        let least =
            options.min_rate_bytes_per_s as f64 * (seconds_since(pace.since_ms) - options.rate_grace_s);
        seconds_since(pace.progress_ms) >= options.write_timeout_s || (acknowledged as f64) < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_less_than_a_hundred_bytes() {
        assert!(size_of::<Option<Conn>>() + size_of::<u32>() <= 96, "{} bytes", size_of::<Option<Conn>>());
    }
}
