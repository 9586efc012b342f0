//! A resource is read, kept, changed and watched, over real sockets.
mod support;
use base64::Engine;
use freshwire_engine::limits::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::{Response, Running, field, start};

/// `/n` shows a number that depends on the tag `n`; the counter beside it counts reads.
fn counter() -> (Running, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (number, reads) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (n, r) = (number.clone(), reads.clone());
    let running = start(Options::default(), move |request| {
        r.fetch_add(1, SeqCst);
        Some(match &*request.target {
            "/n" if n.load(SeqCst) == 0 => Response::status(404),
            "/n" => Response::ok(format!("number {}", n.load(SeqCst))).tag("n"),
            _ => Response::ok("untagged"),
        })
    });
    (running, number, reads)
}

#[test]
fn a_tagged_resource_is_read_once_until_its_tag_changes() {
    let (running, number, reads) = counter();
    let mut client = running.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/n", "").response().1, "number 1");
    }
    assert_eq!(reads.load(SeqCst), 1);
    number.store(2, SeqCst);
    let changed = running.node.changed(&["n"]).unwrap();
    let (head, body) = client.get("/n", "").response();
    assert_eq!((body.as_str(), reads.load(SeqCst)), ("number 2", 2));
    assert!(field(&head, "fresh-position").unwrap() > changed.as_str());
    assert_eq!(field(&head, "cache-groups"), Some("\"n\""));
    let etag = field(&head, "etag").unwrap();
    let (head, body) = client.get("/n", &format!("If-None-Match: {etag}\r\n")).response();
    assert!(head.starts_with("HTTP/1.1 304") && body.is_empty());
}

#[test]
fn an_event_stream_follows_the_resource_and_says_when_it_is_gone() {
    let (running, number, reads) = counter();
    let mut client = running.connect();
    client.get("/n", "Accept: text/event-stream\r\n");
    let head = client.until("\r\n\r\n");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(client.until("\n\n\r\n").contains("retry: "));
    assert!(client.until("\n\n\r\n").contains("data: number 1\n"));
    let mut last = String::new();
    for n in 2..5 {
        number.store(n, SeqCst);
        running.node.changed(&["n"]).unwrap();
        last = client.until("\n\n\r\n");
        assert!(last.contains(&format!("data: number {n}\n")), "{last}");
    }
    let reads_before = reads.load(SeqCst);
    running.node.changed(&["n"]).unwrap();
    let id = last.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let mut second = running.connect();
    second.get("/n", &format!("Accept: text/event-stream\r\nLast-Event-ID: {id}\r\n"));
    second.until("\r\n\r\n");
    second.until("\n\n\r\n");
    number.store(0, SeqCst);
    running.node.changed(&["n"]).unwrap();
    for client in [&mut client, &mut second] {
        let end = client.rest();
        assert!(end.contains("event: gone\n") && end.contains("\"status\":404"), "{end}");
        assert!(!end.contains("number") && end.ends_with("0\r\n\r\n"), "{end}");
    }
    assert!(reads.load(SeqCst) <= reads_before + 3);
}

#[test]
fn a_long_poll_ends_with_the_change_and_the_connection_goes_on() {
    let (running, number, _) = counter();
    let mut client = running.connect();
    let (head, _) = client.get("/n", "").response();
    let etag = field(&head, "etag").unwrap().to_owned();
    let conditions = format!("If-None-Match: {etag}\r\nPrefer: wait=20\r\n");
    client.get("/n", &conditions);
    let mut second = running.connect();
    second.get("/n", &format!("If-None-Match: {etag}\r\nPrefer: wait=1\r\n"));
    assert!(second.response().0.starts_with("HTTP/1.1 304"));
    number.store(2, SeqCst);
    running.node.changed(&["n"]).unwrap();
    assert_eq!(client.response().1, "number 2");
    assert_eq!(client.get("/n", &conditions).response().1, "number 2");
    assert_eq!(client.get("/other", "").response().1, "untagged");
}

#[test]
fn a_websocket_with_the_subprotocol_follows_the_resource() {
    let (running, number, _) = counter();
    let mut client = running.connect();
    let lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: freshwire.v1\r\n";
    client.get("/n", lines);
    let head = client.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.until("number 1");
    number.store(2, SeqCst);
    running.node.changed(&["n"]).unwrap();
    client.until("number 2");
    number.store(0, SeqCst);
    running.node.changed(&["n"]).unwrap();
    let close = client.until("gone");
    assert!(close.contains(std::str::from_utf8(&4404u16.to_be_bytes()).unwrap()), "{close:?}");
}

/// `/me` shows who asks, and is private; the tag `me` changes it.
fn personal(options: Options) -> Running {
    start(options, |request| {
        let who = String::from_utf8_lossy(request.fields.get("authorization")?).into_owned();
        Some(Response::ok(format!("hello {who}")).tag("me"))
    })
}

#[test]
fn a_watch_ends_when_the_token_that_opened_it_does() {
    let running = personal(Options::default());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", now + 1));
    let mut client = running.connect();
    client.get("/me", &format!("Accept: text/event-stream\r\nAuthorization: Bearer e30.{claims}.c2ln\r\n"));
    client.until("data: hello Bearer");
    let end = client.rest();
    assert!(end.contains("event: gone\n") && end.contains("\"status\":401"), "{end}");
}

#[test]
fn reads_for_watchers_take_turns_and_all_of_them_come_to_theirs() {
    let running = personal(Options { max_reads: 1, threads: 2, ..Options::default() });
    let mut clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.get("/me", &format!("Accept: text/event-stream\r\nAuthorization: user-{n}\r\n"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.until(&format!("data: hello user-{n}\n"));
    }
}

#[test]
fn a_page_of_another_origin_may_follow_only_if_it_is_listed() {
    let options = Options { allow_origins: vec!["https://app.example".into()], ..Options::default() };
    let running = start(options, |_| Some(Response::ok("x")));
    let mut listed = running.connect();
    listed.get("/", "Accept: text/event-stream\r\nOrigin: https://app.example\r\n");
    let head = listed.until("\r\n\r\n");
    assert_eq!(field(&head, "access-control-allow-origin"), Some("https://app.example"));
    let mut other = running.connect();
    other.get("/", "Accept: text/event-stream\r\nOrigin: https://evil.example\r\n");
    assert!(other.rest().starts_with("HTTP/1.1 403"));
}
