"""A held target has not failed, keeps its packages, and is resumed after the approval."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import (
    Manifest,
    Outcome,
    RunOptions,
    RunResult,
    Target,
    TargetResult,
)
from spark_impex_runner.planning.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import HeldError
from spark_impex_runner.hooks.specs import StepOutput

@hookimpl
def impex_register(registry):
    options = {"type": "object", "properties": {"note": {"type": "string"}}}
    registry.step("gate", "holds a target", options)
    registry.step("once", "holds a target, and does harm when it is done twice", idempotent=False)
    place = Path("vaulted.txt")
    registry.source("vaulted", "a secret", lambda _: place.read_text(), secret=True)
    registry.executor("threads", "one thread", lambda _address: ThreadPoolExecutor(1))

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses in ("gate", "once"):
        if "sit" not in job.run.approved:
            raise HeldError(f"{artifact.name} waits", "sit")
        with open(job.target.output.parent / "done.txt", "a") as file:
            file.write(f"{step.uses} {job.approval[artifact.name].sha256[:12]}\\n")
        return StepOutput(message="approved")
"""
GATED = """
- name: a
  folders: [life]
  steps: [{uses: checksum}, {uses: gate, retry: {attempts: 3}, on_failure: warn}, {uses: unzip}]
"""
DAYS = 3 * 24 * 3600


@pytest.fixture
def deliver(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunResult]:
    """Return a function that runs targets with the plugin."""
    monkeypatch.chdir(run.folder)
    plugin = tmp_path / "gate.py"
    plugin.write_text(PLUGIN)

    def start(sandbox: Any, text: str = GATED, **options: Any) -> RunResult:
        return run(sandbox, text, plugin_files=(plugin,), **options)

    return start


