//! The members and their sockets: one poller on one thread. How they come is in `connect`, what they ask in `ask`, what
//! they are told in `read`.
mod ask;
mod connect;
mod read;

use crate::counts::Counts;
use crate::follow::Follow;
use crate::options::{Options, Ready, Transport};
use crate::orders::Orders;
use crate::pacer::Pacer;
use crate::plan::Plan;
use crate::stamp::now_ns;
use crate::wire::Wire;
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLIN, Poller, Ready as Event, Timer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const ORDERS: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// Connections that POST changes: as many as may be answered at once.
const POSTERS: usize = 32;
/// Descriptors that are not connections.
const SPARE: usize = 24;
/// No wait is longer, so that a flag is seen soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// All is quiet after so much silence.
const SILENCE_NS: u64 = 500_000_000;

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
    /// Members that pause, and until when.
    resting: BinaryHeap<Reverse<(u64, u32)>>,
    /// Members ask again as soon as they are answered.
    asking: bool,
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
        let mut members: Vec<Member> = std::iter::repeat_with(member).take(size + posters).collect();
        if options.transport == Transport::Wait {
            for member in &mut members[..size] {
                member.wire.scan.follow = Some(Box::new(Follow::new(options.pinned)));
            }
        }
        let mut posts = Pacer::new(if posters > 0 { options.change_rate } else { 0.0 });
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
            members,
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
            resting: BinaryHeap::new(),
            asking: false,
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

    /// Members that should have got every change; with a resource each, one is all.
    pub fn everybody(&self) -> usize {
        let came = self.size.saturating_sub(self.stall + self.standing.failed);
        if self.plan.each_its_own { 1 } else { came }
    }

    /// Members that should get a change that is made now.
    pub fn expected(&self) -> usize {
        if self.plan.each_its_own { 1 } else { self.readers() }
    }

    /// Members that know of the newest change that any of them knows of.
    pub fn newest(&self) -> usize {
        let newest = self.members.iter().map(|member| member.newest).max().filter(|newest| *newest > 0);
        newest.map_or(0, |newest| self.members.iter().filter(|member| member.newest == newest).count())
    }

    /// Members that are there and do not know of the newest change whose POST was answered.
    pub fn behind(&self) -> usize {
        let last = self.counts.last_made();
        let there = self.members[..self.size].iter().filter(|member| member.presence == Presence::There);
        there.filter(|member| member.newest < last).count()
    }

    /// Whether all is answered and the last change has reached everybody, or there was none.
    pub fn is_quiet(&self) -> bool {
        !self.gets.waits()
            && !self.posts.waits()
            && self.unanswered() == 0
            && self.counts.is_quiet(self.expected(), now_ns(), SILENCE_NS)
    }

    /// Serve what is there, waiting for it, or for an order, at most so long.
    pub fn turn(&mut self, longest: Duration) {
        let mut wait = longest.min(LONGEST_WAIT);
        self.expire();
        self.fill();
        if !self.queue.is_empty() && self.under_way < self.window {
            wait = Duration::from_millis(1); // the pace decides
        }
        let now = now_ns();
        let rested =
            self.resting.peek().map(|Reverse((due, _))| Duration::from_nanos(due.saturating_sub(now)));
        if let Some(due) = [self.gets.wait(now), self.posts.wait(now), rested].into_iter().flatten().min() {
            self.timer.set(due);
        }
        let n = self.poller.wait(&mut self.events, wait.as_millis() as i32);
        for at in 0..n {
            let Event { events, u64: key } = self.events[at];
            match key {
                ORDERS | TIMER => {}
                index => self.serve(index as usize, events as i32),
            }
        }
        self.send_due();
        self.wake();
    }

    fn transport(&self, index: usize) -> Transport {
        if index < self.size { self.plan.transport } else { Transport::Get }
    }
}
