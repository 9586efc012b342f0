//! What the members are to do, worked out once: addresses, and the bytes that each of them sends.
use crate::options::{Options, Transport};
use freshwire_engine::transport::websocket::handshake::accept_key;
use socket2::SockAddr;
use std::net::ToSocketAddrs;

/// The key of every handshake: RFC 6455's example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Stands for the number of the member.
const NUMBER: &[u8] = b"{n}";

/// Bytes with the member's number in some places.
#[derive(Debug)]
struct Template(Vec<Vec<u8>>);

impl Template {
    fn new(text: &[u8]) -> Self {
        let (mut parts, mut from) = (vec![], 0);
        for at in memchr::memmem::find_iter(text, NUMBER) {
            parts.push(text[from..at].to_vec());
            from = at + NUMBER.len();
        }
        parts.push(text[from..].to_vec());
        Self(parts)
    }

    fn write(&self, number: usize, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(digits);
            }
            out.extend_from_slice(part);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Plan {
    /// Where to connect to, in turn.
    pub targets: Vec<SockAddr>,
    /// What members speak.
    pub transport: Transport,
    /// Every member watches something of its own.
    pub each_its_own: bool,
    /// What must come back as `Sec-WebSocket-Accept`.
    pub accept: Vec<u8>,
    wait: String,
    /// A request without the empty line at its end; raw: all of it.
    request: Template,
    /// What follows the target of a request.
    after_target: Template,
    /// The POST that makes a change, whole; empty: none.
    pub change: Vec<u8>,
}

/// `host:port` or `unix:/path`.
fn address(target: &str) -> Result<SockAddr, String> {
    if let Some(path) = target.strip_prefix("unix:") {
        return SockAddr::unix(path).map_err(|error| format!("{target}: {error}"));
    }
    let found = target.to_socket_addrs().map_err(|error| format!("{target}: {error}"))?;
    // A server that listens on one address mostly does so on the IPv4 one.
    let found = found.min_by_key(|address| address.is_ipv6());
    found.map(SockAddr::from).ok_or(format!("{target} has no address"))
}

fn lines(fields: &[String]) -> Result<String, String> {
    fields.iter().try_fold(String::new(), |all, field| {
        let bad = || format!("the header {field:?} is not written 'Name: value'");
        let (name, value) = field.split_once(':').ok_or_else(bad)?;
        if name.is_empty() || field.contains(['\r', '\n', '\0']) || name.contains(' ') {
            return Err(bad());
        }
        Ok(format!("{all}{name}: {}\r\n", value.trim()))
    })
}

fn check_path(path: &str) -> Result<(), String> {
    let fine = path.starts_with('/') && path.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    if fine { Ok(()) } else { Err(format!("{path:?} is not a path: /matches/7")) }
}

impl Plan {
    /// Work it out. Fails with what is wrong with the options.
    pub fn new(options: &Options) -> Result<Self, String> {
        let targets = options.targets.iter().map(|target| address(target)).collect::<Result<Vec<_>, _>>()?;
        let first = options.targets.first().ok_or("no target: host:port")?;
        let host = match &*options.host {
            "" if first.starts_with("unix:") => "localhost",
            "" => first,
            host => host,
        };
        check_path(&options.path)?;
        let positive = |value: f64| value.is_finite() && value >= 0.0;
        let numbers =
            [options.rate, options.connect_rate, options.timeout_s, options.settle_s, options.change_rate];
        if !numbers.into_iter().chain(options.seconds).all(positive) {
            return Err("a rate or a time is negative or no number".into());
        }
        if options.connections == 0 || options.window == 0 {
            return Err("connections and window must be at least 1".into());
        }
        let mut request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", options.path);
        request += match options.transport {
            Transport::Sse => "Accept: text/event-stream\r\nCache-Control: no-cache\r\n",
            Transport::Websocket => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            }
            Transport::LongPoll | Transport::Get | Transport::Wait | Transport::Raw => "",
        };
        if options.transport == Transport::Websocket {
            request += &format!("Sec-WebSocket-Key: {KEY}\r\n");
            if !options.subprotocol.is_empty() {
                request += &lines(&[format!("Sec-WebSocket-Protocol: {}", options.subprotocol)])?;
            }
        }
        request += &lines(&options.headers)?;
        let request = if options.transport == Transport::Raw {
            std::fs::read(&options.raw).map_err(|error| format!("--raw {:?}: {error}", options.raw))?
        } else {
            request.into_bytes()
        };
        let mut change = String::new();
        if !options.changes.is_empty() {
            check_path(&options.changes)?;
            let (fields, body) = (lines(&options.change_headers)?, &options.change_body);
            let length = body.len();
            change = format!(
                "POST {} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{fields}\r\n{body}",
                options.changes
            );
        }
        Ok(Self {
            targets,
            transport: options.transport,
            each_its_own: memchr::memmem::find(&request, NUMBER).is_some(),
            accept: accept_key(KEY.as_bytes()).into_bytes(),
            wait: format!("Prefer: wait={}\r\n", options.wait_s),
            after_target: Template::new(request.get("GET ".len() + options.path.len()..).unwrap_or_default()),
            request: Template::new(&request),
            change: change.into_bytes(),
        })
    }

