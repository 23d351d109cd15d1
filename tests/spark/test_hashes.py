"""Digests: their forms, and the second thread."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.spark.hashes import Expected, Hashing, digests_of, read_hash

NAMES = ["md5", "sha1", "sha256", "sha512"]


@pytest.mark.parametrize("name", NAMES)
@given(content=st.binary())
def test_every_form_of_a_digest_is_read(name: str, content: bytes) -> None:
    """Hex of either case and base64 of either alphabet are told apart by their length."""
    digest = hashlib.new(name, content).digest()
    forms = [
        digest.hex(),
        f" {digest.hex().upper()} ",
        base64.b64encode(digest).decode(),
        base64.urlsafe_b64encode(digest).decode(),
    ]

    assert {read_hash(form) for form in forms} == {Expected(name, digest)}


@pytest.mark.parametrize("text", [None, "", "abc", "g" * 32, "a" * 33, "sha256:abc", "ü" * 32])
def test_other_texts_are_no_digest(text: str | None) -> None:
    """An unknown form is not an error."""
    assert read_hash(text) is None


@pytest.mark.parametrize("form", ["!{}", "{}!", "{} {}"])
def test_base64_with_stray_characters_is_no_digest(form: str) -> None:
    """What is not in the alphabet is not skipped."""
    digest = base64.b64encode(hashlib.sha256(b"").digest()).decode()

    assert read_hash(form.format(digest, digest)) is None


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever a tenant sends, the answer is a digest or None."""
    expected = read_hash(text)

    assert expected is None or expected.algorithm in NAMES


@given(st.lists(st.binary(min_size=1), max_size=12))
def test_the_second_thread_sees_every_chunk_in_order(chunks: list[bytes]) -> None:
    """The digests are those of the whole, for as many algorithms as asked."""
    with Hashing(["sha256", "md5"]) as hashing:
        for chunk in chunks:
            hashing.update(chunk)

    whole = b"".join(chunks)
    assert hashing.hexdigest("sha256") == hashlib.sha256(whole).hexdigest()
    assert hashing.hexdigest("md5") == digests_of([whole], ["md5"])["md5"].hex()
