"""A plugin of pytest for ``mutants.py``: records which lines each test runs, or runs chosen tests.

``MUTANTS_RECORD`` is a JSON file with the ``modules`` to watch; the record is written beside it.
``MUTANTS_CHOSEN`` is a JSON file with the tests to run, in order, and the seconds that each may
take: a change can make a loop endless.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recording:
    """Watches the modules with a context of coverage for each test."""

    def __init__(self, asked: Path) -> None:
        from coverage import Coverage  # noqa: PLC0415 - a run of chosen tests is not slowed down

        self.asked = asked
        self.modules: list[str] = json.loads(asked.read_text())["modules"]
        self.tests: dict[str, dict[str, Any]] = {}
        self.coverage = Coverage(data_file=None, include=self.modules)
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Give the test its context."""
        self.coverage.switch_context(item.nodeid)
        test = self.tests[item.nodeid] = {"passed": True, "lines": {}}
        begin, busy = time.perf_counter(), _processor()
        result = yield
        test["seconds"] = round(time.perf_counter() - begin, 3)
        test["processor"] = round(_processor() - busy, 3)
        self.coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails without any change."""
        self.tests[report.nodeid]["passed"] &= not report.failed

    def pytest_sessionfinish(self) -> None:
        """Write the record."""
        self.coverage.stop()
        data = self.coverage.get_data()
        for module in self.modules:
            for line, contexts in data.contexts_by_lineno(module).items():
                for context in filter(None, contexts):
                    self.tests[context]["lines"].setdefault(module, []).append(line)
        self.asked.with_suffix(".record").write_text(json.dumps(self.tests))


def _processor() -> float:
    """Return the seconds of processor time so far, those of ended child processes included."""
    return sum(os.times()[:4])


class Choice:
    """Runs the chosen tests, in their order, each within its time."""

    def __init__(self, chosen: Path) -> None:
        self.seconds: dict[str, float] = json.loads(chosen.read_text())
        self.order = {test: number for number, test in enumerate(self.seconds)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what was chosen."""
        kept = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(kept, key=lambda item: self.order[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """End the process when the time is over, whatever the test waits for."""
        faulthandler.dump_traceback_later(self.seconds[item.nodeid], exit=True)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()


def pytest_configure(config: pytest.Config) -> None:
    """Take the part that is asked for."""
    if chosen := os.environ.get("MUTANTS_CHOSEN"):
        config.pluginmanager.register(Choice(Path(chosen)))


if _asked := os.environ.pop("MUTANTS_RECORD", ""):
    # Here, not in a hook: modules are imported before the first hook is called.
    _recording = Recording(Path(_asked))

    def pytest_sessionstart(session: pytest.Session) -> None:
        """Have the recording hear of the tests."""
        session.config.pluginmanager.register(_recording)
