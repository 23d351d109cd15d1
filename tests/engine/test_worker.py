"""What a worker sends its run, refuses, and does not do twice."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from object_stores import ACCESS, SECRET, S3Server, s3_client

from spark_impex_runner.engine import origin
from spark_impex_runner.engine.distributed import UnitResult, WorkUnit, portable_options
from spark_impex_runner.engine.events import EventReceiver, UnitEvents
from spark_impex_runner.engine.origin import Origin
from spark_impex_runner.engine.placement import Placement
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.snapshot import Activity
from spark_impex_runner.engine.worker import run_unit, stop_units
from spark_impex_runner.hooks.discovery import PluginChoice, PluginInfo
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions, Step
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = """
import logging
from pathlib import Path
from spark_impex_runner import hookimpl

@hookimpl
def impex_job_changed(change):
    token = Path(__file__).with_name("token").read_text()
    logging.getLogger("talker").warning("%s with %s", change.event, token)
"""
RUN_ID = "20260102T120000Z-00000001"


class Far:
    """A run that has begun, and what its worker sends; the worker is this process."""

    def __init__(self, folder: Path, tenant: Sandbox, clock: Any) -> None:
        self.folder = folder
        self.tenant = tenant
        self.clock = clock
        self.received: list[str] = []
        self.path = folder / "m.yaml"
        (folder / "token").write_text(tenant.token)
        with closing(open_state(folder / ".impex")) as state:
            state.begin_run(PastRun(RUN_ID, str(self.path), clock.now()))

    def unit(self, *targets: dict[str, Any], **options: Any) -> WorkUnit:
        """Write the manifest and return a unit with all of its targets."""
        auth = {"token": "${file:token}"}
        connections = {"sit": {"base_url": self.tenant.base_url, "auth": auth}}
        document = {"version": 1, "connections": connections, "targets": list(targets)}
        self.path.write_text(yaml.safe_dump(document))
        portable = portable_options(self.path, RunOptions(**options), RUN_ID)
        unit = WorkUnit(
            Origin.of(self.path, portable, []), self.path, portable, self.received.append
        )
        return unit.of_targets([each["name"] for each in targets])

    def work(self, *targets: dict[str, Any], **options: Any) -> UnitResult:
        """Run targets on the worker."""
        return run_unit(self.unit(*targets, **options))

    def messages(self, kind: str) -> list[Any]:
        """Return what was sent of one kind."""
        every = map(json.loads, self.received)
        return [each[kind] for each in every if each.get(kind)]


def target(name: str, **more: Any) -> dict[str, Any]:
    """Return a target whose status is asked for without pauses."""
    polling = {"polling": {"strategy": "fixed"}, "retry_interval": 0.05}
    return {"name": name, "folders": ["life"], **polling, **more}


@pytest.fixture
def far(tmp_path: Path, clock: Any, request: pytest.FixtureRequest) -> Iterator[Far]:
    """Serve a tenant whose jobs take the seconds of the parameter, a moment by default."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    with Sandbox(tmp_path / "acme", Settings(job_seconds=getattr(request, "param", 0.1))) as tenant:
        yield Far(tmp_path / "work", tenant, clock)


def shown(messages: list[str]) -> RunProgress:
    """Return the progress of a run with one target that has received messages."""
    progress = RunProgress()
    receive = EventReceiver(progress)
    for each in messages:
        receive(each)
    return progress


def test_worker_sends_each_record_once(far: Far) -> None:
    """In order and with their fields; secrets are masked before they leave the worker."""
    plugin = far.folder / "talker.py"
    plugin.write_text(PLUGIN)

    steps = [{"uses": "checksum"}]
    result = far.work(target("a", steps=steps), plugin_files=(plugin,))

    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED]
    lines = far.messages("log")
    events = [line["event"] for line in lines if line.get("target") == "a"]
    wanted = ["job.created", "package.delivered", "step.succeeded", "target.succeeded"]
    assert [each for each in events if each in wanted] == wanted
    assert {line["run_id"] for line in lines if line.get("target")} == {RUN_ID}
    assert "job.created with ***" in [line["msg"] for line in lines if line["name"] == "talker"]
    assert far.tenant.token not in "".join(far.received)
    assert far.messages("begun") == [["a"]]
    assert [each["outcome"] for each in far.messages("ended")] == ["succeeded"]


def test_units_of_one_process_share_its_log() -> None:
    """Each sends its own records to its end, in whatever order they end; then all is as before."""
    ours = logging.getLogger("spark_impex_runner")
    sent: dict[str, list[str]] = {"a": [], "b": []}
    first, second = (UnitEvents(sent[each].append, RUN_ID, [each], Masker()) for each in "ab")
    before = logging.getLogger().level, ours.level

    one, two = (each.attached((logging.WARNING, logging.INFO)) for each in (first, second))
    one.__enter__()
    two.__enter__()
    ours.info("of both")
    one.__exit__(None, None, None)
    ours.info("of a", extra={"target": "a"})
    ours.info("of b", extra={"target": "b"})
    two.__exit__(None, None, None)
    ours.warning("of nobody")

    assert [json.loads(each)["log"]["msg"] for each in sent["a"][1:]] == ["of both"]
    assert [json.loads(each)["log"]["msg"] for each in sent["b"][1:]] == ["of b"]
    assert (logging.getLogger().level, ours.level) == before


