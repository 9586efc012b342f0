//! An exchange with the application: whom it is for, and what of the answer is kept back.
use super::Shard;
use super::request::body_too_large;
use super::stale::Refresh;
use super::work::{Intent, Work};
use crate::app::{Address, Event, ExchangeId, Flow, Kind, Request, ResponseHead};
use crate::http::refusal::Refusal;
use crate::hub::TopicId;
use crate::net::slab::Key;
use crate::net::sys;
use crate::resource::policy::Decision;
use crate::resource::validation::conditional;
use crate::resource::watch::Source;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Whom the application answers.
#[derive(Clone)]
pub enum Purpose {
    /// A client.
    Client(Key),
    /// The watchers of a variant.
    Watchers(TopicId, Arc<Source>),
    /// Whoever asks next for a copy that is stale.
    Refresh(Arc<Refresh>),
}

/// A representation in the making: kept for others while, or instead of, being passed on.
pub struct Gathering {
    /// As the application gave it.
    pub head: Box<ResponseHead>,
    /// The body so far.
    pub body: Vec<u8>,
    /// What may be done with it.
    pub decision: Decision,
    /// The tags that it depends on, checked.
    pub groups: Vec<Box<str>>,
}

/// One exchange.
pub struct Exchange {
    /// Whom it is for.
    pub purpose: Purpose,
    /// Taken before the application was asked.
    pub position: u64,
    /// Shared with the application.
    pub flow: Arc<Flow>,
    /// What is kept of the answer.
    pub gathering: Option<Gathering>,
    /// The application has begun to answer.
    begun: bool,
    /// It counts among the reads for watchers.
    for_watchers: bool,
}

impl Exchange {
    /// One that the application is about to be asked for.
    pub fn new(purpose: Purpose, position: u64, flow: Arc<Flow>, for_watchers: bool) -> Self {
        Self { purpose, position, flow, gathering: None, begun: false, for_watchers }
    }
}

/// A read for watchers that waits until the application has fewer of them (security row 15).
#[derive(Clone, Copy, Debug)]
pub enum Waiting {
    /// A watched variant is to be read again.
    Variant(TopicId),
    /// A client wants to watch.
    Client(Key),
}

/// The seam's name of an exchange of this shard.
pub(super) fn exchange_id(shard: u8, key: Key) -> ExchangeId {
    ExchangeId::new(shard, key.generation, key.slot)
}