def created(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    return [r.method for r in sandbox.requests].count("POST")


def test_step_holds_its_target(deliver: Any, serve: Callable[..., Any], only: Any) -> None:
    """Held is no failure: later steps wait, retry and on_failure do not apply."""
    result = deliver(serve())

    target = only(result)
    assert (target.outcome, result.exit_code, target.approve) == (Outcome.HELD, 9, "sit")
    assert [(step.uses, step.outcome) for step in target.steps] == [
        ("checksum", "succeeded"),
        ("gate", "held"),
    ]
    assert (target.error, target.digests) == ("package.zip waits", (target.artifacts[0].sha256,))
    receipt = json.loads((target.target.output / "impex-receipt.json").read_text())
    assert receipt["outcome"] == "held"


def test_approval_resumes_same_bytes(
    deliver: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Days later an approved target is not exported again, and finished steps are not repeated."""
    sandbox = serve()
    first = deliver(sandbox)
    clock.wait(DAYS)
    waiting = deliver(sandbox)

    done = deliver(sandbox, approved=frozenset({"sit"}))

    assert (waiting.exit_code, done.exit_code, created(sandbox)) == (9, 0, 1)
    assert only(done).artifacts[0].sha256 == only(first).artifacts[0].sha256
    assert [(step.uses, step.message) for step in only(done).steps][1:] == [
        ("gate", "approved"),
        ("unzip", ""),
    ]
    again = deliver(sandbox)
    assert (again.exit_code, created(sandbox)) == (9, 2)


def test_only_held_attempts_last(deliver: Any, serve: Callable[..., Any], clock: Any) -> None:
    """An attempt that is not held is not resumed after twelve hours."""
    sandbox = serve()
    deliver(sandbox, until="download")
    clock.wait(DAYS)

    deliver(sandbox, until="download")

    assert created(sandbox) == 2


def test_changed_bytes_stay_held(deliver: Any, serve: Callable[..., Any], only: Any) -> None:
    """Bytes that were not approved stay held, and nothing is exported in their place."""
    sandbox = serve()
    package = only(deliver(sandbox)).artifacts[0].path
    content = package.read_bytes()
    package.write_bytes(content[:-1] + b"!")

    changed = deliver(sandbox, approved=frozenset({"sit"}))
    package.write_bytes(content)
    mended = deliver(sandbox, approved=frozenset({"sit"}))

    assert (only(changed).outcome, changed.exit_code) == (Outcome.HELD, 9)
    assert "are not those that wait for --approve sit; restore them" in only(changed).error
    assert (mended.exit_code, created(sandbox)) == (0, 1)


def test_other_output_replaces_held_one(deliver: Any, serve: Callable[..., Any], only: Any) -> None:
    """An export to another output replaces the held one, and a line says so."""
    sandbox = serve()
    first = only(deliver(sandbox)).target.output
    moved = GATED.replace("- name: a", "- name: a\n  output: next")

    second = deliver(sandbox, moved)
    third = deliver(sandbox, moved, approved=frozenset({"sit"}))

    assert [each.exit_code for each in (second, third)] == [9, 0]
    [warning] = only(second).warnings
    assert f"held in {first}, replaced by an export to " in warning
    assert warning.endswith("; its packages no longer wait for --approve sit")
    assert created(sandbox) == 2


ONE = "- {name: a, folders: [life], steps: [{uses: gate%s}]}"
SIT = frozenset({"sit"})


def done(run: Any) -> list[str]:
    """Return what the gated step did, in all runs."""
    path = run.folder / "exports/done.txt"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("fresh", [False, True])
def test_first_run_approves_nothing(deliver: Any, run: Any, serve: Any, fresh: bool) -> None:
    """The run that first produces a package passes no approval to a plugin."""
    result = deliver(serve(), ONE % "", approved=SIT, fresh=fresh)

    assert (result.exit_code, done(run)) == (9, [])
    assert "no earlier run held it" in result.results[0].error


def test_changed_options_are_held_again(deliver: Any, run: Any, serve: Any, only: Any) -> None:
    """The runner compares the options of the held step, for steps of every plugin."""
    sandbox = serve()
    held = deliver(sandbox, ONE % "")

    changed = deliver(sandbox, ONE % ", with: {note: x}", approved=SIT)
    digest = only(held).digests[0][:12]
    by_digest = deliver(sandbox, ONE % ", with: {note: y}", approved=frozenset({f"sit@{digest}"}))
    same = deliver(sandbox, ONE % ", with: {note: y}", approved=SIT)

    assert [each.exit_code for each in (changed, by_digest, same)] == [9, 9, 0]
    assert f"changed since run {held.run_id} held it: options.note: absent -> x" in (
        only(changed).error
    )
    assert done(run) == [f"gate {digest}"]


def test_changed_secrets_are_held_again(deliver: Any, run: Any, serve: Any, only: Any) -> None:
    """A secret option is compared by its value, which the state does not hold."""
    sandbox = serve()
    secret = ONE % ", with: {note: 'to ${vaulted:place}'}"
    run.folder.joinpath("vaulted.txt").write_text("https://here.example/secret-path")
    deliver(sandbox, secret)
    same = deliver(sandbox, secret)
    run.folder.joinpath("vaulted.txt").write_text("https://there.example/secret-path")

    changed = deliver(sandbox, secret, approved=SIT)

    assert "changed since" not in only(same).error
    assert (changed.exit_code, done(run)) == (9, [])
    assert "secrets in options: " in only(changed).error
    assert b"secret-path" not in (run.folder / ".impex/state.db").read_bytes()


def test_once_only_step_is_approved(deliver: Any, run: Any, serve: Any, only: Any) -> None:
    """A held step has done nothing, so the approving run may run it."""
    sandbox = serve()
    steps = ONE.replace("gate", "once") % ""
    held = deliver(sandbox, steps)

    deliver(sandbox, steps)
    approved = deliver(sandbox, steps, approved=SIT)

    assert (held.exit_code, approved.exit_code) == (9, 0)
    assert done(run) == [f"once {only(held).digests[0][:12]}"]


def test_run_id_is_no_difference(deliver: Any, serve: Any) -> None:
    """The run's id, which differs between runs, does not invalidate an approval."""
    sandbox = serve()
    noted = ONE % ", with: {note: 'run ${run.id}'}"

    held, approved = deliver(sandbox, noted), deliver(sandbox, noted, approved=SIT)

    assert (held.exit_code, approved.exit_code) == (9, 0)


def test_workers_approve_what_was_held(deliver: Any, serve: Any, only: Any) -> None:
    """What a unit of an executor holds is held by the run, and the next run approves it."""
    sandbox = serve()
    first = deliver(sandbox, ONE % "", executor="threads", approved=SIT)

    second = deliver(sandbox, ONE % "", executor="threads", approved=SIT)

    assert (first.exit_code, second.exit_code) == (9, 0)
    assert only(second).approved == (f"sit@{only(first).digests[0]}",)


def test_older_state_is_held_again(deliver: Any, run: Any, serve: Any, only: Any) -> None:
    """A hold without a record is stored now, and approved by the next run."""
    sandbox = serve()
    deliver(sandbox, ONE % "")
    with closing(sqlite3.connect(run.folder / ".impex/state.db")) as link, link:
        link.execute("DELETE FROM holds")

    first = deliver(sandbox, ONE % "", approved=SIT)
    second = deliver(sandbox, ONE % "", approved=SIT)

    assert (first.exit_code, second.exit_code, created(sandbox)) == (9, 0, 1)
    assert "an earlier version of the runner held it" in only(first).error


def test_fresh_exports_again(deliver: Any, serve: Callable[..., Any]) -> None:
    """``--fresh`` gives up what was held, and the new packages are held instead."""
    sandbox = serve()
    deliver(sandbox)

    assert deliver(sandbox, fresh=True).exit_code == 9
    assert created(sandbox) == 2


def test_needs_of_held_target(deliver: Any, serve: Callable[..., Any]) -> None:
    """A target that needs a held one is skipped with that reason, and the run has not failed."""
    result = deliver(serve(), GATED + "- {name: b, needs: [a], folders: [life]}\n")

    assert [r.outcome.value for r in result.results] == ["held", "skipped"]
    assert result.results[1].error == "it needs a, which waits for an approval"
    assert result.exit_code == 9


def test_fail_fast_ignores_held(deliver: Any, serve: Callable[..., Any]) -> None:
    """With ``--fail-fast`` targets after a held one still start."""
    more = "- {name: b, folders: [motor]}\n- {name: c, needs: [b], folders: [life]}\n"

    result = deliver(serve(job_seconds=20), GATED + more, fail_fast=True)

    assert [r.outcome.value for r in result.results] == ["held", "succeeded", "succeeded"]
    assert result.exit_code == 9


@pytest.mark.parametrize(
    ("codes", "problems", "code"),
    [
        ((9, 0), (), 9),
        ((9, 9), (), 9),
        ((9, 4), (), 4),
        ((9, 4, 0), (), 3),
        ((9, 5), (), 5),
        ((9, 6), (), 6),
        ((9, 1), (), 1),
        ((9,), ("no report",), 4),
    ],
)
def test_exit_code_of_held(codes: tuple[int, ...], problems: tuple[str, ...], code: int) -> None:
    """The exit code is 9 only if nothing failed."""
    now = datetime(2026, 1, 2, tzinfo=timezone.utc)
    target = Target("a", "sit", Path("a"))
    outcomes = {0: Outcome.SUCCEEDED, 9: Outcome.HELD}
    results = tuple(
        TargetResult(target, outcomes.get(each, Outcome.FAILED), now, now, exit_code=each)
        for each in codes
    )
    manifest = Manifest(Path("m"), "m", {}, (target,))

    run = RunResult("r", manifest, now, now, results, "0", problems=problems)

    assert run.exit_code == code


def test_unknown_connection_is_refused(run: Any, serve: Any, clock: Any) -> None:
    """An unknown name of ``--approve`` is refused before anything is sent, with the right one."""
    sandbox = serve()
    path = run.write(sandbox, "- {name: a, folders: [life]}")

    with pytest.raises(UsageError, match=r"--approve sti names no connection of .*'sit'"):
        load(path, RunOptions(approved=frozenset({"sti"})), clock, Masker())

    assert not sandbox.requests
