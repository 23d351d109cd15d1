from __future__ import annotations

import importlib
import io
import itertools
import random
import struct
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.archives import UnreadableZipError
from spark_impex_runner.errors import Interrupted, StepError
from spark_impex_runner.models import Artifact, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.models import Job

    MakeJob = Callable[..., Job]
    MakePackage = Callable[..., Artifact]

pytestmark = pytest.mark.usefixtures("engine")
COUNT = 3
extract = importlib.import_module("spark_impex_runner.plugins.unzip.extract")
METHOD, CRC, COMPRESSED = 10, 16, 20
NAMES = st.lists(st.sampled_from(["a", "b", "c d", "é", "x.json"]), min_size=1, max_size=4)
CONTENTS = st.binary(max_size=80) | st.integers(0, 600_000).map(bytes)
TREES = st.dictionaries(NAMES.map("/".join), CONTENTS, max_size=12)


class Unseekable(io.RawIOBase):
    """A file to which one can only append, as a socket: sizes then follow after the bytes."""

    def writable(self) -> bool:
        """Say that it is written to."""
        return True

    def write(self, data: Any) -> int:
        """Append the bytes."""
        self.kept += data
        return len(data)

    def __init__(self) -> None:
        self.kept = b""


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the same number of threads on every machine, unless a test says another."""

    def set_count(count: int) -> None:
        monkeypatch.setattr(extract, "THREADS", count)

    set_count(COUNT)
    return set_count


@pytest.fixture
def large(make_package: MakePackage) -> Artifact:
    """Write a package of twelve files, each of several pieces, some of which shrink."""
    chance = random.Random(7)  # noqa: S311 - chance that repeats is what is wanted
    files = [(f"f{number}", chance.randbytes(30_000) * 10) for number in range(12)]
    return make_package(files)


@pytest.fixture
def run(unzip: ModuleType, make_job: MakeJob) -> Callable[..., Artifact]:
    """Run the step for one package; return the folder."""

    def call(package: Artifact, stopping: Callable[[], bool] = bool, **options: Any) -> Artifact:
        job = make_job(package, stopping=stopping)
        [made] = unzip.impex_run_step(job, Step("unzip", options), package)
        folder: Artifact = made
        return folder

    return call


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_nothing_is_left(output: Path) -> None:
    """Neither a folder nor a thread."""
    assert [path.name for path in output.iterdir()] == ["motor.zip"]
    assert [each for each in threading.enumerate() if each.name.startswith("unzip")] == []


def damage(package: Artifact, name: str, offset: int, value: bytes) -> None:
    """Overwrite bytes in the table of contents, in the entry of that name."""
    data = bytearray(package.path.read_bytes())
    start = data.rindex(name.encode()) - 46 + offset
    data[start : start + len(value)] = value
    package.path.write_bytes(data)


@pytest.mark.parametrize("name", ["f0", "f6", "f11"])
def test_wrong_crc_leaves_nothing(
    run: Callable[..., Artifact], large: Artifact, output: Path, name: str
) -> None:
    """Whichever thread finds it, all end, and the message names the entry."""
    damage(large, name, CRC, b"\0\0\0\0")

    with pytest.raises(
        StepError, match=f"the package is broken: entry '{name}' does not match its CRC"
    ):
        run(large)

    assert_nothing_is_left(output)


@pytest.mark.parametrize("size", [1, 20_000])
def test_truncated_data_leave_nothing(
    run: Callable[..., Artifact], large: Artifact, output: Path, size: int
) -> None:
    """An entry whose stream is cut is broken, and named."""
    damage(large, "f6", COMPRESSED, struct.pack("<I", size))

    with pytest.raises(StepError, match=r"the package is broken: entry 'f6': .* end too early"):
        run(large)

    assert_nothing_is_left(output)


def test_invalid_data_leave_nothing(
    run: Callable[..., Artifact], large: Artifact, output: Path
) -> None:
    """Where inflate gives up, the entry is named."""
    start = zipfile.ZipFile(large.path).getinfo("f6").header_offset + 32
    with large.path.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xff" * 100)

    with pytest.raises(StepError, match="the package is broken: entry 'f6': "):
        run(large)

    assert_nothing_is_left(output)


def test_threads_share_limits(run: Callable[..., Artifact], large: Artifact, output: Path) -> None:
    """The limit is for all files: it is kept to the byte, whoever writes them."""
    total = 12 * 300_000

    with pytest.raises(StepError, match=f"more than {total - 1} bytes"):
        run(large, max_total=total - 1)

    assert_nothing_is_left(output)
    assert run(large, max_total=total).size == total


@pytest.mark.parametrize("allowed", [0, 1, 5, 20, 30])
def test_interrupt_ends_all_threads(
    run: Callable[..., Artifact], large: Artifact, output: Path, allowed: int
) -> None:
    """Each asks once more at most: then it has ended, and nothing is left."""
    asked = itertools.count()

    with pytest.raises(Interrupted):
        run(large, stopping=lambda: next(asked) >= allowed)

    assert next(asked) <= allowed + COUNT
    assert_nothing_is_left(output)


def test_failure_ends_other_threads(unzip: ModuleType) -> None:
    """A thread does not finish a large file that is to be removed."""
    module = importlib.import_module(f"{unzip.__name__}.extract")
    meter = module.SizeLimiter(unzip.Limits(100, 1, 1.0), 100, bool)
    meter.add(1)
    meter.ended.set()

    with pytest.raises(Interrupted):
        meter.add(1)


def test_ctrl_c_ends_all_threads(
    run: Callable[..., Artifact],
    large: Artifact,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the threads work; none is left behind, and neither is a folder."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extract, "wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        run(large)

    assert_nothing_is_left(output)


def test_digest_is_independent_of_threads(
    run: Callable[..., Artifact], large: Artifact, threads: Callable[[int], None]
) -> None:
    """Whoever is first, the folder has the same digest."""
    made = set()
    for count in (1, 2, 8, 8):
        threads(count)
        folder = run(large)
        made.add((folder.sha256, folder.size))

    assert len(made) == 1


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_empty_files_are_extracted(
    run: Callable[..., Artifact], output: Path, make_package: MakePackage, kind: int
) -> None:
    """An entry of no bytes becomes a file of no bytes."""
    package = make_package([])
    with zipfile.ZipFile(package.path, "w", kind) as archive:
        archive.writestr("a/empty", b"")
        archive.writestr("b", b"x")

    run(package)

    assert tree(output / "files") == {"a/empty": b"", "b": b"x"}


def test_empty_file_may_be_deflated(
    run: Callable[..., Artifact], output: Path, make_package: MakePackage
) -> None:
    """Some programs write not even an empty stream for it."""
    package = make_package([])
    with zipfile.ZipFile(package.path, "w") as archive:
        archive.writestr("empty", b"")
    damage(package, "empty", METHOD, struct.pack("<H", zipfile.ZIP_DEFLATED))

    run(package)

    assert tree(output / "files") == {"empty": b""}


def test_deflated_file_without_data_is_refused(
    run: Callable[..., Artifact], large: Artifact, output: Path
) -> None:
    """Nothing passes for a file only where nothing is expected."""
    damage(large, "f6", COMPRESSED, struct.pack("<I", 0))

    with pytest.raises(StepError, match="entry 'f6' does not have the declared length"):
        run(large)

    assert_nothing_is_left(output)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_data_descriptors_are_supported(
    run: Callable[..., Artifact], output: Path, make_package: MakePackage, kind: int
) -> None:
    """A package that was written as a stream has no sizes in its local headers."""
    package, stream = make_package([]), Unseekable()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr("a", b"first" * 5000)
        archive.writestr("b", b"second")
    package.path.write_bytes(stream.kept)
    assert archive.getinfo("a").flag_bits & 8

    run(package)

    assert tree(output / "files") == {"a": b"first" * 5000, "b": b"second"}


def test_zip64_is_supported(
    run: Callable[..., Artifact],
    output: Path,
    make_package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ZIP64 keeps sizes and offsets in extra fields."""
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 10)
        package = make_package([("a", b"first" * 5000), ("b", b"second" * 9)])
    assert b"\x01\x00\x18\x00" in package.path.read_bytes()

    run(package)

    assert tree(output / "files") == {"a": b"first" * 5000, "b": b"second" * 9}


