//! WebSockets: reading frames, within their rates, and speaking for the application.
//!
//! A watch needs a [`Socket`] only while it is being spoken to; an application's has one for its whole life. A message
//! flood is not refused but slowed down: the socket is not read, and the client's own kernel holds it back.
use super::Shard;
use super::conn::{After, State};
use super::work::{Intent, Sending};
use crate::app::{Event as Told, Message};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::limits::Options;
use crate::net::slab::Key;
use crate::net::sys;
use crate::transport::websocket::extensions::Deflate;
use crate::transport::websocket::{
    Decoder, DecoderLimits, Event, Fault, Op, close, deflate, encoder, handshake,
};
use bytes::Bytes;
use std::collections::VecDeque;

/// Messages that an application may be told of before it has taken the first: so many short ones, fewer long ones.
const CREDIT: i32 = 32;
/// Pings that came at once and are answered each; of more, the newest (RFC 6455 §5.5.3 lets the newest one do).
const PONGS_AT_ONCE: usize = 16;

/// What a message takes of the credit.
fn cost(bytes: usize) -> u8 {
    (1 + bytes / 4096).min(CREDIT as usize) as u8
}

/// So many a second, and a burst.
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl Bucket {
    fn new(burst: f64, now_ms: u64) -> Self {
        Self { tokens: burst, at_ms: now_ms }
    }

    /// Refill; whether one may be taken. A rate of 0 is no limit.
    fn has(&mut self, rate: f64, burst: f64, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(std::mem::replace(&mut self.at_ms, now_ms));
        self.tokens = (self.tokens + rate * elapsed as f64 / 1000.0).min(burst);
        rate == 0.0 || self.tokens >= 1.0
    }

    fn take(&mut self) {
        self.tokens -= 1.0;
    }
}

/// What a WebSocket needs while it is being spoken to.
pub struct Socket {
    decoder: Decoder,
    /// How the application's messages may be compressed.
    deflate: Option<Deflate>,
    /// What the application still takes; the last message may have overdrawn it.
    credit: i32,
    /// The costs of the messages that it has not taken, in a ring, and where the next one goes and comes from.
    costs: [u8; CREDIT as usize],
    told: u8,
    taken: u8,
    /// The newest ping that came while nothing could be sent.
    ping: Option<Vec<u8>>,
    /// There may be more to read than its rate of messages allows now.
    pub(super) put_off: bool,
    messages: Bucket,
    pings: Bucket,
    frames: u32,
    frames_since_ms: u64,
    /// What the peer did wrong, told to the application and to be answered once that has heard of it, or at the latest
    /// some time after that tick: what it was told before, it may still answer. Nothing more is read.
    pub(super) ending: Option<(Fault, u32)>,
}

impl Socket {
    fn new(options: &Options, compresses: bool, now_ms: u64) -> Self {
        let limits =
            DecoderLimits { message_bytes: options.max_message_bytes, fragments: options.max_fragments };
        Self {
            decoder: Decoder::new(limits, compresses),
            deflate: None,
            credit: CREDIT,
            costs: [0; CREDIT as usize],
            told: 0,
            taken: 0,
            ping: None,
            put_off: false,
            messages: Bucket::new(2.0 * f64::from(options.max_messages_per_s), now_ms),
            pings: Bucket::new(5.0 * f64::from(options.max_pings_per_s), now_ms),
            frames: 0,
            frames_since_ms: now_ms,
            ending: None,
        }
    }

    /// Nothing would be lost if it were made anew.
    pub(super) fn is_idle(&self) -> bool {
        self.decoder.is_idle() && self.ping.is_none()
    }

    /// The application is told of a message.
    fn tells(&mut self, bytes: usize) {
        let cost = cost(bytes);
        self.credit -= i32::from(cost);
        self.costs[usize::from(self.told)] = cost;
        self.told = (self.told + 1) % CREDIT as u8;
    }

    /// It has taken the oldest one. Whether it takes more now, and did not before.
    fn takes(&mut self) -> bool {
        let before = self.credit;
        match std::mem::take(&mut self.costs[usize::from(self.taken)]) {
            0 => return false,
            cost => self.credit += i32::from(cost),
        }
        self.taken = (self.taken + 1) % CREDIT as u8;
        before <= 0 && self.credit > 0
    }

    /// Whether the rate of messages lets another one be read now.
    fn may_read(&mut self, options: &Options, now_ms: u64) -> bool {
        let rate = f64::from(options.max_messages_per_s);
        self.messages.has(rate, 2.0 * rate, now_ms)
    }

