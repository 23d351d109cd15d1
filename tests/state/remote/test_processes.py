"""Real processes on a real server: killed, suspended, and taken over."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.state.remote import ObjectStorage
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from object_stores import StateStore

CONTENDER = Path(__file__).parents[2] / "support/contender.py"
TARGETS = ("m/a", "m/b", "m/c")
GOAL, KILLS = 30, 4


def value(store: StateStore, target: str) -> int:
    """Return the value of a target, as another process reads it."""
    with closing(State(ObjectStorage(store.url))) as state:
        return int(state.value((target, "step", "value")) or 0)


def test_contending_processes_write_each_number_once(
    s3_state: StateStore, start: Callable[..., Any]
) -> None:
    """Four processes on one state, some of which are killed: nothing is lost or written twice."""
    chance = random.Random(1)  # noqa: S311 - instants, not secrets
    kills = iter(range(KILLS))

    def work(_: int) -> list[tuple[str, ...]]:
        """Run one process after the other, until one of them is not killed."""
        lines = []
        while True:
            process = start(CONTENDER, s3_state.url, "2", GOAL, *chance.sample(TARGETS, 3))
            left = chance.randint(1, 12) if next(kills, None) is not None else -1
            for line in process.stdout:
                lines.append(tuple(line.split()))
                left -= 1
                if not left:
                    process.kill()
            if process.wait() == 0:
                assert not process.stderr.read()
                return lines

    with ThreadPoolExecutor(4) as pool:
        lines = [line for found in pool.map(work, range(4)) for line in found]

    assert not [line for line in lines if line[0] == "error"]
    written = Counter(line for line in lines if line[1] != "locked")
    assert written.most_common(1)[0][1] == 1
    assert {target: value(s3_state, target) for target in TARGETS} == dict.fromkeys(TARGETS, GOAL)
    # A write that was stored just before a kill had no reply.
    assert len(written) >= GOAL * len(TARGETS) - KILLS


def test_suspended_process_writes_nothing_more(
    s3_state: StateStore, start: Callable[..., Any]
) -> None:
    """SIGSTOP for longer than a lease: another process continues, and the sleeper sees that."""
    sleeper = start(CONTENDER, s3_state.url, "2", -9, "m/a", stdin=-1)
    assert sleeper.stdout.readline() == "m/a locked\n"
    os.kill(sleeper.pid, signal.SIGSTOP)
    other = start(CONTENDER, s3_state.url, "2", 9, "m/a")
    out, _ = other.communicate()
    assert out.split("\n")[-2] == "m/a 9"
    before = len(s3_state.requests())

    os.kill(sleeper.pid, signal.SIGCONT)
    out, err = sleeper.communicate()

    assert out.startswith(f"error lost the lease on {s3_state.url}"), (out, err)
    # It asks for its lease, and is refused.
    later = [each.split() for each in s3_state.requests()[before:]]
    assert not [each for each in later if each[0] == "PUT" and each[2] == "200"]
    assert value(s3_state, "m/a") == 9
