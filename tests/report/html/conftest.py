"""Runs of many targets, and a browser to look at their reports."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome, PhaseTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import RunResult, TargetResult

# Nothing of the browser's own asks the network, and no window is opened.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)


@pytest.fixture
def many(target: TargetResult, run: Callable[..., RunResult]) -> Callable[..., RunResult]:
    """Make a run of many targets, each with all that one has, of which every twentieth failed."""

    def make(count: int, tenants: int = 5) -> RunResult:
        return run(*(numbered(target, number, tenants) for number in range(count)))

    return make


def numbered(target: TargetResult, number: int, tenants: int) -> TargetResult:
    """Return a target that waits for those of its tenant before it."""
    seconds = [0, 5 * (number // tenants), 1, 20, 6, 3]
    times = [target.started + timedelta(seconds=each) for each in itertools.accumulate(seconds)]
    phases = tuple(
        PhaseTime(name, *span, job_id=f"{number:08d}-86eb-4eed-a388-fa4525cf7be6")
        for name, span in zip(
            ("queued", "creating", "running", "downloading", "steps"),
            itertools.pairwise(times),
            strict=True,
        )
    )
    steps = [
        replace(step, uses=uses, started=times[4] + timedelta(seconds=offset), seconds=1.5)
        for step in target.steps
        for uses, offset in (("checksum", 0), ("unzip", 1.5))
    ]
    failed = number % 20 == 7
    return replace(
        target,
        target=replace(target.target, name=f"motor-release-{number:04d}"),
        outcome=Outcome.FAILED if failed else Outcome.SUCCEEDED,
        error="DownloadError: package.zip: HTTP 503 after 5 attempts; run it again" * failed,
        exit_code=4 * failed,
        started=times[1],
        finished=times[-1],
        tenant=f"https://excel.uat.us.coherent.global/tenant-{number % tenants}",
        job_id=phases[0].job_id,
        phases=phases,
        steps=tuple(steps),
    )


class Browser:
    """Headless Chromium, driven by its debugging protocol over a pair of pipes."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs, ours = os.pipe(), os.pipe()
        # The browser reads at descriptor 3 and writes at 4, where these may be already.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs[0], ours[1])]
        null = os.devnull, os.O_WRONLY, 0
        actions = [
            *((os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends, 3)),
            *((os.POSIX_SPAWN_OPEN, number, *null) for number in (1, 2)),
        ]
        words = [program, *FLAGS.split(), f"--user-data-dir={profile}"]
        self._pid = os.posix_spawn(program, words, os.environ, file_actions=actions)
        for fd in (theirs[0], ours[1], *ends):
            os.close(fd)
        self._out, self._in = os.fdopen(theirs[1], "wb"), os.fdopen(ours[0], "rb")
        self._numbers, self._read = itertools.count(1), b""
        self._events: list[dict[str, Any]] = []
        self._session: dict[str, str] = {}
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (reply := self._message()).get("id") != number:
            self._events.append(reply)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def open(self, page: Path, width: int, scheme: str = "light") -> list[str]:
        """Load a page, and return the URL of everything that it asked for."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[scheme_feature])
        self._events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not any(each["method"] == "Page.loadEventFired" for each in self._events):
            self._events.append(self._message())
        sent = [each for each in self._events if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def evaluate(self, script: str) -> Any:
        """Return the value of a script, of a promise once it is fulfilled."""
        options = {"awaitPromise": True, "returnByValue": True}
        reply = self.send("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF")["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = {}
        self.send("Browser.close")
        os.waitpid(self._pid, 0)
        self._out.close()
        self._in.close()

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            piece = os.read(self._in.fileno(), 1 << 16)
            assert piece, "the browser has ended"
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed


@pytest.fixture(scope="session")
def browser(install: Callable[..., None]) -> Iterator[Browser]:
    """Start Chromium, installed where it is missing."""
    if shutil.which("chromium") is None:
        install("chromium")
    program = shutil.which("chromium")
    assert program
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(programs: Callable[..., Path]) -> str:
    """Return the script of axe-core, which looks for barriers to people with disabilities."""
    home = programs("npm", "axe-core@4.10.3")
    return (home / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