def test_stored_file_of_wrong_length_is_found(
    run: Callable[..., Artifact], output: Path, make_package: MakePackage
) -> None:
    """What is not compressed is measured as well."""
    package = make_package([])
    with zipfile.ZipFile(package.path, "w") as archive:
        archive.writestr("abc", b"0123456789")
    damage(package, "abc", COMPRESSED, struct.pack("<I", 9))

    with pytest.raises(StepError, match="entry 'abc' does not have the declared length"):
        run(package)

    assert_nothing_is_left(output)


@settings(max_examples=60)
@given(files=TREES, kind=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_every_tree_round_trips(unzip: ModuleType, files: dict[str, bytes], kind: int) -> None:
    """What zipfile packs comes out byte for byte, or is refused for names that collide."""
    with tempfile.TemporaryDirectory() as scratch:
        package, folder = Path(scratch, "p.zip"), Path(scratch, "out")
        folder.mkdir()
        with zipfile.ZipFile(package, "w", kind) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        collide = any(f"{one}/" in f"{two}/" for one in files for two in files if one != two)

        try:
            made = unzip.extract(package, folder, unzip.Limits(1 << 30, 100, 2000.0), bool)
        except (unzip.UnsafeArchive, UnreadableZipError):
            assert collide or not files
            return

        assert tree(folder) == files
        assert made.size == sum(map(len, files.values()))
