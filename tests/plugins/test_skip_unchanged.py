"""What the tenant has not changed is not exported again, and what is not certain is."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.forecast import forecast
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions, ServiceVersion
from spark_impex_runner.planning.prepare import prepare
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.sandbox.tenant.tree import Version, id_of
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.models import Forecast, RunResult, TargetResult

UNCHANGED, SUCCEEDED, FAILED = Outcome.UNCHANGED, Outcome.SUCCEEDED, Outcome.FAILED
VERSIONS = (
    "motor/pricing/1.4.1",
    "motor/pricing/1.4.2",
    "motor/pricing/1.20.0",
    "motor/claims/2.1.0",
    "life/annuity/1.0.0",
)
PLUGIN = """
from pathlib import Path
from spark_impex_runner import errors, hookimpl

@hookimpl
def impex_register(registry):
    options = {"type": "object", "properties": {"to": {}, "fails": {}}}
    registry.step("copy", "Does nothing.", options)
    registry.step("send", "Brings packages elsewhere.", options, delivers=True)

@hookimpl
def impex_run_step(job, step, artifact):
    if step.options.get("fails"):
        raise errors.StepError("no")
    return [] if step.uses in ("copy", "send") else None
"""


class World:
    """One tenant and one manifest of targets on it; the clock stands until it is told to go on."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder = folder
        self.clock = clock
        self.sandbox: Sandbox
        self.plugin = folder / "steps.py"
        self.plugin.write_text(PLUGIN)

    def plan(self, *targets: dict[str, Any], **options: Any) -> list[Forecast]:
        """Return what a run would do."""
        path, chosen = self.write(*targets), self.options(options)
        with prepare(path, chosen, self.clock, Masker()) as prepared:
            return list(forecast(prepared, chosen, self.clock))

    def run(self, *targets: dict[str, Any], **options: Any) -> RunResult:
        """Run targets, of which each skips what is unchanged."""
        return run_manifest(self.write(*targets), self.options(options), clock=self.clock)

    def again(self, target: dict[str, Any] | None = None, **options: Any) -> TargetResult:
        """Run one target a minute later; the plan must have said whether it is unchanged."""
        self.clock.wait(60)
        target = target or MOTOR
        [foreseen] = self.plan(target, **options)
        jobs = self.sandbox.jobs_created
        [result] = self.run(target, **options).results
        assert (foreseen.action == "unchanged") == (result.outcome is UNCHANGED)
        assert result.outcome is not UNCHANGED or self.sandbox.jobs_created == jobs
        if result.outcome is UNCHANGED:
            assert foreseen.note == result.error
        return result

    def write(self, *targets: dict[str, Any]) -> Path:
        """Write the manifest."""
        (self.folder / "token").write_text(self.sandbox.token)
        auth = {"token": f"${{file:{self.folder}/token}}"}
        document = {
            "version": 1,
            "connections": {"sit": {"base_url": self.sandbox.base_url, "auth": auth}},
            "defaults": {"skip_unchanged": True},
            "targets": [{"name": f"t{n}", **target} for n, target in enumerate(targets)],
        }
        path = self.folder / "m.yaml"
        path.write_text(json.dumps(document))
        return path

    def options(self, options: dict[str, Any]) -> RunOptions:
        """Return options of a run that knows the steps of this file."""
        return RunOptions(plugin_files=(self.plugin,), **options)

    def change(self, uri: str, *numbers: str) -> None:
        """Give a service other versions."""
        folder, service = uri.split("/")
        names = ("acme", folder, service)
        self.sandbox._tree.put(
            folder,
            service,
            [
                Version(folder, service, n, id_of(*names, n), id_of(*names), self.folder / "acme")
                for n in numbers
            ],
        )

    def asked(self, text: str) -> int:
        """Return how many requests had these words in their path."""
        return sum(text in each.path for each in self.sandbox.requests)


MOTOR = {"folders": ["motor"]}


@pytest.fixture
def world(tmp_path: Path, clock: Any) -> Iterator[World]:
    """Return a tenant that is served, and nothing delivered from it yet."""
    made = World(tmp_path, clock)
    for version in VERSIONS:
        (tmp_path / "acme" / version).mkdir(parents=True)
    settings = Settings(job_seconds=5)
    with Sandbox(tmp_path / "acme", settings, clock=clock.monotonic) as made.sandbox:
        yield made


