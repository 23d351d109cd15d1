"""What a run says of itself while it lasts."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.delivery.progress import Phase, TargetProgress
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import Outcome, RunOptions, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.engine.snapshot import Snapshot
    from spark_impex_runner.testing.fake_clock import FakeClock

TARGETS = """
- {name: pricing, services: [motor/pricing], polling: {strategy: fixed}, steps: [{uses: checksum}]}
- {name: claims, services: [motor/claims], polling: {strategy: fixed}}
- {name: life, folders: [life], needs: [pricing], polling: {strategy: fixed}}
"""


class Watched(RunProgress):
    """The progress of a run, which says when the first target has queued."""

    def __init__(self) -> None:
        super().__init__()
        self.has_queue = threading.Event()

    def note_queued(self, name: str, connection: str) -> None:
        """Note that a target waits."""
        super().note_queued(name, connection)
        self.has_queue.set()


@pytest.fixture
def watched(run: Any, serve: Any, clock: FakeClock) -> Callable[..., list[Snapshot]]:
    """Return a function that runs the targets, and returns a snapshot of each wait."""
    served: list[Any] = []

    def watched(*faults: str, **options: Any) -> list[Snapshot]:
        seen: list[Snapshot] = []
        progress = Watched()

        def look(_: float) -> None:
            # Waits take no time here: the other target may not have come to its queue yet.
            assert progress.has_queue.wait(60)
            snapshot = progress.snapshot()
            assert snapshot
            seen.append(snapshot)

        assert progress.snapshot() is None
        served.append(served[-1] if served else serve(*faults, job_seconds=20))
        path: Path = run.write(served[-1], TARGETS)
        clock.at_wait = look
        run_manifest(path, RunOptions(**options), clock=clock, progress=progress)
        look(0.0)
        return seen

    return watched


def test_a_run_is_seen_from_start_to_end(watched: Callable[..., list[Snapshot]]) -> None:
    """One target has the tenant's only slot, one waits for it, one for what it needs."""
    seen = watched()

    first, last = seen[0], seen[-1]
    (active,) = first.active
    (other,) = {"pricing", "claims"} - {active.target}
    assert first.queued == {"sit": (other,)}
    assert (active.phase, active.usual) == ("running", 0.0)
    assert (first.targets, first.done, first.longest) == (3, 0, "pricing")
    assert last.ended == {Outcome.SUCCEEDED: 3}
    assert (last.active, last.queued, last.done) == ((), {}, 3)
    assert [each.elapsed for each in seen] == sorted(each.elapsed for each in seen)


def test_the_next_run_knows_the_usual_time(watched: Callable[..., list[Snapshot]]) -> None:
    """It is the median of the earlier jobs of the same request."""
    watched()
    seen = watched()

    running = (each for shown in seen for each in shown.active if each.phase == "running")
    usual = {each.target: each.usual for each in running}
    assert set(usual) == {"pricing", "claims", "life"}
    assert all(20 <= seconds <= 30 for seconds in usual.values())


def test_a_busy_tenant_is_named(watched: Callable[..., list[Snapshot]]) -> None:
    """The target waits although it has the slot: the tenant runs another job."""
    seen = watched("create@1-2=busy")

    assert (seen[0].active[0].phase, seen[0].active[0].busy) == ("creating", True)
    assert not seen[-2].active[0].busy


def test_queued_targets_are_logged(
    watched: Callable[..., list[Snapshot]], caplog: pytest.LogCaptureFixture
) -> None:
    """With the place in the queue; a target that starts at once is not queued."""
    caplog.set_level("INFO")
    begun = watched()[0].active[0].target

    queued = [
        (vars(each)["target"], vars(each)["detail"])
        for each in caplog.records
        if getattr(each, "event", "") == "target.queued"
    ]
    assert queued[0] == (*{"pricing", "claims"} - {begun}, {"place": 1})
    assert begun not in dict(queued)


