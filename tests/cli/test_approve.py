"""``--approve``: the last line says the command that lets a held target go on, and it does."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD = "  - {name: life, folders: [life], steps: [{uses: gate}]}\n"


@pytest.fixture
def gated(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the shell, with a manifest whose target is held, on a tenant that outlives a command."""
    shell.add_gate()
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
    assert "m/life: held for --approve here, since 20" in text
    assert f"  package         package.zip\n  sha256  {package['sha256']}\n" in text
    assert "  to approve      impex-run m.yaml" in text
    assert done.code == 0


def past_runs(shell: Any, *args: str) -> Any:
    """Return the runs that ``impex history`` lists; each with its details if it is asked for."""
    return json.loads(shell("impex", "history", *args, "--format", "json").out)["runs"]


def test_history_credits_approving_run(gated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run held, one was killed, one imported: each has its own outcome, and the last the name.

    The hold says what has become of it, whichever run is shown.
    """
    monkeypatch.setenv("GITHUB_ACTOR", "alice")
    first = gated("impex-run", "m.yaml", "-p", "gate.py", "-q", "--report", "json=1.json")
    killed = PastRun("killed", "m.yaml", datetime(2026, 1, 2, tzinfo=timezone.utc))
    with closing(open_state(gated.folder / ".impex")) as state:
        state.begin_run(killed, ["m/life", "m/other"])
        state.note_run(state.open_attempts()[0], "killed", killed.started)
    line = first.err.splitlines()[-1].removeprefix("held; to approve: ")
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    gated(*shlex.split(line.replace("1.json", "2.json")))

    reports = [json.loads((gated.folder / f"{n}.json").read_text()) for n in (1, 2)]
    [given] = reports[1]["targets"][0]["approved"]
    runs = {each["run_id"]: past_runs(gated, each["run_id"])[0] for each in past_runs(gated)}
    held, done = (runs[each["run_id"]] for each in reports)

    assert [(each["outcome"], each["started_by"]) for each in (held, done, runs["killed"])] == [
        ("held", "alice"),
        ("succeeded", "bob"),
        ("unfinished", None),
    ]
    assert [each["outcome"] for each in runs["killed"]["targets"]] == ["unfinished", "not_started"]
    [approval] = done["approvals"]
    assert (approval["approval"], approval["by"]) == (given, "bob")
    assert (approval["run_id"], approval["held_by"]) == (done["run_id"], held["run_id"])
    assert held["approvals"] == [approval]
    assert [(each["status"], each["digests"]) for each in held["held"]] == [
        ("approved", [given.partition("@")[2]])
    ]
    assert (done["held"], runs["killed"]["held"], runs["killed"]["approvals"]) == ([], [], [])


def test_history_page_has_approval(gated: Any) -> None:
    """The run that holds shows the command; the one that approves shows who and when."""
    gated("impex-run", "m.yaml", "-p", "gate.py", "-q")
    [run] = past_runs(gated)
    before = gated("impex", "history", "m.yaml", run["run_id"][:20]).out
    command = before.splitlines()[-1].partition("; to approve: ")[2]

    gated(*shlex.split(command))

    after = gated("impex", "history", past_runs(gated)[0]["run_id"]).out
    approval = command.partition("--approve ")[2].split()[0]
    assert before.splitlines()[-2] == "held for an approval:"
    assert after.splitlines()[-2] == "approvals:"
    assert f"  life: {approval} approved 20" in after
    assert after.endswith(f", held by run {run['run_id']}\n")


def test_history_keeps_hold_that_was_cancelled(gated: Any) -> None:
    """The run held the target; the hold says that it was cancelled."""
    gated("impex-run", "m.yaml", "-p", "gate.py", "-q")
    gated("impex", "cancel", "m.yaml", "-p", "gate.py")

    [run] = past_runs(gated, past_runs(gated)[0]["run_id"])

    assert [(each["outcome"], each["error"]) for each in run["targets"]] == [("held", "it waits")]
    assert [each["status"] for each in run["held"]] == ["cancelled"]


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
