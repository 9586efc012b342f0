//! What orders changes. So far in memory: one process, one order.
pub mod memory;
