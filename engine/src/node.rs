//! A node: its shards, what they share, and what its host can ask of it.
use crate::app::{Address, Answers, App};
use crate::dialect::freshwire::Dialect;
use crate::dialect::monitor::Words;
use crate::http::forwarded::TrustedProxies;
use crate::http::head::{HeadLimits, MAX_FIELDS};
use crate::http::host::HostRules;
use crate::http::origin::OriginRules;
use crate::hub::{Hub, Inlet};
use crate::limits::Options;
use crate::metrics::Metrics;
use crate::net::inbox::Inbox;
use crate::net::output::Output;
use crate::net::sys;
use crate::resource::grid::Grid;
use crate::resource::layer::Resources;
use crate::resource::outgoing::Outgoing;
use crate::resource::position::Epoch;
use crate::resource::purges::{Due, Wake};
use crate::shard::Shard;
use crate::shard::help::Outlet;
use crate::shard::shared::{Command, Door, Inboxes, Shared};
pub use crate::shard::shared::{Listener, Role};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// Descriptors left for files, the application's own connections and the like.
const RESERVED_DESCRIPTORS: usize = 128;

/// One node.
pub struct Node {
    shared: Arc<Shared>,
    /// Until the first shard takes them.
    listeners: Mutex<Vec<OwnedFd>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Take over listeners; nothing runs yet. An error says which option is wrong, or which combination not safe.
    pub fn new(options: Options, listeners: Vec<Listener>) -> Result<Self, String> {
        if options.max_fields > MAX_FIELDS {
            return Err(format!("max_fields is at most {MAX_FIELDS}"));
        }
        if options.max_head_bytes > 60 * 1024 || options.max_target_bytes > options.max_head_bytes {
            return Err("max_head_bytes is at most 61440, and max_target_bytes at most max_head_bytes".into());
        }
        if !(options.prefix.starts_with('/') && options.prefix.ends_with('/') && options.prefix.len() > 2) {
            return Err("prefix begins and ends with a slash".into());
        }
        if !(0.1..=3600.0).contains(&options.watch_cycle_s) {
            return Err("watch_cycle_s is from 0.1 to 3600 seconds".into());
        }
        let mut sockets = vec![];
        let mut doors = vec![];
        for Listener { fd, role, address } in listeners {
            doors.push(door(role, &address, &options)?);
            sockets.push(fd);
        }
        for socket in &sockets {
            sys::tune_listener(socket.as_raw_fd(), (options.push_timeout_s * 1000.0) as u32);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads =
            if options.threads > 0 { options.threads } else { cores.saturating_sub(1).max(1) }.min(128);
        let failed = |error: std::io::Error| error.to_string();
        let inboxes = (0..threads)
            .map(|_| Inbox::new().map(Arc::new).map_err(failed))
            .collect::<Result<Vec<_>, _>>()?;
        let hub = Arc::new(Hub::new(inboxes.iter().map(|inbox| inbox.clone() as Arc<dyn Inlet>).collect()));
        let inboxes = Arc::new(Inboxes(inboxes));
        let metrics = Arc::new(Metrics::default());
        let mut salt_key = [0; 32];
        getrandom::fill(&mut salt_key).map_err(|error| error.to_string())?;
        let epoch = Epoch::random();
        let words = Arc::new(Words {
            prefix: options.prefix.as_str().into(),
            epoch,
            grid: Grid::new(options.watch_cycle_s),
            pin: options.pin,
            body_bytes: options.notice_body_bytes,
        });
        let resources = Resources::new(
            &options,
            epoch,
            salt_key,
            hub.clone(),
            inboxes.clone(),
            Arc::new(Dialect { words: words.clone() }),
            metrics.clone(),
        );
        let available = sys::descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS).max(1);
        let max_connections =
            if options.max_connections > 0 { options.max_connections.min(available) } else { available };
        let shared = Arc::new(Shared {
            head_limits: HeadLimits {
                bytes: options.max_head_bytes,
                fields: options.max_fields,
                target: options.max_target_bytes,
            },
            target_list: options.targeted_fields.iter().map(|name| name.to_ascii_lowercase()).collect(),
            outgoing: Outgoing::new(&options)?,
            origins: OriginRules::new(&options.allow_origins)?,
            proxies: TrustedProxies::new(&options.trusted_proxies)?,
            doors,
            shards: (0..threads).map(|_| OnceLock::new()).collect(),
            loads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            inboxes,
            hub,
            resources,
            words,
            metrics,
            output: OnceLock::new(),
            app: OnceLock::new(),
            in_application: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            max_connections,
            by_address: Mutex::default(),
            ended: Default::default(),
            on_end: Mutex::default(),
            options,
        });
        Ok(Self { shared, listeners: Mutex::new(sockets), threads: Mutex::default() })
    }

