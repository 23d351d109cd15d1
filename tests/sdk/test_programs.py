"""Programs of the official SDK run with one changed line, and say the same.

They are written from the calls in the SDK's documentation of ImpEx.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.sandbox.server import Sandbox, Settings
from tests.conftest import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[str, str], str]

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py.txt"))
OFFICIAL, OURS = "import cspark.sdk as Spark", "import spark_impex_runner.sdk as Spark"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a program in an empty folder, and returns what it printed."""
    # The official SDK sleeps once more after its last status request.
    monkeypatch.setattr("time.sleep", lambda _: None)

    def call(text: str, name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        seconds = 600.0 if name.endswith("errors") else 0.0
        with Sandbox(EXAMPLES / "tenant", Settings(tenant="acme", job_seconds=seconds)) as sandbox:
            oauth = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
            for variable, value in (
                ("SANDBOX_URL", sandbox.base_url.removesuffix("/acme")),
                ("TOKEN", sandbox.token),
                ("API_KEY", sandbox.api_key),
                ("OAUTH", json.dumps(oauth)),
            ):
                monkeypatch.setenv(variable, value)
            exec(compile(text, f"{name}.py", "exec"), {"__name__": "__main__"})  # noqa: S102
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name.partition(".")[0])
def test_program_runs_with_one_changed_line(program: Path, run: Run) -> None:
    """On an emulated tenant, with the official SDK and with this one."""
    text = program.read_text(encoding="utf-8")
    assert text.count(OFFICIAL) == 1

    official = run(text, f"official {program.stem[:-3]}")
    ours = run(text.replace(OFFICIAL, OURS), f"our {program.stem[:-3]}")

    assert ours.splitlines() == official.splitlines()
    assert official
