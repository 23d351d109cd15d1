"""Problems as GitHub shows them: beside the line of the file, by its workflow commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.errors import Problem

# What the runner takes for a command: the first where a line begins, the other anywhere.
_COMMAND = re.compile(r"^([^\S\n]*):(?=:)|##(?=\[)", re.MULTILINE)


def annotation(problem: Problem) -> str:
    """Return the workflow command for one problem."""
    properties = {
        "file": problem.file,
        "line": str(problem.line),
        "col": str(problem.column),
        "title": problem.path or "manifest",
    }
    written = ",".join(f"{name}={_escape_property(text)}" for name, text in properties.items())
    return f"::{problem.severity} {written}::{escape_data(problem.message)}"


def escape_data(text: str) -> str:
    """Return the data of a command, which ends with the line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    """Return a property of a command, which ends with a comma or a colon, too."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def without_commands(text: str) -> str:
    """Return text in which nothing is a command for the runner that shows it."""
    return _COMMAND.sub(lambda found: f"{found[1]}%3A" if found[1] is not None else "#%23", text)
