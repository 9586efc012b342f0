//! Tags as they leave the node: keys that a cache in front can purge by, in the fields that caches read them from.
//!
//! A tag may be private and longer than a cache allows, so what goes out is a keyed hash of it. Each cache also bounds
//! how many keys a response has. What does not fit is rolled up, never left out: a tag has a key of its own and belongs
//! to one of a few buckets, which have keys too; a response names each of its tags by one of the two, and a purge of a
//! tag purges both. So a purge reaches every response that depends on the tag, and, of those with more tags than fit,
//! a few that do not.
//! Called where the head of a response is written, and by whoever purges (`freshwire._engine.surrogate_keys`).
use crate::http::fields::Fields;
use crate::http::lists::{sf_strings, write_sf_strings};
use crate::limits::{Options, Secret};

/// Buckets of tags. So few that one key for each fits into every field there is.
const BUCKETS: usize = 32;
/// Characters of a key: 96 bits, which no two tags of a site will share by accident.
const KEY_CHARS: usize = 16;
/// Bytes of `tag_key` at least.
const MIN_SECRET_BYTES: usize = 32;
/// Sets this use of the secret apart from any other.
const CONTEXT: &str = "Freshwire 2026: tags that leave the node";

/// A field that a cache reads keys from, and how much it reads. The narrowest counts where several read one.
#[derive(Debug, PartialEq, Eq)]
struct Budget {
    field: &'static str,
    separator: &'static str,
    /// Keys of one response.
    keys: usize,
    /// Bytes of the field's value.
    bytes: usize,
}

const BUDGETS: [Budget; 5] = [
    // Fastly.
    Budget { field: "surrogate-key", separator: " ", keys: usize::MAX, bytes: 16_384 },
    // Cloudflare reads 16 KB, CloudFront 50 keys.
    Budget { field: "cache-tag", separator: ",", keys: 50, bytes: 16_000 },
    // Varnish: `http_resp_hdr_len` is 8 KiB by default.
    Budget { field: "xkey", separator: " ", keys: usize::MAX, bytes: 8_000 },
    // Akamai.
    Budget { field: "edge-cache-tag", separator: ",", keys: 128, bytes: 16_000 },
    // bunny.
    Budget { field: "cdn-tag", separator: ",", keys: usize::MAX, bytes: 1_000 },
];

/// RFC 9875 §2: what every cache must support.
const MAX_GROUPS: usize = 32;

/// Which fields go out, and under which key the tags in them are hashed.
#[derive(Clone)]
pub struct Surrogates {
    key: Option<[u8; 32]>,
    fields: Vec<&'static Budget>,
}

