//! Topics: something that can be published to and subscribed to. The primitive under watches (and, later, channels).
//!
//! [`topics::Hub`] is shared: it orders what is published and tells the shards that have subscribers. Each shard has a
//! [`fanout::FanOut`], which walks its own subscribers. What a message means, and how it looks on the wire, is the
//! business of whoever published it ([`message::Encode`]).
pub mod fanout;
pub mod message;
pub mod topics;

pub use fanout::{Delivery, FanOut};
pub use message::{Encode, Form, Message};
pub use topics::{Hub, Inlet, TopicId};
