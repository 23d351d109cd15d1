"""A request that is too large for one package is delivered in parts, as one target."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ErrorReply, SparkApiError
from spark_impex_runner.models import Outcome
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.failures import is_too_large, is_transient, mentions_size_limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TARGET = "- {name: a, folders: [life, motor], version_filter: all, on_interrupt: leave}"
URIS = ["life/annuity[1.0.0]", "motor/claims[2.0.0]", "motor/pricing[1.4.1]"]
URIS += ["motor/pricing[1.4.2]"]
# A package may hold two of the versions below, and not three.
TWO = 35_000
SPLIT = """
from dataclasses import replace
from spark_impex_runner import hookimpl
from spark_impex_runner.models import Request

@hookimpl
def impex_split_job(job, error):
    return {answer}
"""
# A step that changes the package itself.
SIGN = """
import hashlib
from dataclasses import replace
from spark_impex_runner import hookimpl

@hookimpl
def impex_register(registry):
    registry.step("sign", "Writes a comment into the package.")

@hookimpl
def impex_run_step(step, artifact):
    if step.uses == "sign":
        data = artifact.path.read_bytes()[:-2] + b"\\x04\\x00done"
        artifact.path.write_bytes(data)
        return [replace(artifact, size=len(data), sha256=hashlib.sha256(data).hexdigest())]
"""


@pytest.fixture
def tree(tree: Path) -> Path:
    """Return the usual tree, whose versions have ten thousand bytes that nothing compresses."""
    for version in tree.glob("*/*/*"):
        noise = hashlib.shake_256(str(version.relative_to(tree)).encode())
        (version / "model.data").write_bytes(noise.digest(10_000))
    return tree


def bodies(sandbox: Any) -> list[Any]:
    """Return what the create calls that reached the tenant asked for."""
    calls = (r for r in sandbox.requests if r.method == "POST" and r.path.endswith("/export"))
    return [json.loads(call.body) for call in calls]


def delivered(run: Any) -> Any:
    """Return the receipt, once it proves the folder."""
    output = run.folder / "exports/a"
    assert receipt.verify(output) == []
    return json.loads((output / "impex-receipt.json").read_text())


def stop_at(run: Any, event: str, part: str) -> Path:
    """Return a plugin that stops the run when something has happened to a part."""
    plugin: Path = run.folder / "stop.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_job_changed(job, change):\n"
        f"    if (change.event, job.part) == ({event!r}, {part!r}):\n"
        "        job.stopping.__self__.stop(15)\n"
    )
    return plugin


@pytest.mark.parametrize(("over_limit", "refused"), [("errors", 0), ("refuse", 1)])
def test_large_request_is_split(
    run: Any, serve: Callable[..., Any], only: Any, over_limit: str, refused: int
) -> None:
    """A request refused or failed for its size becomes two jobs, one target, one receipt."""
    sandbox = serve(size_limit=TWO, over_limit=over_limit)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert [each.uri for each in result.service_versions] == URIS
    assert [each.name for each in result.artifacts] == ["package-1.zip", "package-2.zip"]
    assert (len(bodies(sandbox)), sandbox.jobs_created) == (3, 3 - refused)
    assert "the request was split into parts 1 and 2: " in result.warnings[0]
    assert "EXCEEDED_FILE_SIZE" in result.warnings[0]
    written = delivered(run)
    assert (written["job_id"], len(written["job_ids"])) == (written["job_ids"][0], 2)
    assert written["job_ids"] == list(result.job_ids)
    assert written["request"]["folders"] == ["life", "motor"]
    assert [each["name"] for each in written["artifacts"]] == ["package-1.zip", "package-2.zip"]


@pytest.mark.parametrize(
    ("message", "large"),
    [
        ("EXCEEDED_FILE_SIZE", True),
        ("EXCEEDED_FILE_SIZE: 250 MB", True),
        ("the package size of 250 MB exceeds what is allowed", True),
        ("Size limit reached", True),
        ("another export job is in progress; the limit is 1", False),
        ("the size could not be read", False),
        ("EXPORT_FAILED: oversized", False),
    ],
)
def test_size_errors_are_recognized(message: str, *, large: bool) -> None:
    """The documented code, or a size together with a limit, means that a package is too large."""
    refused = SparkApiError.when("x", ErrorReply(500, details=message))

    assert (mentions_size_limit(message), is_too_large(refused)) == (large, large)
    # What is too large stays so: it is not asked for again as it is, nor taken for a busy tenant.
    assert is_transient(refused) is not large


def test_size_refusal_is_not_busy(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal for size is not awaited, whatever number of jobs the tenant has."""
    monkeypatch.setattr(Exports, "is_busy", lambda *_: True)

    result = only(run(serve(size_limit=TWO, over_limit="refuse"), TARGET))

    assert (result.outcome, len(result.job_ids)) == (Outcome.SUCCEEDED, 2)


