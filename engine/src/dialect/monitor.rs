//! The words of monitor URLs: how they are written and read, and what a wait on one is answered with.
//!
//! Every answer is a cacheable one and true for ever: an old one only says less. Nothing here knows of sets or sockets.
//! Called by the shard that has the request, and by the hub, once for all who wait on one URL.
use crate::dialect::merge_patch;
use crate::http::fields::Fields;
use crate::http::refusal::{problem, problem_with};
use crate::http::response::{BodyFraming, DateClock, LAST_CHUNK, write_head};
use crate::hub::{Encode, Form};
use crate::resource::carried::Body;
use crate::resource::grid::Grid;
use crate::resource::monitors::{Asked, News};
use crate::resource::pinned;
use crate::resource::position::{Epoch, Position, parse};
use crate::resource::representation::Representation;
use crate::resource::set::Name;
use crate::transport::sse::{self, Event};
use serde_json::Value;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the monitor URLs of a node have in common.
#[derive(Clone, Debug)]
pub struct Words {
    /// The path prefix that belongs to the node.
    pub prefix: Box<str>,
    /// The log that positions belong to.
    pub epoch: Epoch,
    /// When waits end.
    pub grid: Grid,
    /// Say for each change where no stale copy of it can be read (option `pin`).
    pub pin: bool,
    /// Largest body in an answer, bytes.
    pub body_bytes: usize,
}

/// Why a monitor URL is not one, or not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It is not written as one.
    Malformed(&'static str),
    /// Its position belongs to another log.
    OtherLog,
}

/// What is shorter is over before a client has been told.
const MIN_SPREAD_S: f32 = 0.1;

const FORM: &str =
    "a monitor URL is <prefix>watch/<set>/<position>?c=<cycle>, with &sse behind it for an event stream";

