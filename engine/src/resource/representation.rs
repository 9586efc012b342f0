//! A representation: one whole response to a GET, made at a position, never changed afterwards.
//!
//! It holds what a hit, a 304 and an event are written from, and what `freshness` compares. Fields that belong to one
//! connection or one exchange are gone from it; those that Freshwire adds are kept apart (see `annotate`).
//! Made by whoever has the application's whole answer; shared by the cache and the watches in an `Arc`.
use super::key::ResourceKey;
use super::monitors::Link;
use super::outgoing::counts_from_now;
use super::policy::{self, Decision, Sharing, Stale};
use super::position::{Position, Salted};
use super::tags::{TagHash, Tags, all_tags};
use crate::app::ResponseHead;
use crate::http::fields::Fields;
use crate::http::response::is_framing_field;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// How long a copy that may be used if asking fails is used without asking, once it did, milliseconds: so many requests
/// for it are not so many more for an application that is in trouble.
const ASK_PAUSE_MS: u64 = 1000;

/// A whole response.
#[derive(Debug)]
pub struct Representation {
    /// Its status.
    pub status: u16,
    /// The application's fields, without those of a connection, `etag`, `age`, `cache-groups` and, if it is shared,
    /// `set-cookie`.
    pub fields: Fields,
    /// Its content.
    pub body: Bytes,
    /// The entity tag as it goes out: the application's own if it gave a valid one, else a strong one of the content.
    pub etag: Box<str>,
    /// The entity tag is weak: `W/"…"`.
    pub weak: bool,
    /// The entity tag is the application's own, so that it can be asked about it.
    pub own_etag: bool,
    /// The content is UTF-8 and not encoded, so that it can be an event or a text message.
    pub text: bool,
    /// Taken before the application ran: every change up to here is in it.
    pub position: Position,
    /// What its variant's positions carry beside the epoch.
    pub salt: Option<u32>,
    /// The representation has not changed from here to its position: who has one from in between has this one.
    pub since: u64,
    /// What it depends on: its own URI first, then the tags that the application gave.
    pub tags: Tags,
    /// The names of the tags that the application gave.
    pub groups: SmallVec<[Box<str>; 1]>,
    /// What the node says of its tags and lifetimes (see `outgoing`).
    pub lines: Fields,
    /// Its age counts from when it is sent.
    pub counts_from_now: bool,
    /// From when on it is no longer fresh, monotonic; `None`: only a change ends its freshness.
    pub expires_at_ms: Option<u64>,
    /// When it was made, monotonic.
    pub created_ms: u64,
    /// Seconds it had spent in caches before this one.
    pub initial_age_s: u64,
    /// A later GET may be answered from it.
    pub reusable: bool,
    /// A later GET may be answered from it only after the application said that it is still good.
    pub validate: bool,
    /// For how long after its lifetime it may be used.
    pub stale: Stale,
    /// Who may share it.
    pub sharing: Sharing,
    /// From where it can be waited on, once it was served.
    pub link: OnceLock<Link>,
    /// From where else, when the set of that had ended.
    pub relinked: Mutex<Option<Box<Link>>>,
    /// The start of the head of a hit, written once.
    pub hit_head: OnceLock<Box<[u8]>>,
    /// No tag of it changed after its position and up to here.
    checked: AtomicU64,
    /// Asking the application about it failed: not again before this time, monotonic.
    ask_after_ms: AtomicU64,
}

/// What a representation is made from.
#[derive(Debug)]
pub struct Made<'a> {
    /// The application's answer.
    pub head: &'a ResponseHead,
    /// The whole body, in memory that holds nothing else.
    pub body: Bytes,
    /// What `policy` said of it.
    pub decision: &'a Decision,
    /// What it is a representation of.
    pub resource: &'a ResourceKey,
    /// The tags that the application gave, checked.
    pub groups: Vec<Box<str>>,
    /// What the node says of them.
    pub lines: Fields,
    /// Taken before the application ran.
    pub position: Position,
    /// See `VariantKey::salt`.
    pub salt: Option<u32>,
    /// Now, monotonic.
    pub now_ms: u64,
}

impl Representation {
    /// Put together.
    pub fn new(made: Made<'_>) -> Self {
        let Made { head, body, decision, resource, groups, mut lines, position, salt, now_ms } = made;
        let mut fields = kept_fields(&head.fields, decision.audience);
        fields.shrink_to_fit();
        lines.shrink_to_fit();
        let own_etag = head.fields.get("etag").and_then(valid_etag);
        let etag = own_etag.map_or_else(|| content_etag(&head.fields, &body), Box::from);
        let mut tags = all_tags(Some(resource), &groups);
        tags.shrink_to_fit();
        let mut groups = SmallVec::from_vec(groups);
        groups.shrink_to_fit();
        Self {
            status: head.status,
            fields,
            weak: etag.starts_with("W/"),
            own_etag: own_etag.is_some(),
            etag,
            text: is_text(&head.fields, &body),
            body,
            position,
            salt,
            since: position.offset,
            tags,
            groups,
            counts_from_now: counts_from_now(&lines, decision.lifetime_ms),
            lines,
            expires_at_ms: decision.lifetime_ms.map(|ms| now_ms.saturating_add(ms)),
            created_ms: now_ms,
            initial_age_s: policy::age_s(&head.fields),
            reusable: decision.reusable,
            validate: decision.validate,
            stale: decision.stale,
            sharing: decision.audience,
            link: OnceLock::new(),
            relinked: Mutex::default(),
            hit_head: OnceLock::new(),
            checked: AtomicU64::new(position.offset),
            ask_after_ms: AtomicU64::new(0),
        }
    }

