//! What to do, as the command line and Python say it: every option with its unit and default, in one place.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a member gets what it watches.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A GET of an event stream.
    #[default]
    Sse,
    /// A WebSocket.
    Websocket,
    /// Conditional GETs that wait, one after the other.
    LongPoll,
    /// GETs, as fast as they are answered or at a rate.
    Get,
    /// A GET, then waits on its monitor URL and reads what changed.
    Wait,
    /// Bytes of a file; every stamp that comes back is a message.
    Raw,
}

/// What a member must have got to be there.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// A connection, on which it has said what it wants.
    Connected,
    /// A good answer.
    Answered,
    /// A first message.
    Greeted,
}

/// See [`HELP`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Options {
    pub targets: Vec<String>,
    pub connections: usize,
    pub transport: Transport,
    pub path: String,
    pub host: String,
    pub headers: Vec<String>,
    pub subprotocol: String,
    pub raw: String,
    pub wait_s: u32,
    pub pinned: bool,
    pub rate: f64,
    pub ready: Option<Ready>,
    pub stall: usize,
    pub connect_rate: f64,
    pub window: usize,
    pub timeout_s: f64,
    pub seconds: Option<f64>,
    pub settle_s: f64,
    pub changes: String,
    pub change_rate: f64,
    pub change_body: String,
    pub change_headers: Vec<String>,
    pub pids: Vec<u32>,
    pub progress: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: vec![],
            connections: 100,
            transport: Transport::Sse,
            path: "/".into(),
            host: String::new(),
            headers: vec![],
            subprotocol: "freshwire.v1".into(),
            raw: String::new(),
            wait_s: 25,
            pinned: true,
            rate: 0.0,
            ready: None,
            stall: 0,
            connect_rate: 0.0,
            window: 64,
            timeout_s: 10.0,
            seconds: None,
            settle_s: 0.5,
            changes: String::new(),
            change_rate: 1.0,
            change_body: String::new(),
            change_headers: vec![],
            pids: vec![],
            progress: true,
        }
    }
}

/// What `freshwire-load --help` prints.
pub const HELP: &str = "\
freshwire-load TARGET[,TARGET...] [OPTIONS]: many connections on one thread, and what reaches them.

A target is host:port, or unix:/path; members are spread over several in turn. {n} in paths, headers and raw files is the
member's number. Every option is also a key of the JSON object that the library takes.

  --connections N     members (100)
  --transport T       sse, websocket, long-poll, get, wait, or raw (sse)
  --path PATH         what they ask for (/)
  --host HOST         the Host field (the target)
  --headers 'A: B'    another field of the request; repeatable
  --subprotocol NAME  websocket: the one offered, none if empty (freshwire.v1)
  --raw FILE          raw: the bytes that a member sends
  --wait-s S          long-poll: how long the server may let it wait (25)
  --pinned BOOL       wait: read what a notice pins, and not the resource's own URL again (true)
  --rate R            get: requests a second, in all; their time counts from when they should have been sent (0: each
                      member asks again as soon as it is answered)
  --ready WHAT        when a member is there: connected, answered, or greeted by a first message (answered; raw: greeted)
  --stall K           the first K members never read (0)
  --connect-rate R    connects a second (0: as fast as --window lets)
  --window N          connects that may be under way at once (64)
  --timeout-s S       how long a member may take to be there (10)
  --seconds S         measure so long, print one JSON object and end (without: take orders, see below)
  --settle-s S        with --seconds: what comes so soon after everybody is there is no message (0.5)
  --changes PATH      POST this while measuring, on the first target, at --change-rate
  --change-rate R     POSTs a second (1)
  --change-body TEXT  their body (none)
  --change-headers    another field of theirs; repeatable
  --pids PID          a process of the server: its CPU time and memory are measured; repeatable
  --progress BOOL     tell on standard error how far it is (true)

A message is an event with data, a text or binary message, a 200 to a conditional GET, with wait what is read or comes in
a notice, or with raw a stamp. Its delay is known if it has a stamp in it: \"at\":\"<20 digits>\", nanoseconds since 1970.
With --changes it is also known without: it counts from the sending of the POST, for those changes that had reached
everybody before the next POST was due.

