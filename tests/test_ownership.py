from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spark_impex_runner import digests
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import KeyValueStore
from spark_impex_runner.ownership import Ownership, Record
from spark_impex_runner.paths import ProtectedPaths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def owned(tmp_path: Path) -> Ownership:
    """Return the records of an output with ``ours/a`` and ``ours/b/c``."""
    for name in ("ours/a", "ours/b/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = Ownership(
        tmp_path, KeyValueStore(), ProtectedPaths([(tmp_path / "m.yaml", "the manifest")])
    )
    found.settle(tmp_path / "ours", ["a", "b/c"])
    return found


@pytest.mark.parametrize("name", ["ours", "ours/b", "ours/b/c", "new", "ours/new"])
def test_own_files_may_be_replaced(owned: Ownership, name: str) -> None:
    """A recorded folder may be replaced with all of its files, and a new path may be written."""
    owned.check(owned.output / name)


@pytest.mark.parametrize("added", ["ours/mine", "ours/b/mine", "ours/new/mine"])
@pytest.mark.parametrize("link", [False, True])
def test_added_file_is_foreign(owned: Ownership, added: str, link: bool) -> None:
    """A file or link that was added to a recorded folder prevents its replacement."""
    path = owned.output / added
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(owned.output) if link else path.touch()

    with pytest.raises(StepError) as raised:
        owned.check(owned.output / "ours")

    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.yaml", "the manifest"),
        ("m.yaml/x", "the manifest"),
        (".git/hooks", "is a reserved name"),
        ("a/.GIT", "is a reserved name"),
        (".impex", "is a reserved name"),
        ("Impex-Receipt.json", "is a reserved name"),
        ("deep/impex-receipt.json", "is a reserved name"),
        ("../out", "leads out of"),
    ],
)
def test_reserved_names_are_never_written(owned: Ownership, name: str, said: str) -> None:
    """No step may write files that the run reads or that the runner keeps."""
    assert said in owned.forbidden(owned.output / name)


def test_folder_with_protected_file_is_kept(owned: Ownership) -> None:
    """No step may replace a folder that contains a file of the run."""
    guarded = ProtectedPaths([(owned.output / "a/b/m.yaml", "the manifest")])

    assert Ownership(owned.output, KeyValueStore(), guarded).forbidden(owned.output / "a")
    assert not Ownership(owned.output / "a/b", KeyValueStore(), guarded).forbidden(
        owned.output / "a/b/x"
    )


def test_claim_adds_names(owned: Ownership) -> None:
    """Between ``claim`` and ``settle`` the old and the new files are recorded."""
    owned.claim(owned.output / "ours", ["d"])

    again = Ownership(owned.output, owned.placed, ProtectedPaths())

    assert again.record(owned.output / "ours") == Record(frozenset({"a", "b/c", "d"}))
    again.settle(owned.output / "ours", ["d"])
    assert again.foreign_file(owned.output / "ours")


def test_older_folder_is_known_by_digest(owned: Ownership) -> None:
    """If only size and digest of a folder are known, any change makes it foreign."""
    folder = owned.output / "ours"
    sums = {
        name: digests.of_file(folder / name, ["sha256"], lambda: None)["sha256"]
        for name in ("a", "b/c")
    }
    record = Record(trees=frozenset({(14, digests.of_tree(sums))}))
    placed = KeyValueStore()
    placed.put(str(folder), record.text())
    known = Ownership(owned.output, placed, ProtectedPaths())

    assert not known.foreign_file(folder)
    (folder / "b" / "c").write_text("changed!")
    assert known.foreign_file(folder)


def test_unreadable_record_is_none() -> None:
    """Any invalid text in the state counts as no record."""
    for text in ("", "{", "[]", '{"names": "~~~"}', '{"names": "", "trees": 3}'):
        assert Record.of(text) is None
    names = Record(frozenset({"prämie.json", "a\udce9"}))
    assert Record.of(names.text()) == names
