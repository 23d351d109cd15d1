"""What a run may use of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """version: 1
connections:
  here: {base_url: "%s", jobs: 40, auth: {token: "${env:TOKEN}"}}
targets:
  - {name: t, folders: [motor], matrix: {n: [%s]}}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_open_file_limit_is_raised(shell: Any, tmp_path: Path) -> None:
    """Forty jobs at once hold more files than the soft limit of 32 that the run began with."""
    with Sandbox(tmp_path / "acme", Settings(job_limit=40, job_seconds=1)) as sandbox:
        numbers = ", ".join(map(str, range(40)))
        (shell.folder / "m.yaml").write_text(MANIFEST % (sandbox.base_url, numbers))
        code = "import sys; from spark_impex_runner.cli.main import run; run(sys.argv[1:])"
        command = ["bash", "-c", 'ulimit -Sn 32; exec "$@"', "-", sys.executable, "-c", code]
        done = subprocess.run(
            [*command, "m.yaml"],
            env={**os.environ, "TOKEN": sandbox.token},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
