from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder that is to be replaced; it holds one file."""
    path = tmp_path / "files"
    path.mkdir()
    (path / "before").touch()
    return path


def test_the_new_folder_takes_the_place_of_the_old(unzip: ModuleType, folder: Path) -> None:
    """Nothing of the old folder is left, nor of the work."""
    with unzip.swap.replacing(folder) as fresh:
        (fresh / "after").touch()

    assert names(folder) == ["after"]
    assert names(folder.parent) == ["files"]


def test_the_old_folder_is_there_until_the_end(unzip: ModuleType, folder: Path) -> None:
    """A reader finds the old folder whole while the new one is filled."""
    with unzip.swap.replacing(folder) as fresh:
        (fresh / "after").touch()

        assert names(folder) == ["before"]


def test_a_failure_leaves_everything_as_it_was(unzip: ModuleType, folder: Path) -> None:
    """A block that raises changes nothing and leaves nothing behind."""
    with pytest.raises(KeyboardInterrupt), unzip.swap.replacing(folder) as fresh:
        half_done(fresh)

    assert names(folder) == ["before"]
    assert names(folder.parent) == ["files"]


def test_a_failed_rename_puts_the_old_folder_back(unzip: ModuleType, folder: Path) -> None:
    """When the new folder cannot move in, the old one returns."""
    with pytest.raises(OSError, match="files"), unzip.swap.replacing(folder) as fresh:
        fresh.rmdir()

    assert names(folder) == ["before"]
    assert names(folder.parent) == ["files"]


def test_what_a_killed_run_left_is_cleared(unzip: ModuleType, folder: Path) -> None:
    """Leftovers of a run that was killed while extracting are removed."""
    (folder.parent / ".files.new" / "part").mkdir(parents=True)
    (folder.parent / ".files.old").mkdir()

    with unzip.swap.replacing(folder) as fresh:
        assert names(fresh) == []

    assert names(folder.parent) == ["files"]


def test_a_folder_moved_aside_by_a_killed_run_is_put_back(unzip: ModuleType, folder: Path) -> None:
    """A run killed between the two renames loses nothing, even if the next run fails."""
    folder.rename(folder.parent / ".files.old")

    with pytest.raises(ZeroDivisionError), unzip.swap.replacing(folder):
        raise ZeroDivisionError

    assert names(folder) == ["before"]


def test_a_link_is_replaced_and_not_followed(unzip: ModuleType, folder: Path) -> None:
    """What a link points to is not touched."""
    link = folder.parent / "link"
    link.symlink_to(folder)

    with unzip.swap.replacing(link) as fresh:
        (fresh / "after").touch()

    assert names(folder) == ["before"]
    assert names(link) == ["after"]
    assert not link.is_symlink()
