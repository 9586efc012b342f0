//! The members and their sockets: one poller on one thread. What they say is read by `wire`, and counted here.
use crate::counts::Counts;
use crate::options::{Options, Ready, Transport};
use crate::orders::Orders;
use crate::pacer::Pacer;
use crate::plan::Plan;
use crate::scan::Seen;
use crate::stamp::now_ns;
use crate::websocket::client_frame;
use crate::wire::{Reason, Stage, Wire};
use freshwire_engine::net::sys::{
    self, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, Poller, Ready as Event, Timer,
};
use freshwire_engine::transport::websocket::frame::Op;
use socket2::{Protocol, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const ORDERS: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// Connections that POST changes: as many as may be answered at once.
const POSTERS: usize = 32;
/// Descriptors that are not connections.
const SPARE: usize = 24;
/// No wait is longer, so that a flag is seen soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Waits that a server does not make, one after the other, after which it is taken at its word.
const MAX_IMPATIENT: u8 = 3;
const IMPATIENT_NS: u64 = 300_000_000;

/// Where a member stands with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It waits for its turn to connect.
    Away,
    /// Its connection is being made.
    Connecting,
    /// It has said what it wants.
    Asked,
    /// It is there.
    There,
    /// It will not come (again).
    Gone,
}

struct Member {
    socket: Option<OwnedFd>,
    wire: Wire,
    presence: Presence,
    /// The connection is made anew within its life: it is there all the same.
    known: bool,
    impatient: u8,
    /// When its connection was begun, or when its request should have been sent.
    since_ns: u64,
    /// The newest change that it knows of.
    newest: u64,
}

/// What there is of members.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// That are there.
    pub there: usize,
    /// That did not come to be there.
    pub failed: usize,
    /// That were there and are not any more.
    pub gone: usize,
}

/// See the module.
pub struct Crowd {
    plan: Plan,
    ready: Ready,
    stall: usize,
    window: usize,
    connect_rate: f64,
    timeout: Duration,
    size: usize,
    poller: Poller,
    timer: Timer,
    members: Vec<Member>,
    /// Members whose turn to connect comes, and since when that is.
    queue: VecDeque<u32>,
    queued_at: Instant,
    begun: u64,
    under_way: usize,
    /// When those under way have been so for too long, in that order.
    deadlines: VecDeque<(Instant, u32)>,
    /// What has come since the last mark.
    pub counts: Counts,
    /// What there is of members.
    pub standing: Standing,
    /// Why some did not come to be there.
    pub failed: BTreeMap<String, u64>,
    /// Why some are not there any more.
    pub ended: BTreeMap<String, u64>,
    /// GETs and POSTs at a rate.
    gets: Pacer,
    posts: Pacer,
    /// Members ask again as soon as they are answered.
    asking: bool,
    posted_ns: u64,
    cut_ns: u64,
    scratch: Vec<u8>,
    out: Vec<u8>,
    events: Vec<Event>,
}