    /// The same content as the one before it, if it is: then it counts from where that one did. Only for the next read of
    /// one variant, and only for positions that were given out with these two: what others were given in between may have
    /// been something else that came and went.
    pub fn after(mut self, before: &Self) -> Self {
        if self.same_as(before) && self.position.epoch == before.position.epoch {
            self.since = self.since.min(before.since);
        }
        self
    }

    /// Whether the application said that everybody may have it.
    pub fn is_public(&self) -> bool {
        matches!(self.sharing, Sharing::Shared { explicit: true })
    }

    /// Whether it belongs to who asked for it.
    pub fn is_private(&self) -> bool {
        self.sharing == Sharing::Private
    }

    /// Its position as the variant writes it.
    pub fn id(&self) -> Salted {
        self.position.salted(self.salt)
    }

    /// The same representation once more, for an owner who will change it.
    pub fn copy(&self) -> Self {
        Self {
            fields: self.fields.clone(),
            body: self.body.clone(),
            etag: self.etag.clone(),
            tags: self.tags.clone(),
            groups: self.groups.clone(),
            lines: self.lines.clone(),
            link: OnceLock::new(),
            relinked: Mutex::default(),
            hit_head: OnceLock::new(),
            checked: AtomicU64::new(self.checked()),
            ask_after_ms: AtomicU64::new(0),
            ..*self
        }
    }

    /// The same, as a read at a later position would have given it, up to which nothing that it depends on changed.
    pub fn read_at(&self, offset: u64) -> Self {
        let position = Position { offset, ..self.position };
        Self { position, since: offset, ..self.copy() }
    }

    /// Whether a client that has the other needs this one.
    pub fn same_as(&self, other: &Self) -> bool {
        self.status == other.status
            && self.etag == other.etag
            && self.fields.get("content-type") == other.fields.get("content-type")
            && self.body == other.body
    }

    /// Bytes it holds, about.
    pub fn weight(&self) -> usize {
        let lines = self.fields.iter().chain(self.lines.iter());
        let fields: usize = lines.map(|(name, value)| name.len() + value.len() + 8).sum();
        let groups: usize = self.groups.iter().map(|g| g.len() + size_of::<Box<str>>()).sum();
        let tags = if self.tags.spilled() { self.tags.len() * size_of::<TagHash>() } else { 0 };
        size_of::<Self>() + self.body.len() + self.etag.len() + fields + groups + tags
    }

    /// Asking the application about it failed now: for a moment it is not asked again.
    pub fn asking_failed(&self, now_ms: u64) {
        self.ask_after_ms.store(now_ms + ASK_PAUSE_MS, Ordering::Relaxed);
    }

    /// Whether asking the application about it failed just now.
    pub fn just_failed(&self, now_ms: u64) -> bool {
        now_ms < self.ask_after_ms.load(Ordering::Relaxed)
    }

    /// Up to where its tags are known not to have changed.
    pub(super) fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// Its tags have not changed up to here.
    pub(super) fn set_checked(&self, offset: u64) {
        self.checked.fetch_max(offset, Ordering::Relaxed);
    }
}

