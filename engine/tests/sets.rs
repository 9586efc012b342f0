//! The table of sets against a model: names, positions, changes, lifetimes, revocation, and its bounds.
use freshwire_engine::net::slab::Key;
use freshwire_engine::resource::key::ResourceKey;
use freshwire_engine::resource::set::{Contents, Name};
use freshwire_engine::resource::sets::{Bounds, NotUnited, Registered, Sets};
use freshwire_engine::resource::tags::{TagHash, uri_tag};
use proptest::prelude::*;
use std::collections::HashMap;

const TAGS: [&str; 4] = ["a", "b", "c", "d"];
const PRIVATE_MS: u64 = 1000;

const BOUNDS: Bounds = Bounds {
    max_sets: 1000,
    max_set_bytes: 1 << 20,
    max_set_resources: 8,
    private_ms: PRIVATE_MS,
    max_rereads_per_s: 1000,
};

/// A resource: its number says which tags it has, and whether it is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Resource(u8);

impl Resource {
    fn key(self) -> ResourceKey {
        ResourceKey::new("http", "h", &format!("/{}", self.0))
    }
    fn groups(self) -> Vec<Box<str>> {
        TAGS.iter()
            .enumerate()
            .filter(|(at, _)| self.0 >> at & 1 == 1)
            .map(|(_, tag)| (*tag).into())
            .collect()
    }
    fn tags(self) -> Vec<TagHash> {
        let groups = self.groups();
        std::iter::once(uri_tag(&self.key())).chain(groups.iter().map(|tag| TagHash::of(tag))).collect()
    }
    fn private(self) -> bool {
        self.0 >= 16
    }
}

/// When each tag last changed.
#[derive(Default)]
struct Log {
    changed: HashMap<TagHash, u64>,
    head: u64,
}

impl Log {
    fn newest(&self, resource: Resource) -> u64 {
        resource.tags().iter().filter_map(|tag| self.changed.get(tag)).copied().max().unwrap_or(0)
    }
}

fn register(sets: &mut Sets, log: &Log, resource: Resource, now_ms: u64) -> Option<Registered> {
    let (key, tags, groups) = (resource.key(), resource.tags(), resource.groups());
    let contents = Contents {
        resource: &key,
        tags: &tags,
        groups: &groups,
        private: resource.private(),
        position: 0,
        expires_at_ms: None,
    };
    sets.register(contents, now_ms, || log.newest(resource))
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8),
    Change(u8),
    Unite(Vec<(u8, u8)>),
    Hold(u8),
    Release(u8),
    Revoke(u8),
    RevokeTag(u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..32).prop_map(Step::Register),
        3 => (0u8..4).prop_map(Step::Change),
        2 => proptest::collection::vec((0u8..32, 0u8..6), 1..5).prop_map(Step::Unite),
        1 => (0u8..32).prop_map(Step::Hold),
        1 => (0u8..32).prop_map(Step::Release),
        1 => (0u8..32).prop_map(Step::Revoke),
        1 => (0u8..4).prop_map(Step::RevokeTag),
        1 => (1u64..700).prop_map(Step::Pass),
    ]
}

