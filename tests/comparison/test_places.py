"""Delivered folders, extracted packages, and paths that are neither."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.comparison import places
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.clock import Clock

MANIFEST = """
version: 1
connections: {here: {sandbox: tree1}}
targets:
  - {name: one, services: [motor/pricing], steps: [{uses: unzip}]}
  - {name: two, services: [life/term], file_filter: onpremises}
"""


@pytest.fixture
def deliver(tmp_path: Path, clock: Clock) -> Callable[..., Path]:
    """Give a function that delivers two targets of a served tree to a folder."""

    def run(tree: str, name: str = "out") -> Path:
        path = tmp_path / "m.yaml"
        path.write_text(MANIFEST.replace("tree1", tree))
        options = RunOptions(output=tmp_path / name, fresh=True)
        assert run_manifest(path, options, clock=clock).exit_code == 0
        return tmp_path / name / "exports"

    return run


@pytest.fixture
def delivered(workshop: Any, deliver: Callable[..., Path]) -> Path:
    """Deliver two targets, and return the folder above both."""
    workshop.tenant = "tree1"
    workshop.package("motor/pricing/1.4.1", "life/term/1.0.0")
    return deliver("tree1")


def test_all_forms_of_a_delivery_are_equal(
    delivered: Path, differences: Callable[..., Any]
) -> None:
    """A package, its delivered folder, and the folder that a step extracted it to."""
    package, folder, extracted = (
        delivered / "one" / "package.zip",
        delivered / "one",
        delivered / "one" / "files",
    )

    for sides in ((package, folder), (folder, extracted), (extracted, package)):
        diff = differences(*sides)
        assert (diff.services, diff.files, diff.unknown) == ((), (), ())


def test_folders_below_are_read_together(delivered: Path, differences: Callable[..., Any]) -> None:
    """A folder of several deliveries holds what all of them hold."""
    services = differences(delivered / "one", delivered).services

    assert [(each.old, each.new) for each in services] == [("", "life/term")]


def test_receipt_knows_the_kind(delivered: Path) -> None:
    """What was requested decides, not what the package looks like; two kinds are inferred."""
    assert places.read(delivered / "two").kind == "onpremises"
    assert places.read(delivered / "one").kind == "migrate"
    assert places.read(delivered).kind == "migrate"
    path = delivered / "two" / "impex-receipt.json"
    path.write_text(path.read_text().replace('"onpremises"', '"migrate"'))
    assert places.read(delivered / "two").kind == "migrate"


def test_changed_delivery_is_refused(delivered: Path) -> None:
    """A folder that does not agree with its receipt is no evidence of what was delivered."""
    (delivered / "one" / "files" / "tree1" / "manifest.json").write_text("{}")

    with pytest.raises(UsageError, match="one: not as delivered: files/: has "):
        places.read(delivered / "one")


def test_extracted_packages_replace_deleted_ones(
    delivered: Path, differences: Callable[..., Any]
) -> None:
    """A receipt that lists only the extracted folder is enough."""
    package = delivered.parent / "kept.zip"
    (delivered / "one" / "package.zip").rename(package)
    path = delivered / "one" / "impex-receipt.json"
    receipt = json.loads(path.read_text())
    receipt["artifacts"] = [each for each in receipt["artifacts"] if each["made_by"] == "unzip"]
    path.write_text(json.dumps(receipt))

    assert not differences(package, delivered / "one").services


def archive(**entries: bytes) -> bytes:
    """Return a ZIP file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return file.getvalue()


