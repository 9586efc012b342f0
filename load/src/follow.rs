//! How a member follows a resource by its monitor URLs, through whatever caches stand between: it reads, waits on the URL in
//! `Link`, reads again what the notice pins, and waits on the next. It knows no sockets: `wire` has it take answers and
//! says what it is to ask next.
use crate::response::Head;
use crate::scan::Seen;
use crate::stamp::Finder;
use serde::{Deserialize, Serialize};

/// A notice that is longer is not taken: the resource is read anew.
const MAX_NOTICE_BYTES: usize = 256 * 1024;

/// What a member waits for an answer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// A read of the resource, to begin with or because its position means nothing any more.
    #[default]
    Read,
    /// A wait.
    Wait,
    /// A read because of a notice.
    Reread,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Nothing has changed.
    Nothing,
    /// Something has.
    Changed,
    /// The position means nothing any more.
    Gone,
    /// An error, after which the member pauses.
    Failed,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Follow {
    step: Step,
    /// Where to wait after the read.
    monitor: Vec<u8>,
    /// The position that the read must not be before.
    notice: u64,
    /// The notice, as far as it has come.
    body: Vec<u8>,
    /// A notice is followed by the resource's own URL, and not by what it pins.
    unpinned: bool,
    /// What to ask next; empty: the resource.
    pub target: Vec<u8>,
    /// How long to pause before it asks, nanoseconds.
    pub pause_ns: u64,
}

/// The answer to a wait, as far as a member needs it.
#[derive(Deserialize)]
struct Notice {
    #[serde(default)]
    position: String,
    changes: Vec<Change>,
    #[serde(default)]
    spread: f64,
    next: String,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    pinned: String,
    #[serde(default)]
    body: Option<serde_json::Value>,
}

/// A pause after an error, as a client must make it that does not want to be a storm.
const PAUSE_NS: u64 = 1_000_000_000;

