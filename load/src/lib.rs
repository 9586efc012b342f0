//! Freshwire's load client: many connections that watch, and what reaches them, when. See `options::HELP`.
//!
//! One thread and one poller hold all of it. `options` and `plan` say what to do, `crowd` has the sockets, `wire` the
//! protocols (with `response`, `sse`, `websocket` and `follow` below it), `counts` what came of it, and `run` the order of events.
pub mod counts;
pub mod crowd;
pub mod follow;
pub mod histogram;
pub mod options;
pub mod orders;
pub mod pacer;
pub mod plan;
pub mod process;
pub mod progress;
pub mod response;
pub mod run;
pub mod scan;
pub mod sse;
pub mod stamp;
pub mod websocket;
pub mod wire;
