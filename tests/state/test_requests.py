"""What a run asks of a storage: few requests for each target, and none more once it lost a lock."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import Outcome
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.state import opening
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.state.storage import Scope

DELIVERED = """
- name: a
  folders: [life]
  output: exports/a
  steps: [{uses: upload, with: {to: backup}}]
"""


LOST = "lost the lease on s3://bucket/state; run r2 continues; this runner writes nothing more"


class CountedStorage(LocalStorage):
    """Counts the requests that a storage needs which has one object for each scope."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.requests: Counter[str] = Counter()
        self._read: set[str] = set()
        self.prefetched: list[str] = []
        self.lost = False

    def prefetch(self, targets: Sequence[str]) -> None:
        """Read each target once."""
        self.prefetched = list(targets)
        for target in targets:
            self._get(target)

    def read(self, scope: Scope | None, sql: str, values: Any = ()) -> Any:
        """Read a scope once."""
        assert scope, "a run never reads all targets and runs"
        assert scope.key, f"a run never reads all targets: {sql}"
        self._get(scope.key)
        return super().read(scope, sql, values)

    def write(self, scope: Scope, *statements: Any) -> int:
        """Write a scope."""
        self._put(scope.key)
        return super().write(scope, *statements)

    write_vital = write

    @contextmanager
    def lease(self, target: str, now: datetime) -> Iterator[None]:
        """Write the holder, and its end with all that was to be written later."""
        self._put(target)
        with super().lease(target, now):
            yield
        self._put(target)

    def check(self) -> None:
        """Raise if the lock is lost."""
        if self.lost:
            raise StateError(LOST)

    def _get(self, key: str) -> None:
        self.requests[key] += key not in self._read
        self._read.add(key)

    def _put(self, key: str) -> None:
        self.requests[key] += 1


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountedStorage:
    """Return the storage of the run's state, which is on an object store."""
    counted = CountedStorage(tmp_path / "store")
    monkeypatch.setattr(opening, "_object_storage", lambda *_: counted)
    return counted


def test_target_needs_few_requests(
    run: Any, serve: Callable[..., Any], only: Any, storage: CountedStorage
) -> None:
    """One with a step that uploads needs seven, and the run itself two."""
    result = only(run(serve(job_seconds=20), DELIVERED, state="s3://bucket/state"))

    assert result.good, result.error
    assert storage.prefetched == ["manifest/a"]
    # Read; lock, intent, job, claim, delivery; end and release.
    assert storage.requests.pop("manifest/a") == 7
    assert list(storage.requests.values()) == [2]


def test_short_steps_need_few_requests(
    run: Any, serve: Callable[..., Any], only: Any, storage: CountedStorage
) -> None:
    """Only what they put into the output is written at once; the end of the step is not."""
    steps = "[{uses: checksum}, {uses: unzip}, {uses: upload, with: {to: backup}}]"
    target = f"- {{name: a, folders: [life], output: exports/a, steps: {steps}}}"
    result = only(run(serve(), target, state="s3://bucket/state"))

    assert result.good, result.error
    # Besides: the file of checksums, the folder that is unpacked to, and its files.
    assert storage.requests["manifest/a"] == 10


def test_lost_lock_ends_the_run(
    run: Any, serve: Callable[..., Any], storage: CountedStorage, tmp_path: Path
) -> None:
    """The job is left to the other runner, no further target starts, and the report is written."""
    sandbox = serve(job_seconds=600)
    run.clock.at_wait = lambda elapsed: setattr(storage, "lost", elapsed > 60)
    report = tmp_path / "report.json"

    result = run(
        sandbox,
        f"{DELIVERED}\n- {{name: b, folders: [motor], output: exports/b}}",
        state="s3://bucket/state",
        jobs=1,
        reports={"json": report},
    )

    assert run.clock.monotonic() < 120
    # Which of them comes first is not promised.
    first, second = sorted(result.results, key=lambda each: each.outcome.value)
    assert (first.outcome, first.error, first.exit_code) == (Outcome.FAILED, LOST, 2)
    assert (second.outcome, second.error) == (Outcome.SKIPPED, LOST)
    assert [each.method for each in sandbox.requests].count("POST") == 1
    assert "PATCH" not in [each.method for each in sandbox.requests]
    assert json.loads(report.read_text())["exit_code"] == result.exit_code == 4


@pytest.mark.parametrize("moment", ["before the create call", "before the final name"])
def test_lost_lock_allows_no_action(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    storage: CountedStorage,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """A runner that was suspended neither creates a job nor names a package afterwards."""
    sandbox = serve()
    owner, name = (State, "intend") if moment.endswith("call") else (Ownership, "claim")
    before = getattr(owner, name)

    def suspended(*arguments: Any) -> Any:
        answer = before(*arguments)
        storage.lost = True
        return answer

    monkeypatch.setattr(owner, name, suspended)
    result = only(run(sandbox, "- {name: a, folders: [life], output: exports/a}", state="s3://b"))

    assert result.error == LOST
    posts = [each.method for each in sandbox.requests].count("POST")
    assert posts == (0 if owner is State else 1)
    names = {each.name for each in (run.folder / "exports/a").glob("*")}
    assert names == (set() if owner is State else {".package.zip.part"})


def test_lost_lock_starts_no_step(
    run: Any, serve: Callable[..., Any], only: Any, storage: CountedStorage
) -> None:
    """A step that fails is not repeated by a runner that lost its lock meanwhile."""
    (run.folder / "file").touch()
    run.clock.at_wait = lambda _: setattr(storage, "lost", run.clock.waits[-1] == 50)
    target = """
    - name: a
      folders: [life]
      output: exports/a
      steps: [{uses: upload, with: {to: file/x}, retry: {attempts: 3, interval: 50s}}]
    """

    result = only(run(serve(), target, state="s3://bucket/state"))

    assert result.error == LOST
    assert run.clock.waits.count(50) == 1
    receipt = json.loads((run.folder / "exports/a/impex-receipt.json").read_text())
    assert receipt["steps"] == []  # written before the step, and not again