PLAIN = {"a/manifest.json": b"{}"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is no ZIP package"),
        (b"<html>", "is no ZIP package"),
        (archive(a=b"1"), "it has no single {tenant}/manifest.json, so it is no package"),
        (archive(**PLAIN, **{"b/manifest.json": b"{}"}), "no single"),
        (archive(**{"a/manifest.json": b"["}), "it is no JSON"),
        (archive(**{"a/manifest.json": b"[]"}), "it is no JSON object"),
        (archive(**{"a/manifest.json": b'{"a": ' * 500}), "it is no JSON"),
        (archive(**PLAIN, **{"a/x": bytes(5000)})[:-60], "is no ZIP package"),
        (archive(**PLAIN, **{"a/x": bytes(4 << 20)}), "more than 1048576 bytes"),
        (archive(**PLAIN, **dict.fromkeys(map(str, range(60)), b"")), "more than 50 files"),
    ],
)
def test_hostile_packages_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    """One line says what is wrong; nothing large is read, and nothing is written."""
    monkeypatch.setattr(places, "_MAX_TOTAL", 1 << 20)
    monkeypatch.setattr(places, "_MAX_FILES", 50)
    path = tmp_path / "package.zip"
    path.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        places.read(path)

    assert problem in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["package.zip"]


def test_damaged_file_is_named(workshop: Any) -> None:
    """A wrong CRC in any file, also in one that only its hash stands for."""
    package = workshop.package()
    with zipfile.ZipFile(package) as found:
        entries = {each.filename: each for each in found.infolist() if not each.is_dir()}
    content = package.read_bytes()

    for name, entry in entries.items():
        damaged = bytearray(content)
        damaged[entry.header_offset + 30 + len(name) + entry.compress_size // 2] ^= 0xFF
        package.write_bytes(damaged)
        with pytest.raises(UsageError):
            places.read(package)


def test_two_entries_of_one_name_are_refused(workshop: Any) -> None:
    """Programs do not agree on which of them is meant."""
    package = workshop.package()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(package, "a") as target:
        target.writestr("acme/manifest.json", "{}")

    with pytest.raises(UsageError, match=r"two entries named acme/manifest\.json"):
        places.read(package)


def test_nameless_entry_is_refused(tmp_path: Path) -> None:
    """The length of its name is 0 in the directory, where zipfile itself expects a character."""
    package = tmp_path / "a.zip"
    with zipfile.ZipFile(package, "w") as target:
        target.writestr("n", "")
    content = bytearray(package.read_bytes())
    lengths = content.rindex(b"PK\x01\x02") + 28  # of the name, and of the extra field behind it
    content[lengths : lengths + 4] = b"\0\0\1\0"
    package.write_bytes(content)

    with pytest.raises(UsageError, match="it has an entry with the name ''"):
        places.read(package)


def test_nested_module_counts_towards_limits(workshop: Any, monkeypatch: Any) -> None:
    """The files in modules are files of the package, too."""
    package = workshop.package()
    with zipfile.ZipFile(package) as found:
        monkeypatch.setattr(places, "_MAX_FILES", len(found.infolist()) + 3)

    with pytest.raises(UsageError, match="files and folders"):
        places.read(package)


def test_module_that_is_no_archive_has_a_hash(
    workshop: Any, rewritten: Callable[..., Any], differences: Callable[..., Any]
) -> None:
    """Its bytes are compared all the same."""
    package = workshop.package()
    [module] = [each for each in zipfile.ZipFile(package).namelist() if each.endswith("zip")]
    broken = rewritten(package, {module: b"no archive"})

    assert not differences(broken, broken).services
    [found] = differences(package, broken).services[0].versions
    assert [each.section for each in found.changes] == ["module"]


def test_contradicting_packages_are_refused(
    workshop: Any, deliver: Callable[..., Path], tmp_path: Path
) -> None:
    """One version with two contents in one folder cannot be compared with anything."""
    for number in (1, 2):
        workshop.package("motor/pricing/1.4.1", "life/term/1.0.0", label=str(number))
        deliver(f"tree{number}", f"all/{number}")

    with pytest.raises(UsageError, match="twice, with different contents"):
        places.read(tmp_path / "all")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_other_paths_are_refused(tmp_path: Path, name: str) -> None:
    """A path that is not there, and a folder without a receipt or a package."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(UsageError, match=name):
        places.read(tmp_path / name)


def test_links_in_extracted_packages_are_ignored(delivered: Path) -> None:
    """A link may lead to any file of this machine, and no package has one."""
    extracted = delivered / "one" / "files"
    (extracted / "tree1" / "secret").symlink_to("/etc/hostname")

    assert dict(places.read(extracted).files) == {}
