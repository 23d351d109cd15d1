"""A slow download uses several connections, if that helps; bytes and order never change."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.spark.download import segments
from spark_impex_runner.spark.download.files import fetch
from spark_impex_runner.spark.download.partial import ResumeInfo
from spark_impex_runner.spark.http.auth import Bearer
from spark_impex_runner.spark.http.calls import CallLog
from spark_impex_runner.spark.http.retry import RetryPolicy
from spark_impex_runner.spark.http.session import HttpClient, RateLimiter, Session
from spark_impex_runner.spark.http.transport import Transport
from spark_impex_runner.spark.tenant import TenantUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.spark.http.message import HttpRequest
    from spark_impex_runner.spark.http.transport import Stream

SERVED = random.Random(3).randbytes(3_000_000)  # noqa: S311 - bytes to serve
BLOCK = 100_000
SLOW = 300_000
ETAG = {"ETag": '"one"', "Accept-Ranges": "bytes"}
PART = re.compile(r"bytes=(\d+)-(\d+)")


class PacedTransport(Transport):
    """A transport whose bytes move the hands of the clock: so many bytes make a second.

    ``single`` is the rate of a body to the end of a file, ``several`` that of all blocks together.
    ``hears`` is told how many bytes of blocks have come. With ``stalls`` a block says nothing
    until it is cut; ``cut`` counts those that were.
    """

    def __init__(self, masker: Any, clock: Any, single: float, several: float) -> None:
        super().__init__(masker, timeout=5)
        self._clock = clock
        self._rates = single, several
        self._lock = threading.Lock()
        self._come = 0
        self.hears: Callable[[int], None] = lambda _: None
        self.stalls = False
        self.cut: list[bool] = []

    def open(self, message: HttpRequest) -> Stream:
        """Open, and count the body's bytes."""
        stream = super().open(message)
        chunks, block = stream.chunks, bool(PART.fullmatch(message.headers.get("Range", "")))

        shut = threading.Event()
        if block and self.stalls:
            stream.abort = shut.set  # type: ignore[method-assign]

        def paced() -> Iterator[bytes]:
            if block and self.stalls:
                self._clock.stop(15)
                self.cut.append(shut.wait(5))
                return
            for chunk in chunks():
                with self._lock:
                    self._clock._now += len(chunk) / self._rates[block]
                    self._come += len(chunk) * block
                self.hears(self._come)
                yield chunk

        stream.chunks = paced  # type: ignore[method-assign,assignment]
        return stream


@pytest.fixture
def network(
    monkeypatch: pytest.MonkeyPatch, stack: Any, clock: Any, masker: Any
) -> Callable[..., tuple[Session, PacedTransport]]:
    """Return a function that returns a session over a network with these rates."""
    monkeypatch.setattr(segments, "_BLOCKS", (BLOCK, BLOCK))

    def make(server: Any, single: float, several: float) -> tuple[Session, PacedTransport]:
        transport = PacedTransport(masker, clock, single, several)
        stack.callback(transport.close)
        http = HttpClient(
            lambda: transport, clock, masker, RateLimiter(clock), RetryPolicy(draw=lambda: 1.0)
        )
        return Session(TenantUrl(server.url, "acme"), http, Bearer("t", masker)), transport

    return make


def honest(reply: Any, headers: dict[str, str] = ETAG) -> Callable[[Any], Any]:
    """Return a function that answers every request with what it asks for."""

    def make(seen: Any) -> Any:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", ""))
        if asked is None or seen.headers["if-range"] != '"one"':
            return reply(SERVED, headers=headers)
        begin, end = int(asked[1]), int(asked[2] or len(SERVED) - 1) + 1
        span = {"Content-Range": f"bytes {begin}-{end - 1}/{len(SERVED)}"}
        return reply(SERVED[begin:end], 206, headers={**headers, **span})

    return make


def parts(server: Any) -> list[tuple[int, int]]:
    """Return the requested blocks in order."""
    found = [PART.fullmatch(one.headers.get("range", "")) for one in server.seen]
    return sorted((int(one[1]), int(one[2]) + 1) for one in found if one)


