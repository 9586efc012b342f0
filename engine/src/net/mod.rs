//! What a shard stands on: system calls, the slab of connections, coarse timers, the inbox. Nothing here knows HTTP.
pub mod inbox;
pub mod slab;
pub mod sys;
pub mod wheel;