impl Shard {
    /// Ask the application for a client's request, of whose body `body` has arrived.
    pub(super) fn call(&mut self, key: Key, body: Vec<u8>, flight: Option<Box<str>>) {
        let shared = self.shared.clone();
        let limit = shared.options.limit_concurrency;
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        let for_others = flight.is_some() || work.intent.watches();
        // However this ends, whoever waits for it must hear.
        work.flight = flight;
        if limit > 0 && shared.in_application.load(Relaxed) >= limit {
            let detail = format!("the application works on {limit} requests already (limit_concurrency)");
            return self.fail(key, &Refusal::new(503, "limit_concurrency", detail));
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let door = &shared.doors[conn.listener as usize];
        let Some(work) = conn.work.as_deref_mut() else { return };
        // A read whose result others may hear of has a position of its own.
        let followed = |resource| shared.resources.watches.knows(resource);
        let own_position = for_others || work.resource.as_ref().is_some_and(followed);
        let position =
            if own_position { shared.resources.log.advance() } else { shared.resources.log.head() };
        let watches = work.intent.watches();
        if watches && self.reading >= shared.options.max_reads {
            return self.reads_waiting.push_back(Waiting::Client(key));
        }
        work.position = position;
        let asking = work.stale.as_deref().and_then(|copy| conditional(&work.fields, copy));
        work.asked_about = asking.is_some();
        let fields = if let Some(asking) = asking {
            Arc::new(asking)
        } else if for_others {
            // What others may get too must not depend on what this client has already.
            let plain =
                work.fields.without(|name| name.starts_with(b"if-") || matches!(name, b"range" | b"prefer"));
            Arc::new(plain)
        } else {
            work.fields.clone()
        };
        let (kind, scheme) = match &work.intent {
            Intent::Application(handshake) => {
                let scheme = if work.scheme == "https" { "wss" } else { "ws" };
                (Kind::WebSocket(handshake.subprotocols.clone()), scheme)
            }
            _ => (Kind::Http, work.scheme),
        };
        let server = match &door.address {
            Address::Ip(address) if address.ip().is_unspecified() => {
                sys::local_address(conn.fd).map_or(door.address.clone(), Address::Ip)
            }
            address => address.clone(),
        };
        if matches!(&*work.method, "GET" | "HEAD") && kind == Kind::Http {
            shared.metrics.reads.fetch_add(1, Relaxed);
        }
        let flow = work.flow.get_or_insert_default().clone();
        let more_body = !work.body.done();
        let mut request = Request {
            id: ExchangeId(0),
            kind,
            method: work.method.clone(),
            scheme,
            target: work.target.clone(),
            minor: work.minor,
            fields,
            client: Some(work.client.clone()),
            server,
            body: Bytes::from(body),
            more_body,
            flow: flow.clone(),
        };
        let exchange = self.exchanges.insert(Exchange::new(Purpose::Client(key), position, flow, watches));
        self.reading += usize::from(watches);
        work.exchange = Some(exchange);
        request.id = exchange_id(self.id, exchange);
        self.ask(request);
        self.arm(key);
    }

    /// Hand a request to the application.
    pub(super) fn ask(&mut self, request: Request) {
        self.shared.in_application.fetch_add(1, Relaxed);
        if let Some(app) = self.shared.app.get() {
            app.request(request);
            self.told = true;
        }
    }

    /// Tell the application what happened to an exchange.
    pub(super) fn tell(&mut self, exchange: Key, event: Event) {
        if let Some(app) = self.shared.app.get() {
            app.event(exchange_id(self.id, exchange), event);
            self.told = true;
        }
    }

    /// The application has begun to answer, or never will.
    pub(super) fn begun(&mut self, exchange: Key) {
        if let Some(exchange) = self.exchanges.get_mut(exchange)
            && !std::mem::replace(&mut exchange.begun, true)
        {
            let for_watchers = exchange.for_watchers;
            self.shared.in_application.fetch_sub(1, Relaxed);
            if for_watchers {
                self.reading -= 1;
                self.read_next();
            }
        }
    }

    /// Whether the application may be given one more read for watchers.
    pub(super) fn may_read(&self) -> bool {
        self.reading < self.shared.options.max_reads
    }

    /// Begin reads that waited.
    fn read_next(&mut self) {
        while self.may_read()
            && let Some(waiting) = self.reads_waiting.pop_front()
        {
            match waiting {
                Waiting::Variant(topic) => self.read_again(topic),
                Waiting::Client(key) => {
                    let work = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut());
                    if let Some(work) = work.filter(|work| work.exchange.is_none() && work.intent.watches()) {
                        let flight = work.flight.take();
                        self.call(key, vec![], flight);
                    }
                }
            }
        }
    }

    /// Forget an exchange; what the application still says about it is dropped.
    pub(super) fn forget(&mut self, exchange: Key) -> Option<Exchange> {
        self.begun(exchange);
        self.exchanges.remove(exchange)
    }

    /// A client will not take its answer: tell the application, and let who waited for it go on.
    pub(super) fn abandon(&mut self, work: Work) {
        if let Some(flight) = &work.flight {
            self.land(flight, false);
        }
        if let Some(exchange) = work.exchange {
            self.hang_up(exchange);
        }
    }

    /// Tell the application that nobody will take what it still says in an exchange.
    pub(super) fn hang_up(&mut self, key: Key) {
        if let Some(exchange) = self.forget(key) {
            exchange.flow.disconnected.store(true, SeqCst);
            self.tell(key, Event::Disconnect);
        }
    }

