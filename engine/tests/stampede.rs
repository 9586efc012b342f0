//! A tag on which much depends, or which changes often, does not trample the application.
mod support;
use freshwire_engine::limits::Options;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use support::{Client, Response, Running, field, news, start};

const VARIANTS: u64 = 50;

/// Held shut, it keeps the application busy with the re-read that it has.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
    /// Somebody stands before it.
    reached: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        self.reached.store(true, SeqCst);
        drop(self.changed.wait_while(shut, |shut| *shut).unwrap());
    }
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }
}

/// Many resources show one number, which depends on one tag; with what a client watches of each.
fn hot(options: Options) -> (Running, Vec<Client>, Arc<AtomicU64>, Arc<AtomicU64>, Arc<Gate>) {
    let (number, reads) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (n, r, gate) = (number.clone(), reads.clone(), Arc::new(Gate::default()));
    let passed = gate.clone();
    let running = start(Options { threads: 1, ..options }, move |request| {
        if request.client.is_none() {
            passed.pass();
        }
        r.fetch_add(1, SeqCst);
        Some(Response::ok(format!("number {}", n.load(SeqCst))).tag("hot"))
    });
    let watch = |at: u64| {
        let mut client = running.connect();
        client.get(&format!("/{at}"), "Accept: text/event-stream\r\n").until("number 1\n\n\r\n");
        client
    };
    let clients = (0..VARIANTS).map(watch).collect();
    (running, clients, number, reads, gate)
}

#[test]
fn a_thousand_changes_while_the_application_is_busy_are_one_more_read_of_each_variant() {
    let (running, mut clients, number, reads, gate) = hot(Options::default());
    gate.set(true);
    running.node.changed(&["hot"]).unwrap();
    while !gate.reached.load(SeqCst) {
        std::thread::yield_now();
    }
    for n in 2..=1001 {
        number.store(n, SeqCst);
        running.node.changed(&["hot"]).unwrap();
    }
    gate.set(false);
    for client in &mut clients {
        client.until("number 1001\n\n\r\n");
    }
    // The one that was under way may have been before the last change, and is made again.
    assert!((2 * VARIANTS..=2 * VARIANTS + 1).contains(&reads.load(SeqCst)), "{reads:?}");
}

#[test]
fn more_re_reads_than_the_application_shall_have_in_a_second_come_in_the_next_ones() {
    let (running, mut clients, number, reads, _) =
        hot(Options { max_rereads_per_s: 100, ..Options::default() });
    for n in 2..4 {
        number.store(n, SeqCst);
        running.node.changed(&["hot"]).unwrap();
        for client in &mut clients {
            client.until(&format!("number {n}\n\n\r\n"));
        }
    }
    assert_eq!(reads.load(SeqCst), 3 * VARIANTS);
}

/// What `GET /` shows to so many users, one after the other; and the monitor URL that all of them have.
fn readers(running: &Running, users: usize) -> String {
    let mut client = running.connect();
    let mut monitors: Vec<String> = (0..users)
        .map(|user| {
            let (head, _) = client.get("/", &format!("Authorization: {user}\r\n")).response();
            let link = field(&head, "link").unwrap();
            link[1..link.find('>').unwrap()].to_owned()
        })
        .collect();
    monitors.dedup();
    assert_eq!(monitors.len(), 1);
    monitors.remove(0)
}

#[test]
fn private_readers_are_told_to_spread_as_many_as_have_read_and_public_ones_are_not() {
    for (public, spread) in [(false, ",\"spread\":4.0,"), (true, "],\"next\"")] {
        let options = Options { max_rereads_per_s: 10, ..Options::default() };
        let running = start(options, move |_| {
            let response = Response::ok("hello").tag("t");
            Some(if public { response.field("cache-control", "public") } else { response })
        });
        for _ in 0..2 {
            let monitor = readers(&running, 40);
            let mut waiter = running.connect();
            waiter.get(&monitor, "");
            running.node.changed(&["t"]).unwrap();
            // One wait may stand for many behind a cache.
            let told = news(&mut waiter);
            assert!(told.contains(spread), "{told}");
        }
    }
}
