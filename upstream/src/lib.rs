//! The second implementation of the engine's seam ([`freshwire_engine::app`]): the application is an HTTP server, or
//! several of the same, somewhere else. It stands behind `freshwire proxy`.
//!
//! A shard's request crosses a [`mailbox`] into a [`thread`], whose loop makes a task of it: [`http`] or [`websocket`]. The task
//! finds a connection ([`lease`], [`pool`], [`balance`]), lets hyper speak ([`connection`]), translates heads ([`fields`])
//! and moves bodies ([`body`], [`response`]). What it says to the engine waits in the [`outbox`] until the thread sleeps.
//! The engine holds back what a client sends until it is wanted, and counts what it has not taken: both ways, a slow end
//! slows the other.
mod address;
mod balance;
mod body;
mod connection;
mod ears;
mod exchange;
mod fields;
mod health;
mod http;
mod lease;
mod mailbox;
mod outbox;
mod pool;
mod response;
mod thread;
mod websocket;

pub use address::Address;

use balance::{Balance, MAX_UPSTREAMS};
use freshwire_engine::app::{Answers, App, Event, ExchangeId, Request};
use freshwire_engine::limits::Options;
use freshwire_engine::metrics::Metrics;
use freshwire_engine::net::ring::Ring;
use freshwire_engine::net::sys;
use mailbox::Mailbox;
use outbox::Outbox;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use thread::{Common, Item, Thread};

/// The upstreams of a node, as its application.
pub struct Proxy {
    /// One a thread.
    mailboxes: Vec<Arc<Mailbox<Item>>>,
    /// Until they run.
    prepared: Mutex<Vec<Arc<Thread>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    reports: Arc<Ring<String>>,
}

impl Proxy {
    /// As many threads as the node has shards, each for one of them; none runs yet. An error says which option is wrong.
    pub fn new(
        options: &Options,
        shards: usize,
        answers: &Arc<dyn Answers>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let addresses = check(options)?;
        let reports = Arc::new(Ring::new().map_err(|error| error.to_string())?);
        let balance = Arc::new(Balance::new(addresses, metrics.clone(), reports.clone()));
        let common = Arc::new(Common { options: options.clone(), balance, metrics: metrics.clone() });
        let connections = options.max_upstream_connections.div_ceil(shards);
        let thread = |_| Arc::new(Thread::new(common.clone(), Outbox::new(answers.clone()), connections));
        Ok(Self {
            mailboxes: (0..shards).map(|_| Arc::default()).collect(),
            prepared: Mutex::new((0..shards).map(thread).collect()),
            threads: Mutex::default(),
            reports,
        })
    }

    /// Start the threads.
    pub fn start(&self) -> io::Result<()> {
        let prepared = std::mem::take(&mut *lock(&self.prepared));
        for (index, (thread, mailbox)) in prepared.into_iter().zip(&self.mailboxes).enumerate() {
            let mailbox = mailbox.clone();
            let runtime = thread.runtime()?;
            let spawned = std::thread::Builder::new().name(format!("upstream-{index}")).spawn(move || {
                sys::block_signals();
                thread.run(&runtime, &mailbox, index == 0);
                // Not waiting for the resolver, if a name is being looked up.
                runtime.shutdown_background();
            });
            lock(&self.threads).push(spawned?);
        }
        Ok(())
    }

    /// What the operator should know since this was last asked. [`Proxy::fileno`] is readable when there is something.
    pub fn reports(&self) -> Vec<String> {
        let mut reports = vec![];
        self.reports.drain(usize::MAX, |report| reports.push(report));
        reports
    }

    /// Readable when there are reports.
    pub fn fileno(&self) -> std::os::fd::RawFd {
        self.reports.fileno()
    }

    /// End the threads, and wait for them; what is under way ends with them, after its last words.
    pub fn stop(&self) {
        for mailbox in &self.mailboxes {
            mailbox.push(Item::Stop);
            mailbox.wake();
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn mailbox(&self, id: ExchangeId) -> &Mailbox<Item> {
        &self.mailboxes[id.shard() % self.mailboxes.len()]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Read the options that are about upstreams. The error says which one is wrong.
pub fn check(options: &Options) -> Result<Vec<Address>, String> {
    let addresses =
        options.upstreams.iter().map(|text| Address::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if !matches!(addresses.len(), 1..=MAX_UPSTREAMS) {
        return Err(format!("upstreams: there must be 1 to {MAX_UPSTREAMS} of them"));
    }
    if options.max_upstream_connections == 0 {
        return Err("max_upstream_connections must be at least 1".into());
    }
    let host = &options.upstream_host;
    if !host.is_empty() && freshwire_engine::http::host::split(host).is_none() {
        return Err(format!("upstream_host: {host:?} is not a host with an optional port"));
    }
    let path = &options.upstream_health_path;
    if !path.is_empty() && (!path.starts_with('/') || fields::target(path).is_none()) {
        return Err(format!("upstream_health_path: {path:?} is not a path"));
    }
    for (name, seconds) in [
        ("upstream_connect_timeout_s", options.upstream_connect_timeout_s),
        ("upstream_read_timeout_s", options.upstream_read_timeout_s),
        ("upstream_health_interval_s", options.upstream_health_interval_s),
    ] {
        if seconds.is_nan() || seconds <= 0.0 {
            return Err(format!("{name} must be more than 0"));
        }
    }
    Ok(addresses)
}

impl App for Proxy {
    fn request(&self, request: Request) {
        self.mailbox(request.id).push(Item::Request(Box::new(request)));
    }

    fn event(&self, id: ExchangeId, event: Event) {
        self.mailbox(id).push(Item::Event(id, event));
    }

    fn wake(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.wake());
    }
}
