"""Digests: their forms, and the second thread."""

from __future__ import annotations

import base64
import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.digests import Hash, read_hash
from spark_impex_runner.spark.download.hashes import Hashing

NAMES = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]


@pytest.mark.parametrize("name", NAMES)
@given(content=st.binary())
def test_every_form_of_a_digest_is_read(name: str, content: bytes) -> None:
    """Hex of either case and base64 of either alphabet, as common tools write them."""
    digest = hashlib.new(name, content).digest()
    text, coded = digest.hex(), base64.b64encode(digest).decode()
    label = name.replace("sha", "SHA-")
    forms = [
        text,
        f" {text.upper()}\r\n",
        f"\ufeff{text}",
        f'"{text}"',
        f"0x{text}",
        digest.hex("-").upper(),
        digest.hex(":"),
        digest.hex(" "),
        coded,
        coded.rstrip("="),
        base64.urlsafe_b64encode(digest).decode(),
        f"{coded[:20]}\n{coded[20:]}",
        f"{name}:{text}",
        f"{label} = {text.upper()}",
        f"{name}={coded}",
        f"{name}-{coded}",
        f"{label}=:{coded}:",
        f"{{{name.upper()}}}{coded}",
        f"{text}  package.zip",
        f"{text} *package.zip",
        f"{label} (package (1).zip) = {text}",
        f"{name.upper()}(package.zip)= {text}",
    ]

    assert {form: read_hash(form) for form in forms} == dict.fromkeys(forms, Hash(name, digest))


@pytest.mark.parametrize("name", ["sha3_256", "blake2s", "blake2b", "sha3_384"])
def test_prefix_decides_between_algorithms(name: str) -> None:
    """Without a prefix the length selects another algorithm."""
    digest = hashlib.new(name, b"x").digest()

    found = read_hash(f"{name.replace('sha3_', 'SHA3-')}:{digest.hex()}")

    assert found == Hash(name, digest)


@pytest.mark.parametrize(
    "text",
    ["", "abc", "g" * 32, "a" * 33, "sha256:abc", "ü" * 32, "md5:" + "ab" * 20, "crc32:00"],
)
def test_other_texts_are_no_digest(text: str) -> None:
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

    assert expected is None or hashlib.new(expected.algorithm).digest_size == len(expected.digest)


@given(st.lists(st.binary(min_size=1), max_size=12))
def test_hashing_thread_keeps_order(chunks: list[bytes]) -> None:
    """The digests are those of the whole content, for several algorithms."""
    with Hashing(["sha256", "md5"]) as hashing:
        for chunk in chunks:
            hashing.update(chunk)

    whole = b"".join(chunks)
    assert hashing.hexdigest("sha256") == hashlib.sha256(whole).hexdigest()
    assert hashing.hexdigest("md5") == hashlib.md5(whole, usedforsecurity=False).hexdigest()


def test_small_file_needs_no_thread() -> None:
    """The first mebibyte is hashed at once, the rest by a second thread."""
    with Hashing(["sha256"]) as hashing:
        hashing.update(bytes((1 << 20) - 1))
        before = [each.name for each in threading.enumerate()]
        hashing.update(b"x")
        after = [each.name for each in threading.enumerate() if each.daemon]
        hashing.update(b"y")

    assert ("hashing" in before, "hashing" in after) == (False, True)
    assert "hashing" not in [each.name for each in threading.enumerate()]
    whole = bytes((1 << 20) - 1) + b"xy"
    assert hashing.hexdigest("sha256") == hashlib.sha256(whole).hexdigest()


def test_md5_is_a_checksum_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIPS mode forbids it for security only."""
    settings: list[object] = []
    monkeypatch.setattr(hashlib, "new", lambda *words, **more: settings.append((words, more)))

    Hashing(["md5"])

    assert settings == [(("md5",), {"usedforsecurity": False})]
