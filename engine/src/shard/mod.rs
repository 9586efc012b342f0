//! A shard: one thread that owns connections from their acceptance to their end.
//!
//! Nothing blocks: the application answers through the inbox.
//! One file each for: the loop, answers that come while it sleeps, accepting, reading requests, GETs of resources, reads
//! that are pinned, stale copies, answers of the application, passing them on, push, re-reads, waits on sets, WebSockets,
//! deadlines, and the node's own resources.
mod accept;
mod admin;
mod answer;
pub mod conn;
mod deadline;
mod exchange;
mod get;
pub mod help;
mod keep;
mod log;
mod pass;
mod pinned;
mod push;
mod request;
mod reread;
pub mod shared;
pub mod socket;
mod stale;
mod turn;
mod wait;
pub mod work;

use crate::http::refusal::Refusal;
use crate::http::response::DateClock;
use crate::hub::{FanOut, TopicId};
use crate::net::slab::{Key, Slab};
use crate::net::sys::{self, Poller};
use crate::net::wheel::Wheel;
use conn::{After, Conn, State, Wrote};
use deadline::Due;
use exchange::{Exchange, Waiting};
use shared::{Command, Shared};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Sends of a walk before the poller is asked again.
const WALK_SENDS: usize = 256;
/// Bytes that one connection's pipelined requests may be answered with before the others' turn.
const TURN_BYTES: usize = 64 * 1024;
const WAKE: u64 = u64::MAX;
/// The generation that the keys of listeners have in the poller.
const LISTENER: u32 = u32::MAX;

/// One shard.
pub struct Shard {
    id: u8,
    shared: Arc<Shared>,
    poller: Arc<Poller>,
    /// Room for what comes out of the inbox.
    commands: Vec<Command>,
    conns: Slab<Conn>,
    exchanges: Slab<Exchange>,
    fanout: FanOut,
    wheel: Wheel,
    due: BinaryHeap<Reverse<(u32, Due)>>,
    /// The time of this turn of the loop: monotonic, and since 1970.
    now_ms: u64,
    unix_s: u64,
    unix_ms: u64,
    date: DateClock,
    /// All reads go through it.
    scratch: Vec<u8>,
    /// Bytes on their way out; during a connection's turn at its requests, all that they are answered with.
    out: Vec<u8>,
    /// Whose turn it is.
    turn: Option<Key>,
    /// Connections with input that was put off.
    again: Vec<Key>,
    /// Connections whose walk ended them or gave them back, or that died in it.
    retired: Vec<Key>,
    /// Reads for watchers that the application has not begun to answer, and those that wait for fewer.
    reading: usize,
    reads_waiting: VecDeque<Waiting>,
    /// Re-reads that may begin before the next tick, and those that wait for more of them.
    reread_tokens: f64,
    paced: VecDeque<TopicId>,
    /// Re-reads in the order in which they began, and when each has taken too long.
    rereads: VecDeque<(u32, Key)>,
    /// The application has been told something that it has not been woken for.
    told: bool,
    /// Access log lines of this turn.
    lines: Vec<u8>,
    random: u64,
    /// Shard 0 has the listeners.
    listeners: Vec<OwnedFd>,
    accept_paused: bool,
    draining: bool,
    stopped: bool,
}