def test_run_logs_what_it_receives(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    """As its own records, with name, time and fields; what is no event is ignored."""
    far.work(target("a"))
    caplog.clear()
    caplog.set_level(logging.INFO)

    progress = shown([*far.received, "nonsense", "{}"])

    [created] = [each for each in caplog.records if getattr(each, "event", "") == "job.created"]
    [sent] = [each for each in far.messages("log") if each.get("event") == "job.created"]
    assert (created.name, created.created) == (sent["name"], sent["created"])
    assert created.__dict__["job_id"] == sent["job_id"] != ""
    assert progress._ended == {"a": Outcome.SUCCEEDED}


def test_record_of_plugin_names_what_it_likes(caplog: pytest.LogCaptureFixture) -> None:
    """A plugin's record that has a job, but no target or event, reaches the run's log."""
    line = {"name": "talker", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "hello"}

    progress = shown([json.dumps({"log": {**line, "job_id": "j"}})])

    assert caplog.messages == ["hello"]
    assert progress.job_of("") == ("", False)


def test_unseen_packages_are_no_success(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    """A target whose receipt is not there counts as failed, and no line says that it succeeded."""
    far.work(target("a"))
    shutil.rmtree(far.folder / "exports")
    caplog.clear()
    caplog.set_level(logging.INFO)

    progress = shown(far.received)

    assert progress._ended == {"a": Outcome.FAILED}
    assert "target.succeeded" not in [getattr(each, "event", "") for each in caplog.records]


def test_receipt_of_another_run_is_no_proof(far: Far) -> None:
    """The output may hold what an earlier run has left here."""
    [placement] = far.work(target("a")).placements
    assert placement.is_visible()
    receipt = far.folder / "exports/a/impex-receipt.json"

    receipt.write_text(receipt.read_text().replace(RUN_ID, "20250102T120000Z-00000001"))

    assert not placement.is_visible()
    assert placement.problem().startswith(
        f"its packages are in {far.folder}/exports/a on {socket.gethostname()}, which this machine"
    )
    assert not replace(placement, delivered=True).problem()


def test_targets_of_workers_are_shown(clock: Any) -> None:
    """Their time goes on between two messages, and ends with the target."""
    progress = RunProgress()
    progress.begin(type("Run", (), {"targets": (), "id": "", "manifest": _Named()})(), clock)  # type: ignore[arg-type]
    progress.note_queued("a", "sit")
    progress.note_remote([Activity("sit", "a", "running", 5.0, usual=60.0)])
    clock.wait(7)

    snapshot = progress.snapshot()

    assert snapshot
    assert [(each.phase, each.elapsed) for each in snapshot.active] == [("running", 12.0)]
    assert not snapshot.queued
    progress.note_outcome("a", Outcome.SUCCEEDED, "")
    after = progress.snapshot()
    assert after
    assert (after.active, after.ended) == ((), {Outcome.SUCCEEDED: 1})


class _Named:
    name = "m"


@pytest.mark.parametrize(
    ("step", "options", "expected"),
    [
        ("upload", {"to": "s3://bucket/prefix"}, True),
        ("upload", {"to": "webdav://host/folder"}, True),
        ("upload", {"to": "s3://bucket", "files": ["SHA256SUMS", "*.zip"]}, True),
        ("upload", {"to": "s3://bucket", "files": ["SHA256SUMS"]}, False),
        ("upload", {"to": "file:///backup"}, False),
        ("upload", {"to": "../backup"}, False),
        ("import", {"to": "uat"}, True),
        ("runner_upload", {"url": "http://runner"}, True),
        ("unzip", {}, False),
    ],
)
def test_steps_say_whether_they_deliver(
    step: str, options: dict[str, Any], *, expected: bool
) -> None:
    """A folder of the worker's machine is no place that others reach; nor is what is not sent."""
    offer = make_plugin_manager(PluginChoice()).registry.steps[step]

    assert offer.delivers_elsewhere(options, "life.zip") is expected


def test_checksums_alone_are_no_delivery(far: Far, s3_server: S3Server) -> None:
    """Steps deliver a target if they send its packages, not only others of its files."""
    s3_client(s3_server.endpoint).create_bucket(Bucket="sums")
    (far.folder / "key").write_text(SECRET)
    options = {
        "to": "s3://sums/${target.name}",
        "endpoint": s3_server.endpoint,
        "files": ["SHA256SUMS"],
    }
    options |= {"access_key_id": ACCESS, "secret_access_key": "${file:key}"}
    rest = options | {"files": ["*.zip"], "to": "s3://sums/${target.name}/packages"}
    checksum, sums, packages = (
        {"uses": "checksum"},
        {"uses": "upload", "with": options},
        {"uses": "upload", "with": rest},
    )
    offers = make_plugin_manager(PluginChoice()).registry.steps

    done = far.work(
        target("a", steps=[checksum, sums]), target("b", steps=[checksum, sums, packages])
    )

    assert [each.delivered for each in done.placements] == [False, True], done.results
    for result, used in zip(done.results, ([options], [options, rest]), strict=True):
        steps = tuple(Step("upload", each) for each in used)
        repeated = replace(result.target, steps=steps)
        unchanged = replace(result, target=repeated, outcome=Outcome.UNCHANGED, artifacts=())
        assert Placement.of(unchanged, offers).delivered == (rest in used)


@pytest.mark.parametrize("options", [{}, {"fresh": True}])
def test_repeated_unit_repeats_no_target(far: Far, options: dict[str, Any]) -> None:
    """A unit that is run again has the result of the first time, with one job."""
    bad = [{"uses": "unzip", "with": {"max_total": 1}}]
    first = far.work(target("a", steps=[{"uses": "checksum"}]), target("b", steps=bad), **options)
    again = far.work(target("a", steps=[{"uses": "checksum"}]), target("b", steps=bad), **options)

    assert far.tenant.jobs_created == 2
    for one, two in zip(first.results, again.results, strict=True):
        assert (one.outcome, one.error, one.exit_code) == (two.outcome, two.error, two.exit_code)
        assert one.job_id == two.job_id
        assert [each.sha256 for each in one.artifacts] == [each.sha256 for each in two.artifacts]
        assert [each.outcome for each in one.steps][:1] == [each.outcome for each in two.steps][:1]


REFUSED = (
    ({"runner": "0.0.9"}, "runner 0.1.0 here, the run has 0.0.9; install that version here"),
    (
        {"plugins": (("upper", "impex-upper", "1.2"),)},
        "plugin upper is not installed here, the run has 1.2; pip install 'impex-upper==1.2' here",
    ),
    (
        {"plugins": (("pytest", "pyyaml", "0.1"),)},
        f"plugin pytest {yaml.__version__} here, the run has 0.1; pip install 'pyyaml==0.1' here",
    ),
    (
        {"machine": "another"},
        "this is another machine than the run's, and its state is a local folder; give both the ",
    ),
)


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_worker_that_differs_is_refused(far: Far, change: dict[str, Any], message: str) -> None:
    """In one line with its host; nothing is sent to the tenant."""
    unit = far.unit(target("a"))

    result = run_unit(replace(unit, origin=replace(unit.origin, **change)))

    assert result.error.startswith(f"worker on {socket.gethostname()}: {message}")
    assert "\n" not in result.error
    assert not far.tenant.requests


@pytest.mark.parametrize("far", [3600], indirect=True)
def test_units_of_a_run_are_stopped_at_once(far: Far) -> None:
    """By a call in their process; those of other runs go on."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(far.work, target("a"))
        while not far.messages("log") or not far.tenant.jobs_created:
            assert not future.done()
        stop_units("20260102T120000Z-00000002", signal.SIGTERM)
        assert not future.done()
        stop_units(RUN_ID, signal.SIGTERM)
        result = future.result(60)

    assert [each.outcome for each in result.results] == [Outcome.CANCELLED]


def test_worker_with_another_manifest_is_refused(far: Far) -> None:
    """Same path, other content."""
    unit = far.unit(target("a"))
    far.path.write_text(far.path.read_text() + "\n# newer\n")

    result = run_unit(unit)

    assert f"{far.path}: differs from the run's" in result.error


def test_worker_with_more_plugins_is_refused(far: Far) -> None:
    """A plugin that the run has not could change what happens."""
    unit = far.unit(target("a"))
    more = PluginInfo("upper", "impex-upper", "1.2", "pip")

    with pytest.raises(Exception, match=r"plugin upper 1\.2 here, the run has none"):
        unit.origin.check_loaded([more])
    unit.origin.check_loaded([PluginInfo("unzip", "spark-impex-runner", "0.1.0", "built-in")])


def test_paths_travel_absolute(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the command line gave relative to the working folder."""
    monkeypatch.chdir(far.folder)
    given = RunOptions(
        overlays=(origin.Path("o.yaml"),),
        plugin_files=(origin.Path("p.py"),),
        output=origin.Path("out"),
        reports={"json": origin.Path("r.json")},
        state=origin.Path("state"),
    )

    portable = portable_options(far.path, given, RUN_ID)

    paths = [*portable.overlays, *portable.plugin_files, portable.output, portable.state]
    assert all(each.is_absolute() for each in [*paths, *portable.reports.values()])  # type: ignore[union-attr]
    assert portable_options(far.path, RunOptions(state="s3://b/p"), RUN_ID).state == "s3://b/p"
