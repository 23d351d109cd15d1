"""Where the rows of a state are: what every storage, local or remote, promises to the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

from spark_impex_runner.errors import StateError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    # For ``?``, or for ``:name``. Python 3.12 takes ``?1`` for a name.
    Values = Sequence[Any] | Mapping[str, Any]
    Statement = tuple[str, Values]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows that are read and written together: those of one target, or of one run.

    A target has its rows of ``attempts`` (with those of its parts), ``outcomes``, ``artifacts``,
    ``steps``, ``parts``, ``holds``, ``approvals``, ``evidence`` and ``memories``; a run those of
    ``runs`` and ``run_targets``.
    """

    kind: Literal["target", "run"]
    key: str

    @classmethod
    def of_target(cls, key: str) -> Scope:
        """Return the scope of a target, or of the target that a part belongs to."""
        return cls("target", key.partition("#")[0])

    @classmethod
    def of_run(cls, run_id: str) -> Scope:
        """Return the scope of a run."""
        return cls("run", run_id)


# The rows of all targets.
ALL_TARGETS: Final = Scope("target", "")


class UnreadableError(StateError):
    """The rows of one target or run are damaged, or were written by a newer runner."""


class Storage(Protocol):
    """The rows of a state, in the schema of ``migrations``, with its locks and stop requests.

    Safe for threads. Every method raises ``StateError``, in one line with the place and what to do.
    The id of a row means something only to the storage that returned it, and without a lock only
    until the target is locked: read again after ``lease``. Opening a remote storage changes nothing
    in it, until the first write or lock.
    """

    @property
    def place(self) -> str:
        """The folder or URL, as the user gave it."""

    def prefetch(self, targets: Sequence[str]) -> None:
        """Read the rows of targets before they are asked for one after the other.

        A remote storage does so in parallel; for a local one there is nothing to do. What cannot be
        read raises no error before it is used.
        """

    def read(self, scope: Scope | None, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        """Return all rows of a query.

        ``scope`` names the rows that must be there; more may be. None means all targets and runs,
        as they were at most five seconds ago, and ``ALL_TARGETS`` the targets alone. That is slow
        on a remote storage: for commands that list, never in a target's usual way. It leaves out
        what is ``unreadable``; for one target or run that raises ``UnreadableError``.
        """

    def unreadable(self) -> tuple[str, ...]:
        """Return a line for each target or run that the reads of all have left out."""

    def write(self, scope: Scope, *statements: Statement) -> int:
        """Execute all statements in one transaction; return the id of the last inserted row.

        It survives a kill of the process and a power cut when this returns, and so does all that
        was written to the scope before. Statements that change nothing may be sent nowhere.
        An error does not mean that nothing was written: a remote storage may have lost the reply,
        and keeps the rows, which it sends with the next write or at the end of the lease.
        """

    def write_vital(self, scope: Scope, *statements: Statement) -> int:
        """Write what keeps a second job or import from being started.

        It is also in a copy of the state that was taken without its journal.
        """

    def write_later(self, scope: Scope, *statements: Statement) -> int:
        """Write what a killed run can do without.

        A local storage writes at once. A remote one may send it with the next write to the scope,
        at the latest at the end of the target's lease.
        """

    def lease(self, target: str, now: datetime) -> AbstractContextManager[None]:
        """Lock a target for the block, within ``run_lease`` or without one.

        That of a killed process becomes free. Raises ``LockedError`` if another runner works on
        the target.
        """

    def run_lease(self, run_id: str) -> AbstractContextManager[None]:
        """Mark a run as running for the block, also if it ends by a kill.

        A command has an empty id.
        """

    def is_running(self, run_id: str) -> bool:
        """Return whether the process of a run still works.

        Within a lease or ``run_lease`` clocks of machines do not matter.
        """

    def check(self) -> None:
        """Raise ``StateError`` if a lock of this process was lost; it may do nothing more then.

        Sends no request as long as the lock is fresh: it is asked before each action that others
        see, and at each status check.
        """

    def write_stop(self, run_id: str, signum: int) -> None:
        """Ask all processes of a run to stop as the signal does; an error is ignored."""

    def read_stop(self, run_id: str) -> int | None:
        """Return the signal that the processes of a run were asked to stop by; None without one.

        Another process may ask at any time, and this is called several times a second: a remote
        storage answers from what it read at most five seconds ago. None if it cannot be read.
        """

    def remove_stop(self, run_id: str) -> None:
        """Withdraw the request, so that a later run with the same id is not stopped."""

    def close(self) -> None:
        """Release files and connections."""


def read_as(
    storage: Storage, convert: Callable[[sqlite3.Row], R], scope: Scope, sql: str, values: Values
) -> list[R]:
    """Return the rows of a query as what they stand for.

    Raises ``UnreadableError`` if one of them is damaged.
    """
    rows = storage.read(scope, sql, values)
    try:
        return [convert(row) for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(
            f"{storage.place}: a record of {scope.kind} {scope.key} is damaged "
            f"({type(error).__name__}: {error}); restore a copy of the state, or use another one "
            "(--state) to start over: a job that still runs is then not resumed"
        ) from error
