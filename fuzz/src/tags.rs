//! Tags as they come in fields: lists of strings (RFC 9651), read by us and by a library of others.
use freshwire_engine::http::structured::{sf_strings, write_sf_strings};
use freshwire_engine::resource::tags::{TagHash, TagTable, check_tags};
use sfv::{BareItem, List, ListEntry, Parser};

const MAX_TAGS: usize = 8;
const MAX_TAG_BYTES: usize = 16;

/// The strings of a list, by the other library.
fn others(value: &[u8]) -> Option<Vec<String>> {
    let list: List = Parser::new(value).parse().ok()?;
    let string = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(string) => Some(string.as_str().to_owned()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    list.iter().map(string).collect()
}

/// A list has one reading, whoever reads it; what is read can be written; and tags stay within their limits.
pub fn tags(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    let joined = lines.join(&b","[..]);
    let read = sf_strings(lines.iter().copied());
    assert_eq!(sf_strings([&joined[..]]), read, "lines are one list (RFC 9110 §5.3)");
    assert_eq!(read, others(&joined));
    let Some(strings) = read else { return };
    let mut written = vec![];
    assert!(write_sf_strings(&mut written, &strings));
    assert_eq!(sf_strings([&written[..]]).as_ref(), Some(&strings));

    let checked = check_tags(strings.iter().map(String::as_str), MAX_TAGS, MAX_TAG_BYTES);
    if let Ok(checked) = &checked {
        assert!(
            checked.len() <= MAX_TAGS && checked.iter().all(|tag| (1..=MAX_TAG_BYTES).contains(&tag.len()))
        );
        assert!(strings.iter().all(|tag| checked.iter().any(|c| **c == **tag)), "none is left out");
    }
    table(&strings);
}

/// A table that remembers few tags never says that one changed earlier than it did.
fn table(strings: &[String]) {
    let mut table = TagTable::new(3);
    for (i, tag) in strings.iter().enumerate() {
        table.changed(TagHash::of(tag), i as u64 + 1);
        for (tag, last) in strings[..=i].iter().zip(1u64..) {
            assert!(table.last_change(TagHash::of(tag)) >= last);
        }
        assert!(table.floor() <= table.head() && table.head() == i as u64 + 1);
    }
}
