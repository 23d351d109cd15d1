"""Property: whatever is lost, refused or suspended, two runners never both write to one target."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

from fake_objects import START, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from spark_impex_runner.state.remote import ObjectStorage

RUNNERS = st.integers(0, 2)
TARGETS = st.sampled_from(["m/a", "m/b"])
FAULTS = st.lists(st.sampled_from(["lost", "failed", "repeated", ""]), max_size=3)


class Runner:
    """A process with a state; ``stacks`` are the locks that it holds."""

    def __init__(self, world: World) -> None:
        self.storage: ObjectStorage = world.storage()
        self.state = State(self.storage)
        self.stacks: dict[str, ExitStack] = {}


class Contention(RuleBasedStateMachine):
    """Three runners on one store, each of which may be killed, suspended or cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.runners = [Runner(self.world) for _ in range(3)]
        # Who has locked a target last, and the values that it may have: the last one is certain
        # unless its write had no reply.
        self.owners: dict[str, Runner] = {}
        self.values: dict[str, list[str]] = {}
        self.writes = 0

    @rule(runner=RUNNERS, name=TARGETS)
    def lock(self, runner: int, name: str) -> None:
        """Lock a target, perhaps by a take-over of an expired lease."""
        self._lock(self.runners[runner], name)

    def _lock(self, runner: Runner, target: str) -> None:
        if target in runner.stacks:
            return
        # Who lives renews its lease while another one waits for it.
        renewing = [each for each in self.runners if each is not runner and each.stacks]
        wait = runner.storage._clock.wait
        clock = runner.storage._clock

        def wait_and_renew(seconds: float) -> None:
            wait(seconds)
            for each in renewing:
                if self.world.count % 3:  # not each of them is quick enough
                    self._renew(each)

        clock.wait = wait_and_renew  # type: ignore[method-assign]
        stack = ExitStack()
        try:
            stack.enter_context(runner.storage.lease(target, START))
        except StateError:
            return
        finally:
            clock.wait = wait  # type: ignore[method-assign]
        runner.stacks[target] = stack
        self.owners[target] = runner

    @rule(runner=RUNNERS, name=TARGETS, vital=st.booleans())
    def write(self, runner: int, name: str, vital: bool) -> None:
        """Write to a target that the runner believes to own."""
        self._write(self.runners[runner], name, vital=vital)

    def _write(self, runner: Runner, target: str, *, vital: bool = False) -> None:
        if target not in runner.stacks:
            return
        self.writes += 1
        value = str(self.writes)
        try:
            runner.storage.check()
            if vital and runner.state.unfinished(target) is None:
                runner.state.intend(Intent("r", target, "acme", "fp", value), START)
            runner.state.store_value((target, "step", "value"), value)
        except StateError:
            if self.owners.get(target) is runner:
                self.values.setdefault(target, [""]).append(value)
            return
        assert self.owners[target] is runner, "a runner wrote to what another one owns"
        self.values[target] = [value]

    @rule(runner=RUNNERS, other=RUNNERS, name=TARGETS, seconds=st.sampled_from([1, 30, 61, 200]))
    def write_and_sleep(self, runner: int, other: int, name: str, seconds: int) -> None:
        """Suspend a runner in the middle of a write, while another one locks the target."""
        if runner == other:
            return

        def meanwhile() -> None:
            self.world.now += seconds
            self._lock(self.runners[other], name)
            self._write(self.runners[other], name)

        self.world.interrupt = meanwhile
        self._write(self.runners[runner], name)
        self.world.interrupt = None

    @rule(runner=RUNNERS, name=TARGETS)
    def unlock(self, runner: int, name: str) -> None:
        """End the work on a target."""
        stack = self.runners[runner].stacks.pop(name, None)
        if stack:
            with suppress(StateError):
                stack.close()

    @rule(runner=RUNNERS)
    def kill(self, runner: int) -> None:
        """Kill a runner; another process starts in its place."""
        self._end(self.runners[runner])
        self.runners[runner] = Runner(self.world)

    def _end(self, runner: Runner) -> None:
        runner.storage._objects.is_dead = True  # type: ignore[attr-defined]
        for stack in runner.stacks.values():
            with suppress(StateError):
                stack.close()
        runner.storage._rows.close()

    def teardown(self) -> None:
        """Leave no lock and no memory to the garbage collector."""
        for each in self.runners:
            self._end(each)

    @rule(runner=RUNNERS)
    def renew(self, runner: int) -> None:
        """Renew a lease."""
        self._renew(self.runners[runner])

    @staticmethod
    def _renew(runner: Runner) -> None:
        if runner.storage._lease:
            with suppress(StateError):
                runner.storage._lease.renew()

    @rule(seconds=st.sampled_from([1, 10, 30, 61]))
    def pass_time(self, seconds: int) -> None:
        """Let time pass, for all."""
        self.world.now += seconds

    @rule(faults=FAULTS)
    def break_network(self, faults: list[str]) -> None:
        """Lose the next writes on their way there or back."""
        self.world.faults = faults

    @invariant()
    def every_row_is_read_again(self) -> None:
        """Read the last value, or one whose write had no reply, in a process that starts now."""
        with closing(State(self.world.storage())) as state:
            for target, values in self.values.items():
                assert state.value((target, "step", "value")) in values


TestContention = Contention.TestCase
TestContention.settings = settings(max_examples=30, stateful_step_count=40)
