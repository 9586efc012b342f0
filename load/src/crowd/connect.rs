//! How members come to be there, and how they leave.
use super::{Crowd, Presence};
use crate::options::{Ready, Transport};
use crate::stamp::now_ns;
use crate::wire::Reason;
use freshwire_engine::net::sys::{EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use socket2::{Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Instant;

impl Crowd {
    /// Close every connection at once, and have them come back; how many.
    pub fn cut(&mut self) -> usize {
        (self.cut_ns, self.queued_at, self.begun) = (now_ns(), Instant::now(), 0);
        for index in 0..self.size {
            let member = &mut self.members[index];
            if member.presence == Presence::There {
                (member.socket, member.presence, member.known) = (None, Presence::Away, false);
                self.standing.there -= 1;
                self.queue.push_back(index as u32);
            }
        }
        self.queue.len()
    }

    /// Have those come back that are gone, or did not come; how many.
    pub fn come_back(&mut self) -> usize {
        (self.cut_ns, self.queued_at, self.begun) = (now_ns(), Instant::now(), 0);
        (self.standing.gone, self.standing.failed) = (0, 0);
        self.failed.clear();
        for index in 0..self.size {
            let member = &mut self.members[index];
            if member.presence == Presence::Gone {
                (member.presence, member.known) = (Presence::Away, false);
                self.queue.push_back(index as u32);
            }
        }
        self.queue.len()
    }

    /// Begin as many connections as may be under way.
    pub(super) fn fill(&mut self) {
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
    pub(super) fn expire(&mut self) {
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

    pub(super) fn connect(&mut self, index: usize) {
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

    pub(super) fn connected(&mut self, index: usize) {
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
        let scan = &self.members[index].wire.scan;
        let waits = match self.plan.transport {
            Transport::LongPoll => !scan.last.is_empty(),
            Transport::Wait => scan.follow.as_ref().is_some_and(|follow| follow.waits()),
            _ => false,
        };
        if scan.follow.as_ref().is_some_and(|follow| known && follow.pause_ns > 0) {
            return; // `wake` asks
        }
        self.ask(index, now_ns());
        if self.ready == Ready::Connected || waits || index < self.stall {
            self.there(index);
        }
    }

    /// The server has ended a connection between two requests, as it may.
    pub(super) fn again(&mut self, index: usize) {
        if index < self.size {
            self.counts.reconnects += 1;
            let member = &mut self.members[index];
            member.known = member.presence == Presence::There;
        }
        self.members[index].socket = None;
        self.connect(index);
    }

    pub(super) fn there(&mut self, index: usize) {
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

    pub(super) fn end(&mut self, index: usize, reason: Reason) {
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
pub(super) fn why(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".into(),
        ErrorKind::TimedOut => "connect timed out".into(),
        ErrorKind::AddrNotAvailable => "no local port is left for this target (use more targets)".into(),
        ErrorKind::WouldBlock => "the listener's queue is full".into(),
        _ => error.to_string().into(),
    }
}
