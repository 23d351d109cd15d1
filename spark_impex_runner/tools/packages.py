"""Find packages, and turn errors of reading them into errors of a step."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_impex_runner.archives import UnreadableZipError
from spark_impex_runner.errors import StepError
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from spark_impex_runner.archive_reader import FileReader
    from spark_impex_runner.models import Artifact

# zipfile raises NotImplementedError for an unknown compression, UnicodeError for a name that is not
# in the announced encoding, and EOFError for a file that is cut off.
_BROKEN = (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError)
_DAMAGED = (zlib.error, lzma.LZMAError, struct.error)


@contextmanager
def package_errors(package: Artifact, *others: type[Exception]) -> Iterator[None]:
    """Turn errors of reading a ZIP package into ``StepError``, one line with the package's name.

    That includes ``OSError`` and the exception classes ``others``, with their own messages.
    """
    named: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except UnreadableZipError as error:
        raise StepError(f"{package.name}: the package {one_line(str(error))}") from error
    except (*_BROKEN, *_DAMAGED) as error:
        fault = one_line(str(error))
        raise StepError(f"{package.name}: the package is broken: {fault}") from error
    except named as error:
        raise StepError(f"{package.name}: {error}") from error


def package_readers(path: Path) -> Iterator[AbstractContextManager[FileReader]]:
    """Return a reader of each package at a path: a package, or folders that were delivered.

    Raises ``UsageError`` if there is none, or if a folder is not as its receipt says; so do the
    readers, which are opened in turn, for damaged packages.
    """
    # Imported on use: plugins load the tools at the start, and few compare packages.
    from spark_impex_runner.comparison import places  # noqa: PLC0415

    return places.package_readers(path)