    /// Count what was decoded; a fault if it was too much.
    fn count(&mut self, options: &Options, now_ms: u64, pinged: bool) -> Result<(), Fault> {
        let frames = self.decoder.frames();
        if now_ms >= self.frames_since_ms + 1000 {
            (self.frames, self.frames_since_ms) = (0, now_ms);
        }
        self.frames += frames;
        if options.max_frames_per_s > 0 && self.frames > options.max_frames_per_s {
            return Err(Fault { code: close::POLICY, reason: "too many frames a second (max_frames_per_s)" });
        }
        if pinged {
            let rate = f64::from(options.max_pings_per_s);
            if !self.pings.has(rate, 5.0 * rate, now_ms) {
                return Err(Fault {
                    code: close::POLICY,
                    reason: "too many pings a second (max_pings_per_s)",
                });
            }
            self.pings.take();
        }
        Ok(())
    }
}

impl Shard {
    /// Frames from a watcher or for the application.
    pub(super) fn read_frames(&mut self, key: Key) {
        let shared = self.shared.clone();
        let options = &shared.options;
        let now_ms = self.now_ms;
        let mut pongs: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            let Some(conn) = self.conns.get_mut(key) else { return };
            let compresses = conn.variant_form;
            let socket =
                conn.socket.get_or_insert_with(|| Box::new(Socket::new(options, compresses, now_ms)));
            socket.put_off = !socket.may_read(options, now_ms);
            if conn.after == After::Close || socket.put_off || socket.credit <= 0 || socket.ending.is_some() {
                break;
            }
            let mut input = match conn.input.take() {
                Some(input) => *input,
                None => match sys::recv(conn.fd, &mut self.scratch) {
                    Ok(Some(0)) | Err(_) => return self.close(key),
                    Ok(Some(n)) => self.scratch[..n].to_vec(),
                    Ok(None) => break,
                },
            };
            let fed = socket.decoder.feed(&mut input);
            let counted = |socket: &mut Socket, pinged| socket.count(options, now_ms, pinged);
            let event = match fed {
                Ok((used, event)) => {
                    if used < input.len() {
                        conn.input = Some(Box::new(input[used..].to_vec()));
                    }
                    event
                }
                Err(fault) => {
                    let reason = match fault.code {
                        close::TOO_BIG => "message_too_large",
                        close::POLICY => "websocket_policy",
                        _ => "websocket_protocol",
                    };
                    return self.fault(key, reason, fault);
                }
            };
            let pinged = matches!(event, Some(Event::Ping(_)));
            if let Err(fault) = counted(socket, pinged) {
                return self.fault(key, "websocket_rate", fault);
            }
            let message = match event {
                None | Some(Event::Pong) => continue,
                Some(Event::Ping(data)) => {
                    if pongs.len() == PONGS_AT_ONCE {
                        pongs.pop_front();
                    }
                    pongs.push_back(data);
                    continue;
                }
                Some(Event::Close { code, reason }) => return self.peer_closes(key, code, reason),
                Some(Event::Text(text)) => Message::Text(text.into()),
                Some(Event::Binary(data)) => Message::Binary(data.into()),
            };
            socket.messages.take();
            if conn.state == State::Socket {
                let (Message::Text(data) | Message::Binary(data)) = &message;
                socket.tells(data.len());
                if let Some(exchange) = conn.work.as_deref().and_then(|work| work.exchange) {
                    self.tell(exchange, Told::Message(message));
                }
            }
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.blocked {
            if let (Some(newest), Some(socket)) = (pongs.pop_back(), conn.socket.as_deref_mut()) {
                socket.ping = Some(newest);
            }
        } else if !pongs.is_empty() {
            let mut out = vec![];
            pongs.iter().for_each(|data| encoder::frame(Op::Pong, data, &mut out));
            self.write(key, &out);
        }
        self.arm(key);
    }

