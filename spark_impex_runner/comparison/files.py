"""Read single files of a package: JSON objects, and digests of what lasts from export to export."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.archive_reader import DamagedFileError
from spark_impex_runner.comparison.metadata import NotStatedError, canonical
from spark_impex_runner.digests import of_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.archive_reader import FileReader

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")


class FilesLeft:
    """The files that belong to no version yet."""

    def __init__(self, names: Iterable[str]) -> None:
        self._sorted = sorted(names)
        self._left = set(self._sorted)

    def take(self, name: str) -> bool:
        """Return whether a file is there and was not taken before."""
        found = name in self._left
        self._left.discard(name)
        return found

    def below(self, folder: str) -> Iterator[str]:
        """Take all files below a folder, whose name ends with a slash."""
        # Not a slice, which would copy all names for each of many versions.
        for index in range(bisect_left(self._sorted, folder), len(self._sorted)):
            name = self._sorted[index]
            if not name.startswith(folder):
                return
            if self.take(name):
                yield name


def read_object(package: FileReader, path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file; raise ``NotStatedError`` if it holds none."""
    try:
        found = fields.parse(package.text(path))
    except ValueError as error:
        raise NotStatedError("it is no JSON") from error
    if not isinstance(found, Mapping):
        raise NotStatedError("it is no JSON object")
    return found


def digest(package: FileReader, path: str) -> dict[str, str]:
    """Return the SHA-256 of a file; of JSON, that of its values without UUIDs and times."""
    if path.endswith(".json"):
        # Too large or no JSON: its bytes are compared. Reading them reports any damage.
        with suppress(ValueError, DamagedFileError):
            values = canonical(_lasting(fields.parse(package.text(path))))
            return {"sha256": canonical(of_bytes([values.encode()]))}
    return {"sha256": canonical(of_bytes(package.pieces(path)))}


def _lasting(value: Any) -> Any:
    """Return a JSON value without what differs between two exports of the same."""
    if isinstance(value, str) and (_UUID.fullmatch(value) or _TIME.fullmatch(value)):
        return None
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _lasting(each) for key, each in value.items()}
    return value
