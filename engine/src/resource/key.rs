//! What names a variant: the resource, who may be given it, and the request's fields that `Vary` selects by.
//!
//! Two requests share a representation only if all three are equal, byte by byte; nothing is hashed where an accident
//! would show one user's bytes to another. The path must come normalised from the one normaliser of the router.
//! Called by whoever answers a GET, opens a watch or makes a re-read (whose request is in `canonical`).
use crate::http::fields::Fields;
use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// One for the process: hashes are never told to anyone and never leave it.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

thread_local! {
    static URI: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A resource: `scheme://authority/path?query`.
#[derive(Clone, Debug)]
pub struct ResourceKey {
    uri: Arc<str>,
    /// Of the URI, under a seed of this process: every table that knows resources is asked with it.
    hash: u64,
}

impl PartialEq for ResourceKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.uri == other.uri
    }
}

impl Eq for ResourceKey {}

impl Hash for ResourceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// The hash of a name, seeded: nobody outside can choose names that collide.
pub(super) fn hash_of(name: &str) -> u64 {
    SEED.hash_one(name)
}

impl From<&str> for ResourceKey {
    fn from(uri: &str) -> Self {
        Self { hash: hash_of(uri), uri: uri.into() }
    }
}

impl ResourceKey {
    /// Put together from a request's parts. A WebSocket's scheme becomes its HTTP one, the authority is lower-cased and
    /// loses the scheme's default port; `path_and_query` is taken as it is.
    pub fn new(scheme: &str, authority: &str, path_and_query: &str) -> Self {
        let scheme = match scheme {
            "ws" => "http",
            "wss" => "https",
            other => other,
        };
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let authority =
            authority.strip_suffix(default_port).or(authority.strip_suffix(':')).unwrap_or(authority);
        // For each request: put together where the one before was.
        URI.with_borrow_mut(|uri| {
            uri.clear();
            uri.push_str(scheme);
            uri.push_str("://");
            uri.push_str(authority);
            uri[scheme.len()..].make_ascii_lowercase();
            uri.push_str(path_and_query);
            uri.as_str().into()
        })
    }