    /// Answer the newest ping that came while bytes were unsent: of those who do not read, none piles up.
    pub(super) fn answer_ping(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key).filter(|conn| !conn.blocked) else { return };
        let Some(data) = conn.socket.as_deref_mut().and_then(|socket| socket.ping.take()) else { return };
        let mut out = vec![];
        encoder::frame(Op::Pong, &data, &mut out);
        self.write(key, &out);
    }

    /// The application takes one more message.
    pub(super) fn want_message(&mut self, key: Key) {
        let Some(socket) = self.conns.get_mut(key).and_then(|conn| conn.socket.as_deref_mut()) else {
            return;
        };
        let takes_again = socket.takes();
        if socket.ending.is_some() && socket.credit == CREDIT {
            self.end_faulty(key);
        } else if takes_again {
            self.read_frames(key);
        }
    }

    /// The peer broke a rule or a limit: end, and say which; not before the application has heard of it, if there is
    /// one.
    fn fault(&mut self, key: Key, reason: &'static str, fault: Fault) {
        self.shared.metrics.refused(reason);
        let now = self.wheel.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        let exchange = conn.work.as_deref().and_then(|work| work.exchange);
        match (exchange, conn.socket.as_deref_mut()) {
            (Some(exchange), Some(socket)) if conn.state == State::Socket => {
                socket.tells(0);
                socket.ending = Some((fault, now));
                self.tell(exchange, Told::Closed(fault.code, fault.reason.into()));
                self.arm(key);
            }
            _ => self.farewell(key, fault.code, fault.reason, fault.code, fault.reason.into()),
        }
    }

    /// Answer what the peer did wrong.
    pub(super) fn end_faulty(&mut self, key: Key) {
        let socket = self.conns.get_mut(key).and_then(|conn| conn.socket.as_deref_mut());
        let ending = socket.and_then(|socket| socket.ending.take());
        if let Some((fault, _)) = ending {
            self.farewell(key, fault.code, fault.reason, fault.code, fault.reason.into());
        }
    }

    fn peer_closes(&mut self, key: Key, code: u16, reason: String) {
        let echoed = if code == close::NO_STATUS { close::NORMAL } else { code };
        self.farewell(key, echoed, "", code, reason);
    }

    /// Send a close frame, tell the application, and close our side once it is sent.
    pub(super) fn farewell(&mut self, key: Key, code: u16, reason: &str, told: u16, told_reason: String) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.after == After::Close {
            return;
        }
        conn.after = After::Close;
        let exchange = conn.work.as_deref_mut().and_then(|work| work.exchange.take());
        if let Some(exchange) = exchange {
            if let Some(gone) = self.forget(exchange) {
                gone.flow.disconnected.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            self.tell(exchange, Told::Closed(told, told_reason));
        }
        let mut out = vec![];
        encoder::close(code, reason, &mut out);
        self.write(key, &out);
    }

    /// The application takes the WebSocket.
    pub(super) fn accept_socket(
        &mut self,
        key: Key,
        exchange: Key,
        subprotocol: Option<Box<str>>,
        fields: &Fields,
    ) {
        self.begun(exchange);
        let shared = self.shared.clone();
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(work) = conn.work.as_deref_mut() else { return };
        let Intent::Application(handshake) = &work.intent else { return };
        if work.sending != Sending::Nothing {
            return;
        }
        let mut out = vec![];
        handshake::write_response(
            &mut out,
            handshake,
            subprotocol.as_deref(),
            fields,
            handshake.deflate.is_some(),
        );
        let deflate = handshake.deflate;
        (work.sending, work.status) = (Sending::Length, 101);
        let mut socket = Socket::new(&shared.options, deflate.is_some(), now_ms);
        socket.deflate = deflate;
        (conn.state, conn.socket, conn.variant_form) =
            (State::Socket, Some(Box::new(socket)), deflate.is_some());
        self.log(key);
        if self.write(key, &out) {
            self.read_frames(key);
        }
        self.end_in_drain(key, 0);
    }

    /// The application sends a message.
    pub(super) fn send_message(&mut self, key: Key, message: Message) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let (op, data): (Op, Bytes) = match message {
            Message::Text(text) => (Op::Text, text),
            Message::Binary(data) => (Op::Binary, data),
        };
        if conn.state != State::Socket || conn.after == After::Close {
            return;
        }
        let mut out = Vec::with_capacity(data.len() + 16);
        let fits = conn.socket.as_ref().and_then(|socket| socket.deflate).is_some_and(|d| d.fits(data.len()));
        match if fits { deflate::compress(&data) } else { None } {
            Some(compressed) => encoder::compressed_frame(op, &compressed, &mut out),
            None => encoder::frame(op, &data, &mut out),
        }
        if let Some(work) = conn.work.as_deref_mut() {
            work.owed += data.len();
            work.sent_bytes += data.len() as u64;
        }
        self.write(key, &out);
    }

    /// The application closes the WebSocket, or refuses it.
    pub(super) fn close_socket(&mut self, key: Key, code: u16, reason: &str) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.state == State::Socket {
            let faulty = conn.socket.as_ref().is_some_and(|socket| socket.ending.is_some());
            if let Some(exchange) = conn.work.as_deref_mut().and_then(|work| work.exchange.take()) {
                self.forget(exchange);
            }
            if faulty {
                return self.end_faulty(key);
            }
            return self.farewell(key, code, reason, code, String::new());
        }
        conn.keep_alive = false;
        if let Some(exchange) = conn.work.as_deref_mut().and_then(|work| work.exchange.take()) {
            self.forget(exchange);
        }
        self.fail(key, &Refusal::new(403, "websocket_refused", "the application refused the WebSocket"));
    }
}
