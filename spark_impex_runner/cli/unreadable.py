"""Name what a list of the state leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.state.store import State


def report_unreadable(state: State, context: CommandContext) -> int:
    """Print an error for each target or run that could not be read; return the exit code."""
    from spark_impex_runner.errors import StateError

    unreadable = state.storage.unreadable()
    for each in unreadable:
        context.console.error(each)
    return StateError.exit_code if unreadable else 0