    /// [`hash_of`] the whole URI.
    pub fn hash64(&self) -> u64 {
        self.hash
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// `scheme://authority`.
    pub fn origin(&self) -> &str {
        &self.uri[..self.origin_bytes()]
    }

    /// The path and the query, from the first `/` on.
    pub fn path_and_query(&self) -> &str {
        &self.uri[self.origin_bytes()..]
    }

    /// Another resource of the same origin.
    pub(super) fn sibling(&self, path_and_query: &str) -> Self {
        Self::from(&*format!("{}{path_and_query}", self.origin()))
    }

    fn origin_bytes(&self) -> usize {
        let authority = self.uri.find("://").map_or(0, |at| at + 3);
        self.uri[authority..].find(['/', '?']).map_or(self.uri.len(), |at| authority + at)
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// Who may be given a representation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Everyone: the application said `public` or `s-maxage`.
    Public,
    /// Requests without credentials: it was an answer to one, and the application did not say more.
    Anonymous,
    /// Requests with exactly these credentials.
    Private(Arc<[u8]>),
}

/// Sets apart the private answers to requests without credentials: each is for one exchange, so no two may be equal.
static ALONE: AtomicU64 = AtomicU64::new(0);

impl Audience {
    /// The audience of a private response to this request. Without credentials that is nobody else, ever.
    pub fn private(request: &Fields) -> Self {
        if has_credentials(request) {
            return Self::Private(credentials(request).into());
        }
        Self::Private(ALONE.fetch_add(1, Ordering::Relaxed).to_be_bytes()[..].into())
    }
}

/// Whether a request carries `authorization` or `cookie`.
pub fn has_credentials(request: &Fields) -> bool {
    request.iter().any(|(name, _)| matches!(name, b"authorization" | b"cookie"))
}

/// The request's credentials, joined so that no other credentials join to the same. HTTP/2 may split `cookie` into
/// lines that mean one (RFC 9113 §8.2.3).
fn credentials(request: &Fields) -> Vec<u8> {
    let mut joined = Vec::new();
    // Sixteen bytes at least, so never one of the eight-byte values of ALONE.
    put(&mut joined, combined(request, "authorization", b", ").as_deref());
    put(&mut joined, combined(request, "cookie", b"; ").as_deref());
    joined
}

/// The values of all lines of a name, trimmed and joined; `None` without a line.
fn combined(request: &Fields, name: &str, separator: &[u8]) -> Option<Vec<u8>> {
    let mut lines = request.all(name).map(trim);
    let mut value = lines.next()?.to_vec();
    for line in lines {
        value.extend_from_slice(separator);
        value.extend_from_slice(line);
    }
    Some(value)
}

/// Without optional whitespace (RFC 9110 §5.6.3) at its ends; no other character is like another.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Append a part with its length before it, so that parts cannot run into each other; absent differs from empty.
fn put(joined: &mut Vec<u8>, part: Option<&[u8]>) {
    joined.extend_from_slice(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
    joined.extend_from_slice(part.unwrap_or_default());
}

/// What a response's `Vary` says (RFC 9110 §12.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// The representation was chosen by these fields: lower case, sorted, each once.
    Names(Vec<Box<str>>),
    /// By something that no later request can be compared with.
    Any,
}

impl Vary {
    /// More names than this count as [`Vary::Any`].
    const MAX_NAMES: usize = 32;

    /// Read the `vary` lines of a response. What is not a list of field names counts as `*`.
    pub fn of(response: &Fields) -> Self {
        let mut names: Vec<Box<str>> = Vec::new();
        for name in response.all("vary").flat_map(|line| line.split(|&b| b == b',')).map(trim) {
            let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(b);
            match std::str::from_utf8(name) {
                Ok("") => {}
                Ok(text) if name.iter().all(token) => names.push(text.to_ascii_lowercase().into()),
                _ => return Self::Any,
            }
        }
        names.sort_unstable();
        names.dedup();
        if names.len() > Self::MAX_NAMES { Self::Any } else { Self::Names(names) }
    }

    /// The names; none for [`Vary::Any`].
    pub fn names(&self) -> &[Box<str>] {
        match self {
            Self::Names(names) => names,
            Self::Any => &[],
        }
    }

    /// What a request selects; `None`: nothing that another request could.
    pub fn select(&self, request: &Fields) -> Option<Selectors> {
        match self {
            Self::Names(names) => Some(Selectors::of(request, names)),
            Self::Any => None,
        }
    }
}

/// The values of the fields that `Vary` names, normalised as RFC 9111 §4.1 allows for any field: lines combined,
/// whitespace around them trimmed. The names are part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selectors(Option<Arc<[u8]>>);

impl Selectors {
    /// What the request says in the fields that `vary` names (lower case, sorted).
    pub fn of(request: &Fields, vary: &[Box<str>]) -> Self {
        if vary.is_empty() {
            return Self(None);
        }
        let mut joined = Vec::new();
        for name in vary {
            put(&mut joined, Some(name.as_bytes()));
            put(&mut joined, combined(request, name, b", ").as_deref());
        }
        Self(Some(joined.into()))
    }

    /// Whether the response did not vary.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The name of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariantKey {
    /// What it is a representation of.
    pub resource: ResourceKey,
    /// Who may be given it.
    pub audience: Audience,
    /// What chose it.
    pub selectors: Selectors,
}

impl VariantKey {
    /// What the variant's positions carry beside the epoch: a hash under the node's key of all that names it, nothing for
    /// the plain shared variant that does not vary.
    pub fn salt(&self, key: &[u8; 32]) -> Option<u32> {
        let private = match &self.audience {
            Audience::Private(credentials) => Some(&**credentials),
            Audience::Public | Audience::Anonymous if self.selectors.is_empty() => return None,
            Audience::Public | Audience::Anonymous => None,
        };
        let mut name = Vec::new();
        put(&mut name, Some(self.resource.as_str().as_bytes()));
        put(&mut name, private);
        put(&mut name, self.selectors.0.as_deref());
        let hash = blake3::keyed_hash(key, &name);
        let [a, b, c, d, ..] = *hash.as_bytes();
        Some(u32::from_be_bytes([a, b, c, d]))
    }

    /// Bytes that the name takes, about.
    pub(super) fn weight(&self) -> usize {
        let private = if let Audience::Private(credentials) = &self.audience { credentials.len() } else { 0 };
        self.resource.uri.len()
            + private
            + self.selectors.0.as_ref().map_or(0, |s| s.len())
            + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        lines.iter().copied().collect()
    }

    #[test]
    fn a_resource_has_one_name_however_its_authority_is_spelled() {
        let key = ResourceKey::new("http", "example.com", "/a?b=//c");
        for (scheme, authority) in
            [("http", "Example.COM:80"), ("ws", "example.com"), ("http", "example.com:")]
        {
            assert_eq!(ResourceKey::new(scheme, authority, "/a?b=//c"), key);
        }
        assert_eq!((key.origin(), key.path_and_query()), ("http://example.com", "/a?b=//c"));
        assert_eq!(ResourceKey::new("wss", "[::1]:443", "/").as_str(), "https://[::1]/");
        for (scheme, authority) in
            [("https", "example.com"), ("http", "example.com:443"), ("http", "example.co")]
        {
            assert_ne!(ResourceKey::new(scheme, authority, "/a?b=//c"), key);
        }
    }

    #[test]
    fn a_private_answer_to_a_request_without_credentials_is_for_nobody_else() {
        assert_ne!(Audience::private(&fields(&[])), Audience::private(&fields(&[])));
        let user = fields(&[("cookie", "a=1")]);
        assert_eq!(Audience::private(&user), Audience::private(&user));
        assert_eq!(
            Audience::private(&fields(&[("cookie", "a=1"), ("cookie", "b=2")])),
            Audience::private(&fields(&[("cookie", "a=1; b=2")])),
        );
    }

    proptest! {
        #[test]
        fn different_credentials_are_different_audiences(
            a in (proptest::option::of("[ab, ;=]{0,4}"), proptest::option::of("[ab, ;=]{0,4}")),
            b in (proptest::option::of("[ab, ;=]{0,4}"), proptest::option::of("[ab, ;=]{0,4}")),
        ) {
            let trimmed = |pair: &(Option<String>, Option<String>)| {
                let trim = |v: &Option<String>| v.as_deref().map(|v| v.trim().to_owned());
                (trim(&pair.0), trim(&pair.1))
            };
            let audience = |pair: &(Option<String>, Option<String>)| {
                let lines = [("authorization", &pair.0), ("cookie", &pair.1)];
                Audience::private(&lines.iter().filter_map(|(n, v)| Some((n, v.as_deref()?))).collect())
            };
            let same = trimmed(&a) == trimmed(&b) && (a.0.is_some() || a.1.is_some());
            prop_assert_eq!(audience(&a) == audience(&b), same);
        }

        #[test]
        fn requests_select_the_same_variant_exactly_if_the_named_fields_are_equal(
            a in proptest::collection::vec(("x-[ab]|other", "[12, ]{0,3}"), 0..4),
            b in proptest::collection::vec(("x-[ab]|other", "[12, ]{0,3}"), 0..4),
        ) {
            let value = |lines: &[(String, String)], name: &str| {
                let values: Vec<_> = lines.iter().filter(|l| l.0 == name).map(|l| l.1.trim()).collect();
                (!values.is_empty()).then(|| values.join(", "))
            };
            let vary = Vary::of(&fields(&[("Vary", "X-B , x-a"), ("vary", ",x-a")]));
            let request = |lines: &[(String, String)]| lines.iter().cloned().collect::<Fields>();
            let same = ["x-a", "x-b"].iter().all(|name| value(&a, name) == value(&b, name));
            prop_assert_eq!(vary.select(&request(&a)) == vary.select(&request(&b)), same);
        }
    }

    #[test]
    fn vary_star_or_nonsense_matches_no_request() {
        for value in ["*", "accept, *", "acc ept", "accept;q=1", "ä"] {
            assert_eq!(Vary::of(&fields(&[("vary", value)])).select(&fields(&[])), None, "{value}");
        }
        assert_eq!(Vary::of(&fields(&[("vary", " , ")])), Vary::Names(vec![]));
    }

    #[test]
    fn the_same_value_of_another_field_selects_another_variant() {
        let request = fields(&[("a", "1"), ("b", "1")]);
        assert_ne!(Selectors::of(&request, &["a".into()]), Selectors::of(&request, &["b".into()]));
    }

    #[test]
    fn only_what_everybody_gets_has_no_salt() {
        let key = |audience, vary: &[Box<str>]| VariantKey {
            resource: ResourceKey::new("http", "h", "/"),
            audience,
            selectors: Selectors::of(&fields(&[("a", "1")]), vary),
        };
        let salt = |key: &VariantKey| key.salt(&[7; 32]);
        assert_eq!(salt(&key(Audience::Public, &[])), None);
        assert_eq!(salt(&key(Audience::Anonymous, &[])), None);
        let alice = key(Audience::Private((*b"alice").into()), &[]);
        let bob = key(Audience::Private((*b"bob").into()), &[]);
        let varied = key(Audience::Public, &["a".into()]);
        assert!(salt(&alice).is_some() && salt(&varied).is_some());
        assert_ne!(salt(&alice), salt(&bob));
        assert_ne!(salt(&alice), alice.salt(&[8; 32]));
    }
}
