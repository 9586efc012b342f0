from __future__ import annotations

from typing import Any

import pytest
from freshwire.client.diff import ABSENT, Change, changes, printable, text_changes
from hypothesis import given
from hypothesis import strategies as st


def shown(old: Any, new: Any) -> list[str]:
    return [str(change) for change in changes(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 → 2"]),
        ({"a": {"b": None}}, {"a": {"b": "x"}}, ['a.b: null → "x"']),
        ({"a": 1}, {"b": 2}, ["+ b: 2", "- a: 1"]),
        ({"odd name": 1}, {"odd name": 2}, ['["odd name"]: 1 → 2']),
        ([1, 2, 3], [1, 3], ["- [1]: 2"]),
        ([1, 3], [1, 2, 3], ["+ [1]: 2"]),
        (
            {"m": [{"id": 1, "s": 0}, {"id": 2, "s": 0}]},
            {"m": [{"id": 2, "s": 5}]},
            ['- m[0]: {"id": 1, "s": 0}', "m[0].s: 0 → 5"],
        ),
        ([{"a": 1}], [{"a": 2}], ["[0].a: 1 → 2"]),
        (1, True, ["(all): 1 → true"]),
        ({"a": []}, {"a": {}}, ["a: [] → {}"]),
    ],
)
def test_each_change_is_a_path_with_what_was_and_what_is(old: Any, new: Any, expected: list[str]) -> None:
    assert shown(old, new) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_nothing_is_shown_exactly_when_the_documents_are_equal(old: Any, new: Any) -> None:
    assert list(changes(old, old)) == []
    if repr(old) != repr(new) and not isinstance(old, dict):
        assert list(changes(old, new)) != []


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers()),
    st.dictionaries(st.text("abc", min_size=1), st.integers()),
)
def test_the_changes_of_an_object_lead_from_the_old_to_the_new(
    old: dict[str, int], new: dict[str, int]
) -> None:
    made: dict[str, Any] = dict(old)
    for change in changes(dict(old), dict(new)):
        if change.new is ABSENT:
            del made[change.path]
        else:
            made[change.path] = change.new
    assert made == new


def test_text_is_compared_line_by_line() -> None:
    assert text_changes("a\nb\nc", "a\nx\nc\nd") == ["- b", "+ x", "+ d"]
    assert text_changes("-- x", "-- y") == ["- -- x", "+ -- y"]


@given(st.text())
def test_nothing_that_is_printed_can_steer_a_terminal(text: str) -> None:
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in printable(text))
    assert str(Change("a", ABSENT, text)).startswith("+ a: ")
