//! "Is this copy fresh?": positions, tags, variants, lifetimes, and who watches.
//!
//! The files here are rules over values: no socket, no clock (`now_ms` is handed in, monotonic), nothing to wait for.
//! The shard that answers a request asks them in this order: [`key`] names the variant, [`cache`] has it or not,
//! [`freshness`] says whether it may be used, [`conditional`] whether a 304 is enough, [`range`] whether a part, [`annotate`] what to add. What the
//! application answers goes through [`validation`] (if it was asked about a copy), [`policy`] and [`outgoing`] into a [`representation`]; what a write changes is said by
//! [`invalidation`], remembered by [`tags`] and heard by [`watches`].
pub mod annotate;
pub mod cache;
pub mod canonical;
pub mod carried;
pub mod conditional;
mod few;
pub mod flights;
pub mod freshness;
mod ghosts;
pub mod grid;
pub mod invalidation;
pub mod key;
mod landed;
pub mod layer;
pub mod monitors;
pub mod outgoing;
pub mod pinned;
pub mod policy;
pub mod position;
pub mod purges;
pub mod range;
pub mod representation;
pub mod set;
pub mod sets;
pub mod surrogate;
pub mod tags;
pub mod token;
pub mod validation;
pub mod watch;
pub mod watches;

mod hit_for_miss;
mod store;
mod watched;
