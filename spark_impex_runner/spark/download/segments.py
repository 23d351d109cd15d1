"""Download one large file over several connections if one connection is slower than the network.

The reader gets the bytes in order whatever happens here, so that a partial file stays a prefix of
the whole one. Blocks that arrive early wait in a nameless file beside it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.http.message import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from typing_extensions import Self

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.spark.download.partial import ResumeInfo
    from spark_impex_runner.spark.http.transport import Stream

_log = logging.getLogger(__name__)

# The rate of one connection is measured for `_MEASURED` seconds. More connections are opened if the
# rest takes longer than `_REMAINING` seconds, and if the rate is below `_FAST` bytes a second: most
# disks write no faster.
_MEASURED = 1.0
_REMAINING = 4.0
_FAST = 50e6
# Several connections are kept if they are together this many times as fast as one.
_GAIN = 1.3
_THREADS = 4
# A block is what one connection receives in a second, within these bounds. The spool file has room
# for `_SLOTS` blocks, so that one stalled connection cannot make it grow without limit.
_BLOCKS = (1 << 20, 8 << 20)
_SLOTS = 16
# Seconds between two checks of a waiting reader whether the run is to stop, and the longest wait
# for threads at the end: those that are still connecting cannot be aborted and end by themselves.
_POLL = 0.1
_JOIN_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class RangeSource:
    """Opens byte ranges of one file, which must all match the same resume info."""

    open: Callable[[Mapping[str, str]], Stream]
    info: ResumeInfo

    def part(self, begin: int, end: int | None = None) -> Stream:
        """Open the bytes from ``begin`` to before ``end``; raises ``TransportError``."""
        stream = self.open(self.info.range_headers(begin, end))
        if stream.status == 206 and self.info.matches(stream.headers, begin, end):
            return stream
        stream.close()
        raise TransportError(f"HTTP {stream.status} with a range that does not match the file")


class Segments:
    """Chooses between one connection and several; tries several at most once a download."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._may_parallelize = True

    def chunks(self, stream: Stream, source: RangeSource, begin: int) -> Iterator[bytes]:
        """Yield the file from ``begin``, where ``stream`` is, to its end.

        Begins with this one stream, and continues with several connections if it is slow. Any
        failure of these is a ``TransportError``, after which a single stream is used.
        """
        length = source.info.length
        at, since = begin, self._clock.monotonic()
        for chunk in stream.chunks():
            yield chunk
            begin += len(chunk)
            seconds = self._clock.monotonic() - since
            if self._may_parallelize and seconds >= _MEASURED:
                rate = (begin - at) / seconds
                at, since = begin, since + seconds
                if rate < _FAST and length - begin > rate * _REMAINING:
                    break
        else:
            return
        stream.close()
        begin = yield from self._parallel(source, begin, rate)
        if begin < length:
            with source.part(begin) as rest:
                yield from rest.chunks()

    def _parallel(
        self, source: RangeSource, begin: int, single: float
    ) -> Generator[bytes, None, int]:
        """Yield what several connections receive; return the offset where one has to continue.

        ``single`` is the rate of one connection in bytes a second, which they must exceed.
        """
        self._may_parallelize = False
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
                if not judged and seconds >= _MEASURED:
                    judged = True
                    rate = fetcher.received / seconds
                    _log.debug("%d connections receive %d bytes/s", _THREADS, rate)
                    fetcher.grow() if rate >= _GAIN * single else fetcher.finish()
        return begin