/// A set that a client was given, with what is in it.
#[derive(Clone, Debug)]
struct Given {
    key: Key,
    members: Vec<Resource>,
    /// Up to where the client has seen it.
    since: u64,
    held: i32,
    revoked: bool,
    /// A private one: it ended not before this time, and not after that.
    ends_ms: Option<(u64, u64)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_change_after_a_position_is_listed_and_the_table_stays_in_bounds(
        steps in proptest::collection::vec(step(), 1..120), max_sets in prop_oneof![Just(4usize), Just(9), Just(1000)],
    ) {
        let mut sets = Sets::new([7; 32], Bounds { max_sets, ..BOUNDS });
        let mut log = Log::default();
        let mut now_ms = 5000;
        let mut given: HashMap<Name, Given> = HashMap::new();
        let mut names: Vec<Name> = vec![];
        let mut note = |given: &mut HashMap<Name, Given>, set: &Registered, members: Vec<Resource>, since, now_ms| {
            let private = members.iter().any(|m| m.private());
            let ends_ms = private.then_some((now_ms, now_ms + 2 * PRIVATE_MS));
            let entry = given.entry(set.name).or_insert_with(|| {
                names.push(set.name);
                Given { key: set.key, members: members.clone(), since, held: 0, revoked: false, ends_ms }
            });
            assert_eq!(entry.members, members, "one name, one set of contents");
            assert!(!entry.revoked, "a revoked name came back");
            entry.key = set.key;
            entry.since = entry.since.max(since);
            names.len()
        };
        for step in steps {
            match step {
                Step::Register(n) => {
                    let resource = Resource(n);
                    if let Some(set) = register(&mut sets, &log, resource, now_ms) {
                        prop_assert_eq!(set.newest, log.newest(resource), "canonical");
                        prop_assert!(set.ticket.is_good(now_ms));
                        let again = register(&mut sets, &log, resource, now_ms).map(|set| set.name);
                        prop_assert_eq!(again, Some(set.name));
                        note(&mut given, &set, vec![resource], set.newest, now_ms);
                    }
                }
                Step::Change(tag) => {
                    log.head += 1;
                    log.changed.insert(TagHash::of(TAGS[tag as usize]), log.head);
                    let told = sets.changed(&[TagHash::of(TAGS[tag as usize])], log.head);
                    for (name, given) in &given {
                        let concerned = given.members.iter().any(|m| m.0 >> tag & 1 == 1);
                        let known = sets.find(*name, now_ms) == Some(given.key);
                        if known {
                            prop_assert_eq!(told.contains(&given.key), concerned && given.held > 0);
                        }
                    }
                }
                Step::Unite(of) => {
                    let mut members: Vec<(Resource, Name, u64)> = vec![];
                    for (n, behind) in of {
                        if let Some(set) = register(&mut sets, &log, Resource(n), now_ms) {
                            note(&mut given, &set, vec![Resource(n)], set.newest, now_ms);
                            members.push((Resource(n), set.name, set.newest.saturating_sub(behind.into())));
                        }
                    }
                    members.retain(|(_, name, _)| sets.find(*name, now_ms).is_some());
                    members.sort_by_key(|(resource, ..)| resource.0);
                    members.dedup_by_key(|(resource, ..)| *resource);
                    let monitors: Vec<_> = members.iter().map(|(_, name, since)| (*name, *since)).collect();
                    if members.is_empty() {
                        continue;
                    }
                    match sets.unite(&monitors, now_ms) {
                        Ok((set, since)) => {
                            prop_assert!(since <= set.newest);
                            let listed: Vec<ResourceKey> =
                                sets.changes(set.key, since).into_iter().map(|(resource, _)| resource).collect();
                            for (resource, _, seen) in &members {
                                let missed = log.newest(*resource) > *seen;
                                prop_assert!(!missed || listed.contains(&resource.key()), "{:?}", resource);
                            }
                            // Nothing is listed if nothing was missed.
                            let all_seen = members.iter().all(|(resource, _, seen)| log.newest(*resource) <= *seen);
                            prop_assert_eq!(listed.is_empty(), all_seen);
                            note(&mut given, &set, members.iter().map(|m| m.0).collect(), since, now_ms);
                        }
                        Err(NotUnited::Full) => prop_assert!(max_sets < 1000),
                        Err(error) => prop_assert!(false, "{error:?}"),
                    }
                }
                Step::Hold(n) | Step::Release(n) => {
                    let Some(name) = names_at(&given, n) else { continue };
                    let entry = given.get_mut(&name).unwrap();
                    if matches!(step, Step::Hold(_)) && sets.find(name, now_ms) == Some(entry.key) {
                        sets.hold(entry.key, 1);
                        entry.held += 1;
                    } else if matches!(step, Step::Release(_)) && entry.held > 0 {
                        sets.hold(entry.key, -1);
                        entry.held -= 1;
                    }
                }
                Step::Revoke(n) => {
                    let Some(name) = names_at(&given, n) else { continue };
                    let known = sets.find(name, now_ms).is_some();
                    let removed = sets.revoke(name);
                    if known {
                        prop_assert!(removed.contains(&given[&name].key));
                        end(&mut given, &removed);
                    }
                }
                Step::RevokeTag(tag) => {
                    let removed = sets.revoke_tag(TagHash::of(TAGS[tag as usize]));
                    end(&mut given, &removed);
                    for given in given.values_mut() {
                        if given.members.iter().any(|m| m.0 >> tag & 1 == 1) {
                            (given.revoked, given.held) = (true, 0);
                        }
                    }
                }
                Step::Pass(ms) => now_ms += ms,
            }
            prop_assert!(sets.len() <= max_sets);
            for (name, given) in &given {
                let Some(key) = sets.find(*name, now_ms) else {
                    // What is waited on is not given up, but a private set ends.
                    let over = given.ends_ms.is_some_and(|(soonest, _)| soonest + PRIVATE_MS <= now_ms);
                    prop_assert!(given.held == 0 || over, "{:?}", given);
                    continue;
                };
                prop_assert!(!given.revoked);
                prop_assert!(given.ends_ms.is_none_or(|(_, latest)| now_ms < latest));
                let newest = given.members.iter().map(|m| log.newest(*m)).max().unwrap_or(0);
                prop_assert_eq!(sets.newest(key), newest);
                let listed = sets.changes(key, given.since);
                for member in &given.members {
                    let changed = log.newest(*member);
                    let said = listed.iter().find(|(resource, _)| *resource == member.key()).map(|(_, at)| *at);
                    prop_assert_eq!(said, (changed > given.since).then_some(changed));
                }
            }
        }
        // Nothing is left of what is taken out.
        for tag in 0..32 {
            sets.revoke_tag(uri_tag(&Resource(tag).key()));
        }
        prop_assert!(sets.is_empty());
        prop_assert_eq!(sets.bytes(), 0);
    }
}

