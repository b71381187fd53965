"""Topic patterns: equal to the naive rule, and never much work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.exchange_support import Place, topic_matches
from warren_broker.core.exchange.topic_matcher import TopicMatcher

KEY_SIZE_MAX = 255

words = st.sampled_from(["a", "b", ""])
keys = st.lists(words, max_size=7).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=7).map(".".join)


def matcher_of(*some_patterns: str) -> TopicMatcher:
    """Each pattern leads to a destination of the same name."""
    matcher = TopicMatcher()
    for pattern in some_patterns:
        matcher.add(pattern, Place(pattern))
    return matcher


def names(matcher: TopicMatcher, key: str) -> set[str]:
    return {destination.name for destination in matcher.match(key)}


@given(patterns, keys)
def test_one_pattern_matches_as_the_naive_rule(pattern: str, key: str) -> None:
    assert names(matcher_of(pattern), key) == (
        {pattern} if topic_matches(pattern, key) else set()
    )


@given(st.sets(patterns, max_size=12), keys)
def test_many_patterns_match_as_each_alone(some: set[str], key: str) -> None:
    expected = {pattern for pattern in some if topic_matches(pattern, key)}
    assert names(matcher_of(*sorted(some)), key) == expected


@given(st.lists(patterns, max_size=12), st.data(), keys)
def test_a_removed_pattern_leaves_the_others(
    some: list[str], data: st.DataObject, key: str
) -> None:
    matcher = TopicMatcher()
    left = [(pattern, Place(pattern)) for pattern in some]
    for pattern, place in left:
        matcher.add(pattern, place)
    while left:
        pattern, place = left.pop(data.draw(st.integers(0, len(left) - 1)))
        matcher.remove(pattern, place)
        expected = {p for p, place in left if topic_matches(p, key)}
        assert names(matcher, key) == expected
    assert matcher.is_empty


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("", [""], ["a", "."]),
        ("*", ["a", "*", "#"], ["", "a.b"]),
        ("#", ["", "a", "a.b", "..", "#"], []),
        ("a.#", ["a", "a.b", "a.b.c"], ["", "b.a"]),
        ("#.a", ["a", "b.a", "a.a"], ["", "a.b"]),
        ("a.*.#.b", ["a.x.b", "a.x.y.b"], ["a.b", "a.x"]),
        ("a..b", ["a..b"], ["a.b"]),
        ("*.", ["a.", "."], ["", "a"]),
    ],
)
def test_examples(pattern: str, matching: list[str], other: list[str]) -> None:
    matcher = matcher_of(pattern)
    for key in matching:
        assert names(matcher, key) == {pattern}, key
    for key in other:
        assert names(matcher, key) == set(), key


def test_removing_what_was_not_added_is_an_error() -> None:
    matcher = matcher_of("a.b")
    with pytest.raises(KeyError):
        matcher.remove("a.c", Place("a.c"))
    with pytest.raises(KeyError):
        matcher.remove("a", Place("a"))
    assert names(matcher, "a.b") == {"a.b"}


def test_wildcards_of_one_meaning_share_one_state() -> None:
    key = "a.b.c.d.e"
    plain, mixed = matcher_of("*.*.#.z"), matcher_of("#.*.#.*.#.#.z")
    plain.match(key)
    mixed.match(key)
    assert mixed.visited_count == plain.visited_count


def repeated(piece: str) -> str:
    """As many times `piece` as a short string holds."""
    return ".".join([piece] * ((KEY_SIZE_MAX + 1) // (len(piece) + 1)))


@pytest.mark.parametrize(
    "pattern",
    [
        repeated("#.a"),
        repeated("#.*.a"),
        repeated("#"),
        repeated("*"),
        repeated("#.a.*"),
        "#." + repeated("a")[: KEY_SIZE_MAX - 4] + ".#",
        repeated("#.a")[: KEY_SIZE_MAX - 2] + ".b",
    ],
)
@pytest.mark.parametrize("key", [repeated("a"), repeated(""), repeated("a.b")])
def test_a_hostile_pattern_costs_words_times_steps(pattern: str, key: str) -> None:
    matcher = matcher_of(pattern)
    matcher.match(key)
    steps, key_words = pattern.count(".") + 2, key.count(".") + 1
    assert matcher.visited_count <= steps * key_words


@given(st.lists(patterns, min_size=1, max_size=30), st.lists(words, max_size=30))
def test_cost_is_bounded_by_the_states_there_are(
    some: list[str], key_words: list[str]
) -> None:
    matcher = matcher_of(*some)
    matcher.match(".".join(key_words))
    prefixes = {
        tuple(pattern.split(".")[:length])
        for pattern in some
        for length in range(pattern.count(".") + 2)
    }
    assert matcher.visited_count <= len(prefixes) * len(key_words)


@pytest.mark.parametrize("form", ["{}.event", "#.{}", "*.{}.#", "{}.#", "*.*.{}"])
def test_a_thousand_bindings_are_not_tried_one_by_one(form: str) -> None:
    matcher = matcher_of(*(form.format(f"tenant-{n}") for n in range(1000)))
    matcher.match("x.tenant-7.tenant-7.event")
    assert matcher.visited_count <= 4 * 6


def test_celerys_delay_levels_match_quickly() -> None:
    """Kombu's delayed delivery binds keys of up to 28 words with `*` and `#`."""
    levels = 28
    some = [".".join(["*"] * n + ["1", "#"]) for n in range(levels)]
    matcher = matcher_of(*some)
    key = ".".join(["0"] * (levels - 1) + ["1", "celery"])
    assert names(matcher, key) == {some[-1]}
    assert matcher.visited_count <= 2 * (levels + 1)
