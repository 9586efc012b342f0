//! Conditional requests: whether a client has what it asks for.
use freshwire_engine::app::ResponseHead;
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::lists::etag_matches;
use freshwire_engine::resource::conditional::{Outcome, evaluate, not_modified_fields};
use freshwire_engine::resource::key::{ResourceKey, Vary};
use freshwire_engine::resource::policy::{Decision, Sharing, Stale};
use freshwire_engine::resource::position::{Epoch, Position};
use freshwire_engine::resource::representation::{Made, Representation};

/// The rule of RFC 9110 §13.1.2 for a list of well-formed tags, in the plainest way; `None` for any other value.
fn plainly(value: &[u8], etag: &str) -> Option<bool> {
    let text = str::from_utf8(value).ok()?;
    if text.trim_matches([' ', '\t']) == "*" {
        return Some(true);
    }
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let mut found = false;
    for tag in text.split(',').map(|tag| tag.trim_matches([' ', '\t'])).filter(|tag| !tag.is_empty()) {
        let inner = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
        if !inner.bytes().all(|b| b == b'!' || (b'#'..=b'~').contains(&b)) {
            return None;
        }
        found |= opaque(tag) == opaque(etag);
    }
    Some(found)
}

fn representation(etag: &[u8], status: u16) -> Representation {
    let fields = Fields::from_iter([("etag", etag), ("last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT")]);
    let decision = Decision {
        audience: Sharing::Shared { explicit: true },
        storable: true,
        reusable: true,
        lifetime_ms: None,
        watchable: true,
        vary: Vary::Names(vec![]),
        validate: false,
        stale: Stale::default(),
        late: false,
    };
    Representation::new(Made {
        head: &ResponseHead { status, fields, ..ResponseHead::default() },
        body: b"body".as_slice().into(),
        decision: &decision,
        resource: &ResourceKey::new("http", "h", "/"),
        groups: vec![],
        lines: Fields::default(),
        position: Position { epoch: Epoch::from_bits(1), offset: 1 },
        salt: None,
        now_ms: 0,
    })
}

/// A 304 is given exactly if the client named what there is, whoever asks; a tag of ours is always ASCII in quotes.
pub fn conditional(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let (etag, a, b) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let rep = representation(etag, 200);
    assert!(rep.etag.is_ascii() && rep.etag.ends_with('"') && rep.etag.len() >= 2);
    assert_eq!(rep.weak, rep.etag.starts_with("W/"));
    let request = Fields::from_iter([("if-none-match", a), ("if-none-match", b)]);
    let has = evaluate(&request, &rep) == Outcome::NotModified;
    assert_eq!(has, etag_matches([a, b], &*rep.etag, true), "a GET and a watch agree");
    if let (Some(one), Some(other)) = (plainly(a, &rep.etag), plainly(b, &rep.etag)) {
        assert_eq!(has, one || other);
    }
    assert!(has || !etag_matches([a, b], &*rep.etag, false), "what matches strongly matches weakly");
    assert!(
        !rep.weak
            || a.trim_ascii() == b"*"
            || b.trim_ascii() == b"*"
            || !etag_matches([a, b], &*rep.etag, false)
    );
    assert_eq!(evaluate(&request, &representation(etag, 404)), Outcome::Full, "of a success only");
    let named = Fields::from_iter([("if-none-match", [b"\"x\", ", rep.etag.as_bytes()].concat())]);
    assert_eq!(evaluate(&named, &rep), Outcome::NotModified);
    let dated = Fields::from_iter([("if-modified-since", a)]);
    evaluate(&dated, &rep);
    assert!(not_modified_fields(&rep).get("content-type").is_none());
}
