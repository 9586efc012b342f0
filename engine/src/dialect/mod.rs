//! What messages mean. So far Freshwire's own dialect; others stand beside it over the same topics.
pub mod freshwire;
pub mod merge_patch;
pub mod monitor;
