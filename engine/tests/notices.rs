//! What rides in the answer to a wait: a small public body, or what is different in it.
mod support;
use freshwire_engine::limits::Options;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use support::{Client, Response, Running, field, news, start};

/// `/n` shows a text that depends on the tag `n`; the counter beside it counts reads.
struct Site {
    running: Running,
    text: Arc<Mutex<String>>,
    reads: Arc<AtomicU64>,
    silent: Arc<AtomicBool>,
}

impl Site {
    fn new(options: Options, fields: &'static [(&'static str, &'static str)], text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let (reads, silent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (t, r, s) = (text.clone(), reads.clone(), silent.clone());
        let running = start(options, move |_| {
            r.fetch_add(1, SeqCst);
            let ok = Response { fields: vec![], ..Response::ok(t.lock().unwrap().clone()).tag("n") };
            let response = fields.iter().fold(ok, |response, (name, value)| response.field(name, *value));
            (!s.load(SeqCst)).then_some(response)
        });
        Self { running, text, reads, silent }
    }

    /// Read, and begin to wait.
    fn wait(&self, lines: &str) -> (String, Client) {
        let mut client = self.running.connect();
        let (head, _) = client.get("/n", lines).response();
        let link = field(&head, "link").unwrap();
        let url = link[1..link.find('>').unwrap()].to_owned();
        let waits = self.figure("waits_held");
        client.get(&url, "");
        while self.figure("waits_held") == waits {
            std::thread::yield_now();
        }
        (head, client)
    }

    fn figure(&self, name: &str) -> u64 {
        let figures: Value = serde_json::from_str(&self.running.node.stats()).unwrap();
        figures[name].as_u64().unwrap()
    }

    fn change(&self, text: &str) -> String {
        *self.text.lock().unwrap() = text.to_owned();
        self.running.node.changed(&["n"]).unwrap()
    }
}

fn first_change(client: &mut Client) -> Value {
    let told: Value = serde_json::from_str(&news(client)).unwrap();
    told["changes"][0].clone()
}

#[test]
fn a_change_is_read_once_for_all_who_wait_and_those_who_read_it_again() {
    let site = Site::new(Options::default(), &[], "one");
    let mut clients: Vec<Client> = (0..5).map(|_| site.wait("").1).collect();
    for text in ["two", "three"] {
        let reads = site.reads.load(SeqCst);
        let position = site.change(text);
        for client in &mut clients {
            let told: Value = serde_json::from_str(&news(client)).unwrap();
            let change = &told["changes"][0];
            assert_eq!((&told["position"], &change["body"]), (&json!(position), &json!(text)));
            let (head, body) = client.get(change["pinned"].as_str().unwrap(), "").response();
            assert_eq!((field(&head, "etag"), body.as_str()), (change["etag"].as_str(), text));
        }
        assert_eq!(site.reads.load(SeqCst), reads + 1);
        clients = clients.into_iter().map(|_| site.wait("").1).collect();
    }
    drop(clients);
    while site.figure("waits_held") > 0 {
        std::thread::yield_now();
    }
    let reads = site.reads.load(SeqCst);
    site.change("four");
    assert_eq!(site.running.connect().get("/n", "").response().1, "four");
    assert_eq!(site.reads.load(SeqCst), reads + 1, "nobody waits, so nothing is read for that");
}

#[test]
fn json_comes_as_what_is_different_if_that_is_shorter() {
    let row = |score: u32| json!({"score": score, "name": "a name that is quite long, and stays as it is"});
    let site = Site::new(Options::default(), &[("content-type", "application/json")], &row(1).to_string());
    let (head, mut client) = site.wait("");
    let etag = field(&head, "etag").unwrap().to_owned();
    site.change(&row(2).to_string());
    let change = first_change(&mut client);
    assert_eq!((&change["patch"], &change["base"]), (&json!({"score": 2}), &json!(etag)));
    assert!(change["body"].is_null() && change["etag"] != change["base"]);
    let (_, mut client) = site.wait("");
    site.change("[]");
    assert_eq!(first_change(&mut client)["body"], "[]");
}

#[test]
fn what_is_private_varies_or_is_large_does_not_ride_along() {
    let large = Options { notice_body_bytes: 3, ..Options::default() };
    let off = Options { notice_body_bytes: 0, ..Options::default() };
    type Lines = &'static [(&'static str, &'static str)];
    let cases: [(Options, Lines, &str); 5] = [
        (large, &[], ""),
        (off, &[], ""),
        (Options::default(), &[("vary", "accept-language")], ""),
        (Options::default(), &[("cache-control", "private")], ""),
        (Options::default(), &[], "Authorization: me\r\n"),
    ];
    for (options, fields, lines) in cases {
        let site = Site::new(options, fields, "secret");
        let (_, mut client) = site.wait(lines);
        let reads = site.reads.load(SeqCst);
        site.change("secret 2");
        let change = first_change(&mut client);
        assert_eq!(change["url"], "/n");
        assert!(change["body"].is_null() && !change.to_string().contains("secret"), "{change}");
        assert_eq!(site.reads.load(SeqCst), reads);
    }
}

#[test]
fn an_application_that_does_not_answer_holds_no_notice_back_for_long() {
    let site = Site::new(Options { notice_timeout_s: 0.0, ..Options::default() }, &[], "one");
    let (_, mut client) = site.wait("");
    site.silent.store(true, SeqCst);
    site.change("two");
    let change = first_change(&mut client);
    assert!(change["body"].is_null() && change["pinned"].is_string(), "{change}");
}
