//! A node with an application in Rust, and a client that speaks raw bytes.
#![allow(dead_code)]
use bytes::Bytes;
use freshwire_engine::app::{Answer, Answers, App, Event, ExchangeId, Request, ResponseHead};
use freshwire_engine::limits::Options;
use freshwire_engine::node::{Listener, Node, Role};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What an application answers: status, fields, tags, body.
pub struct Response {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub tags: Vec<&'static str>,
    pub body: String,
}

impl Response {
    pub fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            fields: vec![("content-type", "text/plain".into())],
            tags: vec![],
            body: body.into(),
        }
    }
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tags.push(tag);
        self
    }
}

type Handler = dyn Fn(&Request) -> Option<Response> + Send + Sync;

/// Answers on the shard's own thread, at once; a handler that returns `None` never answers.
struct TestApp {
    answers: OnceLock<Arc<dyn Answers>>,
    handler: Box<Handler>,
    events: Mutex<Vec<Event>>,
}

impl App for TestApp {
    fn request(&self, request: Request) {
        let Some(response) = (self.handler)(&request) else { return };
        let head = ResponseHead {
            status: response.status,
            fields: response.fields.into_iter().collect(),
            tags: response.tags.into_iter().map(Box::from).collect(),
            content_length: None,
        };
        let answer = Answer::Start { head: Box::new(head), body: Bytes::from(response.body), more: false };
        self.answers.get().unwrap().answer(request.id, answer);
    }
    fn event(&self, _: ExchangeId, event: Event) {
        self.events.lock().unwrap().push(event);
    }
    fn wake(&self) {
        self.answers.get().unwrap().flush();
    }
}

/// A running node.
pub struct Running {
    pub node: Node,
    pub address: SocketAddr,
}

pub fn start(
    options: Options,
    handler: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Listener { fd: listener.into(), role: Role::Public, address: address.to_string() };
    let node = Node::new(options, vec![listener]).unwrap();
    let app = TestApp { answers: OnceLock::new(), handler: Box::new(handler), events: Mutex::default() };
    let _ = app.answers.set(node.answers());
    node.start(Arc::new(app)).unwrap();
    Running { node, address }
}

impl Running {
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, seen: vec![] }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.shutdown(Box::new(|| ()));
        self.node.shutdown(Box::new(|| ()));
        self.node.join();
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    seen: Vec<u8>,
}

impl Client {
    pub fn send(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(text.as_ref()).unwrap();
        self
    }

    /// A GET with more field lines.
    pub fn get(&mut self, path: &str, lines: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n"))
    }

    /// Read until the text has come; everything up to its end.
    pub fn until(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|w| w == text.as_bytes()) {
                return String::from_utf8_lossy(&self.seen.drain(..at + text.len()).collect::<Vec<_>>())
                    .into_owned();
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    panic!("the end instead of {text:?} after {:?}", String::from_utf8_lossy(&self.seen))
                }
                Ok(n) => self.seen.extend_from_slice(&buffer[..n]),
                Err(error) => {
                    panic!("{error} instead of {text:?} after {:?}", String::from_utf8_lossy(&self.seen))
                }
            }
        }
    }

    /// Read one response with a `content-length`: head and body.
    pub fn response(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |n| n.parse().unwrap());
        while self.seen.len() < length {
            let mut buffer = [0; 4096];
            let n = self.stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the body of {head:?} was cut short");
            self.seen.extend_from_slice(&buffer[..n]);
        }
        let body = self.seen.drain(..length).collect::<Vec<_>>();
        (head, String::from_utf8(body).unwrap())
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> String {
        let mut seen = std::mem::take(&mut self.seen);
        let _ = self.stream.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    }
}

/// The value of a field in a head.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, v)| v))
}

/// The answer to a wait that the client has begun, in whichever cycle something changes.
pub fn news(client: &mut Client) -> String {
    loop {
        let (_, body) = client.response();
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        if answer["changes"].as_array().is_some_and(|changes| !changes.is_empty()) {
            return body;
        }
        client.get(answer["next"].as_str().unwrap(), "");
    }
}