    /// Where a member connects to.
    pub fn target(&self, number: usize) -> &SockAddr {
        &self.targets[number % self.targets.len()]
    }

    /// Write a member's request for something else than what all ask for.
    pub fn request_for(&self, target: &[u8], number: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(target);
        self.after_target.write(number, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Write what a member asks for; `last`: the position or entity tag that it has.
    pub fn request(&self, number: usize, last: &[u8], out: &mut Vec<u8>) {
        self.request.write(number, out);
        let name: &[u8] = match self.transport {
            Transport::Raw => return,
            Transport::LongPoll => b"If-None-Match: ",
            Transport::Sse | Transport::Websocket => b"Last-Event-ID: ",
            Transport::Get | Transport::Wait => b"",
        };
        if !last.is_empty() && !name.is_empty() {
            out.extend_from_slice(&[name, last, b"\r\n"].concat());
            if self.transport == Transport::LongPoll {
                out.extend_from_slice(self.wait.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: Options) -> Result<Plan, String> {
        Plan::new(&Options { targets: vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()], ..options })
    }

    fn request(plan: &Plan, number: usize, last: &[u8]) -> String {
        let mut out = vec![];
        plan.request(number, last, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_member_asks_for_what_is_its_own_and_says_what_it_has() {
        let headers = vec!["X-N: {n}".into()];
        let own = plan(Options { path: "/x/{n}?n={n}".into(), headers, ..Options::default() }).unwrap();
        assert!(own.each_its_own);
        assert_eq!(
            request(&own, 12, b"a-1"),
            "GET /x/12?n=12 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAccept: text/event-stream\r\n\
             Cache-Control: no-cache\r\nX-N: 12\r\nLast-Event-ID: a-1\r\n\r\n"
        );
        assert_eq!(own.target(3), &own.targets[1]);
        let poll = plan(Options { transport: Transport::LongPoll, ..Options::default() }).unwrap();
        assert_eq!(request(&poll, 0, b""), "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
        assert!(request(&poll, 0, b"\"x\"").ends_with("If-None-Match: \"x\"\r\nPrefer: wait=25\r\n\r\n"));
        assert!(!poll.each_its_own);
        let headers = vec!["Cookie: user={n}".into()];
        let wait = plan(Options { transport: Transport::Wait, headers, ..Options::default() }).unwrap();
        let mut out = vec![];
        wait.request_for(b"/w?c=1", 3, &mut out);
        assert_eq!(out, b"GET /w?c=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nCookie: user=3\r\n\r\n");
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_request() {
        for options in [
            Options { path: "/x HTTP/1.1\r\n".into(), ..Options::default() },
            Options { path: "x".into(), ..Options::default() },
            Options { headers: vec!["A: b\r\nC: d".into()], ..Options::default() },
            Options { headers: vec!["no colon".into()], ..Options::default() },
            Options { rate: f64::NAN, ..Options::default() },
            Options { connections: 0, ..Options::default() },
        ] {
            assert!(plan(options).is_err());
        }
    }
}
