from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

TARGETS = """
  - {name: pricing, services: ['motor/pricing[1.4.2]'], polling: {strategy: fixed}}
  - {name: kept, folders: [life], if_exists: keep, needs: [pricing], steps: [{uses: checksum}]}
"""


def test_detailed_exit_code_reports_changes(shell: Any) -> None:
    """8 while there is something to do, 0 when all is unchanged; without the option always 0."""
    shell.write(TARGETS)
    before = shell("impex", "plan", "m.yaml", "--detailed-exitcode")
    shell("impex-run", "m.yaml", "-q")

    some = shell("impex", "plan", "m.yaml", "--detailed-exitcode")
    none = shell("impex", "plan", "m.yaml", "-t", "kept", "--detailed-exitcode")
    plain = shell("impex", "plan", "m.yaml")
    (shell.folder / "only.yaml").write_text("targets: [{name: pricing, if_exists: keep}]\n")
    all_kept = shell("impex", "plan", "m.yaml", "-f", "only.yaml", "--detailed-exitcode")

    assert [before.code, some.code, none.code, plain.code, all_kept.code] == [8, 8, 8, 0, 0]
    assert before.out.endswith("\n\ncreate 2; nothing was sent\n")
    assert some.out.endswith("create 1, unchanged 1; nothing was sent\n")
    assert all_kept.out.endswith("\n\nunchanged 2; nothing was sent\n")


def test_an_invalid_manifest_is_no_change(shell: Any) -> None:
    """A script that acts on 8 does not act on a mistake."""
    shell.write("  - {name: a}\n")

    assert shell("impex", "plan", "m.yaml", "--detailed-exitcode").code == 2


def test_json_plan_has_requests_and_resumed_jobs(shell: Any) -> None:
    """One document for all manifests, each target with its action and its request."""
    shell.write(TARGETS)

    plans = json.loads(shell("impex", "plan", "m.yaml", "m.yaml", "--format", "json").out)

    first, second = plans["plans"][0]["targets"]
    assert (len(plans["plans"]), plans["changes"]) == (2, True)
    assert first["action"] == "create"
    assert first["request"]["inputs"] == {"services": ["motor/pricing[1.4.2]"]}
    assert first["url"].endswith("/api/v4/export")
    assert (second["needs"], second["steps"]) == (["pricing"], ["checksum"])


def test_short_secret_keeps_json_valid(shell: Any, monkeypatch: Any) -> None:
    """Values are masked, the keys are ours."""
    monkeypatch.setenv("TOKEN", "n")
    (shell.folder / "m.yaml").write_text(
        "version: 1\nconnections: {here: {sandbox: acme, auth: {token: '${env:TOKEN}'}}}\n"
        "targets: [{name: one, folders: [life]}]\n"
    )

    plan = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)

    assert plan["changes"] is True
    assert plan["plans"][0]["targets"][0]["name"] == "o***e"


def test_plan_begins_with_headline(shell: Any) -> None:
    """What a run would do and what it would replace, by target and date, in the first line."""
    shell.write(TARGETS)
    first = shell("impex", "plan", "m.yaml").out
    shell("impex-run", "m.yaml", "-q")
    delivered = json.loads((shell.folder / "exports/pricing/impex-receipt.json").read_text())

    second = shell("impex", "plan", "m.yaml").out
    data = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)

    finished = delivered["finished"]
    assert first.splitlines()[0] == "plan of m (m.yaml): create 2"
    assert second.splitlines()[0] == (
        "plan of m (m.yaml): create 1, unchanged 1; "
        f"replaces exports/pricing (delivered {finished[:10]})"
    )
    assert f"  output   exports/pricing, replaces the delivery of {finished[:10]} " in second
    targets = data["plans"][0]["targets"]
    assert [each["replaces"] for each in targets] == [finished, None]