/// Where in its log a position is; 0 if it is none.
pub fn offset(position: &[u8]) -> u64 {
    let digits = position.rsplit(|byte| *byte == b'-').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The target of `rel="monitor"` in the value of a `Link` (RFC 8288), as far as there is one.
pub fn monitor_of(link: &[u8]) -> Option<&[u8]> {
    let mut rest = link;
    loop {
        let (open, close) = (memchr::memchr(b'<', rest)?, memchr::memchr(b'>', rest)?);
        let target = rest.get(open + 1..close)?;
        rest = &rest[close + 1..];
        let parameters = &rest[..memchr::memchr(b'<', rest).unwrap_or(rest.len())];
        let monitors = parameters.split(|byte| matches!(byte, b';' | b','));
        let mut monitors = monitors.map(<[u8]>::trim_ascii);
        if monitors.any(|one| one == b"rel=monitor" || one == b"rel=\"monitor\"") {
            return Some(target);
        }
    }
}

impl Follow {
    /// Before its first read. `pinned`: a notice is followed by what it pins, and not by the resource's own URL.
    pub fn new(pinned: bool) -> Self {
        Self { unpinned: !pinned, ..Self::default() }
    }

    /// Whether the answer that comes is one to a wait.
    pub fn waits(&self) -> bool {
        self.step == Step::Wait
    }

    /// Take a piece of the body.
    pub fn feed(&mut self, data: &[u8]) {
        if self.step == Step::Wait && self.body.len() <= MAX_NOTICE_BYTES {
            self.body.extend_from_slice(data);
        }
    }

    /// Take the head of an answer.
    pub fn head(&mut self, head: &Head) {
        if self.step != Step::Wait && !head.monitor.is_empty() && self.monitor.is_empty() {
            self.monitor.clone_from(&head.monitor);
        }
    }

    /// An answer is there whole.
    pub fn answered(&mut self, status: u16, position: u64, stamp: u64, seen: &mut impl FnMut(Seen<'_>)) {
        self.pause_ns = 0;
        let body = std::mem::take(&mut self.body);
        match (self.step, status) {
            (Step::Read | Step::Reread, 200) => {
                if self.step == Step::Reread {
                    seen(Seen::Reread { least: self.notice, made_at: position, stamp });
                }
                seen(Seen::Message(stamp));
                let monitor = std::mem::take(&mut self.monitor);
                self.wait_at(monitor);
            }
            (Step::Wait, 200) => self.told(&body, seen),
            // What some servers say for "nothing yet"; where to wait on, it cannot say.
            (Step::Wait, 204) => seen(Seen::Told(Told::Nothing)),
            (_, 410) => {
                seen(Seen::Told(Told::Gone));
                self.read();
            }
            _ => {
                seen(Seen::Told(Told::Failed));
                self.pause_ns = PAUSE_NS;
            }
        }
    }

    fn told(&mut self, body: &[u8], seen: &mut impl FnMut(Seen<'_>)) {
        let Ok(notice) = serde_json::from_slice::<Notice>(body) else {
            seen(Seen::Told(Told::Failed));
            self.pause_ns = PAUSE_NS;
            return self.read();
        };
        let Some(change) = notice.changes.into_iter().next() else {
            seen(Seen::Told(Told::Nothing));
            return self.wait_at(notice.next.into_bytes());
        };
        seen(Seen::Told(Told::Changed));
        self.notice = offset(notice.position.as_bytes());
        if let Some(body) = change.body {
            let (mut finder, mut stamp) = (Finder::default(), 0);
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            finder.feed(text.as_bytes(), |found| stamp = found);
            seen(Seen::Reread { least: self.notice, made_at: self.notice, stamp });
            seen(Seen::Message(stamp));
            return self.wait_at(notice.next.into_bytes());
        }
        self.monitor = notice.next.into_bytes();
        self.pause_ns = (notice.spread.clamp(0.0, 3600.0) * 1e9) as u64;
        self.step = Step::Reread;
        self.target = if self.unpinned { Vec::new() } else { change.pinned.into_bytes() };
    }

    fn wait_at(&mut self, monitor: Vec<u8>) {
        (self.step, self.target) = (Step::Wait, monitor);
    }

    fn read(&mut self) {
        let pause_ns = self.pause_ns;
        *self = Self { pause_ns, unpinned: self.unpinned, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(follow: &mut Follow, status: u16, body: &str, position: u64, stamp: u64) -> Vec<String> {
        let mut said = vec![];
        follow.feed(body.as_bytes());
        follow.answered(status, position, stamp, &mut |seen| said.push(format!("{seen:?}")));
        said
    }

    fn at(follow: &Follow) -> &str {
        std::str::from_utf8(&follow.target).unwrap()
    }

    fn waiting() -> Follow {
        Follow { step: Step::Wait, target: b"/w/s/e-1?c=4".to_vec(), ..Follow::default() }
    }

    #[test]
    fn it_reads_waits_and_reads_what_is_pinned() {
        let mut follow = Follow { monitor: b"/w/s/e-1?c=4".to_vec(), ..Follow::default() };
        assert_eq!(said(&mut follow, 200, "", 1, 7), ["Message(7)"]);
        assert_eq!((at(&follow), follow.waits()), ("/w/s/e-1?c=4", true));
        let nothing = r#"{"position":"e-1","changes":[],"next":"/w/s/e-1?c=5"}"#;
        assert_eq!(said(&mut follow, 200, nothing, 0, 0), ["Told(Nothing)"]);
        assert_eq!(at(&follow), "/w/s/e-1?c=5");
        let notice =
            r#"{"position":"e-12","changes":[{"url":"/x","pinned":"/x?fresh=e-12"}],"next":"/w/s/e-12?c=5"}"#;
        assert_eq!(said(&mut follow, 200, notice, 0, 0), ["Told(Changed)"]);
        assert_eq!((at(&follow), follow.waits()), ("/x?fresh=e-12", false));
        let read = "Reread { least: 12, made_at: 13, stamp: 9 }";
        assert_eq!(said(&mut follow, 200, "", 13, 9), [read, "Message(9)"]);
        assert_eq!((at(&follow), follow.waits()), ("/w/s/e-12?c=5", true));
    }

    #[test]
    fn a_body_in_the_notice_is_the_representation() {
        for body in [r#""{\"at\":\"00000000000000000007\"}""#, r#"{"at":"00000000000000000007"}"#] {
            let mut follow = waiting();
            let notice =
                format!(r#"{{"position":"e-12","changes":[{{"url":"/x","body":{body}}}],"next":"/n"}}"#);
            let read = "Reread { least: 12, made_at: 12, stamp: 7 }";
            assert_eq!(said(&mut follow, 200, &notice, 0, 0), ["Told(Changed)", read, "Message(7)"]);
            assert_eq!(at(&follow), "/n");
        }
    }

    #[test]
    fn what_is_gone_is_read_anew_and_after_an_error_there_is_a_pause() {
        let mut follow = waiting();
        assert_eq!(said(&mut follow, 503, "", 0, 0), ["Told(Failed)"]);
        assert_eq!((at(&follow), follow.pause_ns), ("/w/s/e-1?c=4", PAUSE_NS));
        assert_eq!(said(&mut follow, 204, "", 0, 0), ["Told(Nothing)"]);
        assert_eq!((at(&follow), follow.pause_ns), ("/w/s/e-1?c=4", 0));
        assert_eq!(said(&mut follow, 410, "{}", 0, 0), ["Told(Gone)"]);
        assert_eq!((at(&follow), follow.waits()), ("", false));
        let mut follow = waiting();
        assert_eq!(said(&mut follow, 200, "<html>", 0, 0), ["Told(Failed)"]);
        assert_eq!((at(&follow), follow.pause_ns), ("", PAUSE_NS));
    }

    #[test]
    fn the_monitor_is_found_among_other_links() {
        for link in [
            "</w>; rel=\"monitor\"",
            "</a>; rel=next, </w>;rel=monitor",
            "</w>; title=\"x\"; rel=\"monitor\", </b>; rel=prev",
        ] {
            assert_eq!(monitor_of(link.as_bytes()), Some(&b"/w"[..]), "{link}");
        }
        assert_eq!(monitor_of(b"</a>; rel=next"), None);
        assert_eq!((offset(b"1234abcd-56"), offset(b"x"), offset(b"")), (56, 0, 0));
    }
}
