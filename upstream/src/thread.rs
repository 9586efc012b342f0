//! One thread that speaks to upstreams for some of the shards: its loop, its pools, its exchanges.
use crate::balance::{Balance, seconds};
use crate::ears::Ears;
use crate::exchange::Exchange;
use crate::mailbox::Mailbox;
use crate::outbox::Outbox;
use crate::pool::Pool;
use crate::{health, http, websocket};
use freshwire_engine::app::{Answer, Event, ExchangeId, Kind, Request};
use freshwire_engine::limits::Options;
use freshwire_engine::metrics::Metrics;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Items that are taken before others have their turn.
const BATCH_ITEMS: usize = 256;
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// How long who was told of the end may go on to tell an upstream, and how often it is looked whether they have.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// What waits for a thread.
pub enum Item {
    /// An exchange begins.
    Request(Box<Request>),
    /// Something happened to one.
    Event(ExchangeId, Event),
    /// The node has ended.
    Stop,
}

/// What all threads share.
pub struct Common {
    /// The node's.
    pub options: Options,
    /// The upstreams.
    pub balance: Arc<Balance>,
    /// The node's.
    pub metrics: Arc<Metrics>,
}

/// What the tasks of one thread share.
pub struct Thread {
    /// See there.
    pub common: Arc<Common>,
    /// Answers to the shards.
    pub outbox: Outbox,
    /// One for each upstream.
    pub pools: Vec<Pool>,
    /// Those that the engine may have something for.
    exchanges: Mutex<HashMap<ExchangeId, Arc<Exchange>>>,
}

impl Thread {
    /// `connections`: to each upstream, for this thread.
    pub fn new(common: Arc<Common>, outbox: Outbox, connections: usize) -> Self {
        let pools = common.balance.upstreams.iter().map(|_| Pool::new(connections)).collect();
        Self { common, outbox, pools, exchanges: Mutex::default() }
    }

    fn exchanges(&self) -> MutexGuard<'_, HashMap<ExchangeId, Arc<Exchange>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it runs in.
    pub fn runtime(self: &Arc<Self>) -> io::Result<Runtime> {
        let parking = self.clone();
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_park(move || parking.outbox.flush())
            .build()
    }

    /// Run until told to stop; what is under way then ends with it, after its last words. `checks`: this thread asks for the upstreams' health.
    pub fn run(self: &Arc<Self>, runtime: &Runtime, mailbox: &Mailbox<Item>, checks: bool) {
        runtime.block_on(async {
            tokio::spawn(self.clone().sweep());
            if checks && !self.common.options.upstream_health_path.is_empty() {
                health::watch(&self.common);
            }
            self.serve(mailbox).await;
            let _ = timeout(LAST_WORDS, self.ended()).await;
        });
    }

    async fn serve(self: &Arc<Self>, mailbox: &Mailbox<Item>) {
        loop {
            for _ in 0..BATCH_ITEMS {
                match mailbox.take() {
                    Some(Item::Request(request)) => self.begin(request),
                    Some(Item::Event(id, event)) => {
                        let exchange = self.exchanges().get(&id).cloned();
                        if let Some(exchange) = exchange {
                            exchange.ears.hear(event);
                        }
                    }
                    Some(Item::Stop) => return,
                    None => mailbox.arrived().await,
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Done when no exchange is left.
    async fn ended(&self) {
        while !self.exchanges().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn begin(self: &Arc<Self>, request: Box<Request>) {
        let exchange = Arc::new(Exchange::new(request.id, request.flow.clone(), self.clone()));
        self.exchanges().insert(exchange.id, exchange.clone());
        let thread = self.clone();
        tokio::spawn(async move {
            let reads = matches!(&*request.method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
            let _ending = Ending(&thread, exchange.id);
            tokio::select! {
                biased;
                () = exchange.gone(reads) => {}
                () = async {
                    match request.kind {
                        Kind::Http => http::serve(&thread, &exchange, *request).await,
                        Kind::WebSocket(_) => websocket::serve(&thread, &exchange, *request).await,
                    }
                } => {}
            }
        });
    }

    async fn sweep(self: Arc<Self>) {
        let every =
            SWEEP.min(seconds(self.common.options.upstream_idle_timeout_s).max(Duration::from_millis(100)));
        loop {
            tokio::time::sleep(every).await;
            self.pools.iter().for_each(Pool::sweep);
        }
    }
}

/// An exchange ends, also by a panic of its task.
struct Ending<'t>(&'t Thread, ExchangeId);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let ended = self.0.exchanges().remove(&self.1);
        if std::thread::panicking() {
            self.0.common.metrics.panics.fetch_add(1, Relaxed);
            self.0.outbox.put(self.1, Answer::Failed);
        }
        ended.iter().map(|exchange| &exchange.ears).for_each(Ears::close);
    }
}