impl Surrogates {
    /// As the options say. An error says which option is wrong.
    pub fn new(options: &Options) -> Result<Self, String> {
        let fields = options
            .tag_fields
            .iter()
            .map(|name| {
                BUDGETS.iter().find(|budget| budget.field.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    let known = BUDGETS.map(|budget| budget.field).join(", ");
                    format!("tag_fields: there is no {name:?}; the fields that caches read are {known}")
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let key = if options.tag_key.is_empty() { None } else { Some(derived(&options.tag_key)?) };
        if key.is_none() && !fields.is_empty() {
            return Err(
                "tag_fields needs tag_key: the secret that every node and every purger hashes tags with, \
                        now and after a restart"
                    .into(),
            );
        }
        Ok(Self { key, fields })
    }

    /// Say in the configured fields what a shared response depends on: its own URI and `groups`.
    pub fn write_keys(&self, fields: &mut Fields, uri: &str, groups: &[Box<str>]) {
        let Some(key) = &self.key else { return };
        let tags: Vec<&str> = std::iter::once(uri).chain(groups.iter().map(|group| &**group)).collect();
        for budget in &self.fields {
            let fitting = (budget.bytes + budget.separator.len()) / (KEY_CHARS + budget.separator.len());
            let keys = within(key, &tags, budget.keys.min(fitting));
            fields.push(budget.field, keys.join(budget.separator));
        }
    }

    /// `cache-groups` (RFC 9875 §2): names without a key, of those that the field can say; with one, hashes of all.
    pub fn write_groups(&self, fields: &mut Fields, groups: &[Box<str>]) {
        let mut list = vec![];
        let written = match &self.key {
            None => {
                let ascii = |group: &&str| group.bytes().all(|b| (b' '..=b'~').contains(&b));
                write_sf_strings(&mut list, groups.iter().map(|group| &**group).filter(ascii))
            }
            Some(key) => {
                let tags: Vec<&str> = groups.iter().map(|group| &**group).collect();
                write_sf_strings(&mut list, within(key, &tags, MAX_GROUPS))
            }
        };
        if written && !list.is_empty() {
            fields.push("cache-groups", list);
        }
    }

    /// `cache-group-invalidation` (RFC 9875 §3) in the words of `cache-groups`: with a key, what purges the tags that
    /// the application named.
    pub fn write_invalidation(&self, fields: &mut Fields) {
        let name = "cache-group-invalidation";
        let Some(key) = &self.key else { return };
        if fields.get(name).is_none() {
            return;
        }
        let tags = sf_strings(fields.all(name)).unwrap_or_default();
        *fields = fields.without(|line| line == name.as_bytes());
        let mut list = vec![];
        if write_sf_strings(&mut list, purged(key, &tags)) && !list.is_empty() {
            fields.push(name, list);
        }
    }
}

/// The keys to purge when these tags changed, each once: the same for every field.
///
/// # Errors
/// If the secret is too short.
pub fn keys_to_purge<S: AsRef<str>>(tag_key: &Secret, tags: &[S]) -> Result<Vec<String>, String> {
    Ok(purged(&derived(tag_key)?, tags))
}

/// The key of the hash.
fn derived(secret: &Secret) -> Result<[u8; 32], String> {
    let bytes = secret.reveal().as_bytes();
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(format!("tag_key has at least {MIN_SECRET_BYTES} bytes, better random ones"));
    }
    Ok(blake3::derive_key(CONTEXT, bytes))
}

fn purged<S: AsRef<str>>(key: &[u8; 32], tags: &[S]) -> Vec<String> {
    let mut keys = vec![];
    for tag in tags {
        let hash = hashed(key, tag.as_ref());
        for key in [own(&hash), bucket_key(key, bucket(&hash))] {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

/// At most `room` keys (and `room` is at least [`BUCKETS`]) that name all the tags: as many as fit by their own.
fn within(key: &[u8; 32], tags: &[&str], room: usize) -> Vec<String> {
    debug_assert!(room >= BUCKETS);
    let hashes: Vec<_> = tags.iter().map(|tag| hashed(key, tag)).collect();
    let alone = if hashes.len() <= room { hashes.len() } else { room - BUCKETS };
    let mut keys: Vec<String> = hashes[..alone].iter().map(own).collect();
    let mut buckets: Vec<usize> = hashes[alone..].iter().map(bucket).collect();
    buckets.sort_unstable();
    buckets.dedup();
    keys.extend(buckets.into_iter().map(|bucket| bucket_key(key, bucket)));
    keys
}

type Hash = [u8; 32];

fn hashed(key: &[u8; 32], tag: &str) -> Hash {
    *blake3::keyed_hash(key, tag.as_bytes()).as_bytes()
}

/// The key of a tag's own.
fn own(hash: &Hash) -> String {
    text(hash)
}

/// Which bucket a tag belongs to: bits that its own key does not show.
fn bucket(hash: &Hash) -> usize {
    usize::from(hash[31]) % BUCKETS
}

/// No tag has a control character in it, so none has this key of its own.
fn bucket_key(key: &[u8; 32], bucket: usize) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[0, bucket as u8]);
    text(hasher.finalize().as_bytes())
}

/// Letters, digits, `-` and `_`: every cache takes them, and an upper-case letter stays one.
fn text(hash: &Hash) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&hash[..KEY_CHARS / 4 * 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn surrogates(fields: &[&str]) -> Surrogates {
        let tag_fields = fields.iter().map(|field| field.to_string()).collect();
        Surrogates::new(&Options { tag_fields, tag_key: SECRET.to_owned().into(), ..Options::default() })
            .unwrap()
    }

    fn all() -> Surrogates {
        surrogates(&BUDGETS.map(|budget| budget.field))
    }

    /// The keys that a cache makes of a field's value.
    fn read(budget: &Budget, value: &[u8]) -> Vec<String> {
        let text = String::from_utf8(value.to_vec()).unwrap();
        text.split(budget.separator).map(str::to_owned).collect()
    }

    fn boxed(tags: &[String]) -> Vec<Box<str>> {
        tags.iter().map(|tag| tag.as_str().into()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_purge_of_a_tag_reaches_every_response_that_depends_on_it_within_every_budget(
            names in proptest::collection::vec("[a-z0-9:ä]{1,12}", 0..300), others in proptest::collection::vec("\\PC{1,9}", 0..5),
        ) {
            let mut tags: Vec<String> = names.into_iter().chain(others).collect();
            tags.sort();
            tags.dedup();
            let groups = boxed(&tags);
            let mut fields = Fields::default();
            all().write_keys(&mut fields, "http://h/x", &groups);
            all().write_groups(&mut fields, &groups);
            let secret = SECRET.to_owned().into();
            let listed = sf_strings(fields.all("cache-groups")).unwrap();
            prop_assert!(listed.len() <= MAX_GROUPS && listed.iter().all(|group| group.len() <= 32));
            for tag in tags.iter().map(String::as_str).chain(["http://h/x"]) {
                let purge = keys_to_purge(&secret, &[tag]).unwrap();
                for budget in &BUDGETS {
                    let value = fields.get(budget.field).unwrap();
                    let keys = read(budget, value);
                    prop_assert!(keys.len() <= budget.keys && value.len() <= budget.bytes);
                    prop_assert!(purge.iter().any(|key| keys.contains(key)), "{tag} in {}", budget.field);
                }
                prop_assert!(tag == "http://h/x" || purge.iter().any(|key| listed.contains(key)));
            }
        }

        #[test]
        fn a_response_whose_tags_fit_is_purged_by_no_other_tag(
            tags in proptest::collection::hash_set("[a-z]{1,6}", 1..30), other in "[A-Z]{1,6}",
        ) {
            let tags: Vec<String> = tags.into_iter().collect();
            let mut fields = Fields::default();
            all().write_keys(&mut fields, "http://h/x", &boxed(&tags));
            let purge = keys_to_purge(&SECRET.to_owned().into(), &[other]).unwrap();
            for budget in &BUDGETS {
                let keys = read(budget, fields.get(budget.field).unwrap());
                prop_assert!(purge.iter().all(|key| !keys.contains(key)));
            }
        }
    }

    #[test]
    fn every_field_has_room_for_all_buckets() {
        for budget in &BUDGETS {
            assert!(budget.keys >= BUCKETS && budget.bytes >= BUCKETS * (KEY_CHARS + 1), "{}", budget.field);
        }
    }

    #[test]
    fn the_same_secret_gives_the_same_keys_everywhere_and_another_one_others() {
        let keys =
            |secret: &str| keys_to_purge(&secret.to_owned().into(), &["score:7", "Mannschaft:ä"]).unwrap();
        // What is in caches and in other nodes is hashed like this: it must never change.
        assert_eq!(keys(SECRET), VECTOR);
        let other = keys("another secret of thirty-two bytes");
        assert!(keys(SECRET).iter().all(|key| !other.contains(key)));
    }

    const VECTOR: [&str; 4] =
        ["ATWbsyWLW_y3djLX", "0PXxQvgPl7LngnEN", "fBLV9GQva1YIJrw0", "wwRZoSZFfsMD_LHK"];

    #[test]
    fn only_the_fields_that_were_asked_for_go_out() {
        let mut fields = Fields::default();
        surrogates(&["Surrogate-Key"]).write_keys(&mut fields, "http://h/x", &[]);
        let uri = keys_to_purge(&SECRET.to_owned().into(), &["http://h/x"]).unwrap();
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"surrogate-key"[..], uri[0].as_bytes())]);
    }

    #[test]
    fn without_a_key_groups_go_out_by_their_names_and_nothing_else_does() {
        let plain = Surrogates::new(&Options::default()).unwrap();
        let mut fields: Fields = [("cache-group-invalidation", "\"a\"")].into_iter().collect();
        plain.write_groups(&mut fields, &["a".into(), "b\"\\".into(), "ä".into()]);
        plain.write_groups(&mut fields, &[]);
        plain.write_keys(&mut fields, "http://h/x", &["a".into()]);
        plain.write_invalidation(&mut fields);
        let lines: Vec<_> = fields.iter().collect();
        let expected: [(&[u8], &[u8]); 2] =
            [(b"cache-group-invalidation", b"\"a\""), (b"cache-groups", br#""a", "b\"\\""#)];
        assert_eq!(lines, expected);
    }

    #[test]
    fn with_a_key_an_invalidation_names_what_the_groups_are_called() {
        let mut fields: Fields = [("cache-group-invalidation", "\"a\"")].into_iter().collect();
        all().write_groups(&mut fields, &["a".into()]);
        all().write_invalidation(&mut fields);
        let groups = sf_strings(fields.all("cache-groups")).unwrap();
        let invalidated = sf_strings(fields.all("cache-group-invalidation")).unwrap();
        assert_eq!((groups.len(), invalidated.len()), (1, 2));
        assert!(invalidated.contains(&groups[0]) && groups[0] != "a");
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let new = |fields: &[&str], key: &str| {
            let tag_fields = fields.iter().map(|field| field.to_string()).collect();
            Surrogates::new(&Options { tag_fields, tag_key: key.to_owned().into(), ..Options::default() })
                .err()
        };
        assert!(new(&["xkey"], "").unwrap().contains("tag_key"));
        assert!(new(&["xkey"], "short").unwrap().contains("32 bytes"));
        assert!(new(&["x-keys"], SECRET).unwrap().contains("edge-cache-tag"));
        assert!(
            !format!("{:?}", Options { tag_key: SECRET.to_owned().into(), ..Options::default() })
                .contains(SECRET)
        );
    }
}
