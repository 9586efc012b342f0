//! Freshwire's engine: it holds the sockets, speaks HTTP, keeps representations by position and pushes them.
//!
//! Data flows one way: socket ([`net`]) → [`http`] → [`resource`] or [`dialect`] → [`hub`] → socket. The application
//! stands behind one seam ([`app`]); nothing here knows which kind it is.
pub mod app;
pub mod broker;
pub mod dialect;
pub mod http;
pub mod hub;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod node;
pub mod resource;
pub mod shard;
pub mod transport;
