//! Waits on monitor URLs and pinned reads, over real sockets.
mod support;
use freshwire_engine::limits::Options;
use serde_json::{Value, json as value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::{Client, Response, Running, field, news, start};

/// `/n` and `/m` show numbers that depend on the tags `n` and `m`; the counter beside them counts reads.
fn numbers(options: Options) -> (Running, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (number, reads) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (n, r) = (number.clone(), reads.clone());
    let running = start(options, move |request| {
        r.fetch_add(1, SeqCst);
        let number = n.load(SeqCst);
        Some(match &*request.target {
            "/n" => Response::ok(format!("number {number}")).tag("n"),
            "/m?a=1" => Response::ok(format!("other {number}")).tag("m").field("link", "</>; rel=\"up\""),
            other => Response::ok(format!("untagged {other}")),
        })
    });
    (running, number, reads)
}

/// The monitor URL in a head.
fn monitor(head: &str) -> String {
    let link =
        head.lines().find_map(|line| line.strip_prefix("link: <").filter(|l| l.ends_with("rel=\"monitor\"")));
    link.unwrap_or_else(|| panic!("no monitor in {head}")).split('>').next().unwrap().to_owned()
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Every answer on a monitor URL can be kept, by anybody.
fn assert_cacheable(head: &str) {
    let lifetime = field(head, "cache-control").unwrap().strip_prefix("public, max-age=").unwrap();
    assert!(lifetime.parse::<u64>().unwrap() >= 1, "{head}");
    assert!(
        !head.contains(" 204 ") && field(head, "vary").is_none() && field(head, "set-cookie").is_none(),
        "{head}"
    );
    assert_eq!(field(head, "access-control-allow-origin"), Some("*"));
}

fn wait(client: &mut Client, url: &str) -> (String, Value) {
    let (head, body) = client.get(url, "").response();
    assert_cacheable(&head);
    (head, json(&body))
}

#[test]
fn a_wait_is_answered_by_the_change_and_its_pinned_url_reads_once() {
    let (running, number, reads) = numbers(Options::default());
    let mut client = running.connect();
    let (head, _) = client.get("/n", "").response();
    let url = monitor(&head);
    let (hit, _) = client.get("/n", "").response();
    assert_eq!(monitor(&hit), url, "a hit has the same link");
    client.get(&url, "");
    number.store(2, SeqCst);
    let changed = running.node.changed(&["n"]).unwrap();
    let told = json(&news(&mut client));
    assert_eq!(told["position"], changed.as_str());
    assert_eq!(told["changes"][0]["url"], "/n");
    let pinned = told["changes"][0]["pinned"].as_str().unwrap();
    assert_eq!(pinned, format!("/n?fresh={changed}"));
    for _ in 0..3 {
        let (head, body) = client.get(pinned, "").response();
        assert_eq!(body, "number 2");
        assert_eq!(field(&head, "cache-control"), Some("max-age=86400, immutable"));
        assert_eq!(monitor(&head), told["next"].as_str().unwrap());
    }
    assert_eq!(reads.load(SeqCst), 2);
    // The old URL still says what has changed since.
    let again = wait(&mut client, &url).1;
    assert_eq!((&again["position"], &again["changes"][0]["pinned"]), (&told["position"], &value!(pinned)));
}

#[test]
fn a_wait_in_vain_ends_with_its_cycle_and_goes_on_with_the_next() {
    let (running, ..) = numbers(Options { watch_cycle_s: 1.0, ..Options::default() });
    let mut client = running.connect();
    let (head, _) = client.get("/n", "").response();
    let mut url = monitor(&head);
    for _ in 0..2 {
        let (_, told) = wait(&mut client, &url);
        assert_eq!(told["changes"], json("[]"));
        let (place, cycle) = url.split_once("?c=").unwrap();
        let next = format!("{place}?c={}", cycle.parse::<u64>().unwrap() + 1);
        assert_eq!(told["next"], next.as_str());
        assert!(place.ends_with(told["position"].as_str().unwrap()));
        url = next;
    }
}

#[test]
fn one_set_of_many_says_which_of_them_changed() {
    let (running, ..) = numbers(Options { notice_body_bytes: 0, ..Options::default() });
    let mut client = running.connect();
    let urls: Vec<String> = ["/n", "/m?a=1"].map(|path| monitor(&client.get(path, "").response().0)).into();
    let post = |client: &mut Client, body: String| {
        let length = body.len();
        let head =
            format!("POST /.fresh/watch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        client.send(head).send(body).response()
    };
    let (head, body) = post(&mut client, serde_json::json!({ "monitors": urls }).to_string());
    assert!(head.starts_with("HTTP/1.1 200"), "{head} {body}");
    let page = json(&body)["monitor"].as_str().unwrap().to_owned();
    client.get(&page, "");
    let changed = running.node.changed(&["m"]).unwrap();
    let told = json(&news(&mut client));
    assert_eq!(
        told["changes"],
        serde_json::json!([{"url": "/m?a=1", "pinned": format!("/m?a=1&fresh={changed}")}])
    );
    // Who had not seen that change is told of it.
    let (_, body) = post(&mut client, serde_json::json!({ "monitors": urls }).to_string());
    let late = json(&body)["monitor"].as_str().unwrap().to_owned();
    assert_ne!(late, page);
    assert_eq!(wait(&mut client, &late).1["changes"], told["changes"]);
}