def test_damaged_receipt_is_not_replaced(shell: Any) -> None:
    """The plan does not depend on a file that anybody may have edited."""
    shell.write("  - {name: a, folders: [life]}\n")
    (shell.folder / "exports/a").mkdir(parents=True)
    for text in ("[]", "{", '{"finished": 1, "job_id": ""}', '{"finished": "x", "job_id": ""}'):
        (shell.folder / "exports/a/impex-receipt.json").write_text(text)

        done = shell("impex", "plan", "m.yaml")

        assert (done.code, done.out.splitlines()[0]) == (0, "plan of m (m.yaml): create 1")


def test_output_of_another_target_is_a_warning(shell: Any) -> None:
    """A run would refuse to write there; the plan says so, and replaces nothing."""
    shell.write("  - {name: a, folders: [life]}\n")
    (shell.folder / "exports/a").mkdir(parents=True)
    receipt = {
        "target": "a",
        "manifest": "other",
        "job_id": "j",
        "finished": "2026-01-01T00:00:00Z",
    }
    (shell.folder / "exports/a/impex-receipt.json").write_text(json.dumps(receipt))

    out = shell("impex", "plan", "m.yaml").out

    assert out.startswith("plan of m (m.yaml): create 1\n")
    assert " holds the delivery of the target 'a' of the manifest 'other' (" in out
    assert "use another output, or remove that folder" in out


def test_plan_has_usual_duration(shell: Any, left: str) -> None:
    """In words for people, in seconds for programs."""
    with closing(sqlite3.connect(shell.folder / ".impex/state.db")) as link, link:
        link.execute("UPDATE attempts SET seconds = 125 WHERE job_id = ?", (left,))

    plan = shell("impex", "plan", "m.yaml").out
    data = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)

    assert "\n  wait     usually 2m 05s, at most 30m 00s (fixed)\n" in plan
    assert data["plans"][0]["targets"][0]["usual_seconds"] == 125


def test_verbose_plan_has_requests(shell: Any) -> None:
    """The body byte for byte; without ``-v`` only what it asks for."""
    shell.write(TARGETS)

    plain = shell("impex", "plan", "m.yaml", "-t", "pricing").out
    verbose = shell("impex", "plan", "m.yaml", "-t", "pricing", "-v").out

    assert "\n  services motor/pricing[1.4.2]\n" in plain
    assert "inputs" not in plain
    assert '  body     {"inputs":{"services":["motor/pricing[1.4.2]"]},' in verbose
    assert "/api/v4/export\n" in verbose


def test_held_job_does_not_replace_itself(shell: Any, left: str) -> None:
    """A receipt of the job that a run resumes is no earlier delivery."""
    receipt = {"finished": "2026-01-02T03:04:05.000Z", "job_id": left}
    (shell.folder / "exports/life").mkdir(parents=True)
    path = shell.folder / "exports/life/impex-receipt.json"
    path.write_text(json.dumps(receipt))
    own = shell("impex", "plan", "m.yaml").out
    path.write_text(json.dumps(receipt | {"job_id": "another"}))

    other = shell("impex", "plan", "m.yaml").out

    assert "replaces" not in own
    assert "; replaces exports/life (delivered 2026-01-02)" in other


def test_plan_names_resumed_job(shell: Any, left: str) -> None:
    """Id, tenant and time, in place of a request."""
    plan = shell("impex", "plan", "m.yaml").out

    assert f"\nlife: resume job {left} (started at 20" in plan
    assert "POST" not in plan
    assert plan.endswith("\n\nresume 1; nothing was sent\n")


def test_fresh_plan_resumes_nothing(shell: Any, left: str) -> None:
    """It tells which job is left behind."""
    for args in (("impex", "plan", "m.yaml"), ("impex-run", "m.yaml", "--dry-run")):
        plan = shell(*args, "--fresh").out

        assert f"(job {left} of an earlier run is not resumed (--fresh))" in plan
        assert plan.endswith("\n\ncreate 1; nothing was sent\n")


