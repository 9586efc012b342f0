//! JSON merge patches (RFC 7396): what is different, said as small as that format can. Pure.
use serde_json::{Map, Value};

/// The patch that makes `after` of `before`; `None`: there is none, since it would have to say null, which removes.
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(had), Value::Object(has)) = (before, after) else { return whole(after) };
    let mut patch = Map::new();
    for name in had.keys().filter(|name| !has.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in has {
        match had.get(name) {
            Some(same) if same == value => {}
            Some(other) if value.is_object() && other.is_object() => {
                patch.insert(name.clone(), diff(other, value)?);
            }
            _ => _ = patch.insert(name.clone(), whole(value)?),
        }
    }
    Some(Value::Object(patch))
}

/// A value as a patch that replaces what was there: an object may not have a null in it, at any depth of objects.
fn whole(value: &Value) -> Option<Value> {
    fn sayable(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Object(members) => members.values().all(sayable),
            _ => true,
        }
    }
    sayable(value).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// RFC 7396 §2, to the letter.
    fn apply(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut made = if let Value::Object(target) = target { target.clone() } else { Map::new() };
        for (name, value) in patch {
            if value.is_null() {
                made.remove(name);
            } else {
                let there = made.get(name).cloned().unwrap_or(Value::Null);
                made.insert(name.clone(), apply(&there, value));
            }
        }
        Value::Object(made)
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_new_of_the_old(before in values(), after in values()) {
            if let Some(patch) = diff(&before, &after) {
                prop_assert_eq!(apply(&before, &patch), after);
            }
        }
    }

    #[test]
    fn a_patch_says_what_is_different_and_nothing_else() {
        let diff = |before, after| diff(&before, &after);
        let before = json!({"score": [1, 0], "at": {"minute": 7, "half": 1}, "note": "x"});
        let after = json!({"score": [2, 0], "at": {"minute": 8, "half": 1}, "live": true});
        let patch = json!({"score": [2, 0], "at": {"minute": 8}, "note": null, "live": true});
        assert_eq!(diff(before.clone(), after), Some(patch));
        assert_eq!(diff(before.clone(), before), Some(json!({})));
        assert_eq!(diff(json!({}), json!({"a": null})), None);
        assert_eq!(diff(json!({"a": 1}), json!({"a": {"b": null}})), None);
        assert_eq!(diff(json!({"a": null}), json!({"a": null, "b": [null]})), Some(json!({"b": [null]})));
        assert_eq!(diff(json!([1]), json!([2])), Some(json!([2])));
    }
}