impl Crowd {
    /// All of them away. Fails with what does not fit.
    pub fn new(options: &Options, orders: Option<&Orders>) -> Result<Self, String> {
        let plan = Plan::new(options)?;
        let (limit, size) = (sys::raise_descriptor_limit(), options.connections);
        let posters = if plan.change.is_empty() { 0 } else { POSTERS };
        if size + posters + SPARE > limit {
            let most = limit.saturating_sub(posters + SPARE);
            return Err(format!(
                "{size} connections do not fit: this process may have {limit} open files (ulimit -Hn), which is \
                 {most} connections; use several processes, or raise the limit"
            ));
        }
        let failed = |error: io::Error| error.to_string();
        let (poller, timer) = (Poller::new().map_err(failed)?, Timer::new().map_err(failed)?);
        poller.add(timer.fd(), EPOLLIN | EPOLLET, TIMER).map_err(failed)?;
        if let Some(orders) = orders {
            orders.ring(&poller, ORDERS).map_err(failed)?;
        }
        let member = || Member {
            socket: None,
            wire: Wire::default(),
            presence: Presence::Away,
            known: false,
            impatient: 0,
            since_ns: 0,
            newest: 0,
        };
        let mut posts = Pacer::new(options.change_rate);
        posts.free = (size as u32..(size + posters) as u32).rev().collect();
        Ok(Self {
            ready: options.ready(),
            stall: options.stall,
            window: options.window,
            connect_rate: options.connect_rate,
            timeout: Duration::from_secs_f64(options.timeout_s),
            size,
            poller,
            timer,
            members: std::iter::repeat_with(member).take(size + posters).collect(),
            queue: (0..size as u32).collect(),
            queued_at: Instant::now(),
            begun: 0,
            under_way: 0,
            deadlines: VecDeque::new(),
            counts: Counts::default(),
            standing: Standing::default(),
            failed: BTreeMap::new(),
            ended: BTreeMap::new(),
            gets: Pacer::new(options.rate),
            posts,
            asking: false,
            posted_ns: 0,
            cut_ns: 0,
            scratch: vec![0; 256 * 1024],
            out: vec![],
            events: vec![Event { events: 0, u64: 0 }; 512],
            plan,
        })
    }