def test_parts_have_own_correlation_ids(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A part asks for version ids only, with a correlation id by which its job is found."""
    sandbox = serve(size_limit=TWO)

    result = only(run(sandbox, TARGET))

    whole, *parts = bodies(sandbox)
    ids = [each.version_id for each in result.service_versions]
    assert [part["inputs"] for part in parts] == [
        {"version_ids": ids[:2]},
        {"version_ids": ids[2:]},
    ]
    assert [part["version_filter"] for part in parts] == ["latest", "latest"]
    label = whole["correlation_id"]
    assert [part["correlation_id"].rpartition("-")[0] for part in parts] == [
        f"{label}~part1",
        f"{label}~part2",
    ]
    assert [part["source_system"] for part in parts] == [whole["source_system"]] * 2


def test_large_part_is_split_again(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """Parts are split down to single versions, with one warning and unique names."""
    sandbox = serve(size_limit=20_000)

    result = only(run(sandbox, TARGET))

    assert len(result.warnings) == 1

    assert [each.uri for each in result.service_versions] == URIS
    assert [each.name for each in result.artifacts] == [
        f"package-{part}.zip" for part in ("1.1", "1.2", "2.1", "2.2")
    ]
    assert len(delivered(run)["job_ids"]) == 4


def test_large_version_is_named(run: Any, serve: Callable[..., Any], only: Any, tree: Path) -> None:
    """The error names the version and what to do; the packages before it stay."""
    (tree / "motor/pricing/1.4.1/model.data").write_bytes(hashlib.shake_256(b"").digest(40_000))
    sandbox = serve(size_limit=TWO)

    result = run(sandbox, TARGET)

    assert (only(result).outcome, result.exit_code) == (Outcome.FAILED, 4)
    assert only(result).error.startswith("motor/pricing[1.4.1] alone is too large: job ")
    assert "EXCEEDED_FILE_SIZE: the package of " in only(result).error
    assert f"exceeds the limit of {TWO} bytes; nothing smaller" in only(result).error
    assert [each["name"] for each in delivered(run)["artifacts"]] == ["package-1.zip"]
    assert len(bodies(sandbox)) == 4
    # The next run asks for this one only, in case that the limit was raised.
    assert only(run(sandbox, TARGET)).error.startswith("motor/pricing[1.4.1] alone")
    assert len(bodies(sandbox)) == 5


def test_without_split_plugin(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """With ``-p no:split`` there is one job, and the tenant's error."""
    sandbox = serve(size_limit=TWO)

    result = only(run(sandbox, TARGET, blocked_plugins=frozenset({"split"})))

    assert (result.outcome, len(bodies(sandbox))) == (Outcome.FAILED, 1)
    assert "ended as 'closed': EXCEEDED_FILE_SIZE" in result.error


def test_steps_run_once_for_all_parts(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """Steps run over the packages of all parts, as for any target."""
    steps = ", steps: [{uses: package_check}, {uses: checksum}]}"

    result = only(run(serve(size_limit=TWO), TARGET[:-1] + steps))

    assert [step.outcome for step in result.steps] == ["succeeded", "succeeded"]
    assert "names the job" not in result.steps[0].message
    sums = (run.folder / "exports/a/SHA256SUMS").read_text().splitlines()
    assert [line.split()[1] for line in sums] == ["package-1.zip", "package-2.zip"]


@pytest.mark.parametrize("on_interrupt", ["leave", "cancel"])
@pytest.mark.parametrize("if_exists", ["replace", "fail"])
def test_stop_in_a_part_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any, on_interrupt: str, if_exists: str
) -> None:
    """The next run keeps the parts, and creates a second job for the cancelled one only."""
    sandbox = serve(size_limit=TWO, job_seconds=20)
    target = TARGET.replace("leave", f"{on_interrupt}, if_exists: {if_exists}")
    first = only(run(sandbox, target, plugin_files=(stop_at(run, "job.created", "2"),)))
    run.clock.restart()

    second = only(run(sandbox, target))

    cancelled = on_interrupt == "cancel"
    assert [r.method for r in sandbox.requests].count("PATCH") == cancelled
    assert first.outcome is Outcome.CANCELLED
    assert [each.name for each in first.artifacts] == ["package-1.zip"]
    assert (second.outcome, len(bodies(sandbox))) == (Outcome.SUCCEEDED, 3 + cancelled)
    assert second.job_ids[0] == first.job_ids[0]
    assert (second.job_ids[1] == first.job_ids[1]) is not cancelled
    assert [each.uri for each in second.service_versions] == URIS
    assert delivered(run)["job_ids"] == list(second.job_ids)
    assert sum(r.origin == "download" for r in sandbox.requests) == 2


@pytest.mark.parametrize("over_limit", ["errors", "refuse"])
def test_failed_part_is_requested_again(
    run: Any, serve: Callable[..., Any], only: Any, over_limit: str
) -> None:
    """The packages of the other parts are not downloaded again."""
    faults = (parse_fault("create@3=invalid"),)
    sandbox = serve(size_limit=TWO, over_limit=over_limit, faults=faults)
    first = only(run(sandbox, TARGET))

    second = only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert "INVALID_REQUEST" in first.error
    assert len(bodies(sandbox)) == 4
    assert sum(r.origin == "download" for r in sandbox.requests) == 2
    assert only(run(sandbox, TARGET)).job_ids != second.job_ids


def test_lost_part_is_found(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The job of a part is found by its own correlation id."""
    sandbox = serve(size_limit=TWO, faults=(parse_fault("create@2=swallow"),))

    result = only(run(sandbox, TARGET))

    assert (result.outcome, sandbox.jobs_created) == (Outcome.SUCCEEDED, 3)


def test_changed_part_is_downloaded_again(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """Only the part whose hash changed is downloaded again, without a new job."""
    sandbox = serve(size_limit=TWO)
    steps = ", steps: [{uses: unzip, with: {max_files: %s}}]}"
    first = only(run(sandbox, TARGET[:-1] + steps % 1))
    package = run.folder / "exports/a/package-2.zip"
    package.write_bytes(package.read_bytes()[:-1] + b"?")

    second = only(run(sandbox, TARGET[:-1] + steps % 1000))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert second.job_ids == first.job_ids
    assert len(bodies(sandbox)) == 3
    assert sum(r.origin == "download" for r in sandbox.requests) == 3


def test_parts_are_adopted_together(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A failed step is repeated on the packages of all parts."""
    sandbox = serve(size_limit=TWO)
    plugin = run.folder / "sign.py"
    plugin.write_text(SIGN)
    steps = ", steps: [{uses: sign}, {uses: unzip, with: {max_files: %s}}]}"
    first = only(run(sandbox, TARGET[:-1] + steps % 1, plugin_files=(plugin,)))

    second = only(run(sandbox, TARGET[:-1] + steps % 1000, plugin_files=(plugin,)))

    assert second.outcome is Outcome.SUCCEEDED
    assert second.job_ids == first.job_ids
    assert second.service_versions == first.service_versions
    assert sum(r.origin == "download" for r in sandbox.requests) == 2


def test_parts_need_different_names(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A plugin that gives two packages one name is reported before the second download."""
    plugin = run.folder / "name.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_download_path():\n    return 'motor.zip'\n"
    )

    result = only(run(serve(size_limit=TWO), TARGET, plugin_files=(plugin,)))

    assert result.outcome is Outcome.FAILED
    assert "2 files that become motor.zip" in result.error
    assert [each.name for each in result.artifacts] == ["motor.zip"]


LOSES = "[Request(services=('life/annuity',)), Request(services=('motor/claims',))]"


@pytest.mark.parametrize(
    ("missing", "outcome"), [("fail", Outcome.FAILED), ("warn", Outcome.SUCCEEDED)]
)
def test_parts_are_compared_with_request(
    run: Any, serve: Callable[..., Any], only: Any, missing: str, outcome: Outcome
) -> None:
    """A service that a split has lost fails the target, and the next run starts anew."""
    plugin = run.folder / "lose.py"
    plugin.write_text(SPLIT.format(answer=LOSES))
    target = "- {name: a, services: [life/annuity, motor/claims, motor/pricing], missing: %s}"
    sandbox = serve(size_limit=TWO)

    result = only(run(sandbox, target % missing, plugin_files=(plugin,)))

    assert result.outcome is outcome
    message = "requested but not delivered: service motor/pricing"
    assert message in (result.error or result.warnings[-1])
    with closing(sqlite3.connect(run.folder / ".impex/state.db")) as link:
        unfinished = link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone()
    assert unfinished == (0,)


@pytest.mark.parametrize(
    "answer", ["7", "[]", "[job.request, Request(services=('a/b',))]", "[Request(), Request()]"]
)
def test_invalid_split_is_named(
    run: Any, serve: Callable[..., Any], only: Any, answer: str
) -> None:
    """impex_split_job must return two or more smaller requests; the plugin is named."""
    plugin = run.folder / "wrong.py"
    plugin.write_text(SPLIT.format(answer=answer))
    sandbox = serve(size_limit=TWO)

    result = only(run(sandbox, TARGET, plugin_files=(plugin,)))

    assert "impex_split_job answered " in result.error
    assert (
        "two or more requests, each for less than the job's; it came from plugin wrong"
        in result.error
    )
    assert len(bodies(sandbox)) == 1


def test_max_package_splits(run: Any, serve: Callable[..., Any]) -> None:
    """A package over ``max_package`` is deleted, and its request is split."""
    sandbox = serve(job_seconds=20)
    run.connection_keys = "downloads: 1"
    other = "\n- {name: b, folders: [life]}"

    result = run(sandbox, TARGET[:-1] + ", max_package: 35kB}" + other).results[0]

    assert result.outcome is Outcome.SUCCEEDED
    assert [each.uri for each in result.service_versions] == URIS
    assert re.search(r"package.zip has 57,\d{3} bytes, more than max_package", result.warnings[0])
    assert all(each.size <= 35_000 for each in result.artifacts)
    assert sorted(path.name for path in (run.folder / "exports/a").iterdir()) == [
        "impex-receipt.json",
        "package-1.zip",
        "package-2.zip",
    ]
    assert len(delivered(run)["job_ids"]) == 2


def test_version_over_max_package(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The error names the version, and nothing of its package is left."""
    target = "- {name: a, services: ['motor/pricing[1.4.1]'], max_package: 10kB}"

    result = only(run(serve(), target))

    assert result.error.startswith("motor/pricing[1.4.1] alone is too large: job ")
    assert "bytes, more than max_package: 10,000; nothing smaller" in result.error
    assert list((run.folder / "exports/a").iterdir()) == []


def test_given_job_is_not_split(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``impex resume`` neither creates a job nor resumes one part of a target."""
    sandbox = serve(size_limit=TWO, job_seconds=20)
    stopped = only(run(sandbox, TARGET, plugin_files=(stop_at(run, "job.created", "2"),)))
    run.clock.restart()
    whole = stopped.warnings[0].split("job ")[1].split()[0]
    refused = [only(run(sandbox, TARGET, job=each)) for each in (whole, stopped.job_ids[1])]

    too_large = only(run(sandbox, TARGET, job=whole, state=run.folder / "elsewhere"))

    assert all("a is split into parts; impex-run " in each.error for each in refused)
    assert "EXCEEDED_FILE_SIZE" in too_large.error
    assert len(bodies(sandbox)) == 3


def test_targets_run_between_parts(run: Any, serve: Callable[..., Any]) -> None:
    """With one job and one download at a time, other targets run between the parts."""
    sandbox = serve(size_limit=TWO, job_seconds=20)
    run.connection_keys = "downloads: 1"
    more = "".join(f"\n- {{name: {name}, folders: [life]}}" for name in "bcd")

    result = run(sandbox, TARGET + more)

    assert result.exit_code == 0
    assert sandbox.jobs_created == 6


def test_fresh_ignores_earlier_parts(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """With ``--fresh`` the whole request is sent again, and split again."""
    sandbox = serve(size_limit=TWO, job_seconds=20, job_limit=2)
    first = only(run(sandbox, TARGET, plugin_files=(stop_at(run, "job.created", "2"),)))
    run.clock.restart()

    second = only(run(sandbox, TARGET, fresh=True))

    assert second.outcome is Outcome.SUCCEEDED
    assert not set(first.job_ids) & set(second.job_ids)
    assert f"job {first.job_ids[1]} of an earlier run is not resumed" in second.warnings[0]


def test_age_counts_from_last_part(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """An attempt is too old twelve hours after its last part was requested."""
    sandbox = serve(size_limit=TWO, over_limit="refuse", job_seconds=8 * 3600)
    polling = "{strategy: fixed, deadline: 9h, stall_after: 9h}"
    target = f"{TARGET[:-1]}, retry_interval: 10m, polling: {polling}}}"
    first = only(run(sandbox, target, plugin_files=(stop_at(run, "job.created", "2"),)))
    run.clock.restart()
    run.clock.wait(5 * 3600)

    second = only(run(sandbox, target))

    assert (second.outcome, second.job_ids) == (Outcome.SUCCEEDED, first.job_ids)
