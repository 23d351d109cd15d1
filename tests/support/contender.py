"""A process that contends for targets of a state on an object store; each write adds one.

``python contender.py URL WORTH GOAL TARGET…`` prints what it has locked and each write that the
store has confirmed, and ends when each target has reached the goal. A lease is worth so many
seconds. A line on its standard input is waited for before the writes where GOAL is negative.
"""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime, timezone

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.remote.storage import ObjectStorage
from spark_impex_runner.state.remote.timing import Timing
from spark_impex_runner.state.store import State

# Writes with one lock, so that others have their turn.
_TURN = 5


def contend(state: State, target: str, goal: int) -> bool:
    """Add some to a target's value; return True once it has reached the goal."""
    key = (target, "step", "value")
    with state.storage.lease(target, datetime.now(timezone.utc)):
        say(target, "locked")
        if goal < 0:
            sys.stdin.readline()
        for _ in range(_TURN):
            number = int(state.value(key) or 0)
            if number >= abs(goal):
                return True
            state.storage.check()
            state.store_value(key, str(number + 1))
            say(target, str(number + 1))
    return False


def say(*words: str) -> None:
    """Print a line at once."""
    print(*words, flush=True)  # noqa: T201


def main(url: str, worth: str, goal: str, *targets: str) -> None:
    """Work until all is done, or the lease is lost."""
    seconds = float(worth)
    timing = Timing(seconds, seconds / 4, seconds / 10)
    open_targets = list(targets)
    with closing(State(ObjectStorage(url, timing=timing))) as state:
        while open_targets:
            target = open_targets.pop(0)
            try:
                if not contend(state, target, int(goal)):
                    open_targets.append(target)
            except StateError as error:
                if "is locked by" not in str(error):
                    say("error", str(error))
                    return
                open_targets.append(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
