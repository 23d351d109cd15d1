"""``impex listen``: events are stored before they are answered, and run one after the other."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from spark_impex_runner.cli import event, listen, receiver
from spark_impex_runner.engine import event_check
from spark_impex_runner.engine.event_queue import EventQueue
from spark_impex_runner.engine.webhook import EventOptions
from spark_impex_runner.errors import Interrupted, StateError
from spark_impex_runner.sandbox.http.body import CHUNK
from spark_impex_runner.sandbox.http.messages import Request
from spark_impex_runner.sandbox.http.server import HttpServer
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "a-key-of-this-test"
EVENT = {"UserAction": "DeploymentRequest", "Folder": "motor", "Service": "pricing"}
MANIFEST = """
version: 1
connections: {{here: {{base_url: '{url}'}}}}
targets: [{{name: deployed, services: ["${{var:folder}}/${{var:service}}"]}}]
defaults: {{polling: {{strategy: fixed}}, retry_interval: 0.01}}
"""


@pytest.fixture
def sandbox(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve the tenant that the manifest exports from, and set the key."""
    with Sandbox(shell.folder / "acme") as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        monkeypatch.setenv("LISTEN_KEY", KEY)
        (shell.folder / "m.yaml").write_text(MANIFEST.format(url=sandbox.base_url))
        yield sandbox


