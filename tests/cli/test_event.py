"""``impex event``: a webhook's body becomes variables of a manifest, which runs once for it."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.state import opening
from spark_impex_runner.state.remote import ObjectStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = """
version: 1
connections: {{here: {{base_url: '{url}'}}}}
defaults: {{polling: {{strategy: fixed}}, retry_interval: 0.01}}
targets:
  - name: deployed
    services: ["${{var:folder}}/${{var:service}}"]
    correlation_id: "event-${{var:event}}"
"""
EVENT = {"UserAction": "DeploymentRequest", "Folder": "motor", "Service": "pricing"}


@pytest.fixture
def sandbox(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve the tenant that the manifest exports from."""
    with Sandbox(shell.folder / "acme") as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(MANIFEST.format(url=sandbox.base_url))
        (shell.folder / "body.json").write_text(json.dumps(EVENT))
        yield sandbox


def test_same_event_makes_one_job(
    shell: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times, from a file and from stdin; --fresh runs again."""
    first = shell("impex", "event", "m.yaml", "--file", "body.json")
    more = [shell("impex", "event", "m.yaml", "--file", "body.json") for _ in range(3)]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EVENT).encode())))
    more.append(shell("impex", "event", "m.yaml"))

    assert (first.code, [each.code for each in more]) == (0, [0] * 4)
    assert "1 of 1 target succeeded" in first.out
    assert all(": DeploymentRequest handled at 20" in each.out for each in more)
    assert sandbox.jobs_created == 1
    [created] = [each for each in sandbox.requests if each.path.endswith("/export")]
    assert json.loads(created.body)["inputs"]["services"] == ["motor/pricing"]
    assert json.loads(created.body)["correlation_id"].startswith("event-")
    assert shell("impex", "event", "m.yaml", "--file", "body.json", "--fresh").code == 0
    assert sandbox.jobs_created == 2


def test_failed_event_runs_again(shell: Any, sandbox: Sandbox) -> None:
    """Only what ended well is handled."""
    (shell.folder / "body.json").write_text(json.dumps({**EVENT, "Service": "absent"}))

    codes = [shell("impex", "event", "m.yaml", "--file", "body.json").code for _ in range(2)]

    assert codes == [4, 4]
    assert [each.path.endswith("/export") for each in sandbox.requests].count(True) == 2


def test_other_events_run_nothing(shell: Any, sandbox: Sandbox) -> None:
    """The line names those that would."""
    done = shell("impex", "event", "m.yaml", "--file", "body.json", "--on", "PublishEngine")

    assert done.code == 0
    assert done.out.endswith(": DeploymentRequest is none of PublishEngine\n")
    assert sandbox.jobs_created == 0


@pytest.mark.parametrize(
    ("body", "args", "message"),
    [
        ("[1", [], "error: the event is not JSON: "),
        (json.dumps({**EVENT, "Folder": "*"}), [], "error: the event's folder is '*', which"),
        (json.dumps(EVENT), ["--no-assumed"], "the variable 'folder' is not defined"),
        (json.dumps(EVENT), ["--field", "x"], "'x' is not VARIABLE=FIELD"),
        (json.dumps(EVENT), ["n.yaml"], "error: unrecognized arguments: n.yaml; see impex"),
        (" " * (1 << 20) + "{}", [], "error: body.json: the event has more than 1048576 bytes"),
    ],
)
def test_mistakes_exit_with_2(
    shell: Any, sandbox: Sandbox, body: str, args: list[str], message: str
) -> None:
    """In one line, and nothing is sent."""
    (shell.folder / "body.json").write_text(body)

    done = shell("impex", "event", "m.yaml", *args, "--file", "body.json")

    assert done.code == 2
    assert message in done.err
    assert sandbox.jobs_created == 0


def test_state_in_a_store_knows_events(
    shell: Any, sandbox: Sandbox, s3_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second machine with the same state runs nothing for an event that the first has handled."""
    place = ("m.yaml", "--file", "body.json", "--state", s3_state.url)
    opened: list[Any] = []
    monkeypatch.setattr(opening, "State", lambda storage: opened.append(storage) or State(storage))

    first = shell("impex", "event", *place)
    second = shell("impex", "event", *place)

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "handled at" in second.out
    assert sandbox.jobs_created == 1
    assert all(isinstance(each, ObjectStorage) for each in opened)
    assert not (shell.folder / ".impex").exists()


@pytest.mark.parametrize("has_terminal", [True, False])
def test_stdin_without_body_exits_with_2(
    shell: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, has_terminal: bool
) -> None:
    """A terminal would wait for one without a word, and a closed stdin has none."""
    stdin = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin if has_terminal else None)

    done = shell("impex", "event", "m.yaml")

    assert (done.code, sandbox.jobs_created) == (2, 0)
    assert "error: stdin has no event; send the body there, or name its file with --" in done.err


def test_body_of_stdin_is_needed_again(
    shell: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that repeats a run names it, and a misspelt variable is a warning."""
    body = json.dumps({**EVENT, "Service": "absent", "Version": "1"}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))

    done = shell("impex", "event", "m.yaml", "--field", "sevrice=Service")

    assert (done.code, sandbox.jobs_created) == (4, 0)
    assert "\nimpex event m.yaml --field sevrice=Service < BODY\n" in done.err
    assert (
        "--field sevrice=… sets no variable of this manifest (did you mean 'service'?)" in done.err
    )


def test_missing_body_exits_with_2(shell: Any, sandbox: Sandbox) -> None:
    """As any other mistake in the command."""
    done = shell("impex", "event", "m.yaml", "--file", "none.json")

    assert (done.code, sandbox.jobs_created) == (2, 0)
    assert "error: none.json: the event cannot be read: No such file or directory" in done.err


State = opening.State
