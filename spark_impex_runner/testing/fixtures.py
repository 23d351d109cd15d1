"""Fixtures: a clock, a tenant's folder, a sandbox with fault injection, and a runner."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine import run as engine
from spark_impex_runner.masking import Masker, MaskingFilter
from spark_impex_runner.models import RECEIPT, RunOptions
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.models import RunResult

VERSIONS = (
    "motor/pricing/1.4.1",
    "motor/pricing/1.4.2",
    "motor/claims/2.0.0",
    "life/annuity/1.0.0",
)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock whose waits take no time."""
    return FakeClock()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the tenant's folder, ``acme``: the four versions of ``VERSIONS``."""
    root = tmp_path / "acme"
    for version in VERSIONS:
        (root / version).mkdir(parents=True)
        (root / version / "model.data").write_text(f"data of {version}\n")
    return root


@dataclass
class Server:
    """Serves a tenant's folder on the test's clock."""

    tree: Path
    clock: Clock
    monkeypatch: pytest.MonkeyPatch
    served: list[Sandbox] = field(default_factory=list)

    def __call__(self, *faults: str, **settings: Any) -> Sandbox:
        """Serve the folder; ``faults`` are scripts such as ``status@2=503``.

        ``settings`` are the sandbox's. Sets ``CSPARK_BASE_URL`` and ``CSPARK_BEARER_TOKEN``, by
        which a connection ``{}`` of a manifest leads here.
        """
        if faults:
            settings["faults"] = tuple(map(parse_fault, faults))
        sandbox = Sandbox(self.tree, Settings(**settings), clock=self.clock.monotonic).start()
        self.served.append(sandbox)
        self.monkeypatch.setenv("CSPARK_BASE_URL", sandbox.base_url)
        self.monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        return sandbox


@pytest.fixture
def serve(tree: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return the function that serves the tenant's folder until the test ends."""
    server = Server(tree, clock, monkeypatch)
    yield server
    # Also those of a failed test, whose open ports would warn (ResourceWarning).
    for sandbox in server.served:
        sandbox.close()


@dataclass(frozen=True)
class Finished:
    """A finished run and its outputs.

    ``log`` has one line for each record, as on the terminal, with secrets masked. ``report`` is
    the JSON report, ``receipts`` has those of the targets by their names. ``folder`` is the
    manifest's.
    """

    result: RunResult
    log: str
    report: dict[str, Any]
    receipts: dict[str, dict[str, Any]]
    folder: Path


@dataclass
class Runner:
    """Runs manifests in the folder that contains the tenant's, ``acme``."""

    folder: Path
    clock: Clock

    def __call__(
        self, manifest: str | Mapping[str, Any], plugins: Sequence[Path] = (), **options: Any
    ) -> Finished:
        """Run a manifest, text or data; ``options`` are those of ``RunOptions``.

        Loads installed plugins, and those in the files ``plugins``.
        """
        masker, report = Masker(), self.folder / "report.json"
        path = self.write(manifest)
        # The JSON report in any case: ``Finished`` has it.
        options["reports"] = {**options.get("reports", {}), "json": report}
        chosen = RunOptions(plugin_files=tuple(plugins), **options)
        with _recorded_log(masker) as lines:
            result = engine.run_manifest(path, chosen, clock=self.clock, masker=masker)
        receipts = {each.target.name: each.target.output / RECEIPT for each in result.results}
        return Finished(
            result,
            "\n".join(lines),
            _read(report),
            {name: _read(file) for name, file in receipts.items() if file.is_file()},
            self.folder,
        )

    def write(self, manifest: str | Mapping[str, Any]) -> Path:
        """Write a manifest without running it, and return its path."""
        path = self.folder / "manifest.yaml"
        path.write_text(
            manifest if isinstance(manifest, str) else json.dumps(manifest), encoding="utf-8"
        )
        return path


@pytest.fixture
def run_manifest(tree: Path, clock: Clock) -> Runner:
    """Return the function that runs a manifest; ``{sandbox: acme}`` connects it to the tree."""
    return Runner(tree.parent, clock)


class _Lines(logging.Handler):
    """Keeps log records as the lines that a terminal would show."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.addFilter(MaskingFilter(masker))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(self.format(record))


@contextmanager
def _recorded_log(masker: Masker) -> Iterator[list[str]]:
    """Record the log, and yield the list of its lines."""
    handler, root, ours = _Lines(masker), logging.getLogger(), "spark_impex_runner"
    levels = [(logger, logger.level) for logger in (root, logging.getLogger(ours))]
    # pytest's caplog would not do: its records are not masked.
    root.addHandler(handler)
    for logger, _ in levels:
        logger.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