class Listening:
    """Runs ``impex listen`` with a client on another thread; ``emptied`` is set by each removal."""

    def __init__(self, shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell = shell
        self.emptied = threading.Event()
        self.folder: Path = shell.folder / ".impex/events"
        self._monkeypatch = monkeypatch
        for name in ("remove", "set_aside"):
            self._signal_after(name)

    def _signal_after(self, name: str) -> None:
        did: Any = getattr(EventQueue, name)

        def call(queue: EventQueue, path: Path) -> Any:
            result = did(queue, path)
            self.emptied.set()
            return result

        self._monkeypatch.setattr(EventQueue, name, call)

    def __call__(self, client: Callable[[str], object], *args: str) -> Any:
        """Listen while ``client`` runs with the URL, then stop by SIGTERM."""
        start = HttpServer.start

        def started(server: HttpServer, handle: Any) -> None:
            start(server, handle)
            if server.limits.body == 0:  # the receiver, and no sandbox
                threading.Thread(target=work, args=(server.url,), daemon=True).start()

        def work(url: str) -> None:
            try:
                client(url)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        with self._monkeypatch.context() as patch:
            patch.setattr(HttpServer, "start", started)
            return self.shell(
                *("impex", "listen", "m.yaml", "--port", "0", "--key", "env:LISTEN_KEY", *args)
            )

    def wait(self) -> None:
        """Wait until an event has left the queue."""
        assert self.emptied.wait(60)
        self.emptied.clear()


@pytest.fixture
def listening(shell: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Listening:
    """Return the command with its client."""
    assert sandbox.base_url
    return Listening(shell, monkeypatch)


def post(url: str, body: bytes | str | None = None, **settings: Any) -> Any:
    """Post a body with the key in the query."""
    settings = {"params": {"X-API-Key": KEY}, **settings}
    data = json.dumps(EVENT) if body is None else body
    return requests.post(url, data=data, timeout=60, **settings)


def test_replies_tell_only_holders_of_the_key(listening: Listening, sandbox: Sandbox) -> None:
    """Without it there is a 401 and nothing else; header and query are as good."""
    replies: list[Any] = []

    def client(url: str) -> None:
        header = {"X-Api-Key": KEY}
        replies.extend(
            [
                post(url, params={}),
                post(url, params={"x-api-key": f"{KEY}x"}, headers={"X-Api-Key": "é"}),
                post(url, b"x" * (1 << 21), params={}),
                requests.get(url, headers=header, timeout=60),
                requests.head(url, timeout=60),
                post(url, ""),
                post(url, json.dumps({**EVENT, "Folder": "*"})),
                post(url, b" " * ((1 << 20) + 1), params={}, headers=header),
                post(url, '{"UserAction": "Unheard"}', params={}, headers=header),
                post(url, '{"UserAction": "Unheard"}'),
            ]
        )

    done = listening(client)

    codes = [each.status_code for each in replies]
    assert codes == [401, 401, 401, 405, 401, 400, 400, 413, 202, 202]
    assert {each.headers["Server"] for each in replies} == {"spark-impex-runner"}
    assert all(not each.content and "WWW-Authenticate" not in each.headers for each in replies[:3])
    assert [each.json() for each in replies[-2:]] == [{"status": "ignored"}] * 2
    assert done.code == 0
    assert KEY not in done.out + done.err
    refused = [line.partition("refused with ")[2][:23] for line in done.err.splitlines()]
    assert [each for each in refused if each] == [
        "401: a request without ",  # once
        "400: the event is not J",
        "400: the event's folder",
        "413: the body has more ",
    ]
    assert sandbox.jobs_created == 0


def test_slow_client_delays_no_stop(listening: Listening) -> None:
    """A connection whose request is not complete is closed, and the command ends as without it."""
    connections: list[socket.socket] = []

    def client(url: str) -> None:
        address = urlsplit(url)
        connections.append(socket.create_connection((address.hostname, address.port), 60))
        connections[0].sendall(b"POST / HTTP/1.1\r\nContent-Le")
        assert post(url, "{}").status_code == 202

    done = listening(client)

    with connections[0] as connection:
        assert (done.code, connection.recv(1)) == (0, b"")
    limits = receiver.Receiver.limits
    assert (limits.connections, limits.seconds) == (64, 30)  # as the documentation says


def test_stopping_listener_takes_no_event() -> None:
    """Its queue may be on a disk that ends with it; the sender keeps the event."""
    stored: list[str] = []
    answer = receiver.Receiver(
        KEY, "x-api-key", EventOptions(), lambda name, _: stored.append(name), lambda: True
    )
    body = io.BytesIO(json.dumps(EVENT).encode())

    reply = answer(Request("POST", "/", "", {"x-api-key": KEY}, body))

    assert (reply.status, stored) == (503, [])


def test_endless_bodies_end_the_connection(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nobody keeps the receiver reading, nor makes it guess where a body ends."""
    replies: list[bytes] = []
    limits = replace(receiver.Receiver.limits, rest=1 << 20)
    monkeypatch.setattr(receiver.Receiver, "limits", limits)
    starts = (
        # No more is sent than what is read: a reset could drop the reply.
        (b"Content-Length: 999999999999", b"x" * ((1 << 20) + CHUNK)),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    )

    def client(url: str) -> None:
        address = urlsplit(url)
        for framing, body in starts:
            with socket.create_connection((address.hostname, address.port), 60) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body)
                replies.append(connection.makefile("rb").read())

    done = listening(client)

    assert done.code == 0
    assert [each.split()[1] for each in replies] == [b"401", b"400"]
    assert all(b"\r\nConnection: close\r\n" in each for each in replies)


def test_same_event_makes_one_job(listening: Listening, sandbox: Sandbox) -> None:
    """Five times while it waits, runs or is done; SIGTERM ends the command in good order."""

    def client(url: str) -> None:
        assert [post(url).status_code for _ in range(4)] == [202] * 4
        listening.wait()
        assert post(url).json()["status"] == "queued"
        listening.wait()

    done = listening(client)

    assert (done.code, sandbox.jobs_created) == (0, 1), done.err
    assert "1 of 1 target succeeded" in done.out
    assert "DeploymentRequest handled at" in done.out
    assert list(listening.folder.glob("*.json")) == []


@pytest.mark.skipif(os.name != "posix", reason="a mask of signals is POSIX")
def test_signal_to_another_thread_ends_the_wait(listening: Listening) -> None:
    """The system may give it to a thread of the server; Python then wakes no other."""
    ended, late = threading.Event(), []

    def client(url: str) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        late_event = lambda: ended.wait(60) or late.append(post(url))  # noqa: E731
        threading.Thread(target=late_event, daemon=True).start()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        done = listening(client)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ended.set()

    assert (done.code, late) == (0, [])


def test_full_disk_stops_no_listener(
    listening: Listening, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event stays queued, and is run once there is room."""
    monkeypatch.setattr(listen, "_AGAIN", 0.01)
    run_event = event.run_event

    def full(*_: Any) -> int:
        monkeypatch.setattr(event, "run_event", run_event)
        raise OSError(errno.ENOSPC, "No space left on device", "state.db")

    def client(url: str) -> None:
        monkeypatch.setattr(event, "run_event", full)
        post(url)
        listening.wait()

    done = listening(client)

    assert (done.code, sandbox.jobs_created) == (0, 1)
    assert "state.db: No space left on device; trying again in 0.01 s" in done.err


def test_internal_error_stops_no_listener(
    listening: Listening, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is set aside, and the next one is run."""
    run_event = event.run_event

    def broken(*_: Any) -> int:
        monkeypatch.setattr(event, "run_event", run_event)
        raise RuntimeError("a bug")

    def client(url: str) -> None:
        monkeypatch.setattr(event, "run_event", broken)
        post(url, json.dumps({**EVENT, "Attempt": 1}))
        listening.wait()
        post(url)
        listening.wait()

    done = listening(client)

    assert (done.code, sandbox.jobs_created) == (0, 1)
    assert "a bug" in done.err
    assert len(list((listening.folder / "failed").iterdir())) == 1


def test_killed_listener_goes_on(listening: Listening, sandbox: Sandbox) -> None:
    """What was answered 202 is on disk, and is run by the next listener without a sender."""
    queue = EventQueue(listening.folder)
    listening.folder.mkdir(parents=True)
    queue.put("one", json.dumps(EVENT).encode())
    (listening.folder / ".9-two.json.0badc0de").write_text('{"UserAc')

    done = listening(lambda _: listening.wait())

    assert ", 1 waiting in " in done.out
    assert [each.name for each in listening.folder.iterdir()] == ["leases"]
    assert (done.code, sandbox.jobs_created) == (0, 1)


def test_interrupted_event_stays_queued(
    listening: Listening, shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that the signal ends is resumed by the next listener, with the exit code of a run."""
    with Sandbox(shell.folder / "acme", Settings(job_seconds=3600)) as slow:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", slow.token)
        (shell.folder / "m.yaml").write_text(MANIFEST.format(url=slow.base_url))
        polled = threading.Event()
        append = slow.requests.append

        class Seen(list[Any]):
            def append(self, each: Any) -> None:
                append(each)
                if each.path.endswith("/status"):
                    polled.set()

        slow.requests = Seen()  # type: ignore[assignment]

        def client(url: str) -> None:
            post(url)
            assert polled.wait(60)

        done = listening(client)

    assert done.code == 143
    assert done.err.count("impex listen m.yaml --port 0 --key env:LISTEN_KEY") == 1
    assert len(list(listening.folder.glob("*.json"))) == 1


def test_failed_event_is_set_aside(listening: Listening, shell: Any) -> None:
    """The queue goes on, and the printed command runs it again."""
    missing = {**EVENT, "Service": "absent"}

    def client(url: str) -> None:
        post(url, json.dumps(missing))
        listening.wait()

    done = listening(client, "--field", "service=Service")

    assert "impex listen" not in done.err
    [aside] = (listening.folder / "failed").iterdir()
    assert json.loads(aside.read_text()) == missing
    assert (
        f"impex event m.yaml --field service=Service --file {aside.relative_to(shell.folder)}"
        in (done.err)
    )


def test_event_that_is_not_stored_is_refused(
    listening: Listening, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is a 503, so that the sender keeps the event; the log says why."""
    replies: list[Any] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventQueue, "put", full)
    done = listening(lambda url: replies.append(post(url)))

    assert [each.status_code for each in replies] == [503]
    assert "was not stored: No space left on device" in done.err
    assert sandbox.jobs_created == 0


def test_events_wait_for_a_state(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are received while a store does not answer, which may take minutes."""
    posted, known = threading.Event(), threading.Event()

    def no_answer(*_: object) -> None:
        assert posted.wait(60)
        known.set()
        raise StateError("s3://acme/state: no answer")

    def client(url: str) -> None:
        assert post(url, "{}").status_code == 202
        posted.set()
        assert known.wait(60)

    monkeypatch.setattr(event_check, "existing_state", no_answer)
    done = listening(client)

    assert done.code == 0
    assert "error: s3://acme/state: no answer; events are queued until it can be used" in done.err
    assert "listening on" in done.out


@pytest.mark.usefixtures("sandbox")
def test_stop_before_the_first_event(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the manifest is checked: no run was interrupted."""

    def stopped(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(event_check, "check_manifest", stopped)
    done = shell("impex", "listen", "m.yaml", "--port", "0", "--key", "env:LISTEN_KEY")

    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--key", KEY], "argument --key: give env:NAME or file:PATH, never the key itself"),
        (["--key", "env:NONE"], "error: env:NONE: there is no key; set it first"),
        (["--key", "file:m.yaml"], "error: file:m.yaml: the key is not one line of ASCII"),
        (["--key", "file:none"], "error: file:none: the key cannot be read: No such file"),
        (
            ["--key", "env:LISTEN_KEY", "--approve", "prod"],
            "error: --approve prod: a listener cannot approve",
        ),
        (["--key", "env:LISTEN_KEY", "--port", "99999"], "'99999' is not a port from 0 to 65535"),
        (["--key", "env:LISTEN_KEY", "--no-assumed"], "the variable 'folder' is not defined"),
        (
            ["--key", "env:LISTEN_KEY", "--queue", "m.yaml"],
            "error: the queue m.yaml cannot be used: File exists; choose a folder on a local",
        ),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_mistakes_exit_with_2(shell: Any, args: list[str], message: str) -> None:
    """Before anything listens; a key on the command line is not repeated."""
    done = shell("impex", "listen", "m.yaml", "--port", "0", *args)

    assert done.code == 2
    assert message in done.err
    assert KEY not in done.err


def test_sandbox_posts_imports(shell: Any, receiver: Any) -> None:
    """An event for each version that an import adds, with the key in its header."""
    settings = Settings(webhook=f"{receiver.url}/hook?a=1", webhook_key=KEY)
    with (
        Sandbox(shell.folder / "acme", settings) as sandbox,
        Spark(base_url=sandbox.base_url, token=sandbox.token) as spark,
    ):
        [package] = spark.impex.export(services=["motor/pricing"])
        mapping = [{"source": "motor/pricing", "target": "life/copied"}]
        spark.impex.import_(mapping, io.BytesIO(package.buffer))

    [posted] = receiver.received
    assert (posted.path, posted.headers["x-api-key"]) == ("/hook?a=1", KEY)
    body = json.loads(posted.body)
    assert body["UserAction"] == "PublishEngine"
    assert (body["FolderName"], body["ServiceName"]) == ("life", "copied")