@pytest.fixture
def disturb(world: World) -> Iterator[Callable[[str], None]]:
    """Give a function that has the tenant answer badly from now on."""

    def disturb(fault: str) -> None:
        world.sandbox.close()
        port = int(world.sandbox.base_url.split(":")[2].split("/")[0])
        settings = Settings(port=port, faults=(parse_fault(fault),))
        world.sandbox = Sandbox(world.folder / "acme", settings, clock=world.clock.monotonic)
        world.sandbox.start()

    yield disturb
    world.sandbox.close()


def test_second_run_exports_nothing(world: World) -> None:
    """When, where and by which job it was delivered; the receipt there stays as it was."""
    [first] = world.run(MOTOR).results
    left = (first.target.output / "impex-receipt.json").read_bytes()
    asked = len(world.sandbox.requests)

    second = world.again()

    assert (first.outcome, second.outcome, second.exit_code) == (SUCCEEDED, UNCHANGED, 0)
    assert second.error == (
        f"as delivered at 2026-01-02 12:00Z into {first.target.output} "
        f"by job {first.job_id} (skip_unchanged)"
    )
    assert (first.target.output / "impex-receipt.json").read_bytes() == left
    assert receipt.verify(first.target.output) == []
    paths = {each.path for each in list(world.sandbox.requests)[asked:]}
    assert all("/services/search" in path or "/getversions/" in path for path in paths)


@pytest.mark.parametrize(
    ("target", "other", "seen"),
    [
        ({"folders": ["motor"]}, ("motor/claims", "2.1.0", "2.2.0"), True),
        ({"folders": ["motor"]}, ("motor/new", "1.0.0"), True),
        ({"folders": ["motor"]}, ("motor/pricing", "1.4.2", "1.20.0"), False),
        ({"folders": ["motor"]}, ("life/annuity", "1.0.0", "1.0.1"), False),
        (
            {"folders": ["motor"], "version_filter": "all"},
            ("motor/pricing", "1.4.2", "1.20.0"),
            True,
        ),
        ({"services": ["motor/pricing"]}, ("motor/pricing", "1.4.1", "1.20.0", "2.0.0"), True),
        ({"services": ["motor/pricing"]}, ("motor/pricing", "1.4.1", "1.4.2"), True),
        ({"services": ["motor/pricing[1.4]"]}, ("motor/pricing", "1.4.1", "1.20.1"), True),
        ({"services": ["motor/pricing[1.4]"]}, ("motor/pricing", "1.4.2", "1.20.1"), False),
        ({"services": ["motor/pricing[1.4]"]}, ("motor/pricing", "1.4.2", "1.4.9"), True),
        (
            {"services": ["motor/pricing[1.4.1]"]},
            ("motor/pricing", "1.4.1", "3.0.0"),
            False,
        ),
        ({"services": ["motor/*"]}, ("motor/new", "1.0.0"), True),
        ({"services": ["motor/*"]}, ("life/new", "1.0.0"), False),
        (
            {"services": [f"service/{id_of('acme', 'motor', 'claims')}"]},
            ("motor/claims", "2.1.0", "2.1.1"),
            True,
        ),
        (
            {"services": [f"service/{id_of('acme', 'motor', 'claims')}"]},
            ("motor/pricing", "9.0.0"),
            False,
        ),
        (
            {"version_ids": [id_of("acme", "motor", "pricing", "1.4.1")]},
            ("motor/pricing", "1.4.1", "2.0.0"),
            False,
        ),
    ],
)
def test_relevant_change_is_exported(
    world: World, target: dict[str, Any], other: tuple[str, ...], seen: bool
) -> None:
    """Whatever form the request has."""
    world.run(target)
    assert world.again(target).outcome is UNCHANGED

    world.change(*other)

    assert world.again(target).outcome is (SUCCEEDED if seen else UNCHANGED)
    assert world.again(target).outcome is UNCHANGED


