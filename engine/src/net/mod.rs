//! What a shard stands on: system calls, the slab of connections, coarse timers, the inbox, the ring to whoever answers,
//! the log's output. Nothing here knows HTTP.
pub mod inbox;
pub mod output;
pub mod ring;
pub mod slab;
mod sync;
pub mod sys;
pub mod wheel;
