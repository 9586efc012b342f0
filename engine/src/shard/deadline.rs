//! Deadlines: what is due on a connection in each state, re-reads that wait, and the end of everything.
use super::Shard;
use super::conn::{After, Conn, State};
use super::work::{Sending, Work};
use crate::http::refusal::Refusal;
use crate::hub::TopicId;
use crate::limits::Options;
use crate::net::slab::Key;
use crate::net::wheel::{TICK_MS, ticks};
use crate::transport::sse::{self, Event};
use crate::transport::websocket::{Op, close, encoder};
use std::cmp::Reverse;
use std::time::Instant;

/// How long a peer may take to read our last words, and an application to hear that there will be some.
const LINGER_S: f64 = 2.0;
/// How long a connection that a drain finds new has for its first request, milliseconds.
const FIRST_WORDS_MS: u64 = 500;
/// What a drain leaves at least between the last push session's end and everything's, milliseconds.
const LAST_WORDS_MS: u64 = 1000;

/// Something due that is not a connection's own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A watched representation's lifetime ends, or is to be looked at: at that time, milliseconds.
    Expire(TopicId, u64),
    /// A re-read that failed is tried again.
    Retry(TopicId),
    /// A lifetime in a set that is waited on ends: at that time, milliseconds.
    Lapse(Key, u64),
    /// The cycle of a stream of news of a set ends.
    CycleEnds(Key),
    /// A push session's turn to end, in a drain.
    End(Key),
    /// The drain has taken too long.
    HardEnd,
}

/// When something is next due on a connection, and what.
enum Deadline {
    Close,
    /// The application does not ask what became of a WebSocket.
    EndFaulty,
    Heartbeat,
    PollEnds,
    HeadTimeout,
    BodyTooSlow,
    ReaderTooSlow,
    /// See how fast it reads.
    LookAtReader,
    ApplicationTimeout,
    /// The rest of a short body has been waited for long enough.
    PassOn,
    /// Look again at that tick.
    Look,
}

fn deadline(conn: &Conn, options: &Options) -> (u32, Deadline) {
    let after = |seconds: f64| conn.tick.saturating_add(ticks(seconds));
    let faulty_since = conn.socket.as_ref().and_then(|socket| socket.ending).map(|(_, tick)| tick);
    match conn.state {
        State::Linger => (after(LINGER_S), Deadline::Close),
        State::Socket if faulty_since.is_some() => {
            (faulty_since.unwrap_or_default().saturating_add(ticks(LINGER_S)), Deadline::EndFaulty)
        }
        State::Poll => (conn.tick, Deadline::PollEnds),
        State::Sse | State::Watch | State::Socket if conn.blocked => {
            (after(options.push_timeout_s), Deadline::ReaderTooSlow)
        }
        State::Socket | State::Watch if conn.socket.as_ref().is_some_and(|s| s.put_off) => {
            (conn.tick.saturating_add(1), Deadline::Look)
        }
        State::Sse | State::Watch | State::Socket => (after(options.heartbeat_s), Deadline::Heartbeat),
        _ if conn.blocked => (conn.tick.saturating_add(4), Deadline::LookAtReader),
        State::Idle if conn.input.is_some() || !conn.asked => {
            (after(options.header_timeout_s), Deadline::HeadTimeout)
        }
        State::Idle => (after(options.keep_alive_timeout_s), Deadline::Close),
        State::Busy => match conn.work.as_deref() {
            Some(work) if work.awaits_rest => (conn.tick.saturating_add(2), Deadline::PassOn),
            Some(work) if waits_for_body(work) => (conn.tick.saturating_add(4), Deadline::BodyTooSlow),
            Some(work) if work.sending == Sending::Nothing => {
                (after(options.app_timeout_s), Deadline::ApplicationTimeout)
            }
            _ => (after(3600.0), Deadline::Look),
        },
    }
}

fn waits_for_body(work: &Work) -> bool {
    !work.body.done() && (work.wanted > 0 || work.gathered.is_some())
}

impl Shard {
    /// See that a connection's next deadline is not missed.
    pub(super) fn arm(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let (due, _) = deadline(conn, &self.shared.options);
        if conn.armed <= self.wheel.now() || due < conn.armed {
            conn.armed = self.wheel.arm(key, due);
        }
    }