fn names_at(given: &HashMap<Name, Given>, n: u8) -> Option<Name> {
    let mut names: Vec<Name> = given.keys().copied().collect();
    names.sort();
    names.get(n as usize % names.len().max(1)).copied()
}

/// These sets are gone for good.
fn end(given: &mut HashMap<Name, Given>, removed: &[Key]) {
    for given in given.values_mut().filter(|given| removed.contains(&given.key)) {
        (given.revoked, given.held) = (true, 0);
    }
}

#[test]
fn the_end_of_a_lifetime_is_a_change_once() {
    let mut sets = Sets::new([7; 32], BOUNDS);
    let key = ResourceKey::new("http", "h", "/");
    let contents = |position, at_ms| {
        let expires_at_ms = Some(at_ms);
        Contents { resource: &key, tags: &[], groups: &[], private: false, position, expires_at_ms }
    };
    let set = sets.register(contents(3, 100), 0, || 3).unwrap().key;
    sets.register(contents(3, 200), 0, || 3).unwrap();
    assert_eq!(sets.expires_at_ms(set), Some(100), "the first of them");
    sets.hold(set, 1);
    assert!(sets.expire(set, 99, || unreachable!()).is_empty());
    assert_eq!(sets.expire(set, 100, || 9), [set]);
    assert_eq!((sets.newest(set), sets.changes(set, 3).len(), sets.expires_at_ms(set)), (9, 1, None));
    sets.register(contents(8, 300), 150, || 3).unwrap();
    sets.register(contents(9, 400), 150, || 3).unwrap();
    assert_eq!(sets.expires_at_ms(set), Some(400), "who has an older one knows of the change");
}

#[test]
fn names_are_those_of_this_key_and_say_nothing() {
    let mut names = vec![];
    for key in [[1; 32], [2; 32]] {
        let mut sets = Sets::new(key, BOUNDS);
        for resource in [Resource(1), Resource(17)] {
            let name = register(&mut sets, &Log::default(), resource, 0).unwrap().name;
            assert_eq!(Name::parse(&name.to_string()), Some(name));
            names.push(name);
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

#[test]
fn a_table_full_of_what_is_in_use_takes_nothing_more_and_looks_at_a_few_places_only() {
    let mut sets = Sets::new([7; 32], Bounds { max_sets: 3, ..BOUNDS });
    let log = Log::default();
    for n in 0..3 {
        let set = register(&mut sets, &log, Resource(n), 0).unwrap();
        sets.hold(set.key, 1);
    }
    assert!(register(&mut sets, &log, Resource(3), 0).is_none());
    assert!(register(&mut sets, &log, Resource(2), 0).is_some(), "what is there is found");
    let large = ResourceKey::new("http", "h", &format!("/{}", "x".repeat(2 << 20)));
    let contents = Contents {
        resource: &large,
        tags: &[],
        groups: &[],
        private: false,
        position: 0,
        expires_at_ms: None,
    };
    assert!(Sets::new([7; 32], BOUNDS).register(contents, 0, || 0).is_none(), "more than all may weigh");
}