def test_plan_shows_resolved_entries(shell: Any) -> None:
    """How many services and which, the first of them for people and all for programs."""
    for number in range(6):
        (shell.folder / f"acme/many/s{number}/1.0.0").mkdir(parents=True)
    (shell.folder / "list.txt").write_text("life/annuity[1.0.0]")
    shell.write("  - {name: a, services: ['many/*', '!many/s5', 'motor/*[1]', '@list.txt', a/b]}\n")

    plan = shell("impex", "plan", "m.yaml").out
    data = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)
    (shell.folder / "acme/many/s6/1.0.0").mkdir(parents=True)
    more = shell("impex", "plan", "m.yaml").out

    many = [f"many/s{number}" for number in range(5)]
    assert [line for line in plan.splitlines() if line.startswith("  match ")] == [
        f"  match    many/*: 5 services: {', '.join(many)}",
        "  match    !many/s5: adds nothing",
        "  match    motor/*[1]: 1 service: motor/pricing[1.4.2]",
        "  match    @list.txt: 1 service: life/annuity[1.0.0]",
    ]
    assert plan.endswith("\n\ncreate 1; no job was created\n")
    assert f"  match    many/*: 6 services: {', '.join(many)}, … (1 more)\n" in more
    assert data["plans"][0]["targets"][0]["resolved"] == {
        "many/*": many,
        "!many/s5": [],
        "motor/*[1]": ["motor/pricing[1.4.2]"],
        "@list.txt": ["life/annuity[1.0.0]"],
    }


PLANNER = """
from spark_impex_runner import errors, hookimpl

@hookimpl
def impex_register(registry):
    registry.step("send", "Sends.", {"type": "object"}, dry_run=True)
    registry.step("mute", "Tells nothing.")

@hookimpl
def impex_plan_step(job, step):
    assert step.uses != "mute", "it has not the trait"
    if step.uses == "send":
        if "to" not in step.options:
            raise errors.StepError("to: there is no such place")
        return ANSWER
"""
SENDING = """
  - {name: one, folders: [life], output: out, steps: [{uses: mute}, {uses: unzip},
     {uses: send, with: {to: there}}, {uses: checksum, with: {algorithms: [md5, sha1]}}]}
"""


def planned(shell: Any, answer: str, targets: str, *args: str) -> Any:
    """Run ``impex plan`` with a plugin whose step tells ``answer``."""
    shell.write(targets)
    (shell.folder / "planner.py").write_text(PLANNER.replace("ANSWER", answer))
    return shell("impex", "plan", "m.yaml", "-p", "planner.py", *args)


def test_plan_describes_steps(shell: Any) -> None:
    """Steps without the trait are named only; nothing is written."""
    done = planned(shell, "'send to ' + job.target.name", SENDING)
    rows = [line.strip() for line in done.out.splitlines()]

    assert done.code == 0
    assert rows[rows.index("steps    mute, unzip, send, checksum") + 1 :][:3] == [
        "would    unzip: extract each package into files/, up to 2GiB",
        "would    send: send to one",
        "would    checksum: write each package's checksum to MD5SUMS and SHA1SUMS",
    ]
    assert {path.name for path in shell.folder.iterdir()} == {"acme", "m.yaml", "planner.py"}


def test_json_plan_describes_steps(shell: Any) -> None:
    """The same, for a program; what goes wrong stands beside it."""
    targets = "  - {name: one, folders: [life], steps: [{uses: package_check}, {uses: send}]}\n"
    done = planned(shell, "'x'", targets, "--format", "json")

    assert done.code == 2
    assert json.loads(done.out)["plans"][0]["targets"][0]["would"] == [
        {
            "step": "package_check",
            "told": "verify each package by the checksums in it, reading up to 2GiB",
            "problem": "",
            "services": [],
        },
        {"step": "send", "told": "", "problem": "to: there is no such place", "services": []},
    ]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            "7",
            "impex_plan_step answered 7 instead of a line of text; it came from plugin planner; ",
        ),
        ("None", "impex_plan_step answered None instead of a line of text; asked: planner, "),
        ("1 / 0", "plugin planner failed in impex_plan_step: ZeroDivisionError: division by zero"),
    ],
)
def test_failing_step_plan_is_a_problem(shell: Any, answer: str, problem: str) -> None:
    """The rest of the plan is shown all the same; the exit code says that a run would fail."""
    done = planned(shell, answer, SENDING)

    assert done.code == 2
    assert f"fails    send: {problem}" in done.out
    assert "would    unzip: " in done.out


