//! What members ask, and the changes that are made while they watch.
use super::connect::why;
use super::{Crowd, Member, Presence};
use crate::options::Transport;
use crate::stamp::now_ns;
use crate::wire::Stage;
use freshwire_engine::net::sys;
use std::cmp::Reverse;
use std::os::fd::AsRawFd;

/// Waits that a server does not make, one after the other, after which it is taken at its word.
const MAX_IMPATIENT: u8 = 3;
/// A wait that is shorter is none.
const IMPATIENT_NS: u64 = 300_000_000;

impl Crowd {
    /// Begin to send requests and changes, for so long if given.
    pub fn start(&mut self, seconds: Option<f64>) {
        let now = now_ns();
        self.posts.start(now, seconds);
        if self.plan.transport == Transport::Get {
            self.gets.start(now, seconds);
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

    /// Ask only what should have been asked by now.
    pub fn rest(&mut self) {
        self.asking = false;
    }

    /// GETs and POSTs that have no answer yet.
    pub fn unanswered(&self) -> usize {
        let first = if self.plan.transport == Transport::Get { 0 } else { self.size };
        let asked = self.members[first..].iter().filter(|member| member.presence == Presence::There);
        asked.filter(|member| member.wire.stage != Stage::Idle).count()
    }

    /// Send no more; how many GETs and POSTs should have been answered by now and were not.
    pub fn stop(&mut self) -> usize {
        self.asking = false;
        self.gets.stop() + self.posts.stop() + self.unanswered()
    }

    /// Send a member's request.
    pub(super) fn ask(&mut self, index: usize, intended_ns: u64) {
        let transport = self.transport(index);
        let member = &mut self.members[index];
        let Some(socket) = &member.socket else { return };
        self.out.clear();
        if index < self.size {
            match &member.wire.scan.follow {
                Some(follow) if !follow.target.is_empty() => {
                    self.plan.request_for(&follow.target, index, &mut self.out);
                }
                _ => self.plan.request(index, &member.wire.scan.last, &mut self.out),
            }
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
    pub(super) fn send_due(&mut self) {
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
                self.counts.post(now_ns(), self.posts.interval_ns(), self.expected());
                self.ask(index as usize, intended);
            }
        }
    }

    /// Have those ask whose pause is over.
    pub(super) fn wake(&mut self) {
        let now = now_ns();
        while let Some(Reverse((due, index))) = self.resting.peek().copied().filter(|rest| rest.0.0 <= now) {
            self.resting.pop();
            let Member { presence, wire, socket, .. } = &self.members[index as usize];
            if *presence == Presence::There && socket.is_some() && wire.stage == Stage::Idle {
                self.ask(index as usize, now);
            } else if *presence == Presence::Connecting {
                self.resting.push(Reverse((due + IMPATIENT_NS, index)));
            }
        }
    }

    /// A request has been answered.
    pub(super) fn answered(&mut self, index: usize, status: u16, now: u64) {
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
        } else if let Some(follow) = &member.wire.scan.follow {
            let pause_ns = follow.pause_ns;
            *self.counts.statuses.entry(status).or_default() += 1;
            if member.presence != Presence::There && status >= 400 {
                return self.end(index, format!("status {status}").into());
            }
            if pause_ns > 0 {
                return self.resting.push(Reverse((now + pause_ns, index as u32)));
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
}
