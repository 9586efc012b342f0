//! What a member keeps of what it reads, whatever its transport: only what is cut, and its place in the stream.
use crate::follow::{Follow, Told};
use crate::{sse, stamp, websocket};

/// Something that the peer has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// The head of a good answer.
    Answered,
    /// An answer to a request is there whole, with this status.
    Response(u16),
    /// A message, and when the change that it reports was made; 0: not said.
    Message(u64),
    /// To be answered with a pong of these bytes.
    Ping(&'a [u8]),
    /// The peer ends it, with this close code.
    Close(u16),
    /// The stream says that the resource cannot be read any more.
    Gone,
    /// A wait for changes has ended.
    Told(Told),
    /// A read because of a notice: the position of that, and what was read.
    Reread {
        /// The position that it must not be before.
        least: u64,
        /// That at which it was made, as it says.
        made_at: u64,
        /// See `Message`.
        stamp: u64,
    },
    /// A change was made: where in the log it is, and its stamp.
    Made(u64, u64),
}

/// One for each connection: as small as can be, and owning nothing while nothing is cut.
#[derive(Debug, Default)]
pub struct Scan {
    /// A part of a head, a line or a frame.
    pub held: Vec<u8>,
    /// The position or entity tag to come back with.
    pub last: Vec<u8>,
    /// The `id` of an event that has not ended.
    pub pending: Vec<u8>,
    /// A stamp that may be cut.
    pub finder: stamp::Finder,
    /// The stamp of the message that is being read.
    pub stamp: u64,
    /// Where in a line.
    pub line: sse::Line,
    /// What the event has so far.
    pub event: sse::Event,
    /// What the frame is, and what is left of it.
    pub frame: websocket::Frame,
    /// Of a member that follows by waits.
    pub follow: Option<Box<Follow>>,
}
