"""Download and verify all files of a job, into memory or into a folder."""

from __future__ import annotations

import functools
import logging
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.spark.download.files import commit, download_verified, filename, receive
from spark_impex_runner.spark.download.links import with_fresh_links
from spark_impex_runner.spark.download.partial import discard
from spark_impex_runner.spark.package import check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.models import RemoteFile
    from spark_impex_runner.spark.http.response import HttpResponse
    from spark_impex_runner.spark.http.session import Session

_log = logging.getLogger(__name__)
# A store serves a few connections well; more would only share the same bandwidth.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Downloads:
    """Downloads the files of one job, four at a time.

    ``renew`` returns the job's files with new links, after a link has expired.
    """

    session: Session
    renew: Callable[[], Sequence[RemoteFile]] | None = None

    def download_all(self, files: Sequence[RemoteFile], to: Path | None) -> list[HttpResponse]:
        """Download and verify all files; return their replies in order, or raise the first error.

        With ``to`` each reply has the ``path`` of a file in that folder, which is created if it is
        missing; without, its bytes as ``buffer``. ``files.download_verified`` says what happens to
        damaged files.
        """
        if to is not None:
            return self._into(files, to)
        with tempfile.TemporaryDirectory(prefix="spark-impex-") as folder:
            replies = self._into(files, Path(folder))
            return [replace(one, buffer=_bytes_of(one), path=None) for one in replies]

    def _into(self, files: Sequence[RemoteFile], folder: Path) -> list[HttpResponse]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeliveryError(f"{folder}: {error.strerror}; name another folder") from None
        finals = [folder / name for name in _distinct([filename(file.url) for file in files])]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="download") as pool:
            return list(pool.map(self._one, range(len(files)), files, finals))

    def _one(self, index: int, remote: RemoteFile, final: Path) -> HttpResponse:
        # A unique name, since two calls may download to one folder at the same time.
        partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}.part")

        def once() -> HttpResponse:
            fetch = functools.partial(receive, self.session, path=partial)
            done = with_fresh_links(remote, partial, fetch, lambda *_: self._renewed(index), clock)
            check(replace(done.artifact, name=final.name))
            return done.reply

        def report(error: SparkError, hint: str) -> None:
            _log.warning("%s does not verify, %s: %s", final.name, hint, error)

        clock = self.session.http.clock
        try:
            reply = download_verified(partial, once, clock, report)
            commit(partial, final)
        finally:
            discard(partial)
        return replace(reply, path=final)

    def _renewed(self, index: int) -> RemoteFile | None:
        renewed = self.renew() if self.renew else ()
        return renewed[index] if index < len(renewed) else None


def _bytes_of(reply: HttpResponse) -> bytes:
    return reply.path.read_bytes() if reply.path else b""


def _distinct(names: Sequence[str]) -> list[str]:
    """Make names unique by numbers: package.zip, package-2.zip."""
    taken: list[str] = []
    for name in names:
        path, number = Path(name), 1
        while name in taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"  # noqa: PLW2901 - the search for a free one
        taken.append(name)
    return taken
