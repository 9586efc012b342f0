//! WebSocket, server side (RFC 6455) with permessage-deflate (RFC 7692): pure functions and one state machine over
//! bytes.
//!
//! [`handshake`] checks the request and writes the 101, [`decoder`] turns a client's bytes into events, [`encoder`]
//! turns messages into bytes that any number of connections may share. Not here: sockets, time, rates, the closing
//! handshake's order. The shard calls all of it.
pub mod close;
pub mod decoder;
pub mod deflate;
pub mod encoder;
pub mod extensions;
pub mod frame;
pub mod handshake;

pub use decoder::{Decoder, DecoderLimits, Event, Fault};
pub use frame::Op;
pub use handshake::{Handshake, HandshakeError};
