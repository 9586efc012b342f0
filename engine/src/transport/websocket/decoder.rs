//! What a peer's bytes say, a client's or (for the proxy) a server's (RFC 6455 §5 to §8, RFC 7692 §6): frames put together to messages, cut anywhere.
//!
//! Memory grows only with bytes that have arrived, never with a length that was announced, and stays below the limits.
//! The first fault ends it. Not here: answering pings, the closing handshake, rates (but [`Decoder::frames`] counts for
//! them). The shard keeps a decoder only while it is not [`Decoder::is_idle`]: a quiet connection has none.
pub use super::close::Fault;

use super::close::{self, POLICY, TOO_BIG};
use super::deflate;
use super::frame::{Header, MAX_HEADER_BYTES, Op, apply_mask};

/// What a peer may make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// A message, bytes, also after inflating: 1009 above.
    pub message_bytes: usize,
    /// Frames of one message: 1008 above.
    pub fragments: usize,
}

/// What a client has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message; it is UTF-8.
    Text(Vec<u8>),
    /// A whole message.
    Binary(Vec<u8>),
    /// To be answered with a pong of these bytes, at most 125.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// The client sends nothing more; whatever follows is ignored.
    Close {
        /// RFC 6455 §7.4; 1005 if there was none.
        code: u16,
        /// At most 123 bytes.
        reason: String,
    },
}

/// Where in the byte stream the decoder stands.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Within a header, of which `len` bytes are held; with 0, between frames.
    Header { held: [u8; MAX_HEADER_BYTES], len: usize },
    /// Within a payload.
    Payload(Frame),
    /// Behind a close frame or a fault.
    Closed,
}

const BETWEEN_FRAMES: State = State::Header { held: [0; MAX_HEADER_BYTES], len: 0 };

/// A frame whose header is known.
#[derive(Clone, Copy, Debug)]
struct Frame {
    op: Op,
    fin: bool,
    /// The mask, rotated to the next byte.
    mask: [u8; 4],
    /// Bytes of payload still to come.
    left: u64,
}

/// A message as far as it has arrived.
#[derive(Debug)]
struct Message {
    kind: Kind,
    /// Its payload is DEFLATE data.
    compressed: bool,
    /// Frames begun.
    fragments: usize,
    /// Its payload.
    data: Vec<u8>,
    /// How much of `data` is known to be whole characters.
    valid: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// The receiving half of one WebSocket connection.
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    /// permessage-deflate is agreed.
    deflate: bool,
    /// Whose frames they are: a client masks each, a server none (§5.1).
    masked: bool,
    state: State,
    /// The message that has begun and not ended; control frames come between its frames.
    message: Option<Message>,
    /// Payload of the control frame that is being read.
    control: Vec<u8>,
    /// Frames completed since [`Decoder::frames`] was asked.
    frames: u32,
}

impl Decoder {
    /// Between two messages. `deflate`: permessage-deflate was agreed in the handshake.
    pub fn new(limits: DecoderLimits, deflate: bool) -> Self {
        let (message, control) = (None, Vec::new());
        Self { limits, deflate, masked: true, state: BETWEEN_FRAMES, message, control, frames: 0 }
    }

    /// For what a server sends, uncompressed.
    pub fn of_server(limits: DecoderLimits) -> Self {
        Self { masked: false, ..Self::new(limits, false) }
    }

    /// Take bytes from `input`, unmasking them in place, up to the end of an event: how many were taken, and the event.
    /// Without an event all of `input` was taken; with one, call again with the rest. After a close or a fault
    /// everything is taken and nothing said.
    pub fn feed(&mut self, input: &mut [u8]) -> Result<(usize, Option<Event>), Fault> {
        self.advance(input).inspect_err(|_| self.end())
    }

