//! The cache and its watches against a model of what the application knew when: reads that take their time, changes
//! that come in between, copies that are given up, lifetimes, failures, and clients that come back.
//!
//! What a shard does around `resource` is done here by hand, with one thread, a clock of its own and no sockets. Promise
//! 1 is checked at every hit, 3 at every message, 2 when everything has come to rest.
mod parts;

use self::parts::{Asked, Client, For, Has, Inbox, Step, Told, Words};
use arbitrary::{Arbitrary, Unstructured};
use freshwire_engine::app::ResponseHead;
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::lists::cache_control;
use freshwire_engine::hub::{Form, Hub, Message, TopicId};
use freshwire_engine::limits::Options;
use freshwire_engine::metrics::Metrics;
use freshwire_engine::resource::key::{Audience, ResourceKey, Selectors, VariantKey};
use freshwire_engine::resource::layer::Resources;
use freshwire_engine::resource::policy::{Seen, decide};
use freshwire_engine::resource::position::{Epoch, own_offset};
use freshwire_engine::resource::representation::{Made, Representation};
use freshwire_engine::resource::watch::{Next, Opened, Outcome, Source};
use std::sync::Arc;

/// What each resource depends on and says of itself. The second has a lifetime; the last is never kept.
const RESOURCES: [(&[&str], &str); 3] =
    [(&["a"], "no-cache"), (&["a", "b"], "max-age=1"), (&["b", "c"], "no-store")];
const TAGS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 4;
/// A body is the number of commits modulo this, so that it may go and come back.
const BODIES: u64 = 3;

fn key(resource: usize) -> ResourceKey {
    ResourceKey::new("http", "h", &format!("/{resource}"))
}

fn variant(resource: usize) -> VariantKey {
    VariantKey { resource: key(resource), audience: Audience::Anonymous, selectors: Selectors::default() }
}

struct Model {
    resources: Resources,
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    now_ms: u64,
    /// Commits of each tag's data, and how many of them had been announced.
    committed: [u64; TAGS.len()],
    announced: [u64; TAGS.len()],
    asked: Vec<Asked>,
    clients: [Client; CLIENTS],
    looks: Vec<(TopicId, u64)>,
    retries: Vec<TopicId>,
}

impl Model {
    fn new() -> Self {
        let inbox = Arc::new(Inbox::default());
        let hub = Arc::new(Hub::new(vec![inbox.clone()]));
        let options =
            Options { max_known_tags: 2, max_cache_bytes: 2500, max_watched: 2, ..Options::default() };
        let metrics = Arc::new(Metrics::default());
        let resources = Resources::new(
            &options,
            Epoch::from_bits(1),
            [0; 32],
            hub.clone(),
            inbox.clone(),
            Arc::new(Words),
            metrics,
        );
        Self {
            resources,
            hub,
            inbox,
            now_ms: 1000,
            committed: [0; TAGS.len()],
            announced: [0; TAGS.len()],
            asked: vec![],
            clients: Default::default(),
            looks: vec![],
            retries: vec![],
        }
    }

    fn sum(resource: usize, of: &[u64; TAGS.len()]) -> u64 {
        RESOURCES[resource].0.iter().map(|tag| of[TAGS.iter().position(|t| t == tag).unwrap()]).sum()
    }