    /// Everything that is due.
    pub(super) fn tick(&mut self) {
        while let Some(keys) = self.wheel.step(self.now_ms) {
            let now = self.wheel.now();
            for key in keys {
                if self.conns.get(key).is_some_and(|conn| conn.armed == now) {
                    self.expire(key);
                    self.arm(key);
                }
            }
            if std::mem::take(&mut self.accept_paused) && !self.draining {
                let _ = self.listen();
            }
            self.abandon_reads(now);
            self.pace_rereads();
            if self.id == 0 {
                self.shared.resources.announce_overdue();
                self.shared.resources.monitors.give_up(Instant::now());
            }
            while let Some(Reverse((at, due))) = self.due.peek().copied()
                && at <= now
            {
                self.due.pop();
                self.happen(due);
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Expire(topic, at_ms) => {
                match self.shared.resources.watches.look(topic, at_ms, self.now_ms) {
                    Some(true) => self.read_again(topic),
                    Some(false) => self.rest(topic),
                    None => {}
                }
            }
            Due::Retry(topic) => {
                if self.shared.resources.watches.wants_retry(topic) {
                    self.read_again(topic);
                }
            }
            Due::Lapse(set, at_ms) => {
                let advance = || self.shared.resources.log.advance();
                self.shared.resources.monitors.look(set, at_ms, self.now_ms, advance);
            }
            Due::CycleEnds(key) => self.cycle_ended(key),
            Due::End(key) => self.end_push(key),
            Due::HardEnd => self.stopped = true,
        }
    }

    /// The hint for a connection has come up: whatever is due by now happens.
    fn expire(&mut self, key: Key) {
        let now = self.wheel.now();
        let shared = self.shared.clone();
        let options = &shared.options;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let (due, what) = deadline(conn, options);
        if due > now {
            return;
        }
        match what {
            Deadline::Look => self.read_frames_if_socket(key),
            Deadline::Close => self.close(key),
            Deadline::EndFaulty => self.end_faulty(key),
            Deadline::PassOn => self.pass_on(key),
            Deadline::PollEnds => self.poll_ended(key),
            Deadline::Heartbeat => self.heartbeat(key),
            Deadline::LookAtReader if !conn.reads_too_slowly(options, self.now_ms) => conn.tick = now,
            Deadline::ReaderTooSlow | Deadline::LookAtReader => {
                shared.metrics.refused("slow_reader");
                self.close(key);
            }
            Deadline::HeadTimeout if conn.input.is_none() => {
                shared.metrics.refused("header_timeout");
                self.close(key);
            }
            Deadline::HeadTimeout => {
                let detail = format!(
                    "a request head must arrive within {} s (header_timeout_s)",
                    options.header_timeout_s
                );
                self.refuse_idle(key, &Refusal::new(408, "header_timeout", detail));
            }
            Deadline::BodyTooSlow => {
                let Some(work) = conn.work.as_deref() else { return };
                let elapsed_s = self.now_ms.saturating_sub(work.started_ms) as f64 / 1000.0;
                let least = options.min_rate_bytes_per_s as f64 * (elapsed_s - options.rate_grace_s);
                conn.tick = now;
                if (work.body_bytes as f64) < least {
                    conn.keep_alive = false;
                    let detail = format!(
                        "a request body must come at {} B/s (min_rate_bytes_per_s)",
                        options.min_rate_bytes_per_s
                    );
                    self.fail(key, &Refusal::new(408, "slow_body", detail));
                }
            }
            Deadline::ApplicationTimeout if self.rescue(key) => {}
            Deadline::ApplicationTimeout => {
                let detail = format!(
                    "the application did not answer within {} s (app_timeout_s)",
                    options.app_timeout_s
                );
                self.fail(key, &Refusal::new(504, "app_timeout", detail));
            }
        }
    }

    fn read_frames_if_socket(&mut self, key: Key) {
        let now = self.wheel.now();
        if let Some(conn) = self.conns.get_mut(key) {
            conn.tick = now;
            if matches!(conn.state, State::Watch | State::Socket) {
                self.read_frames(key);
            }
        }
    }

    fn refuse_idle(&mut self, key: Key, refusal: &Refusal) {
        self.log_refusal(key, None, refusal);
        let mut out = vec![];
        self.refuse(&mut out, refusal, &[]);
        if let Some(conn) = self.conns.get_mut(key) {
            conn.after = After::Close;
        }
        self.write(key, &out);
    }

    /// A sign of life; who has vanished is noticed because nobody acknowledges it.
    fn heartbeat(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut ping = vec![];
        let beat: &[u8] = match (conn.state, conn.variant_form) {
            (State::Sse, false) => sse::HEARTBEAT_CHUNK,
            (State::Sse, true) => sse::HEARTBEAT,
            _ => {
                encoder::frame(Op::Ping, &[], &mut ping);
                &ping
            }
        };
        if conn.state == State::Watch
            && conn.input.is_none()
            && conn.socket.as_ref().is_some_and(|s| s.is_idle())
        {
            conn.socket = None;
        }
        self.write(key, beat);
    }

    /// End everything: accept nothing more, close what is idle, end push sessions one by one, let requests finish.
    pub(super) fn drain(&mut self, over_ms: u64) {
        // Who is in a listener's queue has connected already, as far as they know.
        (0..self.listeners.len()).for_each(|index| self.accept(index as u8));
        self.draining = true;
        self.unlisten();
        self.listeners.clear();
        let now = self.wheel.now();
        let spread_ms = over_ms * 9 / 10;
        let keys: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.conns.get(key).map(|conn| conn.state) {
                Some(State::Idle) => {
                    // What has come and was not looked at yet is answered.
                    self.guard(Some(key), |shard| shard.read_requests(key));
                    self.rest_in_drain(key);
                }
                Some(State::Sse | State::Watch | State::Poll | State::Socket) => {
                    let after_ms = self.jitter(spread_ms + TICK_MS);
                    self.end_in_drain(key, after_ms);
                }
                // Its answer says that it is the last.
                Some(State::Busy) => {
                    if let Some(conn) = self.conns.get_mut(key) {
                        conn.keep_alive = false;
                    }
                }
                _ => {}
            }
        }
        let over_ms = over_ms.max(spread_ms + LAST_WORDS_MS);
        self.due.push(Reverse((now + over_ms.div_ceil(TICK_MS) as u32, Due::HardEnd)));
        if self.conns.is_empty() {
            self.stopped = true;
        }
    }

