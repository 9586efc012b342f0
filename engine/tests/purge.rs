//! What is told of a change, and when, with caches in front that must be purged first.
mod support;
use freshwire_engine::limits::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::{Client, Response, Running, field, news, start};

/// `/n` shows a number that depends on the tag `n`; the counter beside it counts reads.
fn counter(options: Options) -> (Running, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (number, reads) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (n, r) = (number.clone(), reads.clone());
    let running = start(options, move |request| {
        if &*request.method != "GET" {
            return Some(Response::status(204).field("cache-group-invalidation", "\"m\""));
        }
        r.fetch_add(1, SeqCst);
        Some(Response::ok(format!("number {}", n.load(SeqCst))).tag("n"))
    });
    running.node.purge_with(Box::new(|| ()));
    (running, number, reads)
}

fn watch(running: &Running) -> Client {
    let mut client = running.connect();
    client.get("/n", "Accept: text/event-stream\r\n");
    client.until("number 1\n\n\r\n");
    client
}

fn unpinned(purge_timeout_s: f64) -> Options {
    Options { pin: false, purge_timeout_s, ..Options::default() }
}

#[test]
fn what_python_the_admin_socket_and_writes_change_is_due_by_name() {
    let (running, ..) = counter(Options::default());
    running.node.changed(&["n", "o"]).unwrap();
    let mut client = running.connect();
    client.send("POST /n?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").response();
    let mut due = running.node.purges_due().unwrap();
    due.tags.sort();
    assert_eq!(due.tags, ["m".into(), "n".into(), "o".into()]);
    assert_eq!(due.resources.iter().map(|r| r.as_str()).collect::<Vec<_>>(), ["http://localhost/n?q"]);
    assert!(!due.everything && running.node.position().ends_with(&format!("-{}", due.offset)));
}

#[test]
fn with_pinned_urls_watchers_are_told_at_once() {
    let (running, number, _) = counter(Options::default());
    let mut watcher = watch(&running);
    number.store(2, SeqCst);
    running.node.changed(&["n"]).unwrap();
    watcher.until("number 2\n\n\r\n");
}

#[test]
fn without_them_readers_see_a_change_at_once_and_watchers_are_told_when_it_is_purged() {
    let (running, number, reads) = counter(unpinned(3600.0));
    let (mut watcher, mut client) = (watch(&running), running.connect());
    for n in 2..4 {
        number.store(n, SeqCst);
        running.node.changed(&["n"]).unwrap();
        assert_eq!(client.get("/n", "").response().1, format!("number {n}"));
    }
    running.node.purged(running.node.purges_due().unwrap().offset);
    let told = watcher.until("number 3\n\n\r\n");
    assert!(!told.contains("number 2"), "{told}");
    assert_eq!(reads.load(SeqCst), 3, "what a client read is not read again for its watchers");
    number.store(4, SeqCst);
    running.node.changed(&["n"]).unwrap();
    running.node.purged(u64::MAX);
    watcher.until("number 4\n\n\r\n");
    assert_eq!(reads.load(SeqCst), 4);
}

#[test]
fn a_purge_that_takes_too_long_holds_nobody_back() {
    let (running, number, _) = counter(unpinned(0.0));
    let mut watcher = watch(&running);
    number.store(2, SeqCst);
    running.node.changed(&["n"]).unwrap();
    watcher.until("number 2\n\n\r\n");
    assert!(running.node.stats().contains("\"purges_overdue\":1"), "{}", running.node.stats());
}

/// The monitor URL that an answer links to.
fn monitor(head: &str) -> String {
    let link = field(head, "link").unwrap();
    link[1..link.find('>').unwrap()].to_owned()
}

#[test]
fn waits_on_sets_are_answered_when_it_is_purged_and_name_no_pinned_url_then() {
    let (running, number, _) = counter(unpinned(3600.0));
    let (mut client, mut waiter) = (running.connect(), running.connect());
    let before = monitor(&client.get("/n", "").response().0);
    let mut changes = vec![];
    for n in 2..4 {
        waiter.get(&before, "");
        number.store(n, SeqCst);
        changes.push(running.node.changed(&["n"]).unwrap());
        let (head, body) = client.get("/n", "").response();
        assert_eq!(body, format!("number {n}"));
        assert_eq!(monitor(&head), before, "a copy that shows it is followed from before it");
        if n == 3 {
            running.node.purged(u64::MAX);
        }
    }
    // Both are announced at once, one after the other: an answer may leave in between.
    for _ in 0..2 {
        let told = news(&mut waiter);
        let says = |position| {
            told.starts_with(&format!("{{\"position\":\"{position}\",\"changes\":[{{\"url\":\"/n\"}}]"))
        };
        assert!(changes.iter().any(says), "{told}");
    }
}
