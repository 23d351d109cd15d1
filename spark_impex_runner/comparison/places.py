"""Read the contents of a path: a package, a delivered folder, or an extracted package."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner import archives
from spark_impex_runner.archive_reader import (
    MANIFEST,
    ArchiveReader,
    DamagedFileError,
    FolderReader,
    OverLimitError,
    ReadBudget,
)
from spark_impex_runner.comparison.metadata import NotStatedError
from spark_impex_runner.comparison.package import PackageContents, read_package
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import RECEIPT
from spark_impex_runner.models.comparison import Contents, VersionContents
from spark_impex_runner.report import receipt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from spark_impex_runner.archive_reader import FileReader

# The tenant's own limit of a package is 200 MiB compressed.
_MAX_TOTAL, _MAX_FILES = 2 << 30, 100_000


def read(path: Path) -> Contents:
    """Read a package, or all that was delivered to a folder or to folders below it.

    Raises ``UsageError`` if the path is none of these, or damaged.
    """
    packages, kind = find_packages(path)
    return _merged(path, packages, kind)


def find_packages(path: Path) -> tuple[list[Path], str]:
    """Return the packages at a path, and their kind as far as receipts state it.

    Raises ``UsageError`` if there is none, or if a delivered folder is not as its receipt says.
    """
    if path.is_file():
        return [path], ""
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such file or folder")
    if folders := sorted(found.parent for found in path.rglob(RECEIPT)):
        data = {folder: _verified(folder) for folder in folders}
        filters = {str((each["request"] or {}).get("file_filter")) for each in data.values()}
        packages = [found for folder in folders for found in _packages(folder, data[folder])]
        return packages, filters.pop() if len(filters) == 1 else ""
    if any(path.glob(f"*/{MANIFEST}")):
        return [path], ""
    raise UsageError(f"{path}: holds neither {RECEIPT} nor an extracted package")


def package_readers(path: Path) -> Iterator[AbstractContextManager[FileReader]]:
    """Return a reader of each package at a path, to be opened in turn, after all are verified.

    Raises ``UsageError`` as ``find_packages`` does; so do the readers for damaged packages.
    """
    return map(opened, find_packages(path)[0])


def _verified(folder: Path) -> dict[str, Any]:
    """Return the receipt of a folder that agrees with it."""
    if problems := receipt.verify(folder):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(f"{folder}: not as delivered: {problems[0]}{more}; deliver it again")
    return receipt.read(folder)


def _packages(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Return the packages of a folder, or the folders that a step extracted them to."""
    paths = [(each["made_by"], folder / each["name"]) for each in data["artifacts"]]
    packages = [path for maker, path in paths if maker == "download"]
    return packages or [path for _, path in paths if any(path.glob(f"*/{MANIFEST}"))]


def _merged(path: Path, packages: Sequence[Path], kind: str) -> Contents:
    """Return what packages hold together."""
    versions: dict[str, VersionContents] = {}
    files: dict[str, dict[str, str]] = {}
    kinds = set()
    for package in packages:
        contents = _read(package)
        for each in contents.versions:
            if versions.setdefault(each.uri, each) != each:
                raise UsageError(f"{path}: holds {each.uri} twice, with different contents")
        for name, properties in contents.files.items():
            # Several packages may have a file of one name.
            key = name if files.get(name, properties) == properties else f"{package.name}: {name}"
            files[key] = dict(properties)
        kinds.add(contents.kind)
    inferred = "migrate" if "migrate" in kinds else "onpremises"
    return Contents(str(path), kind or inferred, tuple(versions.values()), files)


def _read(package: Path) -> PackageContents:
    with opened(package) as reader:
        return read_package(reader)


@contextmanager
def opened(package: Path) -> Iterator[FileReader]:
    """Open a package, turning all errors of reading it into ``UsageError``."""
    try:
        with _reader(package) as reader:
            yield reader
    except archives.UnreadableZipError as error:
        raise UsageError(f"{package}: the package {error}") from error
    except zipfile.BadZipFile as error:
        raise UsageError(f"{package}: is no ZIP package, or a damaged one ({error})") from error
    except (DamagedFileError, OverLimitError, NotStatedError) as error:
        raise UsageError(f"{package}: {error}") from error


@contextmanager
def _reader(package: Path) -> Iterator[FileReader]:
    budget = ReadBudget(_MAX_TOTAL, _MAX_FILES, lambda: False)
    if package.is_dir():
        yield FolderReader(package, budget)
        return
    with package.open("rb") as file, ArchiveReader.open(file, budget) as reader:
        yield reader
