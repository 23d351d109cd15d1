"""One large file over several connections, where one connection alone is slower than the line.

The reader gets the bytes in their order whatever happens here, so that a partial file stays the
beginning of the whole one. What comes ahead of its turn waits in a nameless file beside it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.http.transport import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from typing_extensions import Self

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.spark.download.partial import ResumeInfo
    from spark_impex_runner.spark.http.transport import Stream

_log = logging.getLogger(__name__)

# A line is watched for so many seconds before it is judged; what is left must take longer than
# `_WORTH` seconds. A line that brings more than `_FAST` bytes a second is as fast as most disks.
_WATCH = 1.0
_WORTH = 4.0
_FAST = 50e6
# Several connections stay where they bring so many times what one brought.
_GAIN = 1.3
_THREADS = 4
# A block is what one connection brings in a second, within these bounds; so many blocks may be
# on their way or wait for their turn.
_BLOCKS = (1 << 20, 8 << 20)
_SLOTS = 16
# How often a reader that waits looks whether the run is to stop, and how long threads that are
# just connecting are waited for: they end by themselves.
_GLANCE = 0.1
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts of one file come from, and the info that they must fit to."""

    open: Callable[[Mapping[str, str]], Stream]
    info: ResumeInfo

    def part(self, begin: int, end: int | None = None) -> Stream:
        """Open the bytes from ``begin`` to before ``end``; raises ``TransportError``."""
        stream = self.open(self.info.asking(begin, end))
        if stream.status == 206 and self.info.fits(stream.headers, begin, end):
            return stream
        stream.close()
        raise TransportError(f"HTTP {stream.status} to a part that does not fit to the others")