    /// Start the threads and accept connections.
    pub fn start(&self, app: Arc<dyn App>) -> std::io::Result<()> {
        let _ = self.shared.app.set(app);
        if self.shared.options.access_log {
            let metrics = self.shared.metrics.clone();
            let output = Output::start(move |lines| _ = metrics.log_lines_lost.fetch_add(lines, Relaxed))?;
            let _ = self.shared.output.set(output);
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for id in 0..self.shared.inboxes.0.len() as u8 {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
            let listeners =
                std::mem::take(&mut *self.listeners.lock().unwrap_or_else(PoisonError::into_inner));
            let shard = Shard::new(id, self.shared.clone(), u64::from_ne_bytes(seed) | 1, listeners)?;
            let shard = Arc::new(Mutex::new(shard));
            let _ = self.shared.shards[id as usize].set(Arc::downgrade(&shard));
            let thread = std::thread::Builder::new().name(format!("freshwire-{id}")).spawn(move || {
                sys::block_signals();
                Shard::run(&shard);
            })?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Where the application leaves its answers.
    pub fn answers(&self) -> Arc<dyn Answers> {
        let (inboxes, shared) = (self.shared.inboxes.clone(), Arc::downgrade(&self.shared));
        Arc::new(Outlet { inboxes, shared })
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.shared.inboxes.0.len()
    }

    /// The node's figures.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// As given.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Record that these tags changed; the position of the change.
    pub fn changed(&self, tags: &[&str]) -> Result<String, String> {
        let resources = &self.shared.resources;
        let tags = resources.check(tags.iter().copied()).map_err(|error| error.to_string())?;
        if tags.is_empty() {
            return Err("a change names at least one tag".into());
        }
        let offset = resources.changed(&tags, &[]);
        Ok(resources.position(offset).to_string())
    }

    /// Check the tags of a response against the limits.
    pub fn check_tags(&self, tags: &[&str]) -> Result<(), String> {
        self.shared.resources.check(tags.iter().copied()).map(drop).map_err(|error| error.to_string())
    }

    /// The newest position.
    pub fn position(&self) -> String {
        self.shared.resources.position(self.shared.resources.log.head()).to_string()
    }

    /// The figures as a JSON object.
    pub fn stats(&self) -> String {
        self.shared.count();
        self.shared.metrics.json(&self.position())
    }

    /// From now on, collect what must leave the caches in front; `wake` is called when there is something, from any
    /// thread. Before anything changes: at most once, before [`Node::start`].
    pub fn purge_with(&self, wake: Wake) {
        self.shared.resources.purge_with(&self.shared.options, wake);
    }

    /// Take what must leave the caches in front; `None`: nobody purges them.
    pub fn purges_due(&self) -> Option<Due> {
        self.shared.resources.purges_due()
    }

    /// All changes up to this offset have left the caches in front, or will not for all waiting.
    pub fn purged(&self, offset: u64) {
        self.shared.resources.purged(offset);
    }

    /// What the purger has done so far: see the figures of these names.
    pub fn report_purges(&self, purges: u64, failures: u64, everything: u64, waiting: u64) {
        let metrics = &self.shared.metrics;
        metrics.purges.store(purges, Relaxed);
        metrics.purge_failures.store(failures, Relaxed);
        metrics.purges_of_everything.store(everything, Relaxed);
        metrics.purges_waiting.store(waiting, Relaxed);
    }

    /// Stop accepting, end push sessions one by one, finish requests, then end; `done` is called by the last shard.
    /// A second call ends at once.
    pub fn shutdown(&self, done: Box<dyn FnOnce() + Send>) {
        if self.shared.draining.swap(true, SeqCst) {
            return self.shared.inboxes.0.iter().for_each(|inbox| inbox.push(Command::Stop));
        }
        *self.shared.on_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        let over_ms = (self.shared.options.drain_timeout_s * 1000.0) as u64;
        self.shared.inboxes.0.iter().for_each(|inbox| inbox.push(Command::Drain(over_ms)));
    }

    /// Wait for the threads to end.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// A listener as the shards need it. What can be reached from elsewhere must say which hosts it answers to.
fn door(role: Role, address: &str, options: &Options) -> Result<Door, String> {
    let (address, hosts) = if let Some(path) = address.strip_prefix("unix:") {
        // Nobody's browser gets here; what stands in front has its own names.
        let any = ["*".to_owned()];
        let names = if options.allow_hosts.is_empty() || role == Role::Admin {
            &any[..]
        } else {
            &options.allow_hosts
        };
        (Address::Unix(Some(path.into())), HostRules::new(names, false)?)
    } else {
        let socket: SocketAddr = address.parse().map_err(|_| format!("{address:?} is no address"))?;
        if role == Role::Admin {
            return Err(format!("the admin listener {address} must be a Unix socket"));
        }
        let loopback = socket.ip().is_loopback();
        if !loopback && options.allow_hosts.is_empty() {
            return Err(format!(
                "{address} can be reached from other machines: say which hosts it answers to (allow_hosts), or `*` for any"
            ));
        }
        (Address::Ip(socket), HostRules::new(&options.allow_hosts, loopback)?)
    };
    Ok(Door { role, address, hosts })
}