/// RFC 9111 §3.1, and what is kept elsewhere or said anew for each response.
fn kept_fields(fields: &Fields, audience: Sharing) -> Fields {
    let listed: Vec<Vec<u8>> = fields
        .all("connection")
        .flat_map(|line| line.split(|&b| b == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    fields.without(|name| {
        is_framing_field(name)
            || matches!(
                name,
                b"trailer"
                    | b"proxy-authenticate"
                    | b"proxy-authentication-info"
                    | b"etag"
                    | b"age"
                    | b"cache-groups"
                    | b"fresh-position"
            )
            || (name == b"set-cookie" && audience != Sharing::Private)
            || listed.iter().any(|l| l == name)
    })
}

/// An entity tag as RFC 9110 §8.8.3 writes it, in ASCII.
fn valid_etag(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let opaque = value.strip_prefix("W/").unwrap_or(value).strip_prefix('"')?.strip_suffix('"')?;
    opaque.bytes().all(|b| b == b'!' || (b'#'..=b'~').contains(&b)).then_some(value)
}

/// A strong entity tag for content that the application gave none: 128 bits of BLAKE3 over what a client would see as the
/// content. Not keyed, so that every node and every restart says the same.
pub fn content_etag(fields: &Fields, body: &[u8]) -> Box<str> {
    let mut hasher = blake3::Hasher::new();
    for name in ["content-type", "content-encoding"] {
        let value = fields.get(name).unwrap_or_default();
        hasher.update(&(value.len() as u64).to_be_bytes());
        hasher.update(value);
    }
    hasher.update(body);
    let hash = hasher.finalize();
    let mut tag = String::with_capacity(24);
    tag.push('"');
    URL_SAFE_NO_PAD.encode_string(&hash.as_bytes()[..16], &mut tag);
    tag.push('"');
    tag.into()
}

fn is_text(fields: &Fields, body: &[u8]) -> bool {
    let identity = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    fields.all("content-encoding").all(identity) && simdutf8::basic::from_utf8(body).is_ok()
}

/// A shared representation of `http://h/` for the tests of this folder.
#[cfg(test)]
pub(super) fn fixture(body: &str, tags: &[&str], offset: u64, lifetime_ms: Option<u64>) -> Representation {
    tests::made(
        &[("content-type", "text/plain")],
        body.as_bytes(),
        tags,
        offset,
        lifetime_ms,
        Sharing::Shared { explicit: true },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::annotate;
    use crate::resource::key::Vary;
    use crate::resource::position::Epoch;

    pub(super) fn made(
        lines: &[(&str, &str)],
        body: &[u8],
        tags: &[&str],
        offset: u64,
        lifetime_ms: Option<u64>,
        audience: Sharing,
    ) -> Representation {
        Representation::new(Made {
            head: &ResponseHead {
                status: 200,
                fields: lines.iter().copied().collect(),
                ..Default::default()
            },
            body: Bytes::copy_from_slice(body),
            decision: &Decision {
                audience,
                storable: true,
                reusable: true,
                lifetime_ms,
                watchable: true,
                vary: Vary::Names(vec![]),
                validate: false,
                stale: Stale::default(),
                late: false,
            },
            resource: &ResourceKey::new("http", "h", "/"),
            groups: tags.iter().map(|&t| t.into()).collect(),
            lines: Fields::default(),
            position: Position { epoch: Epoch::from_bits(1), offset },
            salt: None,
            now_ms: 1000,
        })
    }

    fn with(lines: &[(&str, &str)], body: &[u8]) -> Representation {
        made(lines, body, &[], 1, None, Sharing::Shared { explicit: true })
    }

    #[test]
    fn a_valid_etag_is_the_applications_own_and_any_other_is_made_of_the_content() {
        assert_eq!(&*with(&[("etag", "\"v1\"")], b"x").etag, "\"v1\"");
        let weak = with(&[("etag", "W/\"v1\"")], b"x");
        assert!(weak.weak && &*weak.etag == "W/\"v1\"");
        for bad in ["v1", "\"a\"b\"", "w/\"v1\"", "\"", ""] {
            let rep = with(&[("etag", bad)], b"x");
            assert_eq!(rep.etag, with(&[], b"x").etag, "{bad}");
            assert!(!rep.weak && rep.etag.len() == 24 && rep.fields.get("etag").is_none());
        }
    }

    #[test]
    fn another_body_type_or_encoding_is_another_etag() {
        let all = [
            with(&[], b"x"),
            with(&[], b"y"),
            with(&[("content-type", "x")], b""),
            with(&[("content-encoding", "x")], b""),
            with(&[("content-type", "x")], b"x"),
        ];
        let mut etags: Vec<_> = all.iter().map(|rep| &rep.etag).collect();
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), all.len());
    }

    #[test]
    fn what_belongs_to_one_connection_or_one_exchange_is_not_kept() {
        let lines = [
            ("connection", "x-one, close"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("keep-alive", "5"),
            ("set-cookie", "a=1"),
            ("content-length", "1"),
            ("age", "7"),
            ("cache-groups", "\"g\""),
        ];
        let names = |rep: &Representation| {
            rep.fields
                .iter()
                .map(|(n, _)| String::from_utf8(n.to_vec()).unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(&with(&lines, b"x")), "x-two");
        assert_eq!(names(&made(&lines, b"x", &[], 1, None, Sharing::Private)), "x-two set-cookie");
        let mut fields = Fields::default();
        annotate::age(&mut fields, &with(&lines, b"x"), 4999);
        assert_eq!(fields.get("age"), Some(&b"10"[..]));
    }

    #[test]
    fn text_is_utf8_that_is_not_encoded() {
        assert!(with(&[("content-encoding", "identity")], "ä".as_bytes()).text);
        assert!(!with(&[], b"\xff").text);
        assert!(!with(&[("content-encoding", "gzip")], b"x").text);
    }

    #[test]
    fn content_that_stays_the_same_counts_from_where_it_began() {
        let first = with(&[], b"x");
        let again =
            |body: &[u8], offset| made(&[], body, &[], offset, None, Sharing::Shared { explicit: true });
        let second = again(b"x", 5).after(&first);
        assert_eq!((second.since, again(b"x", 9).after(&second).since), (1, 1));
        assert_eq!(again(b"y", 9).after(&second).since, 9);
    }
}
