//! Sets of values that mostly have one: none and one take no memory of their own, and of any number each is added and
//! taken out at once.
use hashbrown::HashSet;
use std::hash::Hash;

/// Values, each once.
#[derive(Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Box<HashSet<T>>),
}

impl<T: Copy + Eq + Hash> Few<T> {
    /// Add a value, unless it is there.
    pub(super) fn insert(&mut self, value: T) {
        match self {
            Self::None => *self = Self::One(value),
            Self::One(one) if *one == value => {}
            Self::One(one) => *self = Self::Many(Box::new(HashSet::from_iter([*one, value]))),
            Self::Many(many) => {
                many.insert(value);
            }
        }
    }

    /// Take a value out, if it is there.
    pub(super) fn remove(&mut self, value: T) {
        match self {
            Self::One(one) if *one == value => *self = Self::None,
            Self::Many(many) => {
                many.remove(&value);
                if many.is_empty() {
                    *self = Self::None;
                }
            }
            _ => {}
        }
    }

    /// Whether there is no value.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The values, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(*one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u8..4), 0..40)) {
            let (mut few, mut model) = (Few::default(), BTreeSet::new());
            for (insert, value) in steps {
                if insert {
                    few.insert(value);
                    model.insert(value);
                } else {
                    few.remove(value);
                    model.remove(&value);
                }
                prop_assert_eq!(few.iter().count(), model.len());
                prop_assert_eq!(few.iter().collect::<BTreeSet<_>>(), model.clone());
                prop_assert_eq!(few.is_empty(), model.is_empty());
            }
        }
    }
}