@pytest.mark.parametrize(("number", "seen"), [("1.4.9", True), ("1.20.1", False)])
@pytest.mark.parametrize("version_filter", ["latest", "all"])
def test_partial_version_may_be_sent(
    world: World, number: str, seen: bool, version_filter: str
) -> None:
    """Without the plugin that resolves it, it is sent as it stands, and means the latest."""
    target = {"services": ["motor/pricing[1.4]"], "version_filter": version_filter}
    bare: dict[str, Any] = {"blocked_plugins": frozenset({"resolve_glob"})}
    world.run(target, **bare)
    assert world.again(target, **bare).outcome is UNCHANGED

    world.change("motor/pricing", "1.4.1", "1.4.2", "1.20.0", number)

    assert world.again(target, **bare).outcome is (SUCCEEDED if seen else UNCHANGED)


def test_changes_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What is new, and what is gone."""
    world.run(MOTOR)
    world.change("motor/pricing", "1.20.1")

    with caplog.at_level(logging.INFO):
        world.again()

    assert (
        "t0: exporting, changed since the last delivery: "
        "new: motor/pricing[1.20.1]; gone: motor/pricing[1.20.0]"
    ) in caplog.messages


def warnings(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the warnings so far."""
    return {each.message for each in caplog.records if each.levelno == logging.WARNING}


