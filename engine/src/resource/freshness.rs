//! "Is this copy fresh?": nothing it depends on changed after its position, and its lifetime has not ended.
//!
//! Nothing is ever purged: a change moves its tags in the table, and each copy finds out when it is next asked for. A
//! copy that was checked at the head of the log needs one comparison.
//! Called for every hit, and for a copy just made, whose tags may have changed while the application worked.
use super::representation::Representation;
use super::tags::TagTable;

/// Whether the copy is known to be fresh without the table: it was checked at `head`, the table's [`TagTable::head`].
pub fn known_fresh(rep: &Representation, head: u64, now_ms: u64) -> bool {
    !expired(rep, now_ms) && rep.checked() >= head
}

/// Whether the copy is fresh; remembers that it was.
pub fn fresh(rep: &Representation, tags: &TagTable, now_ms: u64) -> bool {
    !expired(rep, now_ms) && unchanged(rep, tags)
}

/// Whether nothing that the copy depends on changed after its position; remembers that it was so.
pub fn unchanged(rep: &Representation, tags: &TagTable) -> bool {
    let head = tags.head();
    if rep.checked() >= head {
        return true;
    }
    let unchanged = rep.tags.iter().all(|&tag| tags.last_change(tag) <= rep.position.offset);
    if unchanged {
        rep.set_checked(head);
    }
    unchanged
}

/// Whether the copy's lifetime has ended.
pub fn expired(rep: &Representation, now_ms: u64) -> bool {
    rep.expires_at_ms.is_some_and(|at| now_ms >= at)
}

/// Milliseconds since the end of its lifetime.
pub fn expired_for_ms(rep: &Representation, now_ms: u64) -> u64 {
    rep.expires_at_ms.map_or(0, |at| now_ms.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::representation::fixture;
    use crate::resource::tags::TagHash;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_copy_is_fresh_only_if_nothing_it_depends_on_changed_since(
            max_known in 1usize..6,
            steps in proptest::collection::vec((0usize..8, any::<bool>()), 1..60),
        ) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let mut table = TagTable::new(max_known);
            let mut last_change = [0; 8];
            let mut copies = vec![];
            let mut offset = 0;
            for (tag, change) in steps {
                if change {
                    offset += 1;
                    last_change[tag] = offset;
                    table.changed(TagHash::of(names[tag]), offset);
                } else {
                    copies.push((tag, fixture("x", &[names[tag]], offset, None)));
                }
                for (tag, rep) in &copies {
                    let changed = last_change[*tag] > rep.position.offset;
                    let known = known_fresh(rep, table.head(), 0);
                    let now = fresh(rep, &table, 0);
                    prop_assert!(!(changed && now), "stale");
                    prop_assert!(changed || now || table.floor() > rep.position.offset, "fresh and not forgotten");
                    prop_assert!(!known || now);
                    prop_assert_eq!(known_fresh(rep, table.head(), 0), now, "remembered");
                }
            }
        }
    }

    #[test]
    fn a_lifetime_ends_freshness_whatever_the_tags_say() {
        let (table, rep) = (TagTable::new(1), fixture("x", &["a"], 0, Some(500)));
        assert!(fresh(&rep, &table, 1499) && known_fresh(&rep, 0, 1499));
        assert!(!fresh(&rep, &table, 1500) && !known_fresh(&rep, 0, 1500) && expired(&rep, 1500));
    }

    #[test]
    fn a_change_of_its_own_uri_or_of_anything_at_all_ends_freshness() {
        let rep = || fixture("x", &[], 1, None);
        let mut table = TagTable::new(9);
        table.changed(TagHash::of("http://h/"), 2);
        assert!(!fresh(&rep(), &table, 0));
        let mut table = TagTable::new(9);
        table.all_changed(2);
        assert!(!fresh(&rep(), &table, 0));
    }
}
