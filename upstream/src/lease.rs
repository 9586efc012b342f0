//! A connection for one request: from a pool or new, to whichever upstream can be reached.
use crate::balance::{Busy, Nobody, seconds};
use crate::connection::{Connection, Use};
use crate::thread::Thread;
use freshwire_engine::http::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long a connection may take to be ready for the next request once the response is whole.
const SETTLE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Lease {
    /// The connection.
    pub connection: Connection,
    /// Which upstream.
    pub upstream: usize,
    /// It was used before, so that it may be about to end.
    pub reused: bool,
    received_before: u64,
    _permit: OwnedSemaphorePermit,
    _busy: Busy,
}

/// What a connection is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any.
    Any,
    /// One that nobody has used.
    New(Use),
}

impl Lease {
    /// Find one. The refusal says why there is none.
    pub async fn find(thread: &Thread, need: Need) -> Result<Self, Refusal> {
        let common = &thread.common;
        let limit = seconds(common.options.upstream_connect_timeout_s);
        let (mut tried, mut timed_out) = (0, false);
        loop {
            let upstream = match common.balance.pick(tried) {
                Ok(upstream) => upstream,
                Err(Nobody::Healthy) if tried == 0 => {
                    return Err(Refusal::new(503, "upstream_unhealthy", "no upstream is healthy"));
                }
                Err(_) if timed_out => {
                    let detail = format!(
                        "no upstream could be connected to within {} s (upstream_connect_timeout_s)",
                        common.options.upstream_connect_timeout_s
                    );
                    return Err(Refusal::new(504, "upstream_unreachable", detail));
                }
                Err(_) => {
                    return Err(Refusal::new(502, "upstream_unreachable", "no upstream can be reached"));
                }
            };
            tried |= 1 << upstream;
            let busy = common.balance.begin(upstream);
            let pool = &thread.pools[upstream];
            let Some(permit) = pool.admit().await else { continue };
            if need == Need::Any
                && let Some(connection) = pool.take()
            {
                return Ok(Self::new(connection, upstream, true, permit, busy));
            }
            let what_for = if let Need::New(what_for) = need { what_for } else { Use::Http };
            let place = &common.balance.upstreams[upstream].address.place;
            let opened =
                timeout(limit, Connection::open(place, what_for, &common.options, &common.metrics)).await;
            match opened {
                Ok(Ok(connection)) => {
                    common.balance.worked(upstream);
                    return Ok(Self::new(connection, upstream, false, permit, busy));
                }
                Ok(Err(error)) => common.balance.failed(upstream, &error.to_string()),
                Err(_) => {
                    timed_out = true;
                    common.balance.failed(upstream, "it takes too long to connect");
                }
            }
        }
    }

    fn new(
        connection: Connection,
        upstream: usize,
        reused: bool,
        permit: OwnedSemaphorePermit,
        busy: Busy,
    ) -> Self {
        let received_before = connection.received.load(Relaxed);
        Self { connection, upstream, reused, received_before, _permit: permit, _busy: busy }
    }

    /// Whether the upstream has said anything to this request.
    pub fn heard_nothing(&self) -> bool {
        self.connection.received.load(Relaxed) == self.received_before
    }

    /// The response is whole: keep the connection for the next request, for at most `keep`, if the upstream does.
    pub async fn release(mut self, thread: &Arc<Thread>, keep: Duration) {
        if timeout(SETTLE, self.connection.sender.ready()).await.is_ok_and(|ready| ready.is_ok()) {
            thread.pools[self.upstream].give(self.connection, keep);
        }
    }
}
