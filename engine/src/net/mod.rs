//! What a shard stands on: system calls, the slab of connections, coarse timers, the inbox, the log's output. Nothing here knows HTTP.
pub mod inbox;
pub mod output;
pub mod slab;
pub mod sys;
pub mod wheel;