    /// Nothing is held, neither of a header nor of a frame or message: a new decoder would do as well as this one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Header { len: 0, .. }) && self.message.is_none()
    }

    /// How many frames, control frames too, were completed since this was last asked.
    pub fn frames(&mut self) -> u32 {
        std::mem::take(&mut self.frames)
    }

    fn advance(&mut self, input: &mut [u8]) -> Result<(usize, Option<Event>), Fault> {
        let mut at = 0;
        loop {
            let rest = &mut input[at..];
            match self.state {
                State::Closed => return Ok((input.len(), None)),
                State::Header { mut held, len } => {
                    let seen = MAX_HEADER_BYTES.min(len + rest.len());
                    held[len..seen].copy_from_slice(&rest[..seen - len]);
                    let Some((header, size)) = Header::parse(&held[..seen])? else {
                        self.state = State::Header { held, len: seen };
                        return Ok((input.len(), None));
                    };
                    // `size` is above `len`, because `len` bytes were not enough for a header.
                    at += size - len;
                    self.state = State::Payload(self.begin(&header)?);
                }
                State::Payload(mut frame) => {
                    let here = rest.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
                    let payload = &mut rest[..here];
                    frame.mask = apply_mask(frame.mask, payload);
                    frame.left -= here as u64;
                    at += here;
                    self.take(frame.op, payload)?;
                    if frame.left > 0 {
                        self.state = State::Payload(frame);
                        return Ok((at, None));
                    }
                    self.state = BETWEEN_FRAMES;
                    self.frames = self.frames.saturating_add(1);
                    if let Some(event) = self.finish(frame)? {
                        return Ok((at, Some(event)));
                    }
                }
            }
        }
    }

    /// A frame begins: does it keep the rules of its place, and can there be room for it?
    fn begin(&mut self, header: &Header) -> Result<Frame, Fault> {
        let mask = match (header.mask, self.masked) {
            (Some(mask), true) => mask,
            (None, false) => [0; 4],
            (None, true) => return Err(Fault::protocol("an unmasked frame")),
            (Some(_), false) => return Err(Fault::protocol("a masked frame of a server")),
        };
        if header.compressed && !self.deflate {
            return Err(Fault::protocol("a compressed frame where no compression was agreed"));
        }
        let message = match (header.op, &mut self.message) {
            (Op::Close | Op::Ping | Op::Pong, _) => None,
            (Op::Continuation, None) => return Err(Fault::protocol("a continuation of nothing")),
            (Op::Text | Op::Binary, Some(_)) => {
                return Err(Fault::protocol("a new message within a fragmented one"));
            }
            (Op::Continuation, Some(message)) => Some(message),
            (Op::Text, none) => Some(none.insert(Message::new(Kind::Text, header.compressed))),
            (Op::Binary, none) => Some(none.insert(Message::new(Kind::Binary, header.compressed))),
        };
        if let Some(message) = message {
            message.fragments += 1;
            if message.fragments > self.limits.fragments {
                return Err(Fault { code: POLICY, reason: "a message of more than max_fragments" });
            }
            let max_bytes = match message.compressed {
                true => deflate::max_payload_bytes(self.limits.message_bytes),
                false => self.limits.message_bytes,
            };
            if header.len > max_bytes.saturating_sub(message.data.len()) as u64 {
                return Err(Fault { code: TOO_BIG, reason: "a message above max_message_bytes" });
            }
        }
        Ok(Frame { op: header.op, fin: header.fin, mask, left: header.len })
    }

    /// More of a frame's payload.
    fn take(&mut self, op: Op, payload: &[u8]) -> Result<(), Fault> {
        match (op, &mut self.message) {
            (Op::Pong, _) => {}
            (Op::Close | Op::Ping, _) => self.control.extend_from_slice(payload),
            (_, Some(message)) => message.append(payload)?,
            (_, None) => debug_assert!(false, "a data frame always belongs to a message"),
        }
        Ok(())
    }

    /// A frame is complete; so may be what it belongs to.
    fn finish(&mut self, frame: Frame) -> Result<Option<Event>, Fault> {
        Ok(match frame.op {
            Op::Pong => Some(Event::Pong),
            Op::Ping => Some(Event::Ping(std::mem::take(&mut self.control))),
            Op::Close => {
                let (code, reason) = close::parse(&self.control)?;
                self.end();
                Some(Event::Close { code, reason })
            }
            Op::Continuation | Op::Text | Op::Binary if !frame.fin => None,
            Op::Continuation | Op::Text | Op::Binary => match self.message.take() {
                Some(message) => Some(message.finish(self.limits.message_bytes)?),
                None => None,
            },
        })
    }

    /// Ignore everything from here on, and hold nothing.
    fn end(&mut self) {
        self.state = State::Closed;
        self.message = None;
        self.control = Vec::new();
    }
}

const NOT_UTF_8: Fault = Fault::invalid_data("text that is not UTF-8");

impl Message {
    fn new(kind: Kind, compressed: bool) -> Self {
        Self { kind, compressed, fragments: 0, data: Vec::new(), valid: 0 }
    }

    /// Keep `payload`, unless it makes text that can no longer become UTF-8 (§8.1).
    fn append(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.data.extend_from_slice(payload);
        if self.kind == Kind::Text && !self.compressed {
            self.valid += match simdutf8::compat::from_utf8(&self.data[self.valid..]) {
                Ok(text) => text.len(),
                Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
                Err(_) => return Err(NOT_UTF_8),
            };
        }
        Ok(())
    }

    fn finish(self, max_bytes: usize) -> Result<Event, Fault> {
        let (data, valid) = match self.compressed {
            true => {
                let data = deflate::inflate(&self.data, max_bytes)?;
                let valid = self.kind == Kind::Binary || simdutf8::basic::from_utf8(&data).is_ok();
                (data, valid)
            }
            false => {
                let valid = self.kind == Kind::Binary || self.valid == self.data.len();
                (self.data, valid)
            }
        };
        match self.kind {
            _ if !valid => Err(NOT_UTF_8),
            Kind::Text => Ok(Event::Text(data)),
            Kind::Binary => Ok(Event::Binary(data)),
        }
    }
}