    /// Whether every member is there or will not be.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.under_way == 0
    }

    /// Members that are there and read.
    pub fn readers(&self) -> usize {
        let stalled = self.members[..self.stall.min(self.size)].iter();
        self.standing.there - stalled.filter(|member| member.presence == Presence::There).count()
    }

    /// Members that should get every change; with a resource each, one is all.
    pub fn everybody(&self) -> usize {
        if self.plan.each_its_own { 1 } else { self.size.saturating_sub(self.stall) }
    }

    /// Members that know of the newest change that any of them knows of.
    pub fn newest(&self) -> usize {
        let newest = self.members.iter().map(|member| member.newest).max().filter(|newest| *newest > 0);
        newest.map_or(0, |newest| self.members.iter().filter(|member| member.newest == newest).count())
    }

    /// Begin to send requests and changes.
    pub fn start(&mut self) {
        let now = now_ns();
        self.posts.start(now);
        if self.plan.transport == Transport::Get {
            self.gets.start(now);
            self.asking = !self.gets.runs();
            self.gets.free = (0..self.size as u32).rev().collect();
            for index in 0..if self.asking { self.size } else { 0 } {
                let Member { presence, wire, .. } = &self.members[index];
                if *presence == Presence::There && wire.stage == Stage::Idle {
                    self.ask(index, now);
                }
            }
        }
    }

    /// Send no more; how many GETs and POSTs should have been sent and were not.
    pub fn stop(&mut self) -> usize {
        self.asking = false;
        self.gets.stop() + self.posts.stop()
    }

    /// Members that know of the newest change that any of them knows of.
    pub fn at_newest(&self) -> usize {
        let newest = || self.members.iter().map(|member| member.newest);
        newest().max().filter(|most| *most > 0).map_or(0, |most| newest().filter(|one| *one == most).count())
    }

    /// Whether the last change has reached everybody, or there was none.
    pub fn is_quiet(&self) -> bool {
        self.posted_ns == 0 || self.counts.has_reached(self.posted_ns, self.everybody().min(self.readers()))
    }

    /// Close every connection at once, and have them come back.
    pub fn cut(&mut self) {
        (self.cut_ns, self.queued_at, self.begun) = (now_ns(), Instant::now(), 0);
        for index in 0..self.size {
            let member = &mut self.members[index];
            if member.presence == Presence::There {
                (member.socket, member.presence, member.known) = (None, Presence::Away, false);
                self.standing.there -= 1;
                self.queue.push_back(index as u32);
            }
        }
    }

    /// Serve what is there, waiting for it at most so long; whether there are orders.
    pub fn turn(&mut self, longest: Duration) -> bool {
        let mut wait = longest.min(LONGEST_WAIT);
        self.expire();
        self.fill();
        if !self.queue.is_empty() && self.under_way < self.window {
            wait = Duration::from_millis(1); // the pace decides
        }
        let now = now_ns();
        if let Some(due) = [self.gets.wait(now), self.posts.wait(now)].into_iter().flatten().min() {
            self.timer.set(due);
        }
        let mut orders = false;
        let n = self.poller.wait(&mut self.events, wait.as_millis() as i32);
        for at in 0..n {
            let Event { events, u64: key } = self.events[at];
            match key {
                ORDERS => orders = true,
                TIMER => {}
                index => self.serve(index as usize, events as i32),
            }
        }
        self.send_due();
        orders
    }

    /// Begin as many connections as may be under way.
    fn fill(&mut self) {
        while self.under_way < self.window {
            let pace = self.queued_at.elapsed().as_secs_f64() * self.connect_rate;
            if self.connect_rate > 0.0 && self.begun as f64 > pace {
                return;
            }
            let Some(index) = self.queue.pop_front() else { return };
            self.begun += 1;
            self.under_way += 1;
            self.deadlines.push_back((Instant::now() + self.timeout, index));
            self.connect(index as usize);
        }
    }

    /// End those that have been under way for too long.
    fn expire(&mut self) {
        while let Some((deadline, index)) = self.deadlines.front().copied() {
            let member = &self.members[index as usize];
            let waits = matches!(member.presence, Presence::Connecting | Presence::Asked) && !member.known;
            if waits && deadline > Instant::now() {
                return;
            }
            self.deadlines.pop_front();
            if waits {
                self.end(index as usize, "no answer in time".into());
            }
        }
    }

    fn transport(&self, index: usize) -> Transport {
        if index < self.size { self.plan.transport } else { Transport::Get }
    }

    fn connect(&mut self, index: usize) {
        let address = self.plan.target(if index < self.size { index } else { 0 });
        let open = || {
            let protocol = address.as_socket().map(|_| Protocol::TCP);
            let socket = Socket::new(address.domain(), Type::STREAM.nonblocking(), protocol)?;
            match socket.connect(address) {
                Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
                _ if protocol.is_some() => socket.set_tcp_nodelay(true)?,
                _ => {}
            }
            let stalls = index < self.stall;
            let events = if stalls { EPOLLOUT | EPOLLRDHUP } else { EPOLLIN | EPOLLOUT | EPOLLRDHUP };
            self.poller.add(socket.as_raw_fd(), events | EPOLLET, index as u64)?;
            Ok(socket)
        };
        let opened = open();
        let member = &mut self.members[index];
        member.wire.restart();
        member.presence = Presence::Connecting;
        match opened {
            Ok(socket) => member.socket = Some(socket.into()),
            Err(error) => self.end(index, why(&error)),
        }
    }

    fn serve(&mut self, index: usize, events: i32) {
        let member = &self.members[index];
        let Some(socket) = &member.socket else { return };
        if member.presence == Presence::Connecting {
            if events & (EPOLLOUT | EPOLLERR | EPOLLHUP) == 0 {
                return;
            }
            match socket2::SockRef::from(socket).take_error() {
                Ok(None) if events & (EPOLLERR | EPOLLHUP) == 0 => self.connected(index),
                Ok(None) => return self.end(index, "reset".into()),
                Ok(Some(error)) | Err(error) => return self.end(index, why(&error)),
            }
        }
        if index < self.stall && index < self.size {
            if events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) != 0 {
                self.end(index, if events & EPOLLERR != 0 { "reset" } else { "closed" }.into());
            }
        } else if events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP) != 0 {
            self.read(index, events & !EPOLLOUT & !EPOLLIN != 0);
        }
    }

    fn connected(&mut self, index: usize) {
        let (known, poster) = (self.members[index].known, index >= self.size);
        self.members[index].presence = Presence::Asked;
        if poster || known {
            self.members[index].presence = Presence::There;
        }
        if poster || known && self.plan.transport == Transport::Get {
            if !poster && self.asking {
                return self.ask(index, now_ns());
            }
            let pacer = if poster { &mut self.posts } else { &mut self.gets };
            return pacer.free.push(index as u32);
        }
        // One that waits with what it has is answered when there is something new.
        let waits =
            self.plan.transport == Transport::LongPoll && !self.members[index].wire.scan.last.is_empty();
        self.ask(index, now_ns());
        if self.ready == Ready::Connected || waits || index < self.stall {
            self.there(index);
        }
    }

    /// Send a member's request.
    fn ask(&mut self, index: usize, intended_ns: u64) {
        let transport = self.transport(index);
        let member = &mut self.members[index];
        let Some(socket) = &member.socket else { return };
        self.out.clear();
        if index < self.size {
            self.plan.request(index, &member.wire.scan.last, &mut self.out);
        } else {
            self.out.extend_from_slice(&self.plan.change);
        }
        member.since_ns = intended_ns;
        member.wire.asked(transport);
        match sys::send(socket.as_raw_fd(), &self.out) {
            Ok(Some(n)) if n == self.out.len() => {}
            Ok(_) => self.end(index, "the request is longer than its socket takes".into()),
            Err(error) => self.end(index, why(&error)),
        }
    }

    /// Send the requests that are due, as far as connections are free.
    fn send_due(&mut self) {
        let now = now_ns();
        while let Some(intended) = self.gets.next(now) {
            let Some(index) = self.gets.free.pop() else { break };
            let Member { presence, wire, socket, .. } = &self.members[index as usize];
            if *presence == Presence::There && wire.stage == Stage::Idle && socket.is_some() {
                self.gets.sent();
                self.ask(index as usize, intended);
            }
        }
        while let Some(intended) = self.posts.next(now) {
            let Some(index) = self.posts.free.pop() else { break };
            let Member { presence, wire, socket, .. } = &self.members[index as usize];
            if socket.is_none() {
                self.connect(index as usize); // and then it is free again
            } else if *presence == Presence::There && wire.stage == Stage::Idle {
                self.posts.sent();
                self.posted_ns = now_ns();
                self.ask(index as usize, intended);
            }
        }
    }

    fn read(&mut self, index: usize, to_the_end: bool) {
        let transport = self.transport(index);
        loop {
            let member = &mut self.members[index];
            let Some(socket) = &member.socket else { return };
            let received = sys::recv(socket.as_raw_fd(), &mut self.scratch);
            let now = now_ns();
            let (mut answered, mut response, mut message, mut over) = (false, None, false, None);
            self.out.clear();
            let (wire, newest, counts, out) =
                (&mut member.wire, &mut member.newest, &mut self.counts, &mut self.out);
            let posted = self.posted_ns;
            let mut seen = |seen: Seen<'_>| match seen {
                Seen::Answered => answered = true,
                Seen::Response(status) => response = Some(status),
                Seen::Message(stamp) => {
                    message = true;
                    counts.message(stamp, now, newest, posted);
                }
                Seen::Ping(payload) => client_frame(Op::Pong, payload, out),
                Seen::Close(code) => over = Some(format!("close {code}").into()),
                Seen::Gone => over = Some(Reason::from("gone")),
            };
            let taken = match received {
                Ok(Some(0)) => wire.end(transport, &mut seen),
                Ok(Some(n)) => wire.take(transport, &self.plan.accept, &self.scratch[..n], &mut seen),
                Ok(None) => return,
                Err(ref error) => Err(why(error)),
            };
            let bytes = received.ok().flatten().unwrap_or(0);
            if index < self.size {
                self.counts.bytes += bytes as u64;
            }
            if !self.out.is_empty()
                && !matches!(sys::send(socket.as_raw_fd(), &self.out), Ok(Some(n)) if n == self.out.len())
            {
                over = Some("it takes no pongs".into());
            }
            // Who comes back with a position is told nothing if nothing has changed.
            let enough = self.ready == Ready::Answered || self.cut_ns > 0 && !wire.scan.last.is_empty();
            if answered && enough && transport != Transport::Get || message {
                self.there(index);
            }
            if let Some(reason) = over.or(taken.err()) {
                return self.end(index, reason);
            }
            if let Some(status) = response {
                self.answered(index, status, now);
            }
            if self.members[index].wire.stage == Stage::Idle && !self.members[index].wire.keep_alive {
                return self.again(index);
            }
            if bytes < self.scratch.len() && !to_the_end {
                return;
            }
        }
    }

    /// A request has been answered.
    fn answered(&mut self, index: usize, status: u16, now: u64) {
        let poster = index >= self.size;
        let member = &mut self.members[index];
        let took = now.saturating_sub(member.since_ns);
        if poster {
            self.counts.posts.add(took);
            *self.counts.post_statuses.entry(status).or_default() += 1;
            return self.posts.free.push(index as u32);
        }
        if self.plan.transport == Transport::LongPoll {
            let soon = status == 304 && took < IMPATIENT_NS;
            member.impatient = if soon { member.impatient + 1 } else { 0 };
            self.counts.waits_ended += u64::from(status == 304);
            if member.impatient == MAX_IMPATIENT {
                return self.end(index, "it answers 304 without waiting".into());
            }
        } else {
            if member.presence != Presence::There {
                if status >= 400 {
                    return self.end(index, format!("status {status}").into());
                }
                return self.there(index);
            }
            *self.counts.statuses.entry(status).or_default() += 1;
            self.counts.each.add(took);
            self.counts.messages += u64::from(status < 400);
            if !self.asking {
                return self.gets.free.push(index as u32);
            }
        }
        if self.members[index].wire.keep_alive {
            self.ask(index, now_ns());
        }
    }

    /// The server has ended a connection between two requests, as it may.
    fn again(&mut self, index: usize) {
        if index < self.size {
            self.counts.reconnects += 1;
            let member = &mut self.members[index];
            member.known = member.presence == Presence::There;
        }
        self.members[index].socket = None;
        self.connect(index);
    }

    fn there(&mut self, index: usize) {
        let member = &mut self.members[index];
        if index >= self.size || member.presence != Presence::Asked {
            return;
        }
        member.presence = Presence::There;
        self.under_way -= 1;
        self.standing.there += 1;
        if self.cut_ns > 0 {
            self.counts.back.add(now_ns().saturating_sub(self.cut_ns));
        }
    }

    fn end(&mut self, index: usize, reason: Reason) {
        let member = &mut self.members[index];
        let before = std::mem::replace(&mut member.presence, Presence::Gone);
        member.socket = None;
        if index >= self.size {
            *self.ended.entry(format!("a POST: {reason}")).or_default() += 1;
            member.wire.restart();
            if before == Presence::Connecting {
                self.posts.sent(); // there is nobody to send it to
            }
            return self.posts.free.insert(0, index as u32);
        }
        match before {
            Presence::Gone => {}
            Presence::Connecting | Presence::Asked if !member.known => {
                self.under_way -= 1;
                self.standing.failed += 1;
                *self.failed.entry(reason.into_owned()).or_default() += 1;
            }
            _ => {
                self.standing.there -= 1;
                self.standing.gone += 1;
                *self.ended.entry(reason.into_owned()).or_default() += 1;
            }
        }
    }
}

const EINPROGRESS: i32 = 115;

/// A failure of the kernel's, in a few words.
fn why(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".into(),
        ErrorKind::TimedOut => "connect timed out".into(),
        ErrorKind::AddrNotAvailable => "no local port is left for this target (use more targets)".into(),
        ErrorKind::WouldBlock => "the listener's queue is full".into(),
        _ => error.to_string().into(),
    }
}