def test_unchanged_target_plans_no_steps(shell: Any) -> None:
    """Nothing of it would be done."""
    shell.write("  - {name: a, folders: [life], if_exists: keep, steps: [{uses: checksum}]}\n")
    shell("impex-run", "m.yaml", "-q")

    [plan] = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)["plans"]

    assert plan["targets"][0]["would"] == []


def test_plan_reports_unusable_folder(shell: Any) -> None:
    """The step's own rules for names hold before anything is sent."""
    shell.write("  - {name: a, folders: [life], steps: [{uses: unzip, with: {to: a./b}}]}\n")

    done = shell("impex", "plan", "m.yaml")

    assert done.code == 2
    assert "fails    unzip: to: 'a./b' has a part that ends with a dot" in done.out


def test_simulated_plan_prints_a_rehearsal(shell: Any) -> None:
    """The exit code is that of the run; nothing is left behind, and the log says nothing."""
    shell.write(TARGETS + "  - {name: typo, folders: [lifw]}\n")

    text = shell("impex", "plan", "m.yaml", "--simulate")
    good = shell(
        "impex", "plan", "m.yaml", "m.yaml", "--simulate", "-t", "kept", "--format", "json"
    )

    assert (text.code, good.code, text.err, good.err) == (3, 0, "", "")
    assert text.out.startswith("rehearsed 3 targets of m (m.yaml) in ")
    assert ": 1 would fail, 2 would succeed\n" in text.out
    assert "\n  typo     would fail: export\n    m.yaml:7:5: " in text.out
    first, second = json.loads(good.out)["rehearsals"]
    assert [each["verdict"] for each in first["targets"]] == ["would succeed"] * 2
    assert second["targets"][1]["steps"][0]["uses"] == "checksum"
    assert sorted(path.name for path in shell.folder.iterdir()) == ["acme", "m.yaml"]


LATE = """
import atexit, socket, sys
from urllib.parse import urlsplit
from spark_impex_runner import hookimpl

def send():
    address = urlsplit("{url}")
    try:
        socket.create_connection((address.hostname, address.port), 5).close()
    except OSError as error:
        print("late:", error, file=sys.stderr)

atexit.register(send)

@hookimpl
def impex_register(registry):
    pass
"""


def test_rehearsal_confines_the_whole_process(shell: Any, receiver: Any) -> None:
    """What a plugin sends when the process exits, such as traces, is refused, too."""
    shell.write(TARGETS)
    plugin = shell.folder / "late.py"
    plugin.write_text(LATE.format(url=receiver.url))
    start = "from spark_impex_runner.cli.main import main; main()"
    words = ["plan", "--simulate", "m.yaml", "m.yaml", "-p", str(plugin)]

    done = subprocess.run(
        [sys.executable, "-c", start, *words], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.count("2 would succeed")) == (0, 2)
    assert done.stderr.startswith("late: a rehearsal stays on this machine: refused to connect to ")


def test_rehearsal_masks_secrets(shell: Any, secret: str) -> None:
    """Also as JSON, which is written without the stream that masks."""
    shell.write(f"  - {{name: {secret}, folders: [life]}}\n")

    done = shell("impex", "plan", "m.yaml", "--simulate", "--format", "json")

    assert done.code == 0, done.err
    [target] = json.loads(done.out)["rehearsals"][0]["targets"]
    assert target["name"] == "***"
    assert secret not in done.out