    /// Promise 1: everything announced before is in it.
    fn check_fresh(&self, resource: usize, rep: &Representation) {
        let (least, most) = (Self::sum(resource, &self.announced), Self::sum(resource, &self.committed));
        assert!((least..=most).any(|n| n % BODIES == Has::of(rep).body), "{resource} at {}: stale", rep.id());
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Commit(tag) => self.committed[usize::from(tag) % TAGS.len()] += 1,
            Step::Announce(tag) => self.announce(usize::from(tag) % TAGS.len()),
            Step::Get(client, resource) => {
                self.get(usize::from(client) % CLIENTS, usize::from(resource) % RESOURCES.len());
            }
            Step::Watch(client) => self.watch(usize::from(client) % CLIENTS),
            Step::Leave(client) => self.leave(usize::from(client) % CLIENTS),
            Step::Capture(at) => {
                let committed = self.committed;
                if let Some(asked) = self.pick(at) {
                    let sum = Self::sum(asked.resource, &committed);
                    asked.seen.get_or_insert(sum);
                }
            }
            Step::Finish(at, how) if !self.asked.is_empty() => {
                let asked = self.asked.remove(usize::from(at) % self.asked.len());
                self.finish(asked, how);
            }
            Step::Finish(..) => {}
            Step::Work => self.work(),
            Step::Deliver => self.deliver(),
            Step::Tick(ticks) => self.tick(u64::from(ticks) * 10),
            Step::Retry => {
                if let Some(topic) = self.retries.pop() {
                    self.read_again(topic);
                }
            }
            Step::Forget(resource) => {
                self.resources.cache.remove(&variant(usize::from(resource) % RESOURCES.len()));
            }
        }
        assert!(self.resources.cache.bytes() <= 2500 && self.resources.watches.len() <= 2);
    }

    fn pick(&mut self, at: u8) -> Option<&mut Asked> {
        let among = self.asked.len().max(1);
        self.asked.get_mut(usize::from(at) % among)
    }

    fn announce(&mut self, tag: usize) {
        self.resources.changed(&[TAGS[tag]], &[]);
        self.announced[tag] = self.committed[tag];
    }

    /// What is kept of a resource, if it may be used.
    fn kept(&self, resource: usize) -> Option<Arc<Representation>> {
        let kept = self.resources.cache.lookup(&key(resource), &Fields::default(), false)?;
        self.resources.is_fresh(&kept, self.now_ms).then(|| {
            self.check_fresh(resource, &kept);
            kept
        })
    }

    fn get(&mut self, client: usize, resource: usize) {
        let Client { follows: None, waits: false, .. } = self.clients[client] else { return };
        if self.clients[client].resource != resource {
            self.clients[client] = Client { resource, ..Client::default() };
        }
        match self.kept(resource) {
            Some(kept) => self.give(client, &kept),
            None => self.ask(For::Client(client), resource),
        }
    }

    fn give(&mut self, client: usize, rep: &Representation) {
        self.clients[client].has = Some(Has::of(rep));
    }

    /// A read whose answer others may hear of has a position of its own.
    fn ask(&mut self, by: For, resource: usize) {
        let for_others = matches!(by, For::Watcher(_)) || RESOURCES[resource].1 != "no-store";
        let log = &self.resources.log;
        let position = match for_others || self.resources.watches.knows(&key(resource)) {
            true => log.advance(),
            false => log.head(),
        };
        if let For::Client(client) | For::Watcher(client) = by {
            self.clients[client].waits = true;
        }
        self.asked.push(Asked { by, resource, position, seen: None });
    }

    fn watch(&mut self, client: usize) {
        let Client { follows: None, waits: false, resource, .. } = self.clients[client] else { return };
        if let Some(kept) = self.kept(resource) {
            return self.open(client, kept.copy());
        }
        let fresh = |current: &Representation| self.resources.is_fresh(current, self.now_ms);
        match self.resources.watches.join(0, &variant(resource), fresh) {
            Some(opened) => {
                self.check_fresh(resource, &opened.current);
                self.greet(client, opened);
            }
            None => self.ask(For::Watcher(client), resource),
        }
    }

    fn open(&mut self, client: usize, rep: Representation) {
        let resource = self.clients[client].resource;
        let source = Source {
            scheme: "http",
            target: "/".into(),
            fields: Fields::default().into(),
            token_ends_unix_s: None,
            listener: 0,
        };
        let changed = |rep: &Representation| self.resources.newest_change(&rep.tags);
        let opened = self.resources.watches.open(0, &variant(resource), &[], source, rep, changed);
        let Some(opened) = opened else { return };
        if opened.current.reusable {
            self.resources.cache.insert(variant(resource), &[], opened.current.clone());
        }
        self.greet(client, opened);
    }

    fn greet(&mut self, client: usize, opened: Opened) {
        let Opened { topic, version, current, created } = opened;
        if created {
            self.rest(topic);
        }
        let id = self.clients[client].has.as_ref().map(|has| has.id.as_str());
        let offset = id.and_then(|id| own_offset(id, current.position.epoch, current.salt));
        self.clients[client].follows = Some((topic, version));
        if offset.is_none_or(|offset| offset < current.since) {
            let newest = self.hub.newest(topic).expect("a topic begins with what was read");
            self.receive(client, &newest);
        }
    }

    /// Promise 3: nothing older comes after something newer.
    fn receive(&mut self, client: usize, message: &Message) {
        let text = String::from_utf8(message.wire(Form::Sse).to_vec()).unwrap();
        let [id, body, commits] = text.split(' ').collect::<Vec<_>>()[..] else {
            self.clients[client].has = None;
            return self.leave(client);
        };
        let now = Has { body: body.parse().unwrap(), id: id.into(), commits: commits.parse().unwrap() };
        if let Some(before) = &self.clients[client].has {
            // Of two reads that overlap, either may know more. And what was read again and found the same is not
            // published again.
            let newest =
                self.hub.newest(message.topic).is_some_and(|newest| newest.version == message.version);
            let current = self.resources.watches.current(message.topic).filter(|_| newest);
            let until = current.map_or_else(|| now.clone(), |(_, current)| Has::of(&current));
            let offset =
                |has: &Has| own_offset(&has.id, Epoch::from_bits(1), None).expect("an id of this log");
            let older = offset(&until) < offset(before) && until.commits < before.commits;
            assert!(!older || now.body == before.body, "{now:?} after {before:?}");
        }
        let Client { has, follows: Some((_, version)), .. } = &mut self.clients[client] else { return };
        (*has, *version) = (Some(now), message.version);
    }

    fn leave(&mut self, client: usize) {
        if let Some((topic, _)) = self.clients[client].follows.take() {
            self.resources.watches.leave(0, topic);
        }
    }

    fn made(&self, asked: &Asked) -> (Representation, bool) {
        let (groups, said) = RESOURCES[asked.resource];
        let seen = asked.seen.unwrap_or_else(|| Self::sum(asked.resource, &self.committed));
        let fields = Fields::from_iter([
            ("content-type", "text/plain"),
            ("cache-control", said),
            ("x-commits", &seen.to_string()),
        ]);
        let head = ResponseHead { status: 200, fields, ..ResponseHead::default() };
        let said = cache_control([said.as_bytes()]);
        let decision = decide(&Seen {
            method: "GET",
            credentials: false,
            head: &head,
            cache_control: &said,
            targeted: false,
            tagged: true,
            received_unix_s: 0,
        });
        let made = Representation::new(Made {
            head: &head,
            body: (seen % BODIES).to_string().into(),
            decision: &decision,
            resource: &key(asked.resource),
            groups: groups.iter().map(|group| Box::from(*group)).collect(),
            lines: Fields::default(),
            position: self.resources.position(asked.position),
            salt: None,
            now_ms: self.now_ms,
        });
        (made, decision.storable)
    }

    fn finish(&mut self, asked: Asked, how: u8) {
        if let For::Client(client) | For::Watcher(client) = asked.by {
            self.clients[client].waits = false;
        }
        let (made, storable) = self.made(&asked);
        match (asked.by, how % 8) {
            (For::Watchers(topic), 0) => self.end_read(topic, Outcome::Failed),
            (For::Watchers(topic), 1) => self.end_read(topic, Outcome::Gone(404, String::new())),
            (For::Watchers(topic), _) => self.end_read(topic, Outcome::Read(Box::new(made))),
            (_, 0) => {}
            (For::Client(client), _) => {
                let resource = asked.resource;
                let made = Arc::new(made);
                self.resources.given(variant(resource), &[], &made, storable);
                if storable {
                    self.give(client, &made);
                }
            }
            (For::Watcher(client), _) => self.open(client, made),
        }
    }

    fn read_again(&mut self, topic: TopicId) {
        let advance = || self.resources.log.advance();
        let Some((_, position)) = self.resources.watches.begin_read(topic, advance) else { return };
        let (variant, _) = self.resources.watches.current(topic).expect("it is being read");
        let resource = (0..RESOURCES.len()).find(|r| key(*r) == variant.resource).expect("one of ours");
        self.asked.push(Asked { by: For::Watchers(topic), resource, position, seen: None });
    }

    fn end_read(&mut self, topic: TopicId, outcome: Outcome) {
        let gone = matches!(outcome, Outcome::Gone(..));
        let before = self.resources.watches.current(topic);
        let changed = |rep: &Representation| self.resources.newest_change(&rep.tags);
        // Nobody waits for a read here.
        let (next, _) = self.resources.watches.end_read(topic, outcome, changed);
        match next {
            Next::Rest => {
                self.keep_watched(topic);
                self.rest(topic);
            }
            Next::Again => {
                self.keep_watched(topic);
                self.read_again(topic);
            }
            Next::Pause(_) => self.retries.push(topic),
            Next::Over => {
                if let Some((variant, _)) = before.filter(|_| gone) {
                    self.resources.cache.remove(&variant);
                }
            }
        }
    }

    fn keep_watched(&self, topic: TopicId) {
        if let Some((variant, current)) = self.resources.watches.current(topic)
            && current.reusable
        {
            self.resources.cache.insert(variant, &[], current);
        }
    }

    fn rest(&mut self, topic: TopicId) {
        if let Some(at) = self.resources.watches.next_look(topic, self.now_ms) {
            self.looks.push((topic, at));
        }
    }

    fn work(&mut self) {
        let told = self.inbox.told.lock().unwrap().pop_front();
        match told {
            Some(Told::Read(topic)) => self.read_again(topic),
            Some(Told::Look(topic)) => self.rest(topic),
            None => {}
        }
    }

    fn deliver(&mut self) {
        let Some(message) = self.inbox.published.lock().unwrap().pop_front() else { return };
        for client in 0..CLIENTS {
            if let Some((topic, version)) = self.clients[client].follows
                && topic == message.topic
                && version < message.version
            {
                self.receive(client, &message);
            }
        }
    }

    fn tick(&mut self, ms: u64) {
        self.now_ms += ms;
        for (topic, at) in std::mem::take(&mut self.looks) {
            if at > self.now_ms {
                self.looks.push((topic, at));
                continue;
            }
            match self.resources.watches.look(topic, at, self.now_ms) {
                Some(true) => self.read_again(topic),
                Some(false) => self.rest(topic),
                None => {}
            }
        }
    }

    /// Everything is announced and everything that is under way comes to its end. Promise 2: whoever watches has the
    /// last representation.
    fn come_to_rest(&mut self) {
        (0..TAGS.len()).for_each(|tag| self.announce(tag));
        for _ in 0..1000 {
            self.work();
            self.deliver();
            if let Some(topic) = self.retries.pop() {
                self.read_again(topic);
            } else if let Some(asked) = self.asked.pop() {
                self.finish(asked, 2);
            } else if self.inbox.told.lock().unwrap().is_empty()
                && self.inbox.published.lock().unwrap().is_empty()
            {
                break;
            }
        }
        assert!(self.asked.is_empty(), "reads beget reads without end");
        for client in self.clients.iter().filter(|client| client.follows.is_some()) {
            let now = Self::sum(client.resource, &self.committed) % BODIES;
            assert_eq!(
                client.has.as_ref().map(|has| has.body),
                Some(now),
                "a watcher of {}",
                client.resource
            );
        }
        for resource in 0..RESOURCES.len() {
            if let Some(kept) = self.kept(resource) {
                assert_eq!(Has::of(&kept).body, Self::sum(resource, &self.committed) % BODIES);
            }
        }
    }
}

/// Promises 1, 2 and 3 hold whatever happens in whatever order.
pub fn cache(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut model = Model::new();
    for _ in 0..400 {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        model.step(&step);
    }
    model.come_to_rest();
}
