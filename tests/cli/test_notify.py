"""How a run ended, told from the command line to a server; nothing is told where nothing ran."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "  - {name: good, folders: [life]}\n"
LOST = "  - {name: lost, services: [motor/nothing]}\n"


@pytest.fixture
def hook(shell: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a manifest that posts to the receiver."""
    monkeypatch.setenv("HOOK_URL", f"{receiver.url}/hunter2-path")

    def write(targets: str, keys: str = "") -> None:
        shell.write(
            f'{targets}notify: [{{uses: webhook, {keys}with: {{url: "${{env:HOOK_URL}}"}}}}]\n'
        )

    return write


def process(folder: Path, *args: str) -> Any:
    """Run the manifest in a process of its own."""
    code = "from spark_impex_runner.cli.main import run; run()"
    command = [sys.executable, "-c", code, "m.yaml", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("targets", "code", "outcome", "message"),
    [
        (GOOD, 0, None, []),
        (GOOD + LOST, 3, "partial", ["lost failed"]),
        (LOST, 4, "failed", ["lost failed"]),
    ],
)
def test_failed_run_is_posted(
    shell: Any, hook: Any, receiver: Any, targets: str, code: int, outcome: str, message: list[str]
) -> None:
    """By default a good run is silent; the report is there before anybody is told of it."""
    hook(targets)

    done = shell("impex-run", "m.yaml", "--report", "json=r.json")

    bodies = [json.loads(request.body) for request in receiver.received]
    assert done.code == code
    assert [body["outcome"] for body in bodies] == ([outcome] if outcome else [])
    for body in bodies:
        report = json.loads((shell.folder / "r.json").read_text())
        assert [f"{each['target']} {each['outcome']}" for each in body["targets"]] == message
        same = ("run_id", "counts", "exit_code", "started", "finished")
        assert [body[key] for key in same] == [report[key] for key in same]


@pytest.mark.parametrize("args", ["plan", "validate", "render", "run --dry-run"])
def test_other_commands_notify_nobody(shell: Any, hook: Any, receiver: Any, args: str) -> None:
    """Not even of a manifest that tells always."""
    hook(GOOD, "on: [always], ")

    done = shell("impex", *args.split(), "m.yaml")

    assert (done.code, receiver.received) == (0, [])


@pytest.mark.parametrize(
    ("reply", "keys", "warning"),
    [
        ((404, {}), "", "HTTP 404; check url and headers"),
        ((0, {}), "timeout: 100ms, ", "timed out after 0.1 s"),
    ],
)
def test_failed_notification_is_a_warning(
    shell: Any, hook: Any, receiver: Any, reply: Any, keys: str, warning: str
) -> None:
    """One line to stderr without the address; the command ends as the run did, and in time."""
    receiver.replies.append(reply)
    hook(GOOD, f"on: [always], {keys}")

    done = shell("impex-run", "m.yaml")

    [line] = [line for line in done.err.splitlines() if "notify" in line]
    assert done.code == 0
    assert line[10:] == f"warning: notify[0] (webhook): {warning}"
    assert len(receiver.received) == 1
    assert "hunter2" not in done.err + done.out


def test_hanging_notifier_does_not_block_exit(shell: Any, hook: Any, receiver: Any) -> None:
    """What is left behind does not hold up the interpreter until it would try again."""
    receiver.replies.append((0, {}))
    hook(GOOD, "on: [always], timeout: 100ms, ")
    done = process(shell.folder)

    assert done.returncode == 0
    assert b"timed out after 0.1 s" in done.stderr
    assert len(receiver.received) == 1


def test_interrupted_run_notifies(shell: Any, hook: Any, receiver: Any, tmp_path: Path) -> None:
    """SIGTERM ends the work, and the message goes out before the process does."""
    hook(GOOD, "on: [cancelled], ")
    (tmp_path / "stop.py").write_text(
        "import os, signal\n"
        "from spark_impex_runner.hooks.specs import hookimpl\n"
        "@hookimpl\n"
        "def impex_job_changed(change):\n"
        "    if change.event == 'job.created':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = process(shell.folder, "-p", "stop.py")

    [request] = receiver.received
    body = json.loads(request.body)
    assert done.returncode == 128 + signal.SIGTERM
    assert (body["outcome"], body["exit_code"]) == ("interrupted", 143)
    assert body["text"].startswith("m: interrupted by SIGTERM: ")


def test_schema_has_reports_and_notifiers(shell: Any) -> None:
    """What a plugin offers is offered by an editor, too; the published schema allows for it."""
    (shell.folder / "ledger.py").write_text(
        "from spark_impex_runner.hooks.specs import hookimpl\n"
        "@hookimpl\n"
        "def impex_register(registry):\n"
        "    registry.report('ledger', 'a line for each target', str)\n"
        "    registry.notifier('page', 'calls somebody', None, print)\n"
    )

    whole = json.loads(shell("impex", "schema", "--with-plugins", "-p", "ledger.py").out)
    core = json.loads(shell("impex", "schema").out)

    known = whole["properties"]["report"]
    assert known["properties"]["ledger"]["description"] == "A line for each target."
    assert known["additionalProperties"] is False
    assert core["properties"]["report"]["additionalProperties"]["type"] == "string"
    uses = whole["$defs"]["notification"]["properties"]["uses"]
    assert uses["enum"] == ["apprise", "otel", "page", "pushgateway", "webhook"]
