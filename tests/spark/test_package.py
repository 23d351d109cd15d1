"""What a package must prove: its structure, and each entry where there is no hash."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner import errors
from spark_impex_runner.models import Artifact
from spark_impex_runner.spark.package import check_hash, check_zip

if TYPE_CHECKING:
    from pathlib import Path


def test_a_whole_package_passes_and_a_damaged_one_is_told(package: Any, tmp_path: Path) -> None:
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


def test_an_entry_with_a_wrong_crc_is_named(tmp_path: Path) -> None:
    """The error says which entry is damaged."""
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
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "an HTML page"),
        (b'{"error": 1}', "not a ZIP package"),
    ],
)
def test_what_is_no_package_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """A login page that was served as a download is called so."""
    path = tmp_path / "p"
    path.write_bytes(content)

    with pytest.raises(errors.IntegrityError, match=words):
        check_zip(path)


def test_an_artifact_without_a_link_is_not_compared(tmp_path: Path) -> None:
    """Only what a tenant announced can be wrong."""
    artifact = Artifact(tmp_path / "p", "p")

    check_hash(artifact)
    check_hash(replace(artifact, hash_agreed=False))
