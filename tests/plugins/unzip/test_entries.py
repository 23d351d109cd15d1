from __future__ import annotations

import stat
import zlib
from typing import TYPE_CHECKING
from zipfile import ZIP_BZIP2, ZIP_STORED, ZipFile, ZipInfo

import pytest

from spark_impex_runner import archives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from spark_impex_runner.models import Artifact

    Entry = tuple[str | ZipInfo, bytes]
    MakePackage = Callable[[Iterable[Entry]], Artifact]
    PatchHeader = Callable[[Artifact, str, int, int], None]

FLAGS, SIZE, OFFSET = 8, 24, 42
LOCAL_FLAGS = 6


def special(name: str, attributes: int) -> ZipInfo:
    """Return an entry with these external attributes."""
    entry = ZipInfo(name)
    entry.external_attr = attributes
    return entry


@pytest.fixture
def verdict(unzip: ModuleType) -> Callable[[Artifact], str]:
    """Tell why a package is refused by its table of contents; empty when it is not."""

    def judge(package: Artifact) -> str:
        limits = unzip.Limits(1 << 30, 100, 200.0)
        try:
            with package.path.open("rb") as stream, archives.opened(stream) as archive:
                unzip.entries.check(archive, stream, limits)
        except (unzip.UnsafeArchive, archives.UnreadableZipError) as refusal:
            return str(refusal)
        return ""

    return judge


def test_genuine_package_is_accepted(verdict: Callable[[Artifact], str], package: Artifact) -> None:
    """Folders that are named several times are normal."""
    assert verdict(package) == ""


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(
    verdict: Callable[[Artifact], str], make_package: MakePackage, kind: int
) -> None:
    """Only files and folders may come out of a package."""
    package = make_package([(special("a", (kind | 0o777) << 16), b"/etc/passwd")])

    assert verdict(package) == "entry 'a' is a link or another special file"


def test_windows_links_are_refused(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """A reparse point is a link, too."""
    package = make_package([(special("a", 0x400), b"x")])

    assert verdict(package) == "entry 'a' is a link of Windows"


def test_windows_read_only_files_are_accepted(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """Archived, hidden and read-only are no link."""
    assert verdict(make_package([(special("a", 0x27), b"x")])) == ""


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("a", "a", "would overwrite another"),
        ("a/b.json", "A/B.json", "would overwrite another"),
        ("a", "a/", "would overwrite another"),
        ("a/", "a", "would overwrite another"),
        ("a/b", "a", "would overwrite another"),
        ("a", "A/b", "is below an entry that is a file"),
    ],
)
def test_duplicate_entries_are_refused(
    verdict: Callable[[Artifact], str],
    make_package: MakePackage,
    first: str,
    second: str,
    reason: str,
) -> None:
    """No entry may hide another, on any system."""
    package = make_package([(first, b""), (second, b"")])

    assert verdict(package) == f"entry {second!r} {reason}" + " entry" * reason.endswith("another")


