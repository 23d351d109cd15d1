"""What a person reads of failures: each cause once, and what to run next."""

from __future__ import annotations

from typing import Any

import pytest

from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

TARGETS = 12
CAUSE = "check the credentials; a bearer token may have expired"


@pytest.fixture
def refused(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run twelve targets of a connection whose token the tenant refuses."""

    def run(*options: str) -> Any:
        faults = (parse_fault("create@1-=401"),)
        with Sandbox(shell.folder / "acme", Settings(faults=faults)) as sandbox:
            monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
            rows = "".join(f"  - {{name: t{at}, folders: [life]}}\n" for at in range(TARGETS))
            (shell.folder / "m.yaml").write_text(
                f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
                f"targets:\n{rows}"
            )
            return shell("impex-run", "m.yaml", *options)

    return run


def test_refused_token_is_explained_once(refused: Any) -> None:
    """Each target has one short line in the log; the summary has the cause, once for all."""
    done = refused()

    assert done.code == 6
    assert (done.out + done.err).count(CAUSE) == 1
    assert f"failed     {TARGETS} targets: POST api/v4/export" in done.out
    lines = [line for line in done.err.splitlines() if ": failed" in line]
    assert len(lines) == TARGETS
    assert sum(" failed: HTTP 401" in line for line in lines) == 1
    assert sum(" failed like t" in line for line in lines) == TARGETS - 1
    assert done.err.splitlines()[-2:] == ["to run the failed targets again:", "impex-run m.yaml"]


def test_verbose_log_has_each_cause(refused: Any) -> None:
    """With -v the log is complete at the time of each failure."""
    assert refused("-v").err.count(CAUSE) == TARGETS


def test_some_failed_targets_are_named(shell: Any) -> None:
    """The command leaves out what was delivered, and keeps the options of the run."""
    shell.write(
        "  - {name: good, folders: [life]}\n  - {name: bad, services: [motor/absent]}\n"
        "  - {name: later, folders: [life], needs: [bad]}\n"
    )

    done = shell("impex-run", "m.yaml", "--output", "out dir", "--jobs", "2")

    assert done.code == 3
    assert done.err.splitlines()[-1] == (
        "impex-run m.yaml -t bad -t later --output 'out dir' --jobs 2"
    )
    assert done.out.index("succeeded") < done.out.index("skipped") < done.out.index("failed     ")


def test_deadline_ends_with_both_commands(shell: Any, tenant: Sandbox) -> None:
    """A job that may still run can be resumed or cancelled."""
    text = (shell.folder / "m.yaml").read_text()
    deadline = text.replace("{strategy: fixed}", "{strategy: fixed, deadline: 100ms}")
    (shell.folder / "m.yaml").write_text(deadline)

    done = shell("impex-run", "m.yaml")

    assert (done.code, len(tenant.requests) > 0) == (5, True)
    assert done.err.splitlines()[-4:] == [
        "to resume:",
        "impex-run m.yaml",
        "to cancel the jobs that still run:",
        "impex cancel m.yaml",
    ]