class BlockFetcher:
    """Threads that fetch blocks ahead of the reader, each over its own connection.

    ``blocks`` is the offset of the first block and the length of each but the last, in bytes. A
    context manager, which ends the threads and aborts their reads when it exits.
    """

    def __init__(
        self, source: RangeSource, blocks: tuple[int, int], spool: IO[bytes], clock: Clock
    ) -> None:
        self.received = 0
        self._source = source
        self._begin, self._block = blocks
        self._spool = spool
        self._clock = clock
        self._changed = threading.Condition()  # guards all attributes below, and the spool
        self._filled: dict[int, int] = {}  # bytes received of each started block
        self._delivered = 0  # blocks that the reader has got whole
        self._started = 0  # blocks that a thread has begun
        self._last = -((self._begin - source.info.length) // self._block)  # rounded up
        self._error = ""
        self._stopped = False
        self._streams: set[Stream] = set()
        self._threads: list[threading.Thread] = []

    def grow(self) -> None:
        """Add threads."""
        for _ in range(_THREADS):
            # With the context of this one, in which the log of HTTP calls is.
            run = partial(copy_context().run, self._work)
            self._threads.append(threading.Thread(target=run, name="segment", daemon=True))
            self._threads[-1].start()

    def finish(self) -> None:
        """Begin no further block; the reader still gets those that were begun."""
        with self._changed:
            self._last = self._started
            self._changed.notify_all()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of all blocks in order.

        Raises ``TransportError`` if a block failed and the next bytes will not arrive.
        """
        at = 0
        while self._wait_for(self._delivered, at):
            chunk = self._read(self._delivered, at)
            yield chunk
            at += len(chunk)
            begin, end = self._span(self._delivered)
            if at == end - begin:
                at = 0
                with self._changed:
                    del self._filled[self._delivered]
                    self._delivered += 1
                    self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            for stream in self._streams:
                stream.abort()
        end = time.monotonic() + _JOIN_TIMEOUT
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))

    def _span(self, number: int) -> tuple[int, int]:
        """Return the offsets where a block and its successor begin."""
        begin = self._begin + number * self._block
        return begin, min(begin + self._block, self._source.info.length)

    def _wait_for(self, number: int, at: int) -> bool:
        """Wait for more than ``at`` bytes of a block; return False if there is no such block."""
        with self._changed:
            while self._filled.get(number, 0) <= at:
                if number == self._last:
                    return False
                if self._error:
                    raise TransportError(self._error)
                self._changed.wait(_POLL)
                self._clock.check()
        return True

    def _read(self, number: int, at: int) -> bytes:
        with self._changed:
            self._spool.seek(number % _SLOTS * self._block + at)
            return self._spool.read(min(CHUNK, self._filled[number] - at))

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._fetch(number)
        except Exception as error:  # noqa: BLE001 - the reader waits for a block or for a reason
            with self._changed:
                self._error = self._error or str(error) or type(error).__name__
                self._changed.notify_all()

    def _next(self) -> int | None:
        """Return the next block as soon as the spool has a free slot, None at the end."""
        with self._changed:
            while not (self._stopped or self._error) and self._started < self._last:
                if self._started < self._delivered + _SLOTS:
                    self._started += 1
                    self._filled[self._started - 1] = 0
                    return self._started - 1
                self._changed.wait()
        return None

    def _fetch(self, number: int) -> None:
        begin, end = self._span(number)
        with self._source.part(begin, end) as stream, self._aborted_at_exit(stream):
            for chunk in stream.chunks():
                begin += len(chunk)
                if begin > end or not self._store(number, chunk):
                    break
        if begin != end:
            raise TransportError("a range has another length than requested")

    def _store(self, number: int, chunk: bytes) -> bool:
        """Write the next bytes of a block into its slot; return False after the end."""
        with self._changed:
            if self._stopped:
                return False
            self._spool.seek(number % _SLOTS * self._block + self._filled[number])
            self._spool.write(chunk)
            self._filled[number] += len(chunk)
            self.received += len(chunk)
            self._changed.notify_all()
        return True

    @contextmanager
    def _aborted_at_exit(self, stream: Stream) -> Iterator[None]:
        """Abort a stream when the fetcher ends; one that is opened later is aborted at once."""
        with self._changed:
            self._streams.add(stream)
            if self._stopped:
                stream.abort()
        try:
            yield
        finally:
            with self._changed:
                self._streams.discard(stream)