    /// The client has ended its side but may still read: the application hears it, and its answer still goes out. To a
    /// WebSocket there is none: it could not even be closed any more.
    pub(super) fn client_left(&mut self, key: Key) {
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        if matches!(work.intent, Intent::Application(_)) {
            self.close(key);
        } else if let Some(exchange) = work.exchange {
            self.tell(exchange, Event::Disconnect);
        }
    }

    /// So many bytes of what the application sent have reached the kernel.
    pub(super) fn settle(&mut self, key: Key, bytes: usize) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        let settled = work.owed.min(bytes);
        if settled == 0 {
            return;
        }
        work.owed -= settled;
        let Some(flow) = work.flow.clone() else { return };
        let left = flow.buffered.fetch_sub(settled, SeqCst) - settled;
        let Some(exchange) = work.exchange else { return };
        if left <= crate::app::LOW_WATER && flow.wants_drain.swap(false, SeqCst) {
            self.tell(exchange, Event::Drained);
        }
    }

    /// More of a request's body, if the application wants it.
    pub(super) fn read_body(&mut self, key: Key) {
        loop {
            let limit = self.shared.options.max_body_bytes;
            let Some(conn) = self.conns.get_mut(key) else { return };
            let Some(work) = conn.work.as_deref_mut() else { return };
            if work.body.done() || (work.wanted == 0 && work.gathered.is_none()) {
                return;
            }
            let input = match conn.input.take() {
                Some(input) => *input,
                None => match sys::recv(conn.fd, &mut self.scratch) {
                    Ok(Some(0)) | Err(_) => return self.close(key),
                    Ok(Some(n)) => self.scratch[..n].to_vec(),
                    Ok(None) => return self.arm(key),
                },
            };
            let mut data = vec![];
            match work.body.feed(&input, |piece| data.extend_from_slice(piece)) {
                Ok(used) if used < input.len() => conn.input = Some(Box::new(input[used..].to_vec())),
                Ok(_) => {}
                Err(refusal) => return self.fail(key, &refusal),
            }
            work.body_bytes += data.len() as u64;
            if work.body_bytes > limit {
                return self.fail(key, &body_too_large(limit));
            }
            let more = !work.body.done();
            if let Some(gathered) = &mut work.gathered {
                gathered.extend_from_slice(&data);
                if !more {
                    let body = std::mem::take(gathered);
                    return self.answer_own(key, body);
                }
            } else if (!data.is_empty() || !more)
                && let Some(exchange) = work.exchange
            {
                work.wanted -= 1;
                self.tell(exchange, Event::Body { data: data.into(), more });
            }
        }
    }

    /// Refuse a request that is in hand: as a response if none has begun, else by cutting it short.
    pub(super) fn fail(&mut self, key: Key, refusal: &Refusal) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let nothing_sent =
            conn.work.as_ref().is_none_or(|work| work.sending == super::work::Sending::Nothing);
        if !nothing_sent {
            self.shared.metrics.refused(refusal.reason);
            return self.close(key);
        }
        if let Some(exchange) = conn.work.as_deref_mut().and_then(|work| work.exchange.take()) {
            self.hang_up(exchange);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let keep_alive =
            conn.keep_alive && conn.work.as_ref().is_some_and(|work| work.body.done()) && !self.draining;
        let to_head = conn.work.as_ref().is_some_and(|work| &*work.method == "HEAD");
        self.shared.metrics.refused(refusal.reason);
        let mut out = self.buffer(key);
        let retry_after = (refusal.status == 503).then(|| self.retry_after());
        let extra = retry_after.as_deref().map(|seconds| ("retry-after", seconds));
        refusal.write(&mut out, self.date.at(self.unix_s), keep_alive, extra.as_slice());
        if to_head {
            // Its body would be read as the next response.
            out.truncate(out.len() - refusal.body_bytes());
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.keep_alive = keep_alive;
            if let Some(work) = conn.work.as_deref_mut() {
                work.status = refusal.status;
                work.sent_bytes = if to_head { 0 } else { refusal.body_bytes() as u64 };
            }
        }
        self.complete(key);
        self.give(key, out);
    }
}