def rests(server: Any) -> list[str]:
    """Return the requested ranges without an end."""
    asked = [one.headers.get("range", "") for one in server.seen]
    return [one for one in asked if one.endswith("-")]


def test_slow_download_uses_several_connections(
    network: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """Each byte behind the first second comes in one block; file and folder are as ever.

    The log of the download's thread has the calls of all connections.
    """
    server = script(honest(reply))
    session, _ = network(server, SLOW, 4 * SLOW)
    log = CallLog(clock)

    with log.recording():
        artifact = fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert artifact.size == len(SERVED)
    blocks = parts(server)
    assert 0 < blocks[0][0] < 2 * SLOW
    assert blocks[-1][1] == len(SERVED)
    assert all(one[1] == other[0] for one, other in pairwise(blocks))
    assert not rests(server)
    assert len(log.calls()) == len(server.seen)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "p.json"]
    assert not {"authorization", "x-tenant-name"} & {h for one in server.seen for h in one.headers}


@pytest.mark.parametrize(
    ("single", "headers"),
    [
        (100e6, ETAG),
        (len(SERVED) / 4, ETAG),
        (SLOW, {"ETag": '"one"'}),
        (SLOW, {"ETag": 'W/"one"', "Accept-Ranges": "bytes"}),
    ],
)
def test_one_connection_suffices(
    network: Any, script: Any, reply: Any, tmp_path: Path, single: float, headers: dict[str, str]
) -> None:
    """A fast network, a short rest, no ranges, no strong validator: one request."""
    server = script(honest(reply, headers))
    session, _ = network(server, single, 4 * single)

    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert len(server.seen) == 1


