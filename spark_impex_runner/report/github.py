"""Write problems as workflow commands, which GitHub shows beside the line of the file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.errors import Problem

# GitHub's runner reads `::` at the start of a line, and `##[` anywhere, as a command.
_COMMAND = re.compile(r"^([^\S\n]*):(?=:)|##(?=\[)", re.MULTILINE)


def is_job() -> bool:
    """Return whether this process runs in a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(problem: Problem) -> str:
    """Return the workflow command for one problem."""
    properties = {
        "file": problem.file,
        "line": str(problem.line),
        "col": str(problem.column),
        "title": problem.path or "manifest",
    }
    written = ",".join(f"{name}={escape_property(text)}" for name, text in properties.items())
    return f"::{problem.severity} {written}::{escape_data(problem.message)}"


def escape_data(text: str) -> str:
    """Return a text escaped as the data of a command, which ends with the line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Return a text escaped as a property, which ends at a comma or colon, too."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def without_commands(text: str) -> str:
    """Return a text in which GitHub's runner finds no command."""
    return _COMMAND.sub(lambda found: f"{found[1]}%3A" if found[1] is not None else "#%23", text)
