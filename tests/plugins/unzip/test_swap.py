from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import KeyValueStore
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.paths import ProtectedPaths

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def half_done(fresh: Path) -> None:
    """Begin the work and break off."""
    (fresh / "after").touch()
    raise KeyboardInterrupt


def kill(*_: Any) -> None:
    """End the process, as far as a test can."""
    raise SystemExit


@pytest.fixture
def owned(tmp_path: Path) -> Ownership:
    """Return the records of an output."""
    return Ownership(tmp_path, KeyValueStore(), ProtectedPaths())


@pytest.fixture
def folder(tmp_path: Path, owned: Ownership) -> Path:
    """Make the folder that is to be replaced; it holds one file, put there by an earlier run."""
    path = tmp_path / "files"
    path.mkdir()
    (path / "before").touch()
    owned.settle(path, ["before"])
    return path


@pytest.fixture
def stubborn(unzip: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Refuse to remove folders, as where they are another user's."""

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "ModelMetaData.json")

    monkeypatch.setattr(unzip.swap.shutil, "rmtree", refuse)
    return unzip.swap


def test_new_folder_replaces_old(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """Nothing of the old folder is left, nor of the work."""
    with unzip.swap.atomic_folder(folder, owned) as fresh:
        (fresh / "after").touch()

    assert names(folder) == ["after"]
    assert names(folder.parent) == ["files"]


def test_old_folder_stays_until_end(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """A reader finds the old folder whole while the new one is filled."""
    with unzip.swap.atomic_folder(folder, owned) as fresh:
        (fresh / "after").touch()

        assert names(folder) == ["before"]


def test_failure_changes_nothing(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """A block that raises changes nothing and leaves nothing behind."""
    with pytest.raises(KeyboardInterrupt), unzip.swap.atomic_folder(folder, owned) as fresh:
        half_done(fresh)

    assert names(folder) == ["before"]
    assert names(folder.parent) == ["files"]


def test_failed_rename_restores_old_folder(
    unzip: ModuleType, folder: Path, owned: Ownership, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new folder cannot move in, the old one returns."""
    rename = type(folder).rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(5, "Input/output error", str(path))
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", refuse)

    with pytest.raises(OSError, match="files"), unzip.swap.atomic_folder(folder, owned) as fresh:
        (fresh / "after").touch()

    assert names(folder) == ["before"]
    assert names(folder.parent) == ["files"]


def test_leftovers_are_removed(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """Leftovers of a run that was killed while extracting are removed."""
    (folder.parent / ".files.new" / "part").mkdir(parents=True)
    (folder.parent / ".files.old").mkdir()
    (folder.parent / ".files.old1").mkdir()
    for name in (".files.new", ".files.old", ".files.old1"):
        owned.claim(folder.parent / name)

    with unzip.swap.atomic_folder(folder, owned) as fresh:
        assert names(fresh) == []

    assert names(folder.parent) == ["files"]


def test_folder_of_killed_run_is_restored(
    unzip: ModuleType, folder: Path, owned: Ownership
) -> None:
    """A run killed between the two renames loses nothing, even if the next run fails."""
    owned.claim(folder.parent / ".files.old")
    folder.rename(folder.parent / ".files.old")

    with pytest.raises(ZeroDivisionError), unzip.swap.atomic_folder(folder, owned):
        raise ZeroDivisionError

    assert names(folder) == ["before"]


@pytest.mark.parametrize("at", ["tools.files_below", "swap._swap", "Ownership.settle"])
def test_killed_run_keeps_ownership(
    unzip: ModuleType, folder: Path, owned: Ownership, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Whenever the run is killed, the next one replaces what there is, and clears what is left."""
    holders = {"tools": unzip.swap.tools, "swap": unzip.swap, "Ownership": Ownership}
    holder, _, name = at.partition(".")
    with monkeypatch.context() as patch:
        patch.setattr(unzip.swap, "_clear", lambda *_: None)  # a killed run clears nothing
        patch.setattr(holders[holder], name, kill)
        with pytest.raises(SystemExit), unzip.swap.atomic_folder(folder, owned) as fresh:
            (fresh / "after").touch()

    later = Ownership(owned.output, owned.placed, ProtectedPaths())
    with unzip.swap.atomic_folder(folder, later) as fresh:
        (fresh / "later").touch()
    assert names(folder) == ["later"]
    assert names(folder.parent) == ["files"]


@pytest.mark.parametrize("link", [False, True])
def test_replaced_folder_is_kept(
    unzip: ModuleType, folder: Path, owned: Ownership, link: bool
) -> None:
    """A link or a file by the name of our folder is the user's, and so is what it leads to."""
    place = folder.parent / "place"
    place.symlink_to(folder) if link else place.touch()
    owned.settle(place, ["before"])

    with (
        pytest.raises(StepError, match="place is not replaced"),
        unzip.swap.atomic_folder(place, owned),
    ):
        pass

    assert place.is_symlink() is link
    assert names(folder) == ["before"]


@pytest.mark.parametrize("name", [".src.new", ".src.old", ".src.old1"])
def test_foreign_temporary_folder_is_kept(
    unzip: ModuleType, tmp_path: Path, owned: Ownership, name: str
) -> None:
    """The names of temporary folders alone do not make a folder ours."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()

    with pytest.raises(StepError, match=name), unzip.swap.atomic_folder(tmp_path / "src", owned):
        pass

    assert names(tmp_path / name) == ["mine"]


@pytest.mark.parametrize("name", [".files.new", ".files.old", ".files.old3"])
def test_foreign_folder_beside_ours_is_kept(
    unzip: ModuleType, folder: Path, owned: Ownership, name: str
) -> None:
    """That the folder is ours does not make ours what has a temporary name beside it."""
    with unzip.swap.atomic_folder(folder, owned):
        pass
    (folder.parent / name).mkdir()
    (folder.parent / name / "mine").touch()

    with pytest.raises(StepError, match=name), unzip.swap.atomic_folder(folder, owned):
        pass

    assert names(folder.parent / name) == ["mine"]


def test_read_only_folders_are_removed(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """The old folder goes although nobody may write to a folder in it."""
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "file").touch()
    owned.settle(folder, ["before", "deep/er/file"])
    for path in (folder / "deep" / "er", folder / "deep", folder):
        path.chmod(0o500)

    with unzip.swap.atomic_folder(folder, owned):
        pass

    assert names(folder.parent) == ["files"]


@pytest.mark.usefixtures("stubborn")
def test_unremovable_folder_does_not_block(
    unzip: ModuleType, folder: Path, owned: Ownership
) -> None:
    """Each run swaps its folder in, and what no run can remove lies beside it."""
    for name in ("second", "third"):
        with unzip.swap.atomic_folder(folder, owned) as fresh:
            (fresh / name).touch()

    assert names(folder) == ["third"]
    assert names(folder.parent) == [".files.old", ".files.old1", "files"]
    assert unzip.swap.set_aside(folder)[0] == folder.parent / ".files.old"


@pytest.mark.usefixtures("stubborn")
def test_unremovable_leftover_is_named(unzip: ModuleType, folder: Path, owned: Ownership) -> None:
    """A half-extracted folder that cannot be removed is named by its whole path."""
    left = folder.parent / ".files.new"
    shutil.copytree(folder, left)
    owned.claim(left)

    with pytest.raises(StepError) as raised, unzip.swap.atomic_folder(folder, owned):
        pass

    assert str(left) in str(raised.value)
    assert "Permission denied" in str(raised.value)
