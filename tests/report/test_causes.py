from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.report.causes import Cause, cause_key, causes


def test_equal_texts_are_one_cause() -> None:
    """Ids of requests differ from reply to reply and are left out."""
    found = causes(
        [("a", "HTTP 401 (request id 1); check"), ("b", "HTTP 401 (request id 2); check")]
    )

    assert found == [Cause("HTTP 401; check", ("a", "b"))]


def test_words_of_targets_are_listed() -> None:
    """A cause has a sign for the words that differ, and the targets keep theirs."""
    found = causes([("a", "job 17 failed: boom"), ("b", "job 18 failed: boom")])

    assert found == [Cause("job ... failed: boom", ("a", "b"), ("17", "18"))]


def test_quoted_names_do_not_matter() -> None:
    """A text that quotes its target has the same cause as that of another target."""
    assert cause_key("cannot lock 'motor'; wait") == cause_key("cannot lock 'life'; wait")


@pytest.mark.parametrize(
    "texts",
    [("disk full", "bucket is gone"), ("a1 b1 c1 d1", "a2 b2 c2 d2")],
    ids=["other words", "too many differences"],
)
def test_different_texts_stay_apart(texts: tuple[str, str]) -> None:
    """Nothing but details may differ within a cause."""
    assert [each.text for each in causes(zip("ab", texts, strict=True))] == list(texts)


PIECES = st.lists(st.sampled_from(["a", "7", " ", "\n", "\0", "(request id", "x)"])).map("".join)


@given(st.lists(st.tuples(st.text(min_size=1), PIECES | st.text()), max_size=8))
def test_no_target_is_lost(texts: list[tuple[str, str]]) -> None:
    """Every target belongs to one cause, and every word of its text can be read."""
    found = causes(texts)

    assert sum(len(each.names) for each in found) == len(texts)
    for each in found:
        assert not each.own or len(each.own) == len(each.names)
        assert all(line.isprintable() for line in (each.text, *each.names, *each.own))