@pytest.mark.parametrize("fault", ["versions@*=403", "search@*=403"])
def test_failed_listing_exports(
    world: World, disturb: Any, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """It is exported, with a warning."""
    world.run(MOTOR)
    disturb(fault)

    assert world.again().outcome is SUCCEEDED
    expected_text = "t0: exporting, cannot tell whether it is unchanged: "
    assert warnings(caplog)
    assert all(each.startswith(expected_text) and "HTTP 403" in each for each in warnings(caplog))


@pytest.mark.parametrize(
    ("target", "change", "message"),
    [
        (MOTOR, {"version_id": ""}, "the listing gives no id for motor/"),
        (
            {"services": [f"service/{id_of('acme', 'motor', 'claims')}"]},
            None,
            "the listing has no version of motor/claims",
        ),
        (
            {"version_ids": [id_of("acme", "motor", "claims", "2.1.0")]},
            {"version_id": "0"},
            f"the listing has no version {id_of('acme', 'motor', 'claims', '2.1.0')}",
        ),
        (
            {"services": ["motor/claims[2.1.0]"]},
            {"version": "2.1"},
            "the listing has no motor/claims[2.1.0]",
        ),
    ],
)
def test_ambiguous_listing_exports(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    target: dict[str, Any],
    change: dict[str, str] | None,
    message: str,
) -> None:
    """Versions without an id, or what was asked for is not listed."""
    world.run(target)
    listed = Spark.list_versions

    def less(spark: Spark, folder: str, service: str) -> list[ServiceVersion]:
        found = listed(spark, folder, service)
        return [] if change is None else [replace(each, **change) for each in found]

    monkeypatch.setattr(Spark, "list_versions", less)

    assert world.again(target).outcome is SUCCEEDED
    assert all(message in each for each in warnings(caplog))
    assert warnings(caplog)


def test_ambiguous_latest_version_exports(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest is not the highest: nobody says which of the two a tenant delivers."""
    world.run(MOTOR)
    listed = Spark.list_versions
    monkeypatch.setattr(Spark, "list_versions", lambda *names: listed(*names)[::-1])

    assert world.again().outcome is SUCCEEDED
    [message] = warnings(caplog)
    assert "the newest version of motor/pricing is 1.4.1, the highest is 1.20.0" in message


def test_unlisted_last_delivery_exports(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to compare with."""
    world.run(MOTOR)
    [attempt] = (world.folder / ".impex").glob("state.db")
    rewrite(attempt, "UPDATE attempts SET delivered = '[[], []]'")

    assert world.again().outcome is SUCCEEDED
    assert "did not list the versions" in warnings(caplog).pop()


def rewrite(path: Path, sql: str) -> None:
    """Change the memory, as another life would have left it."""
    with closing(sqlite3.connect(path)) as link, link:
        link.execute(sql)


STEP = {"uses": "copy", "with": {"to": "a"}}


@pytest.mark.parametrize(
    "other",
    [
        {"steps": [{"uses": "copy", "with": {"to": "b"}}]},
        {"steps": [{"uses": "send", "with": {"to": "a"}}]},
        {"steps": [STEP, STEP]},
        {"steps": []},
        {"output": "elsewhere"},
        {"file_name": "other"},
        {"version_filter": "all"},
        {"file_filter": "onpremises"},
    ],
)
def test_other_request_is_exported(world: World, other: dict[str, Any]) -> None:
    """It is done, and is what the next run compares with."""
    target = {**MOTOR, "steps": [STEP]}
    world.run(target)
    assert world.again(target).outcome is UNCHANGED

    assert world.again({**target, **other}).outcome is SUCCEEDED
    assert world.again({**target, **other}).outcome is UNCHANGED
    assert world.again(target).outcome is SUCCEEDED


def test_dated_output_is_same_work(world: World) -> None:
    """Dates and ids of runs in folders and options do not count; the result names the folder."""
    target = {
        **MOTOR,
        "output": "exports/${run.date}/motor",
        "file_name": "motor-${run.id}",
        "steps": [{"uses": "copy", "with": {"to": "s3://b/${run.date}/${run.id}"}}],
    }
    [first] = world.run(target).results
    world.clock.wait(timedelta(days=1).total_seconds())

    second = world.again(target)

    assert second.outcome is UNCHANGED
    assert second.target.output == first.target.output == world.folder / "exports/2026-01-02/motor"
    assert not (world.folder / "exports/2026-01-03").exists()


@pytest.mark.parametrize("gone", ["package.zip", "SHA256SUMS", "files"])
def test_removed_file_is_delivered_again(
    world: World, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    """Packages and what steps made of them."""
    target = {**MOTOR, "steps": [{"uses": "checksum"}, {"uses": "unzip"}]}
    [first] = world.run(target).results
    place = first.target.output / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()

    with caplog.at_level(logging.INFO):
        assert world.again(target).outcome is SUCCEEDED
    assert any(f"since {place}" in each for each in caplog.messages)
    assert place.exists()


def test_resized_package_is_delivered_again(world: World) -> None:
    """It was cut, or replaced."""
    [first] = world.run(MOTOR).results
    package = first.artifacts[0].path
    package.write_bytes(package.read_bytes()[:-1])

    assert world.again().outcome is SUCCEEDED


@pytest.mark.parametrize("step", [{"uses": "send"}, {"uses": "upload", "with": {"to": "store"}}])
def test_uploaded_packages_need_not_stay(world: World, step: dict[str, Any]) -> None:
    """The step's trait ``delivers`` tells so."""
    target = {**MOTOR, "steps": [step]}
    [first] = world.run(target).results
    shutil.rmtree(first.target.output)

    assert world.again(target).outcome is UNCHANGED


def test_delivery_with_warning_is_repeated(world: World) -> None:
    """A step that failed with ``on_failure: warn`` is tried again."""
    steps = [{"uses": "copy", "with": {"fails": True}, "on_failure": "warn"}]
    target = {**MOTOR, "steps": steps}
    world.run(target)

    assert world.again(target).outcome is SUCCEEDED


def test_delivery_without_steps_is_resumed(world: World) -> None:
    """``--until download`` leaves a target unfinished: the next run adopts it."""
    target = {**MOTOR, "steps": [STEP]}
    world.run(target, until="download")

    [foreseen] = world.plan(target)
    [result] = world.run(target).results

    assert foreseen.action == "adopt"
    assert (result.outcome, len(result.steps)) == (SUCCEEDED, 1)
    assert world.again(target).outcome is UNCHANGED


def test_unfinished_attempt_is_resumed_first(world: World) -> None:
    """Its job is gone on with, although the delivery before it is as the tenant is."""
    [first] = world.run(MOTOR).results
    [second] = world.run(MOTOR, fresh=True, until="download").results
    # As if the run had been killed before the download.
    rewrite(
        world.folder / ".impex/state.db",
        "UPDATE attempts SET delivered = NULL WHERE finished IS NULL",
    )

    [foreseen] = world.plan(MOTOR)
    [result] = world.run(MOTOR).results

    assert foreseen.action == "adopt"
    assert (result.outcome, result.job_id) == (SUCCEEDED, second.job_id)
    assert second.job_id != first.job_id


def test_fresh_exports_anew(world: World) -> None:
    """``--fresh`` looks at nothing that was before."""
    world.run(MOTOR)

    assert world.again(fresh=True).outcome is SUCCEEDED


def test_without_key_nothing_is_listed(world: World) -> None:
    """A target is exported each time, as ever."""
    plain = {**MOTOR, "skip_unchanged": False}
    world.run(plain)

    assert world.again(plain).outcome is SUCCEEDED
    assert world.asked("getversions") == 0


def test_without_plugin_everything_is_exported(world: World) -> None:
    """It can be switched off."""
    world.run(MOTOR)

    assert world.again(blocked_plugins=frozenset({"skip_unchanged"})).outcome is SUCCEEDED


def test_first_delivery_needs_no_listing(world: World) -> None:
    """There is nothing to compare with."""
    world.run(MOTOR)

    assert world.asked("getversions") == world.asked("services/search") == 0


def test_listing_is_read_once(world: World) -> None:
    """Patterns and comparisons share what the tenant has told in a run."""
    targets = (MOTOR, {"services": ["motor/pricing[1.4]"]}, {"services": ["motor/*"]}, MOTOR)
    world.run(*targets)
    searches, versions = world.asked("services/search"), world.asked("getversions")

    results = world.run(*targets).results

    assert [each.outcome for each in results] == [UNCHANGED] * 4
    assert world.asked("services/search") - searches == 1
    assert world.asked("getversions") - versions == 2


def test_unchanged_target_needs_no_slot(world: World) -> None:
    """It ends while the tenant still works for others."""
    others = [{"services": ["life/annuity"], "name": f"o{n}"} for n in range(4)]
    plugin = world.folder / "told.py"
    plugin.write_text(
        "from pathlib import Path\nfrom spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_job_changed(job, change):\n"
        "    with Path(__file__).with_suffix('.log').open('a') as log:\n"
        "        print(change.event, file=log)\n"
    )
    world.run(*others, MOTOR)
    path = world.write(*[{**each, "skip_unchanged": False} for each in others], MOTOR)

    run_manifest(path, RunOptions(plugin_files=(plugin,)), clock=world.clock)

    events = plugin.with_suffix(".log").read_text().split()
    assert events.index("target.unchanged") < events.index("job.done")


def test_dependent_of_unchanged_target_starts(world: World) -> None:
    """What it waited for is there."""
    needing = {"services": ["life/annuity"], "needs": ["t0"]}
    world.run(MOTOR, needing)
    world.change("life/annuity", "1.0.1")

    results = world.run(MOTOR, needing).results

    assert [each.outcome for each in results] == [UNCHANGED, SUCCEEDED]


def special(world: World, answer: str) -> Path:
    """Write a plugin that answers for every job."""
    path = world.folder / "odd.py"
    path.write_text(
        "from spark_impex_runner import hookimpl\n"
        f"@hookimpl\ndef impex_unchanged(job):\n    {answer}\n"
    )
    return path


@pytest.mark.parametrize(
    ("answer", "expected_text"),
    [
        (
            "return 7",
            "impex_unchanged answered 7 instead of a text that is not empty; it came from plugin",
        ),
        ("return ''", "impex_unchanged answered '' instead of a text that is not empty"),
        ("raise ValueError('x')", "plugin odd failed in impex_unchanged: ValueError: x"),
    ],
)
def test_failing_plugin_fails_target(world: World, answer: str, expected_text: str) -> None:
    """Hook and plugin are named; with ``--fail-fast`` nothing new is started then."""
    world.run(MOTOR)
    life, late = {"services": ["life/annuity"]}, {"services": ["motor/claims"], "needs": ["t1"]}
    world.plugin = special(world, answer)

    result = world.run(MOTOR, life, late, fail_fast=True)

    failed, _, skipped = result.results
    assert (failed.outcome, skipped.outcome) == (FAILED, Outcome.SKIPPED)
    assert expected_text in failed.error


def test_other_plugin_may_decide(world: World) -> None:
    """The first answer wins, and it is given the last delivery."""
    [first] = world.run(MOTOR).results
    world.change("motor/pricing", "9.0.0")
    world.plugin = special(world, "return f'same as {job.last.artifacts[0].sha256}'")

    again = world.again()

    assert again.error == f"same as {first.artifacts[0].sha256}"


def test_interrupt_during_listing_ends_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target was not begun."""
    world.run(MOTOR)

    def stop(*_: Any) -> None:
        world.clock.stop(signal.SIGINT)
        world.clock.check()

    monkeypatch.setattr(Spark, "list_services", stop)

    result = world.run(MOTOR)

    assert (result.results[0].outcome, result.exit_code) == (Outcome.CANCELLED, 130)
    assert "before it started" in result.results[0].error
