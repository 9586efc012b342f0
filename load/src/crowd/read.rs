//! What members are told.
use super::connect::why;
use super::{Crowd, Presence};
use crate::options::{Ready, Transport};
use crate::scan::Seen;
use crate::stamp::now_ns;
use crate::websocket::client_frame;
use crate::wire::{Reason, Stage};
use freshwire_engine::net::sys::{self, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use freshwire_engine::transport::websocket::frame::Op;
use std::os::fd::AsRawFd;

impl Crowd {
    pub(super) fn serve(&mut self, index: usize, events: i32) {
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

    pub(super) fn read(&mut self, index: usize, to_the_end: bool) {
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
            let mut seen = |seen: Seen<'_>| match seen {
                Seen::Answered => answered = true,
                Seen::Response(status) => response = Some(status),
                Seen::Message(stamp) => {
                    message = true;
                    counts.message(stamp, now, newest);
                }
                Seen::Ping(payload) => client_frame(Op::Pong, payload, out),
                Seen::Close(code) => over = Some(format!("close {code}").into()),
                Seen::Gone => over = Some(Reason::from("gone")),
                Seen::Told(told) => counts.told(told),
                Seen::Reread { least, made_at, stamp } => counts.reread(least, made_at, stamp),
                Seen::Made(position, stamp) if index >= self.size => counts.made(position, stamp),
                Seen::Made(_, stamp) => counts.polled(stamp),
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
            let by_status = matches!(transport, Transport::Get | Transport::Wait);
            if answered && enough && !by_status || message {
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
}
