//! How bytes are framed on their way to a client: server-sent events and WebSocket, as pure functions.
pub mod sse;
pub mod websocket;
