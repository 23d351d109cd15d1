"""The log of HTTP calls: what is recorded of a call, and what never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.blocking import map_in_threads, parallel
from spark_impex_runner.errors import TransportError
from spark_impex_runner.models import HttpCall, Outcome, Target, TargetResult
from spark_impex_runner.spark.http import calls
from spark_impex_runner.spark.http.calls import CallLog
from spark_impex_runner.spark.http.message import HttpRequest

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "/tokens/s3cret/motor.zip"


@pytest.fixture
def log(clock: Any) -> CallLog:
    """Return an empty log."""
    return CallLog(clock)


@pytest.fixture
def result(tmp_path: Path, clock: Any) -> TargetResult:
    """Return a result without calls."""
    return TargetResult(Target("a", "sit", tmp_path), Outcome.SUCCEEDED, clock.now(), clock.now())


def test_call_has_time_and_status(
    log: CallLog, http: Any, script: Any, reply: Any, clock: Any
) -> None:
    """From its begin to the last byte; the query is left out, and a user in the address."""

    def slow(_: Any) -> Any:
        clock.wait(3)
        return reply({"ok": True}, 404)

    server = script(slow)
    began, host = clock.now(), server.url.removeprefix("http://")
    url = f"http://me:hunter2@{host}/acme/api/v4/export?key={SECRET}"

    with log.recording():
        http.transport.send(HttpRequest("GET", url, {}, public_path=True))

    [call] = log.calls()
    assert (call.method, call.url) == ("GET", f"{server.url}/acme/api/v4/export")
    assert (call.started, call.seconds, call.status, call.error) == (began, 3, 404, "")


def test_body_belongs_to_call(log: CallLog, http: Any, script: Any, reply: Any, clock: Any) -> None:
    """A reply that is read in pieces is recorded when all are there, without its secret path."""
    server = script(reply(b"package"))

    with log.recording():
        stream = http.transport.open(HttpRequest("GET", server.url + SECRET, {}))
        with stream:
            clock.wait(2)
            assert log.calls() == ()
            assert b"".join(stream.chunks()) == b"package"
            clock.wait(2)  # such as for the disk

    [call] = log.calls()
    assert (call.url, call.seconds, call.status) == (server.url, 2, 200)


def test_cut_reply_has_error(log: CallLog, http: Any, script: Any, reply: Any) -> None:
    """Beside its status; a call without any reply has none."""
    server = script(reply(b"pack", length=9))

    with log.recording():
        with (
            pytest.raises(TransportError),
            http.transport.open(HttpRequest("GET", server.url, {})) as stream,
        ):
            list(stream.chunks())
        with pytest.raises(TransportError):
            http.transport.send(HttpRequest("GET", server.url, {}))
        with pytest.raises(TransportError):
            http.transport.open(HttpRequest("GET", f"http://127.0.0.1:9{SECRET}", {}))

    opened, sent, refused = log.calls()
    assert opened.status == sent.status == 200
    assert "IncompleteRead" in opened.error
    assert opened.error == sent.error
    assert refused.status == 0
    assert "Connection refused" in refused.error
    assert "s3cret" not in str(refused)


def test_log_keeps_newest(
    log: CallLog, result: TargetResult, http: Any, script: Any, reply: Any, clock: Any
) -> None:
    """The number of those that it has dropped is known."""
    server = script(reply())
    with log.recording():
        for _ in range(calls.MOST + 2):
            clock.wait(1)
            log.add(HttpCall("GET", server.url, clock.now(), 0.5))
        http.transport.send(HttpRequest("POST", server.url, {}))

    found = log.added_to(result)
    assert len(found.http_calls) == calls.MOST == 1000
    assert found.http_calls_omitted == 3
    assert found.http_calls[-1].method == "POST"


def test_helper_threads_record(
    log: CallLog, http: Any, script: Any, reply: Any, clock: Any
) -> None:
    """Calls of helpers belong to the log of the thread that waits for them, and to no other."""
    server = script(reply())

    def send(_: int = 0) -> None:
        http.transport.send(HttpRequest("GET", server.url, {}))

    send()
    with log.recording():
        map_in_threads(send, range(3), 3)
        parallel([send] * 3, 3, clock)
    send()

    assert len(server.seen) == 8
    assert len(log.calls()) == 6
