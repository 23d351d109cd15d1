"""A step that meets a full disk says which one, whatever its plugin says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGIN = """
import errno
from pathlib import Path
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import StepError

@hookimpl
def impex_register(registry):
    registry.step("raw", "lets the error out")
    registry.step("named", "says it in its own words")

@hookimpl
def impex_run_step(job, step):
    error = OSError(errno.ENOSPC, "No space left on device", str(Path(__file__).with_name("x")))
    if step.uses == "raw":
        raise error
    raise StepError("cannot write x") from error
"""


@pytest.mark.parametrize("uses", ["raw", "named"])
def test_full_disk_is_named(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Path, uses: str
) -> None:
    """In the target's error and in the step's result."""
    plugin = tmp_path / "writes.py"
    plugin.write_text(PLUGIN)

    result = only(
        run(
            serve(),
            f"- {{name: a, folders: [life], steps: [{{uses: {uses}}}]}}",
            plugin_files=[plugin],
        )
    )

    assert " bytes are free at /" in result.error
    assert result.error == f"step {uses}: {result.steps[0].message}"
