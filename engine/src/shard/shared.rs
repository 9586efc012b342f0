//! What the shards of a node share, and what can be put into a shard's inbox.
use crate::app::{Address, Answer, App, ExchangeId};
use crate::dialect::monitor::Words;
use crate::http::forwarded::TrustedProxies;
use crate::http::head::HeadLimits;
use crate::http::host::HostRules;
use crate::http::origin::OriginRules;
use crate::hub::{Hub, Inlet, Message, TopicId};
use crate::limits::Options;
use crate::metrics::Metrics;
use crate::net::inbox::Inbox;
use crate::net::output::Output;
use crate::resource::flights::Waiter;
use crate::resource::layer::Resources;
use crate::resource::outgoing::Outgoing;
use crate::resource::watch::Reader;
use crate::shard::Shard;
use crate::shard::conn::Peer;
use hashbrown::HashMap;
use std::hash::RandomState;
use std::net::IpAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Work for a shard from outside of it.
pub enum Command {
    /// A connection that was accepted elsewhere.
    Adopt(RawFd, Peer, u8),
    /// A topic that somebody here subscribes to has a new message.
    Published(Arc<Message>),
    /// The application says something.
    Answer(ExchangeId, Answer),
    /// The flight that a connection waited for has landed; whether to ask the application alone now.
    Landed(u64, bool),
    /// Read a watched variant again.
    ReadAgain(TopicId),
    /// See when a watched variant's lifetime ends.
    Look(TopicId),
    /// End what there is, over so many milliseconds.
    Drain(u64),
    /// End now.
    Stop,
}

impl Inlet for Inbox<Command> {
    fn published(&self, message: Arc<Message>) {
        self.push(Command::Published(message));
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everybody.
    Public,
    /// The operator: figures and changes, no application.
    Admin,
}

/// A listening socket.
pub struct Listener {
    /// Bound and listening.
    pub fd: OwnedFd,
    /// What it is for.
    pub role: Role,
    /// `127.0.0.1:8000`, `[::1]:8000` or `unix:/path`.
    pub address: String,
}

/// A listener as the shards need it.
pub struct Door {
    /// What it is for.
    pub role: Role,
    /// The local address, as the application is told.
    pub address: Address,
    /// Which `Host` it answers to.
    pub hosts: HostRules,
}

/// The inboxes of all shards.
pub struct Inboxes(pub Vec<Arc<Inbox<Command>>>);

impl Reader for Inboxes {
    fn read_again(&self, home: u8, topic: TopicId) {
        self.0[home as usize].push(Command::ReadAgain(topic));
    }
    fn look(&self, home: u8, topic: TopicId) {
        self.0[home as usize].push(Command::Look(topic));
    }
    fn landed(&self, (shard, waiter): Waiter, alone: bool) {
        self.0[shard as usize].push(Command::Landed(waiter, alone));
    }
}

/// Shared by the shards.
pub struct Shared {
    /// As given.
    pub options: Options,
    /// For the parser.
    pub head_limits: HeadLimits,
    /// Cross-origin rules.
    pub origins: OriginRules,
    /// The fields that say what this cache may do with a response, before `cache-control`; in lower case.
    pub target_list: Vec<String>,
    /// What responses say to the caches in front.
    pub outgoing: Outgoing,
    /// Whose word about the client counts.
    pub proxies: TrustedProxies,
    /// Where connections come from.
    pub doors: Vec<Door>,
    /// One a shard.
    pub inboxes: Arc<Inboxes>,
    /// The shards themselves, for who does a sleeping one's work.
    pub shards: Vec<OnceLock<Weak<Mutex<Shard>>>>,
    /// Connections in each shard.
    pub loads: Vec<AtomicUsize>,
    /// Topics.
    pub hub: Arc<Hub>,
    /// Freshness.
    pub resources: Resources,
    /// What monitor URLs have in common.
    pub words: Arc<Words>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Where the access log goes, if there is one.
    pub output: OnceLock<Arc<Output>>,
    /// The application.
    pub app: OnceLock<Arc<dyn App>>,
    /// Requests that the application has and has not begun to answer.
    pub in_application: AtomicUsize,
    /// The node is ending.
    pub draining: AtomicBool,
    /// The most connections at once.
    pub max_connections: usize,
    /// Connections of each address.
    pub by_address: Mutex<HashMap<IpAddr, u32, RandomState>>,
    /// Shards that have ended.
    pub ended: AtomicU32,
    /// Called when the last shard has ended.
    pub on_end: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Shared {
    /// Bring those figures up to date that are counted elsewhere.
    pub fn count(&self) {
        self.metrics.sets.store(self.resources.monitors.len() as u64, Relaxed);
    }

    /// Connections of the whole node.
    pub fn connections(&self) -> usize {
        self.loads.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// One connection more from this peer; false if it has enough already.
    pub fn admit(&self, peer: &Peer) -> bool {
        let limit = self.options.max_connections_per_address;
        let Some(address) = self.counted(peer) else { return true };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        let admitted = (*count as usize) < limit;
        *count += u32::from(admitted);
        admitted
    }

    /// One connection less.
    pub fn dismiss(&self, peer: &Peer) {
        let Some(address) = self.counted(peer) else { return };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }

    /// Under which address a peer is counted: /64 for IPv6; nobody behind a trusted proxy or on a Unix socket.
    fn counted(&self, peer: &Peer) -> Option<IpAddr> {
        if self.options.max_connections_per_address == 0 {
            return None;
        }
        let address = match peer {
            Peer::Unix => return None,
            Peer::V4(ip, _) => IpAddr::V4(*ip),
            Peer::V6(address) => match address.ip() {
                IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
                v4 => v4,
            },
        };
        (!self.proxies.trusts(Some(address))).then_some(address)
    }
}