class Segments:
    """How one download uses the line: several connections are tried once, at most."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._untried = True

    def chunks(self, stream: Stream, source: Source, begin: int) -> Iterator[bytes]:
        """Yield the file from ``begin``, where ``stream`` is, to its end.

        Begins with this one stream, and goes on with several where it turns out to be slow. Any
        failure of theirs is a ``TransportError``, after which one stream has to do.
        """
        length = source.info.length
        at, since = begin, self._clock.monotonic()
        for chunk in stream.chunks():
            yield chunk
            begin += len(chunk)
            seconds = self._clock.monotonic() - since
            if self._untried and seconds >= _WATCH:
                rate = (begin - at) / seconds
                at, since = begin, since + seconds
                if rate < _FAST and length - begin > rate * _WORTH:
                    break
        else:
            return
        stream.close()
        begin = yield from self._by_several(source, begin, rate)
        if begin < length:
            with source.part(begin) as rest:
                yield from rest.chunks()

    def _by_several(self, source: Source, begin: int, single: float) -> Generator[bytes, None, int]:
        """Yield what several connections bring; return where one has to go on, or the end.

        ``single`` is the rate of one connection, which they must beat.
        """
        self._untried = False
        block = int(min(max(single, _BLOCKS[0]), _BLOCKS[1]))
        since, judged = self._clock.monotonic(), False
        try:
            spool = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - entered below
        except OSError:
            return begin
        with spool, BlockFetcher(source, (begin, block), spool, self._clock) as fetcher:
            fetcher.grow()
            for chunk in fetcher.chunks():
                yield chunk
                begin += len(chunk)
                seconds = self._clock.monotonic() - since
                if not judged and seconds >= _WATCH:
                    judged = True
                    rate = fetcher.received / seconds
                    _log.debug("%d connections bring %d bytes/s", _THREADS, rate)
                    fetcher.grow() if rate >= _GAIN * single else fetcher.finish()
        return begin


class BlockFetcher:
    """Threads that fetch blocks ahead of the reader, each over a connection of its own.

    ``blocks`` are where the first one begins, and how long each but the last is. A context manager;
    at its end, however it comes, the threads are told to end and their reads are cut.
    """

    def __init__(
        self, source: Source, blocks: tuple[int, int], spool: IO[bytes], clock: Clock
    ) -> None:
        self.received = 0
        self._source = source
        self._begin, self._block = blocks
        self._spool = spool
        self._clock = clock
        self._news = threading.Condition()  # guards all that follows, and the spool
        self._filled: dict[int, int] = {}  # bytes that have come of each block on its way
        self._given = 0  # blocks that the reader has had
        self._taken = 0  # blocks that were begun
        self._last = -((self._begin - source.info.length) // self._block)  # rounded up
        self._error = ""
        self._over = False
        self._streams: set[Stream] = set()
        self._threads: list[threading.Thread] = []

    def grow(self) -> None:
        """Add threads."""
        for _ in range(_THREADS):
            self._threads.append(threading.Thread(target=self._work, name="segment", daemon=True))
            self._threads[-1].start()

    def finish(self) -> None:
        """Begin no further block; the reader gets those that were begun."""
        with self._news:
            self._last = self._taken
            self._news.notify_all()

    def chunks(self) -> Iterator[bytes]:
        """Yield the blocks in their order, as far as they have come.

        Raises ``TransportError`` where the next bytes cannot be had.
        """
        at = 0
        while self._wait_for(self._given, at):
            chunk = self._read(self._given, at)
            yield chunk
            at += len(chunk)
            begin, end = self._span(self._given)
            if at == end - begin:
                at = 0
                with self._news:
                    del self._filled[self._given]
                    self._given += 1
                    self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._over = True
            self._news.notify_all()
            for stream in self._streams:
                stream.abort()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))

    def _span(self, number: int) -> tuple[int, int]:
        """Return where a block begins, and where the next one does."""
        begin = self._begin + number * self._block
        return begin, min(begin + self._block, self._source.info.length)

    def _wait_for(self, number: int, at: int) -> bool:
        """Wait until more of a block is here than ``at``; False where there is no such block."""
        with self._news:
            while self._filled.get(number, 0) <= at:
                if number == self._last:
                    return False
                if self._error:
                    raise TransportError(self._error)
                self._news.wait(_GLANCE)
                self._clock.check()
        return True

    def _read(self, number: int, at: int) -> bytes:
        with self._news:
            self._spool.seek(number % _SLOTS * self._block + at)
            return self._spool.read(min(CHUNK, self._filled[number] - at))

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._fetch(number)
        except Exception as error:  # noqa: BLE001 - the reader waits for a block or for a reason
            with self._news:
                self._error = self._error or str(error) or type(error).__name__
                self._news.notify_all()

    def _next(self) -> int | None:
        """Take the next block as soon as there is a place for it; None where work has ended."""
        with self._news:
            while not (self._over or self._error) and self._taken < self._last:
                if self._taken < self._given + _SLOTS:
                    self._taken += 1
                    self._filled[self._taken - 1] = 0
                    return self._taken - 1
                self._news.wait()
        return None

    def _fetch(self, number: int) -> None:
        begin, end = self._span(number)
        with self._source.part(begin, end) as stream, self._cut_at_the_end(stream):
            for chunk in stream.chunks():
                begin += len(chunk)
                if begin > end or not self._keep(number, chunk):
                    break
        if begin != end:
            raise TransportError("a part has another length than the one asked for")

    def _keep(self, number: int, chunk: bytes) -> bool:
        """Put the next bytes of a block into its slot; False once the fetcher has ended."""
        with self._news:
            if self._over:
                return False
            self._spool.seek(number % _SLOTS * self._block + self._filled[number])
            self._spool.write(chunk)
            self._filled[number] += len(chunk)
            self.received += len(chunk)
            self._news.notify_all()
        return True

    @contextmanager
    def _cut_at_the_end(self, stream: Stream) -> Iterator[None]:
        """Abort a stream when the fetcher ends; one that is opened later is aborted at once."""
        with self._news:
            self._streams.add(stream)
            if self._over:
                stream.abort()
        try:
            yield
        finally:
            with self._news:
                self._streams.discard(stream)
