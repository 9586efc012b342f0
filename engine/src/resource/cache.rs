//! The cache: representations kept for later GETs, within a bound on their bytes.
//!
//! It gives a representation to the audience it was kept for and to no other (security row 25); whether it is still
//! fresh is asked of `freshness` by who gets it. Sixteen shards, each behind a lock that a hit takes shared; a lock is
//! never held while another is taken. Eviction goes round the shards and, in each, round a clock.
//! Called for every GET by the thread that has it.
use super::hit_for_miss::HitForMiss;
use super::key::{Audience, ResourceKey, VariantKey};
use super::representation::Representation;
use super::store::Shard;
use crate::http::fields::Fields;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks, so that threads seldom meet at one.
const SHARDS: usize = 16;

/// What one lock guards: all there is about the resources that hash to it.
#[derive(Debug, Default)]
struct Guarded {
    kept: Shard,
    uncacheable: HitForMiss,
}

/// Representations by variant.
#[derive(Debug)]
pub struct Cache {
    shards: [RwLock<Guarded>; SHARDS],
    max_bytes: usize,
    /// Held by all shards.
    bytes: AtomicUsize,
    /// The shard that gives something up next.
    hand: AtomicUsize,
}

impl Cache {
    /// An empty cache that holds so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { shards: Default::default(), max_bytes, bytes: AtomicUsize::new(0), hand: AtomicUsize::new(0) }
    }

    /// The newest representation of the resource that this request may be given: a public one, an anonymous one only if it
    /// has no credentials, a private one only if it has exactly the same. Whether it is fresh is not looked at.
    pub fn lookup(
        &self,
        resource: &ResourceKey,
        request: &Fields,
        has_credentials: bool,
    ) -> Option<Arc<Representation>> {
        self.read(resource.hash64()).kept.lookup(resource, request, has_credentials)
    }

    /// The `Vary` that the resource was last kept with: what a request for it will probably be selected by.
    pub fn vary(&self, resource: &ResourceKey) -> Option<Arc<[Box<str>]>> {
        self.read(resource.hash64()).kept.vary(resource)
    }

    /// Keep a representation for later requests; `vary` is what `key.selectors` were taken by. One that is older than what
    /// is kept of the variant, that must not be reused, or that is larger than the whole cache is not kept.
    pub fn insert(&self, key: VariantKey, vary: &[Box<str>], rep: Arc<Representation>) {
        if !(rep.reusable || rep.validate) || rep.weight() + key.weight() > self.max_bytes {
            return;
        }
        let hash = key.resource.hash64();
        {
            let mut shard = self.write(hash);
            if !matches!(key.audience, Audience::Private(_)) {
                shard.uncacheable.remove(hash);
            }
            let (added, freed) = shard.kept.insert(key, vary, rep);
            self.bytes.fetch_add(added, Ordering::Relaxed);
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
        self.evict();
    }

    /// Give up a variant; whether there was one.
    pub fn remove(&self, key: &VariantKey) -> bool {
        self.remove_if(key, |_| true)
    }

    /// Give up a variant if `which` says so; whether it did.
    pub(super) fn remove_if(&self, key: &VariantKey, which: impl FnOnce(&Representation) -> bool) -> bool {
        let mut shard = self.write(key.resource.hash64());
        let freed = shard.kept.remove(key, which);
        self.bytes.fetch_sub(freed.unwrap_or(0), Ordering::Relaxed);
        freed.is_some()
    }

    /// Give up everything: the log has another epoch.
    pub fn clear(&self) {
        for hash in 0..SHARDS as u64 {
            let mut shard = self.write(hash);
            let freed = shard.kept.clear();
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// The resource answered with what cannot be shared: misses of it need not wait for each other.
    pub fn mark_uncacheable(&self, resource: &ResourceKey) {
        let hash = resource.hash64();
        if !self.is_uncacheable(resource) {
            self.write(hash).uncacheable.insert(hash);
        }
    }

    /// Whether the resource was so marked, and nothing shared of it kept since.
    pub fn is_uncacheable(&self, resource: &ResourceKey) -> bool {
        let hash = resource.hash64();
        self.read(hash).uncacheable.contains(hash)
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Give up what was not used lately until the bound holds.
    fn evict(&self) {
        // The first time round may find everything used, the second does not.
        let mut in_vain = 0;
        while self.bytes() > self.max_bytes && in_vain < 2 * SHARDS {
            let mut shard = self.write(self.hand.fetch_add(1, Ordering::Relaxed) as u64);
            match shard.kept.evict_one() {
                Some(freed) => {
                    self.bytes.fetch_sub(freed, Ordering::Relaxed);
                    in_vain = 0;
                }
                None => in_vain += 1,
            }
        }
    }

    // A panic under a lock cannot leave a shard half changed in a way that shows bytes to the wrong audience: every find
    // compares names. So a poisoned lock is as good as another.

    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Guarded> {
        self.shards[hash as usize % SHARDS].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Guarded> {
        self.shards[hash as usize % SHARDS].write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::key::{Selectors, has_credentials};
    use crate::resource::representation::fixture;
    use proptest::prelude::*;

    fn resource(path: &str) -> ResourceKey {
        ResourceKey::new("http", "h", path)
    }

    fn key(path: &str, audience: Audience) -> VariantKey {
        VariantKey { resource: resource(path), audience, selectors: Selectors::default() }
    }

    fn body(found: Option<Arc<Representation>>) -> Option<String> {
        found.map(|rep| String::from_utf8(rep.body.to_vec()).unwrap())
    }

    /// What a request of the model can carry.
    #[derive(Clone, Debug)]
    struct Asked {
        path: u8,
        token: Option<u8>,
        cookie: Option<u8>,
        language: Option<u8>,
    }

    impl Asked {
        fn any() -> impl Strategy<Value = Self> {
            let maybe = || proptest::option::of(0u8..3);
            (0u8..3, maybe(), maybe(), maybe()).prop_map(|(path, token, cookie, language)| Self {
                path,
                token,
                cookie,
                language,
            })
        }
        fn resource(&self) -> ResourceKey {
            resource(&format!("/{}", self.path))
        }
        fn fields(&self) -> Fields {
            let lines =
                [("authorization", self.token), ("cookie", self.cookie), ("accept-language", self.language)];
            lines.iter().filter_map(|(name, value)| Some((name, value.as_ref()?.to_string()))).collect()
        }
        fn who(&self) -> (Option<u8>, Option<u8>) {
            (self.token, self.cookie)
        }
    }

    /// The body says who it is for, so that a hit can be judged by itself.
    fn made_for(asked: &Asked, sharing: &str, vary: &[Box<str>]) -> String {
        let language = if vary.is_empty() { "any".into() } else { format!("{:?}", asked.language) };
        let who = if sharing == "private" { format!("{:?}", asked.who()) } else { "many".into() };
        format!("{sharing}|{}|{who}|{language}", asked.path)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn two_users_never_get_each_others_bytes(
            steps in proptest::collection::vec((Asked::any(), 0u8..4, any::<bool>(), 0u8..8), 1..80),
            max_bytes in prop_oneof![Just(1500usize), Just(4000), Just(1 << 20)],
        ) {
            let cache = Cache::new(max_bytes);
            for (offset, (asked, action, varies, remove)) in steps.iter().enumerate() {
                let request = asked.fields();
                let vary: &[Box<str>] = if *varies { &["accept-language".into()] } else { &[] };
                let (sharing, audience) = match action {
                    0 => ("public", Audience::Public),
                    1 if !has_credentials(&request) => ("anonymous", Audience::Anonymous),
                    _ => ("private", Audience::private(&request)),
                };
                let selectors = Selectors::of(&request, vary);
                let key = VariantKey { resource: asked.resource(), audience, selectors };
                let rep = fixture(&made_for(asked, sharing, vary), &[], offset as u64, None);
                if *remove == 0 {
                    cache.remove(&key);
                } else {
                    cache.insert(key, vary, rep.into());
                }
                prop_assert!(cache.bytes() <= max_bytes);
                for (other, ..) in &steps {
                    let request = other.fields();
                    let hit = body(cache.lookup(&other.resource(), &request, has_credentials(&request)));
                    let Some(hit) = hit else { continue };
                    let sharing = hit.split('|').next().unwrap_or_default();
                    let allowed = match has_credentials(&request) {
                        true => ["public", "private"],
                        false => ["public", "anonymous"],
                    };
                    prop_assert!(allowed.contains(&sharing), "{} for {:?}", hit, other);
                    let own = [made_for(other, sharing, &[]), made_for(other, sharing, &["accept-language".into()])];
                    prop_assert!(own.contains(&hit), "{} for {:?}", hit, other);
                }
            }
            cache.clear();
            prop_assert_eq!(cache.bytes(), 0);
        }
    }

    #[test]
    fn a_private_answer_to_nobody_in_particular_is_given_to_nobody() {
        let cache = Cache::new(1 << 20);
        let nobody = Fields::default();
        cache.insert(key("/", Audience::private(&nobody)), &[], fixture("mine", &[], 1, None).into());
        assert_eq!(body(cache.lookup(&resource("/"), &nobody, false)), None);
        assert_eq!(body(cache.lookup(&resource("/"), &nobody, true)), None);
    }

    #[test]
    fn an_older_answer_that_comes_late_does_not_replace_a_newer_one() {
        let cache = Cache::new(1 << 20);
        for (text, offset) in [("first", 5), ("late", 4)] {
            cache.insert(key("/", Audience::Public), &[], fixture(text, &[], offset, None).into());
        }
        assert_eq!(body(cache.lookup(&resource("/"), &Fields::default(), false)).as_deref(), Some("first"));
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let cache = Cache::new(64 * 1024);
        let hot = resource("/hot");
        cache.insert(key("/hot", Audience::Public), &[], fixture("hot", &[], 1, None).into());
        for cold in 0..2000 {
            cache.insert(
                key(&format!("/{cold}"), Audience::Public),
                &[],
                fixture("cold", &[], 1, None).into(),
            );
            assert!(cache.lookup(&hot, &Fields::default(), false).is_some(), "after {cold}");
            assert!(cache.bytes() <= 64 * 1024);
        }
        cache.insert(
            key("/big", Audience::Public),
            &[],
            fixture(&"x".repeat(65 * 1024), &[], 1, None).into(),
        );
        assert!(cache.lookup(&hot, &Fields::default(), false).is_some());
    }

    #[test]
    fn a_resource_whose_vary_keeps_changing_holds_a_few_of_them() {
        let cache = Cache::new(1 << 20);
        let request: Fields = [("f9", "1")].into_iter().collect();
        for n in 0..10 {
            let vary: &[Box<str>] = &[format!("f{n}").into()];
            let selectors = Selectors::of(&request, vary);
            let key = VariantKey { selectors, ..key("/", Audience::Public) };
            cache.insert(key, vary, fixture("x", &[], n, None).into());
        }
        assert_eq!(cache.vary(&resource("/")).unwrap()[..], ["f9".into()]);
        assert!(cache.lookup(&resource("/"), &request, false).is_some());
        assert!(cache.bytes() < 5 * 1024);
    }

    #[test]
    fn a_resource_is_uncacheable_until_something_shared_of_it_is_kept() {
        let cache = Cache::new(1 << 20);
        cache.mark_uncacheable(&resource("/"));
        assert!(cache.is_uncacheable(&resource("/")) && !cache.is_uncacheable(&resource("/x")));
        let user = [("cookie", "a=1")].into_iter().collect();
        cache.insert(key("/", Audience::private(&user)), &[], fixture("x", &[], 1, None).into());
        assert!(cache.is_uncacheable(&resource("/")));
        cache.insert(key("/", Audience::Public), &[], fixture("x", &[], 1, None).into());
        assert!(!cache.is_uncacheable(&resource("/")));
    }
}
