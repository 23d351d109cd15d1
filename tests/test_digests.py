from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner import digests

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(rows=st.dictionaries(NAMES, st.just("0a" * 32)))
def test_every_line_can_be_read_back(rows: dict[str, str]) -> None:
    """No name, line breaks and backslashes included, is lost or changed."""
    text = "".join(digests.line(digest, name) for name, digest in rows.items())

    assert digests.read_lines(text) == rows


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a b", "00  a b\n"),
        ("a\\b", "\\00  a\\\\b\n"),
        ("a\nb\r", "\\00  a\\nb\\r\n"),
    ],
)
def test_lines_look_as_the_tools_write_them(name: str, line: str) -> None:
    """A backslash in front tells that the name is escaped."""
    assert digests.line("00", name) == line


def test_binary_lines_are_read_and_others_left_out() -> None:
    """Tools mark binary mode with an asterisk; comments and headers are no lines."""
    assert digests.read_lines("# made by hand\n00 *a\n\nSHA256 (b) = 00\n") == {"a": "00"}


def test_a_file_is_read_once_for_all_algorithms(tmp_path: Path) -> None:
    """Each digest is the one that hashlib gives, and the check is called for each piece."""
    content = bytes(range(256)) * 10000
    (tmp_path / "a").write_bytes(content)
    checks: list[None] = []

    found = digests.of_file(tmp_path / "a", ["md5", "sha256"], lambda: checks.append(None))

    assert found["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(checks) == 3


def test_the_order_of_files_does_not_change_the_digest_of_a_folder() -> None:
    """A folder's digest depends on names and contents only."""
    one, other = {"b": "00", "a/é": "11"}, {"a/é": "11", "b": "00"}

    assert digests.of_tree(one) == digests.of_tree(other)
    assert digests.of_tree(one) != digests.of_tree({"b": "11", "a/é": "00"})
