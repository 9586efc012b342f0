//! Every option and limit of a node, with its unit and default, in one place.
//!
//! Python hands them over as JSON; an unknown name is an error. A limit of 0 means "no limit" only where it says so.
use serde::{Deserialize, Serialize};

/// A text that is never shown: not in a log, not in an error, not by `{:?}`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "…" })
    }
}

/// Defines [`Options`] once: field, type, default and the one sentence that `freshwire config` and the docs show.
macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// What a node may be told. See each field; defaults are the secure ones.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Options {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }
        impl Default for Options {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }
        impl Options {
            /// Name and meaning of every option, in order.
            pub const MEANINGS: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),+)),)+];
        }
    };
}

options! {
    /// Engine threads that hold connections; 0: one less than the cores, at least one.
    threads: usize = 0;
    /// Origins besides the request's own that may open WebSockets, watches and credentialed unsafe requests (scheme://host[:port]).
    allow_origins: Vec<String> = vec![];
    /// Host names this node answers to (a leading `*.` matches subdomains, `*` any); empty: loopback names only.
    allow_hosts: Vec<String> = vec![];
    /// Addresses or networks whose Forwarded and X-Forwarded-* fields are believed (`*` any); empty: nobody's.
    trusted_proxies: Vec<String> = vec![];
    /// The path prefix that belongs to the node.
    prefix: String = "/.fresh/".into();
    /// Serve the node's figures at <prefix>stats on the public listeners too.
    public_stats: bool = false;
    /// Write one line a finished request to standard output.
    access_log: bool = false;

    /// Request head, bytes: 431 above.
    max_head_bytes: usize = 32 * 1024;
    /// Field lines of a request: 431 above.
    max_fields: usize = 100;
    /// Request target, bytes: 414 above.
    max_target_bytes: usize = 8 * 1024;
    /// Request body, bytes: 413 above.
    max_body_bytes: u64 = 1024 * 1024;
    /// Connections in all; 0: what the file-descriptor limit leaves.
    max_connections: usize = 0;
    /// Connections from one address (/64 for IPv6); 0: no limit.
    max_connections_per_address: usize = 256;
    /// Requests that the application works on at once before their response begins: 503 above; 0: no limit.
    limit_concurrency: usize = 0;

    /// A whole request head must arrive within this many seconds.
    header_timeout_s: f64 = 10.0;
    /// Seconds of grace before `min_rate_bytes_per_s` applies to a request body or a response.
    rate_grace_s: f64 = 5.0;
    /// Slowest request body and slowest reader of a response, bytes a second.
    min_rate_bytes_per_s: u64 = 240;
    /// A response that makes no progress for this many seconds ends its connection.
    write_timeout_s: f64 = 10.0;
    /// A watcher that takes nothing of what is waiting for it for this many seconds is disconnected.
    push_timeout_s: f64 = 60.0;
    /// An idle keep-alive connection is closed after this many seconds.
    keep_alive_timeout_s: f64 = 75.0;
    /// The application must begin its response within this many seconds: 504.
    app_timeout_s: f64 = 60.0;
    /// Seconds between heartbeats on a push connection.
    heartbeat_s: f64 = 25.0;
    /// Waits on a monitor URL end on a grid of this many seconds.
    watch_cycle_s: f64 = 12.0;
    /// Longest `Prefer: wait` honoured, seconds.
    max_wait_s: f64 = 60.0;
    /// Push sessions end spread over this many seconds after SIGTERM.
    drain_timeout_s: f64 = 30.0;
    /// Shortest `retry` given to an event stream, milliseconds.
    retry_min_ms: u64 = 1000;
    /// Longest `retry` given to an event stream, milliseconds; the node chooses at random between the two.
    retry_max_ms: u64 = 3000;

    /// WebSocket message, bytes, also after inflating: close 1009 above.
    max_message_bytes: usize = 64 * 1024;
    /// Fragments of one WebSocket message: close 1008 above.
    max_fragments: usize = 1024;
    /// WebSocket frames a second on one connection: close 1008 above; 0: no limit.
    max_frames_per_s: u32 = 1000;
    /// WebSocket messages a second on one connection, with bursts of twice as many: slowed down above; 0: no limit.
    max_messages_per_s: u32 = 50;
    /// WebSocket pings a second on one connection, with bursts of five times as many: close 1008 above; 0: no limit.
    max_pings_per_s: u32 = 10;
    /// Offer permessage-deflate (RFC 7692) to WebSockets.
    deflate: bool = true;

    /// Bytes of representations kept for reuse.
    max_cache_bytes: usize = 128 * 1024 * 1024;
    /// Largest representation kept or watched, bytes.
    max_representation_bytes: usize = 4 * 1024 * 1024;
    /// Tags of one response or one change.
    max_tags: usize = 128;
    /// Longest tag, bytes.
    max_tag_bytes: usize = 255;
    /// Tags whose last change is remembered; older ones count as changed at the oldest position kept.
    max_known_tags: usize = 1_000_000;
    /// Response fields that are for this cache, before Cache-Control, the first first (the target list of RFC 9213).
    targeted_fields: Vec<String> = vec!["Freshwire-Cache-Control".into(), "CDN-Cache-Control".into()];
    /// Fields in which tags go out for caches to purge by: Surrogate-Key, Cache-Tag, xkey, Edge-Cache-Tag, CDN-Tag; needs `tag_key`.
    tag_fields: Vec<String> = vec![];
    /// Secret of at least 32 bytes, the same for all nodes and purgers, that tags are hashed with when they leave the node; empty: they are not hashed.
    tag_key: Secret = Secret::default();
    /// Lifetime for caches that are purged when a tag changes (CDN-Cache-Control), of public responses with tags, seconds; browsers are told to ask each time; 0: nothing is said.
    cdn_max_age_s: u64 = 0;
    /// With `cdn_max_age_s`: how long such a cache may use a response after that while it asks again, seconds; 0: not at all.
    cdn_stale_while_revalidate_s: u64 = 0;
    /// With `cdn_max_age_s`: how long such a cache may use a response after that when asking fails, seconds; 0: not at all.
    cdn_stale_if_error_s: u64 = 0;
    /// Variants watched at once: 503 for a new one above.
    max_watched: usize = 200_000;
    /// Sets that monitor URLs stand for; above, those that nobody waits on make room for others.
    max_sets: usize = 100_000;
    /// Bytes of all sets; the same above.
    max_set_bytes: usize = 32 * 1024 * 1024;
    /// Resources of one set: 413 above.
    max_set_resources: usize = 256;
    /// A set of what not everybody may read can be waited on for at least this many seconds, and at most twice as many.
    private_set_s: f64 = 3600.0;
    /// How long caches may keep the answer to a pinned read about whose lifetime the application says nothing, seconds.
    pinned_max_age_s: u64 = 86_400;
    /// Reads for watchers that the application works on at once, in each engine thread; more wait for their turn.
    max_reads: usize = 512;
    /// Notices carry pinned URLs, which no stale copy can satisfy, and do not wait for purges.
    pin: bool = true;
    /// With `pin` off, a notice waits for the purge of what changed for at most this many seconds.
    purge_timeout_s: f64 = 5.0;
    /// Tags and resources that wait to be purged from caches in front; above it, everything is purged.
    max_purges: usize = 10_000;
    /// Largest public body that rides in the answer to a wait, bytes: it is read once before that goes out; 0: none does.
    notice_body_bytes: usize = 4096;
    /// The answer to a wait goes without the body when reading it takes longer than this many seconds.
    notice_timeout_s: f64 = 1.0;
    /// Reads for watchers a second, shared by the engine threads: more wait for their turn; and how many private readers of what changed are told to spread over a second. 0: no limit.
    max_rereads_per_s: u32 = 10_000;
    /// First pause after a re-read that failed, seconds; doubled each time, with jitter.
    reread_backoff_s: f64 = 0.25;
    /// Longest pause after re-reads that failed, seconds.
    reread_backoff_max_s: f64 = 30.0;

    /// Where the application of `freshwire proxy` is: http://host:port, with a base path or without, or unix:/path.
    upstreams: Vec<String> = vec![];
    /// The Host that upstreams are asked for; empty: the one that the client asked for.
    upstream_host: String = String::new();
    /// Connections to each upstream: requests wait for a free one above.
    max_upstream_connections: usize = 256;
    /// Head of an upstream's response, bytes: 502 above.
    max_upstream_head_bytes: usize = 64 * 1024;
    /// WebSocket message of an upstream, bytes: close 1009 above.
    max_upstream_message_bytes: usize = 4 * 1024 * 1024;
    /// A connection to an upstream must stand within this many seconds: another upstream, or 504.
    upstream_connect_timeout_s: f64 = 3.0;
    /// An upstream's response that brings nothing for this many seconds is cut short.
    upstream_read_timeout_s: f64 = 300.0;
    /// An idle connection to an upstream is kept for this many seconds: fewer than the upstream itself keeps it.
    upstream_idle_timeout_s: f64 = 4.0;
    /// A path that a healthy upstream answers with 2xx or 3xx; empty: none is asked.
    upstream_health_path: String = String::new();
    /// Seconds between two questions for `upstream_health_path`, and how long the answer may take.
    upstream_health_interval_s: f64 = 5.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_is_an_error_and_a_missing_one_a_default() {
        let options: Options = serde_json::from_str(r#"{"max_fields": 7}"#).unwrap();
        assert_eq!((options.max_fields, options.max_tags), (7, 128));
        assert!(serde_json::from_str::<Options>(r#"{"max_feilds": 7}"#).is_err());
        assert!(Options::MEANINGS.iter().all(|(_, doc)| doc.trim().ends_with('.')));
    }
}
