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
def test_lines_round_trip(rows: dict[str, str]) -> None:
    """No name is changed, line breaks and backslashes included."""
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
def test_lines_match_common_tools(name: str, line: str) -> None:
    """A leading backslash marks an escaped name."""
    assert digests.line("00", name) == line


def test_other_lines_are_skipped() -> None:
    """Lines in binary mode have an asterisk; comments and headers are skipped."""
    assert digests.read_lines("# made by hand\n00 *a\n\nSHA256 (b) = 00\n") == {"a": "00"}


def test_file_is_read_once(tmp_path: Path) -> None:
    """Each digest is the one that hashlib gives, and the check is called for each piece."""
    content = bytes(range(256)) * 10000
    (tmp_path / "a").write_bytes(content)
    checks: list[None] = []

    found = digests.of_file(tmp_path / "a", ["md5", "sha256"], lambda: checks.append(None))

    assert found["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(checks) == 3


def test_folder_digest_ignores_order() -> None:
    """A folder's digest depends on names and contents only."""
    one, other = {"b": "00", "a/é": "11"}, {"a/é": "11", "b": "00"}

    assert digests.of_tree(one) == digests.of_tree(other)
    assert digests.of_tree(one) != digests.of_tree({"b": "11", "a/é": "00"})


SUM = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
ROW = f"{SUM}  a b.js"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{ROW}\n", "a b.js"),
        (ROW, "a b.js"),
        (f"\ufeff{ROW}\r\n", "a b.js"),
        (f"; made by a tool\n# MD5\n\n{ROW}\r", "a b.js"),
        (f"{SUM.upper()} *a b.js", "a b.js"),
        (f"{SUM}\ta b.js", "a b.js"),
        (f"{SUM} a b.js", "a b.js"),
        (f"{SUM}   a", " a"),
        (f"\\{SUM}  a\\\\b\\nc", "a\\b\nc"),
        (f"MD5 (a b.js) = {SUM}", "a b.js"),
        (f"MD5(a (1).js)= {SUM}\r\n", "a (1).js"),
        (f"md5:{SUM}  a", "a"),
        (f" \t{SUM}  a", "a"),
        (f"{SUM}  a\0", "a"),
        (f"{SUM}  pr\xe4mie\x85.js", "pr\xe4mie\x85.js"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-8-sig"])
def test_sums_of_common_tools(text: str, name: str, encoding: str) -> None:
    """With byte order marks, any line ends, separators, tags and escapes; UTF-8 and UTF-16."""
    sums = digests.read_sums(text.encode(encoding))

    assert [(each, found.digest.hex()) for each, found in sums.rows] == [(name, SUM)]
    assert sums.unread == []


def test_openssl_tag_names_algorithm() -> None:
    """Its name has the length of the digest, unlike that of ``hashlib``."""
    digest = hashlib.blake2b(b"x").hexdigest()

    [(name, found)] = digests.read_sums(f"BLAKE2B-512(a)= {digest}".encode()).rows

    assert (name, found.algorithm, found.digest.hex()) == ("a", "blake2b", digest)


def test_unread_lines_are_numbered() -> None:
    """Their numbers are returned, and the other lines are read."""
    sums = digests.read_sums(f"{ROW}\nno sum\n\nMD5 (a) = 00\n{SUM}\n{ROW}".encode())

    assert len(sums.rows) == 2
    assert sums.unread == [2, 4, 5]


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    """Any file of a package gives rows and line numbers, and no exception."""
    digests.read_sums(data)