def test_useless_connections_are_closed(
    network: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Their blocks are used, and one connection receives the rest without an error."""
    server = script(honest(reply))
    session, _ = network(server, SLOW, 1.2 * SLOW)

    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    blocks = parts(server)
    assert blocks
    assert rests(server) == [f"bytes={blocks[-1][1]}-"]
    assert session.http.clock.waits == []  # type: ignore[attr-defined]


def wrong(reply: Any, kind: str) -> Callable[[Any], Any]:
    """Return a function that answers honestly, but the third block with something else."""
    asked: list[Any] = []

    def make(seen: Any) -> Any:
        right = honest(reply)(seen)
        if not PART.fullmatch(seen.headers.get("range", "")):
            return right
        asked.append(seen)
        if len(asked) != 3:
            return right
        return {
            "whole": reply(SERVED, headers=ETAG),
            "other version": right._replace(headers={**right.headers, "ETag": '"two"'}),
            "other place": right._replace(headers={**ETAG, "Content-Range": "bytes 0-9/10"}),
            "compressed": right._replace(headers={**right.headers, "Content-Encoding": "gzip"}),
            "busy": reply(b"", 503),
            "cut": right._replace(body=right.body[:9], length=len(right.body)),
            "short": right._replace(body=right.body[:9]),
            "long": right._replace(body=right.body + b"more", length=None),
        }[kind]

    return make


KINDS = ["whole", "other version", "other place", "compressed", "busy", "cut", "short", "long"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_connection_continues_after_bad_part(
    network: Any, script: Any, reply: Any, tmp_path: Path, kind: str
) -> None:
    """The repeat begins where the right bytes end, and does not try several again."""
    server = script(wrong(reply, kind))
    session, _ = network(server, SLOW, 4 * SLOW)

    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert len(rests(server)) == 1
    ranges = [one.headers.get("range", "") for one in server.seen]
    after = ranges[ranges.index(rests(server)[0]) :]
    # Only what the other connections had just asked for may be heard after the repeat.
    assert len(after) <= 4
    assert session.http.clock.waits == [1.0]  # type: ignore[attr-defined]


def test_interrupt_keeps_the_prefix(
    network: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """All threads end, part and resume info stay, and the next call resumes."""
    server = script(honest(reply))
    session, transport = network(server, SLOW, 4 * SLOW)
    transport.hears = lambda come: clock.stop(2) if come > 10 * BLOCK else None

    with pytest.raises(errors.Interrupted):
        fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert "segment" not in {thread.name for thread in threading.enumerate()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "p.json"]
    kept = (tmp_path / "p").read_bytes()
    assert len(kept) > SLOW
    assert SERVED.startswith(kept)

    transport.hears = lambda _: None
    clock.restart()
    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert rests(server)[0] == f"bytes={len(kept)}-"


def test_interrupt_ignores_silent_connections(
    network: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Reads that wait are cut: a server that sends nothing more cannot hold a run."""
    server = script(honest(reply))
    session, transport = network(server, SLOW, 4 * SLOW)
    transport.stalls = True

    with pytest.raises(errors.Interrupted):
        fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert transport.cut
    assert all(transport.cut)
    assert SERVED.startswith((tmp_path / "p").read_bytes())


def test_fast_download_uses_one_connection(
    network: Any, script: Any, reply: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several would cost there what they save, however long the rest takes."""
    monkeypatch.setattr(segments, "_FAST", SLOW / 2)
    server = script(honest(reply))
    session, _ = network(server, SLOW, 4 * SLOW)

    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert len(server.seen) == 1


def test_one_connection_without_spool_file(
    network: Any, script: Any, reply: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in which no further file can be made costs speed only."""

    def refuse(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.tempfile, "TemporaryFile", refuse)
    server = script(honest(reply))
    session, _ = network(server, SLOW, 4 * SLOW)

    fetch(session, RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert not parts(server)


def test_a_reset_keeps_all_that_came(session_to: Any, tmp_path: Path) -> None:
    """The repeat asks for the byte behind the last one that arrived."""
    asked: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        for body in (SERVED[:30_000], b""):
            connection, _ = listening.accept()
            asked.append(connection.recv(65536))
            head = f'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: {len(SERVED)}\r\n\r\n'
            if body:
                connection.sendall(head.encode() + body)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()

        class Server:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        with pytest.raises(errors.ForbiddenError):
            fetch(session_to(Server), RemoteFile(Server.url), tmp_path / "p")
        thread.join()

    assert (tmp_path / "p").read_bytes() == SERVED[:30_000]
    assert b"Range: bytes=30000-\r\n" in asked[1]


def test_repeatedly_cut_download_completes(
    http: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That another body just came quickly costs one piece at most, not one with every cut."""
    asked: list[int] = []
    # What other downloads on the same transport tell it all the time.
    always = property(lambda _: True, lambda *_: None)
    monkeypatch.setattr(type(http.transport), "fast", always, raising=False)

    def serve(listening: socket.socket) -> None:
        while not asked or asked[-1] + 40_000 < 100_000:
            connection, _ = listening.accept()
            begin = int((re.search(rb"bytes=(\d+)-", connection.recv(65536)) or [0, 0])[1])
            asked.append(begin)
            status = "206 Part" if begin else "200 OK"
            connection.sendall(
                f'HTTP/1.1 {status}\r\nETag: "one"\r\nContent-Length: {100_000 - begin}\r\n'
                f"Content-Range: bytes {begin}-99999/100000\r\n\r\n".encode()
                + SERVED[begin : min(begin + 40_000, 100_000)]
            )
            if begin + 40_000 < 100_000:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        session = Session(TenantUrl(url, "acme"), http, Bearer("t", http.masker))
        fetch(session, RemoteFile(url), tmp_path / "p")
        thread.join()

    assert (tmp_path / "p").read_bytes() == SERVED[:100_000]
    assert asked == [0, 0, 40_000, 80_000]


def test_failed_thread_is_reported(tmp_path: Path, clock: Any) -> None:
    """Whatever ends a thread ends the wait for its block, too: the download never hangs."""

    def broken(_: Any) -> Stream:
        raise RuntimeError("unheard of")

    source = segments.RangeSource(broken, ResumeInfo('"one"', 1000, None))
    with (
        (tmp_path / "spool").open("w+b") as spool,
        segments.BlockFetcher(source, (0, 100), spool, clock) as fetcher,
    ):
        fetcher.grow()
        with pytest.raises(errors.TransportError, match="unheard of"):
            next(iter(fetcher.chunks()))
