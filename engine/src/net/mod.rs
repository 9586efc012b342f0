//! What a shard stands on: system calls, the slab of connections, coarse timers, the inbox, and the ring to whoever
//! answers. Nothing here knows HTTP.
pub mod inbox;
pub mod ring;
pub mod slab;
mod sync;
pub mod sys;
pub mod wheel;
