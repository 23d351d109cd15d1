from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.disk import full_disk
from spark_impex_runner.errors import Interrupted, StepError
from spark_impex_runner.hooks.registry import Registry
from spark_impex_runner.models import Artifact, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.models import Job

    Run = Callable[..., list[Artifact]]

pytestmark = pytest.mark.usefixtures("engine")
SIZE = 24
NAME = st.text(st.sampled_from("./\\ab:\n"), min_size=1, max_size=6)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def run(unzip: ModuleType, make_job: Callable[..., Job]) -> Run:
    """Run the step for a package, which is the job's only one."""

    def call(package: Artifact, **options: Any) -> list[Artifact]:
        made: list[Artifact] = unzip.impex_run_step(
            make_job(package), Step("unzip", options), package
        )
        return made

    return call


def test_other_steps_are_ignored(
    unzip: ModuleType, make_job: Callable[..., Job], package: Artifact
) -> None:
    """The plugin answers for its own step only."""
    assert unzip.impex_run_step(make_job(package), Step("upload"), package) is None


def test_step_is_registered_with_options(unzip: ModuleType) -> None:
    """The manifest's schema learns the options from the registry."""
    registry = Registry("builtin")

    unzip.impex_register(registry)

    assert set(registry.steps["unzip"].options["properties"]) == {
        "to",
        "max_total",
        "max_files",
        "max_ratio",
    }


def test_package_is_extracted(run: Run, package: Artifact, output: Path) -> None:
    """Every file has the bytes that the package holds."""
    run(package)

    with zipfile.ZipFile(package.path) as archive:
        files = {e.filename: archive.read(e) for e in archive.infolist() if not e.is_dir()}
    assert contents(output / "files") == files
    assert sorted(path.name for path in output.iterdir()) == ["files", "motor.zip"]


def test_artifact_has_folder_digest(run: Run, package: Artifact, output: Path) -> None:
    """Its size is that of all files, and GNU tools come to the same digest."""
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"

    [made] = run(package, to="a/b")

    expected_text = subprocess.run(
        ["sh", "-c", command], cwd=made.path, check=True, capture_output=True, text=True
    )
    assert made.sha256 == expected_text.stdout.split()[0]
    assert made.size == sum(map(len, contents(output / "a/b").values()))
    assert (made.name, made.made_by, made.path) == ("a/b/", "unzip", output / "a/b")


def test_second_run_replaces_folder(
    run: Run, make_package: Callable[..., Artifact], output: Path
) -> None:
    """Nothing of an earlier delivery stays."""
    run(make_package([("stale", b""), ("motor/kept", b"")]))

    run(make_package([("motor/kept", b"")]))

    assert sorted(contents(output / "files")) == ["motor/kept"]


def test_user_file_is_not_removed(run: Run, package: Artifact, output: Path) -> None:
    """A folder to which somebody has added a file stays as it is; the message names the file."""
    run(package)
    (output / "files" / "mine.txt").write_text("mine")
    before = contents(output)

    with pytest.raises(StepError, match=r"no earlier run of this target put .*mine\.txt"):
        run(package)

    assert contents(output) == before


def test_user_folder_is_not_replaced(run: Run, package: Artifact, output: Path) -> None:
    """On the very first run nothing that lies there is ours."""
    (output / "src").mkdir()
    (output / "src" / "precious.py").write_text("mine")

    with pytest.raises(StepError, match=r"out/src is not replaced"):
        run(package, to="src")

    assert contents(output / "src") == {"precious.py": b"mine"}