@pytest.fixture
def target(run: Any, serve: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the progress of a target that has ended, for a run that goes on."""
    kept: list[TargetProgress] = []
    note = RunProgress.note_started
    monkeypatch.setattr(
        RunProgress, "note_started", lambda self, each: (kept.append(each), note(self, each))
    )
    progress = RunProgress()
    path = run.write(serve(), TARGETS)
    run_manifest(path, RunOptions(targets=("pricing",)), clock=clock, progress=progress)
    progress.note_started(kept[0])
    return progress, kept[0]


def activity(progress: RunProgress) -> Any:
    """Return the one activity of a run."""
    snapshot = progress.snapshot()
    assert snapshot
    return snapshot.active[0]


def test_servers_announce_the_sizes(target: Any) -> None:
    """Before the first byte of a package its size is known."""
    _, each = target

    assert list(each.files.values()) == [package.size for package in each.job.packages]


def test_downloads_have_bytes_and_a_rate(target: Any, clock: FakeClock, tmp_path: Path) -> None:
    """Of the partial files, whose sizes are known when the server has said them."""
    progress, each = target
    files = {tmp_path / "a.part": 0, tmp_path / "b.part": 0}
    each.enter(Phase.DOWNLOADING)
    each.files = files
    (tmp_path / "a.part").write_bytes(b"x" * 100)
    first = activity(progress)
    assert (first.received, first.size, first.rate, first.left) == (100, 0, 0.0, 0.0)

    clock.wait(2)
    (tmp_path / "a.part").write_bytes(b"x" * 300)
    each.files = dict.fromkeys(files, 500)  # b has its final name already
    shown = activity(progress)

    assert (shown.phase, shown.received, shown.size) == ("downloading", 800, 1000)
    assert (shown.rate, round(shown.left, 2)) == (350.0, 0.57)


def test_a_download_that_begins_again_has_no_rate(
    target: Any, clock: FakeClock, tmp_path: Path
) -> None:
    """A damaged file is downloaded again from its beginning."""
    progress, each = target
    each.enter(Phase.DOWNLOADING)
    each.files = {tmp_path / "a.part": 1000}
    for size in (500, 10):
        (tmp_path / "a.part").write_bytes(b"x" * size)
        shown = activity(progress)
        clock.wait(1)

    assert (shown.received, shown.rate) == (10, 0.0)


def test_steps_have_names_places_and_bytes(target: Any) -> None:
    """Which step runs, the second of two, and on how many bytes of packages."""
    progress, each = target
    step = each.job.target.steps[0]
    each.job = replace(each.job, target=replace(each.job.target, steps=(step, step)))
    each.steps = [StepResult("checksum", "succeeded", 1.0)]
    each.enter(Phase.STEPS, "checksum")

    shown = activity(progress)

    assert (shown.phase, shown.step) == ("steps", "checksum 2/2")
    assert shown.size == sum(each.size for each in each.job.packages) > 0


def test_parts_are_shown_one_by_one(target: Any, clock: FakeClock) -> None:
    """A request that was split does what its last part does."""
    progress, each = target
    each.enter(Phase.QUEUED)
    clock.wait(30)
    part = TargetProgress(each.job, each.context)
    part.enter(Phase.RUNNING)
    each.parts = {"1": part}
    clock.wait(5)

    assert (activity(progress).phase, activity(progress).elapsed) == ("running", 5)


def test_download_progress_is_logged_less_and_less(
    target: Any, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After 30 s, then 1, 2 and 5 minutes, each with the bytes so far."""
    progress, each = target
    caplog.set_level("INFO")
    clock.wait(1)
    each.enter(Phase.DOWNLOADING)
    (tmp_path / "a.part").write_bytes(b"x" * 100)
    each.files = {tmp_path / "a.part": 1000}
    logged = []
    for second in range(900):
        caplog.clear()
        progress.report_downloads()
        logged += [(second, vars(record)["detail"]) for record in caplog.records]
        clock.wait(1)

    assert [second for second, _ in logged] == [30, 90, 210, 509, 808]
    assert logged[0][1] == {"received": 100, "size": 1000, "rate": 0}
    each.enter(Phase.STEPS, "checksum")
    caplog.clear()
    progress.report_downloads()
    assert not caplog.records


def test_held_targets_say_what_to_approve(target: Any) -> None:
    """The connection that the next run has to approve."""
    progress, each = target
    result = replace(each.result(), outcome=Outcome.HELD, approve="uat")

    progress.note_ended(result)

    snapshot = progress.snapshot()
    assert snapshot
    assert snapshot.held == {"pricing": "uat"}