impl Words {
    /// What a monitor URL asks for. Only what [`Words::url`] writes is one.
    pub fn read(&self, url: &str) -> Result<Asked, BadUrl> {
        let malformed = BadUrl::Malformed(FORM);
        let rest =
            url.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix("watch/")).ok_or(malformed)?;
        let (path, query) = rest.split_once('?').ok_or(malformed)?;
        let (set, position) = path.split_once('/').ok_or(malformed)?;
        let set = Name::parse(set).ok_or(malformed)?;
        let (epoch, salt, since) = parse(position).ok_or(malformed)?;
        let (cycle, events) = match query.strip_suffix("&sse") {
            Some(query) => (query, true),
            None => (query, false),
        };
        let cycle = cycle.strip_prefix("c=").and_then(number).ok_or(malformed)?;
        if salt.is_some() {
            return Err(malformed);
        }
        if epoch != self.epoch.to_string() {
            return Err(BadUrl::OtherLog);
        }
        Ok(Asked { set, since, cycle, events })
    }

    /// A monitor URL.
    pub fn url(&self, set: Name, since: u64, cycle: u64) -> String {
        format!("{}watch/{set}/{}?c={cycle}", self.prefix, self.position(since))
    }

    /// The `Link` to the monitor URL of now (RFC 5989), in pieces: for each answer, and quicker than displaying it.
    pub fn link<T>(&self, set: Name, since: u64, unix_ms: u64, f: impl FnOnce(&[&str]) -> T) -> T {
        let (mut set_text, mut cycle_text) = ([0; Name::TEXT_BYTES], itoa::Buffer::new());
        let cycle = cycle_text.format(self.grid.cycle(self.grid.phase_ms(set), unix_ms));
        let set = set.text(&mut set_text);
        self.position(since).salted(None).pieces(|[epoch, salt, hyphen, offset]| {
            let (start, end) = ("watch/", ">; rel=\"monitor\"");
            f(&["<", &self.prefix, start, set, "/", epoch, salt, hyphen, offset, "?c=", cycle, end])
        })
    }

    /// Why nobody can wait here, with the position of now: a read that is pinned to it gets past every old copy, whose
    /// `Link` would only lead here again.
    pub fn gone(&self, detail: &str, head: u64) -> Vec<u8> {
        problem_with(410, detail, "position", &self.position(head).to_string())
    }

    /// One set of many, and the position of now.
    pub fn united(&self, url: &str, head: u64) -> String {
        format!("{{\"monitor\":{},\"position\":\"{}\"}}", Value::from(url), self.position(head))
    }

    fn position(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// The answer to a wait as JSON; the next URL is of this cycle.
    pub fn json(&self, news: &News, next_cycle: u64) -> String {
        let mut text = format!("{{\"position\":\"{}\",\"changes\":[", self.position(news.offset));
        for (at, (resource, offset)) in news.changes.iter().enumerate() {
            let target = resource.path_and_query();
            let separator = if at > 0 { "," } else { "" };
            // A `String` takes everything.
            let _ = write!(text, "{separator}{{\"url\":{}", Value::from(target));
            if self.pin {
                let pinned = pinned::url(target, self.position(*offset));
                let _ = write!(text, ",\"pinned\":{}", Value::from(pinned));
            }
            if let Some(body) = news.bodies.iter().find(|body| body.resource == *resource) {
                self.write_body(&mut text, body);
            }
            text.push('}');
        }
        text.push(']');
        if news.spread_s >= MIN_SPREAD_S {
            let _ = write!(text, ",\"spread\":{:.1}", news.spread_s);
        }
        let _ = write!(text, ",\"next\":{}}}", Value::from(self.url(news.set, news.offset, next_cycle)));
        text
    }

    /// What a resource is now, or what is different in it if that is shorter (RFC 7396).
    fn write_body(&self, text: &mut String, Body { read, before, .. }: &Body) {
        if read.body.len() > self.body_bytes || !read.text {
            return;
        }
        let Ok(whole) = std::str::from_utf8(&read.body) else { return };
        let _ = write!(text, ",\"etag\":{}", Value::from(&*read.etag));
        let whole = Value::from(whole).to_string();
        let patch = before.as_ref().filter(|_| is_json(read)).and_then(|before| {
            let json = |read: &Representation| serde_json::from_slice::<Value>(&read.body).ok();
            let patch = merge_patch::diff(&json(before)?, &json(read)?)?.to_string();
            let shorter = patch.len() + before.etag.len() + 10 < whole.len();
            shorter.then(|| (patch, Value::from(&*before.etag)))
        });
        let _ = match patch {
            Some((patch, base)) => write!(text, ",\"patch\":{patch},\"base\":{base}"),
            None => write!(text, ",\"body\":{whole}"),
        };
    }

    /// The same as one event.
    pub fn event(&self, form: Form, news: &News, next_cycle: u64) -> Vec<u8> {
        let (data, id) = (self.json(news, next_cycle), self.position(news.offset).to_string());
        let event = Event { event: None, id: Some(&id), retry_ms: None, data: Some(data.as_bytes()) };
        let mut out = Vec::with_capacity(data.len() + 64);
        // Its fields are ours and have no line ends: it cannot fail.
        let _ = if form == Form::Sse {
            sse::encode_chunked(&event, &mut out)
        } else {
            sse::encode(&event, &mut out)
        };
        out
    }

    /// In which cycle whoever gets this goes on, now.
    pub fn next_cycle(&self, news: &News, unix_ms: u64) -> u64 {
        let phase_ms = self.grid.phase_ms(news.set);
        if news.changes.is_empty() {
            self.grid.after(phase_ms, news.cycle, unix_ms)
        } else {
            self.grid.cycle(phase_ms, unix_ms)
        }
    }

    fn response(&self, news: &News) -> Vec<u8> {
        let unix_ms = unix_ms();
        let body = self.json(news, self.next_cycle(news, unix_ms));
        let mut out = Vec::with_capacity(body.len() + 256);
        let fields = fields("application/json", self.grid.cycle_s());
        let date = *DateClock::default().at(unix_ms / 1000);
        write_head(&mut out, 1, 200, &fields, BodyFraming::Length(body.len() as u64), true, &date);
        out.extend_from_slice(body.as_bytes());
        out
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The fields of every answer on a monitor URL: any cache may keep it, and a page of any origin may read it, because the
/// URL is all it takes to ask.
pub fn fields(content_type: &str, max_age_s: u64) -> Fields {
    let mut fields = Fields::with_capacity(3, 128);
    fields.push("content-type", content_type);
    fields.push_display("cache-control", format_args!("public, max-age={}", max_age_s.max(1)));
    fields.push("access-control-allow-origin", "*");
    fields
}

/// Whether a body says that it is JSON.
fn is_json(read: &Representation) -> bool {
    let kind = read.fields.get("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind.ends_with(b"/json") || kind.ends_with(b"+json")
}

/// News on their way to who waits on one URL.
pub struct Told {
    words: Arc<Words>,
    news: News,
    /// What ends the wait; encoded once.
    end: [OnceLock<Arc<[u8]>>; 2],
}

impl Told {
    /// Nothing is encoded yet.
    pub fn new(words: Arc<Words>, news: News) -> Self {
        Self { words, news, end: Default::default() }
    }
}

impl Encode for Told {
    fn encode(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Sse | Form::SseUnchunked => {
                self.words.event(form, &self.news, self.words.next_cycle(&self.news, unix_ms()))
            }
            Form::Poll => self.words.response(&self.news),
            Form::WebSocket | Form::WebSocketDeflate => vec![],
        }
    }

    fn unchanged(&self, form: Form) -> Arc<[u8]> {
        let end = &self.end[usize::from(form == Form::SseUnchunked)];
        end.get_or_init(|| match form {
            Form::Sse | Form::SseUnchunked => {
                let nothing = News { changes: vec![], spread_s: 0.0, bodies: vec![], ..self.news.clone() };
                let mut out = self.words.event(form, &nothing, self.words.next_cycle(&nothing, unix_ms()));
                if form == Form::Sse {
                    out.extend_from_slice(LAST_CHUNK);
                }
                out.into()
            }
            form => self.encode(form).into(),
        })
        .clone()
    }
}

/// What whoever waits on a set is told when it is revoked.
pub struct Revoked;

/// Why nobody can wait on a set.
pub const GONE: &str =
    "this set is not known here (any more): read the resource again, its Link names a new one";

impl Encode for Revoked {
    fn encode(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Sse => LAST_CHUNK.into(),
            Form::Poll => {
                let body = problem(410, GONE);
                let date = *DateClock::default().at(unix_ms() / 1000);
                let fields = fields("application/problem+json", 1);
                let mut out = vec![];
                write_head(&mut out, 1, 410, &fields, BodyFraming::Length(body.len() as u64), true, &date);
                out.extend_from_slice(&body);
                out
            }
            _ => vec![],
        }
    }

    fn unchanged(&self, form: Form) -> Arc<[u8]> {
        self.encode(form).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::key::ResourceKey;
    use proptest::prelude::*;

    fn words() -> Words {
        Words {
            prefix: "/.fresh/".into(),
            epoch: Epoch::from_bits(0x0123_4567),
            grid: Grid::new(12.0),
            pin: true,
            body_bytes: 4096,
        }
    }

    const SET: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_monitor_url_is_read_exactly_as_it_is_written() {
        let set = Name::parse(SET).unwrap();
        let url = words().url(set, 7, 130);
        assert_eq!(url, format!("/.fresh/watch/{SET}/01234567-7?c=130"));
        let asked = Asked { set, since: 7, cycle: 130, events: false };
        assert_eq!(words().read(&url), Ok(asked));
        assert_eq!(words().read(&format!("{url}&sse")), Ok(Asked { events: true, ..asked }));
        assert_eq!(words().read(&url.replace("01234567", "00000000")), Err(BadUrl::OtherLog));
        for bad in [
            url.replace("?c=130", ""),
            url.replace("c=130", "c="),
            url.replace("c=130", "c=0130"),
            url.replace("c=130", "c=+130"),
            url.replace("c=130", "c=99999999999999999999"),
            url.replace("c=130", "sse&c=130"),
            url.replace("c=130", "c=130&c=131"),
            url.replace("c=130", "c=130&sse&sse"),
            url.replace("c=130", "c=130&x=1"),
            url.replace("c=130", "c=130&sse=1"),
            url.replace("-7", "-07"),
            url.replace("01234567-7", "0123456789abcdef-7"),
            url.replace(SET, "AAAAAAAAAAAAAAAAAAAAAB"),
            url.replace(SET, "AAAAAAAAAAAAAAAAAAAAA"),
            url.replace(SET, "AAAAAAAAAAAAAAAAAAAA=="),
            url.replace("/.fresh/", "/"),
            url.replace("watch", "watch/"),
        ] {
            assert!(matches!(words().read(&bad), Err(BadUrl::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn who_cannot_wait_is_told_what_to_read_at() {
        let gone: Value = serde_json::from_slice(&words().gone(GONE, 9)).unwrap();
        assert_eq!(
            (&gone["status"], &gone["detail"], &gone["position"]),
            (&410.into(), &GONE.into(), &"01234567-9".into())
        );
    }

    proptest! {
        #[test]
        fn only_what_would_be_written_is_read(
            url in "/.fresh/watch/[A-Za-z0-9_-]{21,23}/[0-9a-f]{7,9}-[0-9]{1,3}[?]c=[0-9]{0,3}(&sse)?|/.fresh/watch/[ -~é]{0,60}",
        ) {
            let words = words();
            if let Ok(asked) = words.read(&url) {
                let sse = if asked.events { "&sse" } else { "" };
                prop_assert_eq!(words.url(asked.set, asked.since, asked.cycle) + sse, url);
            }
        }

        #[test]
        fn no_url_breaks_the_json_and_everything_in_it_can_be_asked(
            target in "/[ -~é]{0,20}", offset in 1u64..1 << 60, cycle in 0u64..1 << 40, next in 0u64..1 << 40,
        ) {
            let set = Name::parse(SET).unwrap();
            let resource = ResourceKey::new("http", "h", &target);
            let news = News { set, offset: offset + 1, changes: vec![(resource, offset)], cycle, spread_s: 0.0, bodies: vec![] };
            let json: Value = serde_json::from_str(&words().json(&news, next)).unwrap();
            prop_assert_eq!(json["changes"][0]["url"].as_str(), Some(&*target));
            let (stripped, pinned) = pinned::strip(json["changes"][0]["pinned"].as_str().unwrap(), words().epoch);
            prop_assert_eq!((&*stripped, pinned), (&*target, Some(offset)));
            let asked = words().read(json["next"].as_str().unwrap()).unwrap();
            prop_assert_eq!((asked.set, asked.since, asked.cycle), (set, offset + 1, next));
            prop_assert_eq!(json["position"].as_str(), Some(&*words().position(offset + 1).to_string()));
        }
    }
}