def test_files_have_default_modes(
    run: Run, make_package: Callable[..., Artifact], output: Path
) -> None:
    """Modes in the package, set-user-id above all, are not taken over."""
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o104777 << 16

    run(make_package([(entry, b"")]))

    ordinary = output / "ordinary"
    ordinary.touch()
    assert (output / "files/a").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"max_total": 999}, "max_total"),
        ({"max_total": "1kB"}, "max_total"),
        ({"max_files": 3}, "max_files"),
        ({"max_ratio": 1}, "max_ratio"),
    ],
)
def test_exceeded_limit_changes_nothing(
    run: Run, package: Artifact, output: Path, options: dict[str, Any], limit: str
) -> None:
    """A package over a limit is refused; the message names the package and the option."""
    run(package)
    before = contents(output)

    with pytest.raises(StepError, match=rf"^motor\.zip: more than .*; raise {limit} to allow it$"):
        run(package, **options)

    assert contents(output) == before


def test_too_little_space_is_found_early(
    run: Run, package: Artifact, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written; the message names the required and the free bytes."""
    run(package)
    before = contents(output)
    needed = sum(len(data) for name, data in before.items() if name.startswith("files/"))
    usage = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(StepError, match=rf"needs {needed:,} bytes, {needed - 1:,} are free at /"):
        run(package)

    assert contents(output) == before
    usage.free = needed
    run(package)


def test_disk_that_fills_up_is_named(
    run: Run, package: Artifact, output: Path, unzip: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a write names no file, so the step adds the folder."""

    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    module = sys.modules[f"{unzip.__name__}.extract"]
    monkeypatch.setattr(module, "open", lambda *_: Full(), raising=False)

    with pytest.raises(StepError, match="No space left on device") as caught:
        run(package)

    assert full_disk(caught.value)
    assert list(contents(output)) == [package.name]


def test_bomb_is_stopped_early(
    run: Run, make_package: Callable[..., Artifact], output: Path
) -> None:
    """What is counted is what comes out, not what stands in the headers."""
    bomb = make_package([("zeros", bytes(20_000_000))])

    with pytest.raises(StepError, match="more than 200 times its own size; raise max_ratio"):
        run(bomb)

    assert not (output / "files").exists()


@pytest.mark.parametrize("length", [1, 5000])
def test_wrong_length_is_found(
    run: Run,
    make_package: Callable[..., Artifact],
    patch_header: Callable[..., None],
    output: Path,
    length: int,
) -> None:
    """Neither too short nor too long a length in the header goes unnoticed."""
    package = make_package([("a", b"hundred!" * 10)])
    patch_header(package, "central", SIZE, length)

    with pytest.raises(StepError, match=r"^motor\.zip: .*'a'"):
        run(package)

    assert not (output / "files").exists()


def test_wrong_crc_is_found(run: Run, package: Artifact, output: Path) -> None:
    """A package that was damaged is not extracted."""
    data = package.path.read_bytes()
    package.path.write_bytes(data.replace(b'{"object": "export"}', b'{"object": "expert"}'))
    damaged = bytearray(package.path.read_bytes())
    damaged[damaged.index(b"ModelMetaData.json") + 20] ^= 0xFF
    package.path.write_bytes(damaged)

    with pytest.raises(StepError, match=r"^motor\.zip: the package is broken: "):
        run(package)

    assert not (output / "files").exists()


def test_invalid_package_is_refused(run: Run, package: Artifact) -> None:
    """A file that is not a ZIP archive fails the step in one line."""
    package.path.write_bytes(b"<html>sign in</html>")

    with pytest.raises(StepError, match="the package is broken: File is not a zip file"):
        run(package)


def test_missing_package_is_reported(run: Run, package: Artifact) -> None:
    """A file that is gone fails the step in one line."""
    package.path.unlink()

    with pytest.raises(StepError, match=r"^motor\.zip: .*No such file"):
        run(package)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_interrupt_ends_step(
    unzip: ModuleType, make_job: Callable[..., Job], package: Artifact, allowed: int
) -> None:
    """The step ends between two pieces, and nothing half extracted is left."""
    answers = iter([False] * allowed)
    job = make_job(package, stopping=lambda: next(answers, True))

    with pytest.raises(Interrupted):
        unzip.impex_run_step(job, Step("unzip"), package)

    assert [path.name for path in job.target.output.iterdir()] == ["motor.zip"]


def test_packages_have_separate_folders(
    unzip: ModuleType,
    make_job: Callable[..., Job],
    make_package: Callable[..., Artifact],
    output: Path,
) -> None:
    """Packages of one target do not replace each other's files."""
    packages = [make_package([("x", name.encode())], name) for name in ("a.zip", "b/a.zip")]
    job = make_job(*packages)

    made = [unzip.impex_run_step(job, Step("unzip"), each)[0] for each in packages]

    assert [each.name for each in made] == ["files/a/", "files/b/a/"]
    assert contents(output / "files") == {"a/x": b"a.zip", "b/a/x": b"b/a.zip"}


@pytest.mark.parametrize("names", [("a.zip", "A.ZIP"), ("a.zip", "a/b.zip"), ("a/b.zip", "a.zip")])
def test_overlapping_folders_are_refused(
    unzip: ModuleType,
    make_job: Callable[..., Job],
    make_package: Callable[..., Artifact],
    names: tuple[str, str],
) -> None:
    """No package is extracted into the folder of another."""
    first, second = (make_package([("x", b"")], name) for name in names)

    with pytest.raises(StepError, match="would hide"):
        unzip.impex_run_step(make_job(first, second), Step("unzip"), first)


@pytest.mark.parametrize("to", ["..", "/tmp/x", "a/../..", "", ".", "C:x", "a\\b", "nul"])  # noqa: S108 - never used
def test_folder_outside_output_is_refused(run: Run, package: Artifact, to: str) -> None:
    """The option cannot lead out of the target's output folder, nor name the folder itself."""
    with pytest.raises(StepError, match=r"^motor\.zip: to: "):
        run(package, to=to)


def test_link_outside_output_is_refused(
    run: Run, package: Artifact, output: Path, tmp_path: Path
) -> None:
    """A folder that leads elsewhere by a link is not written to."""
    (tmp_path / "elsewhere").mkdir()
    (output / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StepError, match="is outside the output folder"):
        run(package, to="link/files")


@pytest.mark.parametrize("to", ["motor.zip", "MOTOR.zip", "impex-receipt.json", "sums", "sums/x"])
def test_no_other_artifact_is_replaced(
    unzip: ModuleType, make_job: Callable[..., Job], package: Artifact, output: Path, to: str
) -> None:
    """The folder may not take the place of anything that the target holds."""
    job = make_job(package, Artifact(output / "sums", "sums", made_by="checksum"))

    with pytest.raises(StepError, match="would hide"):
        unzip.impex_run_step(job, Step("unzip", {"to": to}), package)

    assert package.path.is_file()


def test_memory_does_not_grow_with_package(run: Run, make_package: Callable[..., Artifact]) -> None:
    """A file is never held as a whole."""
    package = make_package([("large", os.urandom(1 << 20) * 48)])
    tracemalloc.start()

    run(package)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@settings(max_examples=60)
@given(names=st.lists(NAME, min_size=1, max_size=4))
def test_no_entry_ever_escapes(unzip: ModuleType, names: list[str]) -> None:
    """Whatever a package holds, files appear below the folder or nowhere."""
    with tempfile.TemporaryDirectory() as scratch:
        inner = Path(scratch) / "one" / "two"
        inner.mkdir(parents=True)
        package = Path(scratch) / "p.zip"
        with zipfile.ZipFile(package, "w") as archive:
            for name in dict.fromkeys(names):
                archive.writestr(name, name if not name.endswith("/") else "")

        try:
            limits = unzip.Limits(1000, 100, 200.0)
            unzip.extract(package, inner, limits, lambda: False)
        except unzip.UnsafeArchive:
            pass

        outside = [path for path in Path(scratch).rglob("*") if inner not in path.parents]
        assert {path.name for path in outside} == {"one", "two", "p.zip"}
