"""``impex sandbox`` serves a folder, says how to reach it, and refuses what it cannot serve."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "error: nowhere cannot be served: No such file"),
        (["acme", "--ending", "well"], "'well' is not one of"),
        (["acme", "--hash-form", "crc"], "'crc' is not one of"),
        (["acme", "--port", "99999"], "99999 is not within"),
        (["acme", "--fault", "status@1=explode"], "'explode' is not an HTTP status or one of"),
    ],
)
def test_unusable_sandbox_exits_with_2(shell: Any, args: list[str], message: str) -> None:
    """The line says what is wrong and, for a choice, what is allowed."""
    done = shell("impex", "sandbox", *args)

    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_printed_variables_reach_sandbox(tmp_path: Path, start: Any) -> None:
    """A real process: its lines are a shell's, its faults happen, Ctrl-C ends it."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    code = "from spark_impex_runner.cli.main import main; main()"
    args = ["sandbox", str(tmp_path / "acme"), "--fault", "describe@1=503"]
    process = start("-c", code, *args)
    printed = "".join(process.stdout.readline() for _ in range(5))
    values = dict(re.findall(r"(CSPARK_\w+)=(\S+)", printed))
    url = f"{values['CSPARK_BASE_URL']}/api/v4/export/status"
    headers = {"Authorization": f"Bearer {values['CSPARK_BEARER_TOKEN']}"}
    seen = [requests.get(url, headers=headers, timeout=100).status_code for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, output = process.communicate()

    assert seen == [503, 200]
    assert process.returncode == 130
    assert "Traceback" not in output