wait: a member reads, waits on the URL of `Link: <...>; rel=\"monitor\"`, reads what the notice pins and waits on `next`.
Counted are `waits` by how they ended, `rereads`, those that were `early` (made before the position of their notice), and
those that were `stale`: without a change whose POST had been answered with a position no later, and a stamp. `behind` is
how many do not know of the last such change.

Orders on standard input, without --seconds. Each is answered by a line of JSON; so is `ready` at the beginning, once every
member is there or has failed, and the end of the input or `leave`, which end it. What came before `ready` does not count.
  mark    what has come since the last mark
  cut     close all connections, come back with the last position, and say how long it took
  await   forget what has come, answer `awaiting`, and answer again like `mark` once a change has reached everybody
  return  have those come back, with the last position, whose connections the server has ended, and say how long it took
  go      get: begin to ask (without --rate: as fast as possible), stop at the next mark
  leave   close everything and end
";

impl Options {
    /// From the words of a command line. Fails with what is wrong.
    pub fn from_words(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut options = Map::new();
        let mut add = |key: String, value: String| {
            if matches!(&*key, "targets" | "headers" | "change_headers" | "pids") {
                let list = options.entry(key).or_insert(Value::Array(vec![]));
                let value = value.parse().map_or(Value::String(value), |number: u32| Value::from(number));
                list.as_array_mut().expect("it was made so").push(value);
            } else {
                let literal = serde_json::from_str(&value).ok().filter(|value: &Value| !value.is_string());
                options.insert(key, literal.unwrap_or(Value::String(value)));
            }
        };
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(flag) => {
                    let (flag, value) = match flag.split_once('=') {
                        Some((flag, value)) => (flag, Some(value.to_owned())),
                        None => (flag, words.next()),
                    };
                    add(flag.replace('-', "_"), value.ok_or(format!("--{flag} needs a value"))?);
                }
                None => word.split(',').for_each(|target| add("targets".into(), target.into())),
            }
        }
        serde_json::from_value(Value::Object(options)).map_err(|error| error.to_string())
    }

    /// When a member is there, if nobody says it.
    pub fn ready(&self) -> Ready {
        self.ready.unwrap_or(match self.transport {
            Transport::Raw => Ready::Greeted,
            _ => Ready::Answered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        Options::from_words(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_the_fields() {
        let line = "a:1,b:2 --connections 5 --transport long-poll --path=/x/{n} --headers A:b --headers C:d \
                    --seconds 1.5 --ready greeted --progress false --pids 7 --pids 8";
        let options = options(line).unwrap();
        assert_eq!(options.targets, ["a:1", "b:2"]);
        assert_eq!((options.connections, options.transport), (5, Transport::LongPoll));
        assert_eq!((&*options.path, options.seconds, options.progress), ("/x/{n}", Some(1.5), false));
        assert_eq!(options.headers, ["A:b", "C:d"]);
        assert_eq!((options.ready(), options.pids), (Ready::Greeted, vec![7, 8]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(options("a:1 --conections 5").unwrap_err().contains("conections"));
        assert!(options("a:1 --connections many").unwrap_err().contains("many"));
        assert!(options("a:1 --connections").unwrap_err().contains("needs a value"));
        assert!(options("a:1 --transport ftp").unwrap_err().contains("long-poll"));
    }

    #[test]
    fn the_help_has_every_option_and_no_other() {
        let said = HELP.lines().filter_map(|line| line.trim().strip_prefix("--")?.split(' ').next());
        let mut said: Vec<String> = said.map(|flag| flag.replace('-', "_")).collect();
        said.push("targets".into());
        for name in &said {
            let error =
                serde_json::from_value::<Options>(serde_json::json!({ name.clone(): {} })).unwrap_err();
            assert!(!error.to_string().contains("unknown field"), "{name}: {error}");
        }
        let error = serde_json::from_value::<Options>(serde_json::json!({ "?": 1 })).unwrap_err().to_string();
        assert_eq!(error.matches('`').count() / 2 - 1, said.len(), "{error}");
    }
}
