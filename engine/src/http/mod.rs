//! HTTP/1.1 (RFC 9110, 9112), sans-IO: heads, bodies, response heads, and the fields they carry.
pub mod body;
pub mod cache_control;
pub mod fields;
pub mod forwarded;
pub mod head;
pub mod host;
pub mod json;
pub mod lists;
pub mod origin;
pub mod path;
pub mod refusal;
pub mod response;
pub mod structured;
mod target;
