"""``--approve``: the last line says the command that lets a held target go on, and it does."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = """
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import HeldError

@hookimpl
def impex_register(registry):
    registry.step("gate", "holds a target")

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses == "gate":
        if "here" not in job.run.approved:
            raise HeldError("it waits", "here")
        return []
"""
HELD = "  - {name: life, folders: [life], steps: [{uses: gate}]}\n"


@pytest.fixture
def gated(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the shell, with a manifest whose target is held, on a tenant that outlives a command."""
    (shell.folder / "gate.py").write_text(PLUGIN)
    with Sandbox(shell.folder / "acme") as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        place = f"{{base_url: '{sandbox.base_url}'}}"
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{here: {place}}}\ntargets:\n{HELD}"
        )
        yield shell


def test_last_line_approves(gated: Any) -> None:
    """It can be pasted: the options of the first command are in it, but for --fresh."""
    held = gated("impex-run", "m.yaml", "-p", "gate.py", "--fresh", "-q", "--report", "json=r.json")

    line = held.err.splitlines()[-1]
    command = line.removeprefix("held; to approve: ")
    assert held.code == 9
    [target] = json.loads((gated.folder / "r.json").read_text())["targets"]
    digest = target["artifacts"][0]["sha256"][:12]
    approval = f"--approve here@{digest}"
    assert command == f"impex-run m.yaml -t life -p gate.py --report json=r.json {approval} -q"
    assert (target["outcome"], target["approve"]) == ("held", "here")
    done = gated(*shlex.split(command))
    assert (done.code, done.err) == (0, "")


def test_status_and_plan_show_holds(gated: Any) -> None:
    """Whoever looks finds the name to approve."""
    gated("impex-run", "m.yaml", "-p", "gate.py")

    status = json.loads(gated("impex", "status", "--json").out)
    plan = gated("impex", "plan", "m.yaml", "-p", "gate.py").out

    assert [row["stage"] for row in status] == ["held for --approve here"]
    assert "packages downloaded, held for --approve here" in plan


def test_status_lists_digest_and_command(gated: Any) -> None:
    """What waits is listed with the bytes, the work and the line that approves it."""
    gated("impex-run", "m.yaml", "-p", "gate.py", "-q", "--var", "x=1")

    [row] = json.loads(gated("impex", "status", "--json").out)
    text = gated("impex", "status").out
    done = gated(*shlex.split(row["to approve"]))

    [package] = row["packages"]
    assert row["work"]["packages"]["package.zip"]["sha256"] == package["sha256"]
    assert f"m/life: package.zip (sha256 {package['sha256']}); to approve: impex-run m.yaml" in text
    assert done.code == 0


def test_history_lists_hold_and_approval(gated: Any) -> None:
    """Each run has its row: the one that held, the one that was killed, the one that approved."""
    first = gated("impex-run", "m.yaml", "-p", "gate.py", "-q", "--report", "json=1.json")
    with closing(State(gated.folder / ".impex")) as state:
        state.begin_run("killed", "m.yaml", datetime(2026, 1, 2, tzinfo=timezone.utc))
        state.note_run(
            state.open_attempts()[0], "killed", datetime(2026, 1, 2, tzinfo=timezone.utc)
        )
    line = first.err.splitlines()[-1].removeprefix("held; to approve: ")
    gated(*shlex.split(line.replace("1.json", "2.json")))

    rows = json.loads(gated("impex", "history", "--json").out)

    reports = [json.loads((gated.folder / f"{n}.json").read_text()) for n in (1, 2)]
    [approved] = reports[1]["targets"][0]["approved"]
    assert [(row["run"], row["outcome"], row["approved"]) for row in rows] == [
        (reports[1]["run_id"], "succeeded", approved),
        ("killed", "unfinished", "-"),
        (reports[0]["run_id"], "held", "-"),
    ]


def test_history_lists_what_was_given_up(gated: Any) -> None:
    """A hold that is cancelled later stays in the list, and so does its end."""
    gated("impex-run", "m.yaml", "-p", "gate.py", "-q")
    gated("impex", "cancel", "m.yaml", "-p", "gate.py")

    rows = json.loads(gated("impex", "history", "--json").out)

    assert [(row["outcome"], row["error"]) for row in rows] == [
        ("cancelled", "by impex cancel"),
        ("held", "it waits"),
    ]


def test_approval_includes_dependent_targets(gated: Any) -> None:
    """A target that was skipped for a held one alone is named, too; one with other needs is not."""
    path = gated.folder / "m.yaml"
    more = "  - {name: b, needs: [life], folders: [motor]}\n  - {name: c, folders: [motor]}\n"
    path.write_text(path.read_text() + more + "  - {name: d, needs: [b, c], folders: [motor]}\n")

    held = gated("impex-run", "m.yaml", "-p", "gate.py", "-q")

    assert "impex-run m.yaml -t life -t b -p gate.py --approve here@" in held.err.splitlines()[-1]


def test_invalid_manifest_outranks_held_target(gated: Any) -> None:
    """One waits, the other's state is unusable: that is 3."""
    (gated.folder / "other").mkdir()
    (gated.folder / "other/o.yaml").write_text((gated.folder / "m.yaml").read_text())
    (gated.folder / "other/.impex").write_text("a file in its place")

    assert gated("impex-run", "m.yaml", "other/o.yaml", "-p", "gate.py").code == 3


def test_unused_approval_is_refused(gated: Any) -> None:
    """The name is none of the manifest's connections."""
    wrong = gated("impex-run", "m.yaml", "-p", "gate.py", "--approve", "her")

    assert (wrong.code, wrong.out) == (2, "")
    assert "--approve her names no connection of m.yaml (did you mean 'here'?)" in wrong.err


def test_hold_can_be_cancelled(gated: Any) -> None:
    """After a cancel nothing waits, and an approval begins with new packages."""
    gated("impex-run", "m.yaml", "-p", "gate.py")

    given_up = gated("impex", "cancel", "m.yaml", "-p", "gate.py")

    assert (given_up.code, given_up.out) == (0, "life: given up; no job was left to end\n")
    assert gated("impex", "status").out == "nothing is unfinished\n"
