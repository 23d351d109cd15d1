"""What a package must prove: its structure, and each entry where there is no hash."""

from __future__ import annotations

import hashlib
import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner import errors
from spark_impex_runner.models import Artifact, RemoteFile
from spark_impex_runner.spark.package import check, check_hash, check_zip

if TYPE_CHECKING:
    from pathlib import Path


def test_damaged_package_is_refused(package: Any, tmp_path: Path) -> None:
    """Each entry's CRC is read; repeated folder entries are normal in genuine packages."""
    good, cut, flipped = (tmp_path / name for name in ("good", "cut", "flipped"))
    good.write_bytes(package())
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr("acme/", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("acme/", b"")
    check_zip(good)

    data = package(bytes(range(256)) * 64)
    cut.write_bytes(data[:-30])
    flipped.write_bytes(data[:60] + bytes([data[60] ^ 255]) + data[61:])
    for path in (cut, flipped):
        with pytest.raises(errors.IntegrityError, match="damaged"):
            check_zip(path)


def test_wrong_crc_names_entry(tmp_path: Path) -> None:
    """The error names the damaged entry."""
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("acme/manifest.json", b"SPARK")
    path.write_bytes(path.read_bytes().replace(b"SPARK", b"SHARK"))

    with pytest.raises(errors.IntegrityError, match=r"'acme/manifest\.json' is damaged"):
        check_zip(path)


@given(st.data())
def test_no_damage_breaks_the_check(tmp_path_factory: Any, package: Any, data: Any) -> None:
    """Whatever a byte of a package becomes, the check passes or refuses."""
    content = bytearray(package(b"some content"))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("zip") / "p.zip"
    path.write_bytes(content)

    with suppress(errors.IntegrityError):
        check_zip(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "an HTML page"),
        (b'{"error": 1}', "not a ZIP package"),
    ],
)
def test_non_package_is_described(tmp_path: Path, content: bytes, message: str) -> None:
    """A login page that was served as a download is called so."""
    path = tmp_path / "p"
    path.write_bytes(content)

    with pytest.raises(errors.IntegrityError, match=message):
        check_zip(path)


def test_artifact_without_link_is_skipped(tmp_path: Path) -> None:
    """Only what a tenant announced can be wrong."""
    artifact = Artifact(tmp_path / "p", "p")

    check_hash(artifact)
    check_hash(replace(artifact, hash_agreed=False))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Return a package of two stored entries."""
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("acme/manifest.json", b"SPARK")
        archive.writestr("acme/r\xe9sum\xe9.json", b"second")
    return path


def test_hash_replaces_crc_checks(stored: Path) -> None:
    """A matching hash covers the CRCs; without one each entry is checked."""
    stored.write_bytes(stored.read_bytes().replace(b"SPARK", b"SHARK"))

    check(Artifact(stored, "p.zip", hash_agreed=True))
    with pytest.raises(errors.IntegrityError, match=r"'acme/manifest\.json' is damaged"):
        check(Artifact(stored, "p.zip", hash_agreed=None))


@pytest.mark.parametrize("found", [b"PK\x03\x04", b"acme/manifest.json"])
def test_misplaced_entry_is_named(stored: Path, found: bytes) -> None:
    """Signature and name of each entry are checked with any hash."""
    stored.write_bytes(stored.read_bytes().replace(found, found[::-1], 1))

    with pytest.raises(errors.IntegrityError, match=r"'acme/manifest\.json' is damaged"):
        check(Artifact(stored, "p.zip", hash_agreed=True))


def test_overlapping_entry_is_named(stored: Path) -> None:
    """The last entry of the directory is longer than its space."""
    data = bytearray(stored.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 24] = (7).to_bytes(4, "little")
    stored.write_bytes(data)

    with pytest.raises(errors.IntegrityError, match="is damaged"):
        check(Artifact(stored, "p.zip", hash_agreed=True))


def test_structure_error_precedes_hash_error(tmp_path: Path) -> None:
    """A login page is called so, though its hash is wrong as well."""
    path = tmp_path / "p"
    path.write_bytes(b"<html>Sign in</html>")

    with pytest.raises(errors.IntegrityError, match="HTML page"):
        check(Artifact(path, "p", remote=RemoteFile("", "ab" * 32), hash_agreed=False))


def test_a_known_digest_is_not_computed_again(stored: Path) -> None:
    """The message names the digest that was taken on the way."""
    remote = RemoteFile("", "ab" * 32)
    artifact = Artifact(stored, "p.zip", remote=remote, hash_agreed=False)
    found = hashlib.sha256(stored.read_bytes()).hexdigest()

    with pytest.raises(errors.IntegrityError, match="the download has cdcd"):
        check(replace(artifact, digests={"sha256": "cd" * 32}))
    with pytest.raises(errors.IntegrityError, match=found):
        check(artifact)