    /// Close a connection that asks for nothing; one that has only just come may be about to ask.
    pub(super) fn rest_in_drain(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.state != State::Idle || conn.input.is_some() || conn.blocked || conn.after == After::Close {
            return;
        }
        if conn.asked {
            return self.close(key);
        }
        self.end_in_drain(key, FIRST_WORDS_MS);
    }

    /// End a connection that a drain has met, or that became a push session after it began.
    pub(super) fn end_in_drain(&mut self, key: Key, after_ms: u64) {
        if self.draining {
            let due = self.wheel.now() + (after_ms / TICK_MS) as u32;
            self.due.push(Reverse((due, Due::End(key))));
        }
    }

    /// Tell a push session to come back later, to somebody else.
    fn end_push(&mut self, key: Key) {
        let options = &self.shared.options;
        let (least, most) = (options.retry_min_ms, options.retry_max_ms.max(options.retry_min_ms));
        let retry_ms = least + self.jitter(most - least + 1);
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.state {
            State::Sse if conn.on_set => self.cycle_ended(key),
            State::Sse => {
                let event = Event { event: None, id: None, retry_ms: Some(retry_ms), data: None };
                let mut out = vec![];
                if conn.variant_form {
                    let _ = sse::encode(&event, &mut out);
                } else {
                    let _ = sse::encode_chunked(&event, &mut out);
                    out.extend_from_slice(crate::http::response::LAST_CHUNK);
                }
                conn.after = After::Close;
                self.write(key, &out);
            }
            State::Watch | State::Socket => {
                self.farewell(
                    key,
                    close::SERVICE_RESTART,
                    "the server restarts",
                    close::SERVICE_RESTART,
                    String::new(),
                );
            }
            State::Poll => self.poll_ended(key),
            State::Idle if conn.input.is_none() && !conn.blocked => self.close(key),
            _ => {}
        }
    }
}