def test_folders_differing_in_case_are_accepted(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """They hide nothing as long as their files have different names."""
    package = make_package([("a/b", b""), ("A/c", b"")])

    assert verdict(package) == ""


def test_encrypted_entry_is_refused(
    verdict: Callable[[Artifact], str], package: Artifact, patch_header: PatchHeader
) -> None:
    """Nobody has a password for it."""
    patch_header(package, "central", FLAGS, 1)
    patch_header(package, "local", LOCAL_FLAGS, 1)

    assert verdict(package).endswith("is encrypted")


def test_patch_is_refused(
    verdict: Callable[[Artifact], str], package: Artifact, patch_header: PatchHeader
) -> None:
    """An entry that only makes sense with another file is not taken for one."""
    patch_header(package, "central", FLAGS, 0x20)
    patch_header(package, "local", LOCAL_FLAGS, 0x20)

    assert verdict(package).endswith("is a patch for another file")


@pytest.mark.parametrize(("offset", "value"), [(0, 0), (30, 0x2F2E2E)])
def test_wrong_local_header_is_refused(
    verdict: Callable[[Artifact], str],
    package: Artifact,
    patch_header: PatchHeader,
    offset: int,
    value: int,
) -> None:
    """The table of contents and the header before the bytes must agree on what they are."""
    patch_header(package, "local", offset, value)

    assert verdict(package).endswith("has no header, or that of another file")


def test_offsets_point_to_data(unzip: ModuleType, package: Artifact) -> None:
    """Each file is found where its compressed bytes begin, folders are left out."""
    with package.path.open("rb") as stream, ZipFile(stream) as archive:
        files = unzip.entries.check(archive, stream, unzip.Limits(1 << 30, 100, 200.0))

        for file in files:
            stream.seek(file.start)
            packed = stream.read(file.entry.compress_size)
            assert zlib.decompress(packed, -zlib.MAX_WBITS) == archive.read(file.entry)
    assert len(files) == 3


def test_other_compressions_are_refused(
    verdict: Callable[[Artifact], str], package: Artifact
) -> None:
    """Methods that need memory in proportion to the data are not taken."""
    with ZipFile(package.path, "a") as archive:
        archive.writestr("a", b"x" * 99, ZIP_BZIP2)

    assert "entry 'a' is compressed in another way than deflate: with bzip2" in verdict(package)


def test_folder_with_content_is_refused(
    verdict: Callable[[Artifact], str], package: Artifact
) -> None:
    """Content that would vanish is a sign of a trick."""
    with ZipFile(package.path, "a") as archive:
        archive.writestr("a/", b"x", ZIP_STORED)

    assert verdict(package) == "entry 'a/' is a folder with content of its own"


def test_overlapping_entries_are_refused(
    verdict: Callable[[Artifact], str], package: Artifact, patch_header: PatchHeader
) -> None:
    """The trick of small archives with endless content does not work."""
    patch_header(package, "central", OFFSET, 0)

    assert verdict(package).endswith("overlaps another entry")


def test_entry_over_directory_is_refused(
    verdict: Callable[[Artifact], str], package: Artifact, patch_header: PatchHeader
) -> None:
    """The compressed bytes of an entry end before the table of contents."""
    patch_header(package, "central", SIZE - 4, 1 << 20)

    assert "overlap" in verdict(package).lower()


def test_entry_outside_package_is_refused(
    verdict: Callable[[Artifact], str], package: Artifact, patch_header: PatchHeader
) -> None:
    """An offset beyond the end of the file is no place for an entry."""
    patch_header(package, "central", OFFSET, 1 << 30)

    assert verdict(package).endswith("is outside the package")


def test_nul_in_name_is_refused(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """A name must not be one thing to a reader and another to a checker."""
    package = make_package([("safeX..", b"")])
    package.path.write_bytes(package.path.read_bytes().replace(b"safeX..", b"safe\0.."))

    assert verdict(package) == "entry 'safe\\x00..' has a control character in its name"


def test_folders_count_as_files(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """Two deep entries can make more folders than there are entries."""
    package = make_package([("a/" * 60 + "x", b""), ("b/" * 60 + "x", b"")])

    assert verdict(package) == "more than 100 files and folders; raise max_files to allow it"


def test_long_name_is_shortened(
    verdict: Callable[[Artifact], str], make_package: MakePackage
) -> None:
    """A message stays readable whatever the package is called."""
    package = make_package([("../" + "x" * 5000, b"")])

    assert len(verdict(package)) < 200


@pytest.mark.parametrize(("length", "shown"), [(118, 118), (119, 99)])
def test_long_name_keeps_its_start(unzip: ModuleType, length: int, shown: int) -> None:
    """Of more than 120 characters, quotes included, it keeps the first hundred."""
    entry = ZipInfo("a" * length)

    assert unzip.entries.entry_name(entry).count("a") == shown