impl Shard {
    /// A shard that has nothing yet but `listeners` to accept from.
    pub fn new(id: u8, shared: Arc<Shared>, random: u64, listeners: Vec<OwnedFd>) -> std::io::Result<Self> {
        let poller = Arc::new(Poller::new()?);
        poller.add(shared.inboxes.0[id as usize].wake.fd(), sys::EPOLLIN | sys::EPOLLET, WAKE)?;
        let now_ms = sys::now_ms();
        let mut shard = Self {
            id,
            shared,
            poller,
            commands: vec![],
            conns: Slab::default(),
            exchanges: Slab::default(),
            fanout: FanOut::new(),
            wheel: Wheel::new(now_ms),
            due: BinaryHeap::new(),
            now_ms,
            unix_s: 0,
            unix_ms: 0,
            date: DateClock::default(),
            scratch: vec![0; 64 * 1024],
            out: vec![],
            turn: None,
            again: vec![],
            retired: vec![],
            reading: 0,
            reads_waiting: VecDeque::new(),
            reread_tokens: 1.0,
            paced: VecDeque::new(),
            rereads: VecDeque::new(),
            told: false,
            lines: vec![],
            random,
            listeners,
            accept_paused: false,
            draining: false,
            stopped: false,
        };
        shard.pace_rereads();
        shard.listen()?;
        Ok(shard)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Adopt(fd, peer, door) => self.adopt(fd, peer, door),
            Command::Published(message) => self.fanout.publish(message),
            Command::Answer(id, answer) => self.answer(id, answer),
            Command::Landed(key, alone) => self.landed(Key::unpack(key), alone),
            Command::ReadAgain(topic) => self.read_again(topic),
            Command::Look(topic) => self.rest(topic),
            Command::Drain(over_ms) => self.drain(over_ms),
            Command::Stop => self.stopped = true,
        }
    }

    /// A number that nobody needs to be unable to guess (xorshift64*): jitter.
    fn jitter(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below.max(1)
    }

    /// Seconds after which who was turned away may come back: not all at once.
    fn retry_after(&mut self) -> String {
        (1 + self.jitter(5)).to_string()
    }

    fn ready(&mut self, key: Key, events: i32) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if events & (sys::EPOLLERR | sys::EPOLLHUP) != 0 {
            return self.close(key);
        }
        if events & sys::EPOLLOUT != 0 && conn.blocked {
            self.unblocked(key);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        if events & sys::EPOLLRDHUP != 0 && !std::mem::replace(&mut conn.half_closed, true) {
            match conn.state {
                State::Sse | State::Poll => return self.close(key),
                State::Busy => self.client_left(key),
                _ => {}
            }
        }
        if events & (sys::EPOLLIN | sys::EPOLLRDHUP) == 0 {
            return;
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.unread = true;
        }
        match self.conns.get(key).map(|conn| (conn.state, conn.blocked)) {
            Some((State::Idle, false)) => self.read_requests(key),
            Some((State::Busy, _)) => self.read_body(key),
            Some((State::Watch | State::Socket, _)) => self.read_frames(key),
            Some((State::Sse, _)) => self.ignore(key),
            Some((State::Linger, _)) => self.discard(key),
            _ => {}
        }
    }

    /// A buffer for what a connection is sent: see [`Shard::give`].
    fn buffer(&mut self, key: Key) -> Vec<u8> {
        if self.turn.is_none_or(|turn| turn == key) { std::mem::take(&mut self.out) } else { vec![] }
    }

    /// Send what was put into a buffer: now, or at the end of the connection's turn.
    fn give(&mut self, key: Key, mut out: Vec<u8>) {
        if self.turn == Some(key) {
            self.out = out;
            return;
        }
        self.write(key, &out);
        if self.turn.is_none() {
            out.clear();
            self.out = if out.capacity() > 4 * TURN_BYTES { vec![] } else { out };
        }
    }

    /// The same with a representation behind it: a large one is shared with whoever else is being sent it.
    fn give_kept(&mut self, key: Key, mut out: Vec<u8>, body: &bytes::Bytes) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if body.len() <= TURN_BYTES || conn.blocked {
            out.extend_from_slice(body);
            return self.give(key, out);
        }
        let wrote = conn.write_kept(&out, body);
        self.shared.metrics.bytes.fetch_add((out.len() + body.len()) as u64, Relaxed);
        self.wrote(key, wrote);
        out.clear();
        self.out = out;
    }

    /// Read what may be there already.
    fn read_on(&mut self, key: Key) {
        match self.conns.get(key).map(|conn| conn.state) {
            Some(State::Watch | State::Socket) => self.read_frames(key),
            Some(State::Busy) => self.read_body(key),
            Some(State::Sse) => self.ignore(key),
            Some(State::Linger) => self.discard(key),
            _ => self.read_requests(key),
        }
    }

    /// Write to a connection, then do what comes after if everything went out. False: it is gone.
    fn write(&mut self, key: Key, bytes: &[u8]) -> bool {
        if self.turn == Some(key) {
            self.out.extend_from_slice(bytes);
            return true;
        }
        let Some(conn) = self.conns.get_mut(key) else { return false };
        let behind = conn.blocked && !bytes.is_empty();
        let wrote = if bytes.is_empty() { Wrote::All } else { conn.write(bytes) };
        self.shared.metrics.bytes.fetch_add(bytes.len() as u64, Relaxed);
        // What only waits behind other bytes is no progress of the peer's.
        behind || self.wrote(key, wrote)
    }

    fn wrote(&mut self, key: Key, wrote: Wrote) -> bool {
        let now = self.wheel.now();
        let Some(conn) = self.conns.get_mut(key) else { return false };
        match wrote {
            Wrote::Dead => {
                self.close(key);
                return false;
            }
            Wrote::Some => {
                // How fast a response is read is looked at by itself: see `Conn::reads_too_slowly`.
                if matches!(conn.state, State::Sse | State::Watch | State::Socket) {
                    conn.tick = now;
                }
                self.arm(key);
            }
            Wrote::All => {
                if !matches!(conn.state, State::Poll | State::Idle) {
                    conn.tick = now;
                }
                if !conn.blocked {
                    self.sent(key);
                }
            }
        }
        self.conns.get(key).is_some()
    }

    /// Nothing is unsent any more.
    fn sent(&mut self, key: Key) {
        self.settle(key, usize::MAX);
        let Some(conn) = self.conns.get_mut(key) else { return };
        match std::mem::replace(&mut conn.after, After::Stay) {
            After::Close => self.linger(key),
            After::Stay => {}
        }
    }

    fn unblocked(&mut self, key: Key) {
        let now = self.wheel.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Ok((n, done)) = conn.flush() else { return self.close(key) };
        let streams = matches!(conn.state, State::Sse | State::Watch | State::Socket);
        if (n > 0 && streams) || (done && conn.state != State::Poll) {
            conn.tick = now;
        }
        self.settle(key, n);
        if !done {
            return;
        }
        self.sent(key);
        self.answer_ping(key);
        let Some(conn) = self.conns.get(key) else { return };
        if conn.lagging {
            self.catch_up(key);
        } else if conn.state == State::Idle {
            self.read_requests(key);
        } else {
            self.arm(key);
        }
    }

    /// Answer with a refusal that ends the connection.
    fn refuse(&mut self, out: &mut Vec<u8>, refusal: &Refusal, extra: &[(&str, &str)]) {
        self.shared.metrics.refused(refusal.reason);
        refusal.write(out, self.date.at(self.unix_s), false, extra);
    }

    /// End our side, and give the peer a moment to read what was said before the socket goes.
    fn linger(&mut self, key: Key) {
        let now = self.wheel.now();
        self.leave(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        sys::shutdown_write(conn.fd);
        (conn.state, conn.tick) = (State::Linger, now);
        (conn.input, conn.work, conn.socket) = (None, None, None);
        self.arm(key);
        self.discard(key);
    }

    fn discard(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        for _ in 0..16 {
            match sys::recv(conn.fd, &mut self.scratch) {
                Ok(Some(0)) | Err(_) => return self.close(key),
                Ok(Some(_)) => {}
                Ok(None) => return,
            }
        }
        // Closing now would reset the connection, and our last words with it; the deadline ends it.
        self.again.push(key);
    }

    /// End a connection, whatever it is doing.
    fn close(&mut self, key: Key) {
        self.leave(key);
        let Some(conn) = self.conns.remove(key) else { return };
        self.shared.dismiss(&conn.peer);
        self.shared.loads[self.id as usize].fetch_sub(1, Relaxed);
        self.shared.metrics.connections.fetch_sub(1, Relaxed);
        sys::close(conn.fd);
        if self.draining && self.conns.is_empty() {
            self.stopped = true;
        }
    }

    /// Take a connection out of everything that knows it: subscriptions, exchange, flight.
    fn leave(&mut self, key: Key) {
        self.unsubscribe(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.state == State::Busy {
            self.log(key);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        if let Some(work) = conn.work.take() {
            self.abandon(*work);
        }
    }
}
