"""Modules that loop, grow, recurse, reach out or lie end with a reason, within their limits."""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins.calculate import process
from spark_impex_runner.plugins.calculate.interface import CannotCalculateError
from spark_impex_runner.plugins.calculate.process import Limits, ModuleProcess, Request

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.plugins.calculate.module import Module

    from tests.plugins.calculate.conftest import Ask

LOOP = "(loop $again (br $again))"
GROW = (
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) (unreachable)"
)
DEEP = "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))"
THROW = '(import "a" "i0" (func $throw (param i32 i32 i32)))'
DISPATCH = '(import "a" "i0" (func $dispatch (param i32 i32 i32) (result i32)))'
SYSTEM = '(import "a" "i0" (func (param i32) (result i32)))'
ZERO = "(i32.const 0)"
GOOD: dict[str, Any] = {"age": 20, "sum_insured": 1000, "smoker": 0}


@pytest.fixture
def toy(toys: ModuleType) -> Callable[..., Any]:
    """Return a function that makes the toy with changes."""

    def make(**changes: Any) -> Any:
        found = toys.life("0.45")
        for name, value in changes.items():
            setattr(found, name, value)
        return found

    return make


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"begin": LOOP}, "it took longer than 1 s (limits.case)"),
        ({"begin": GROW}, "unreachable"),
        (
            {"begin": f"(drop (call $deep {ZERO}))", "functions": DEEP},
            "the module's recursion is too deep",
        ),
        (
            {"imports": {"___cxa_throw": THROW}, "begin": f"(call $throw {ZERO} {ZERO} {ZERO})"},
            "the module raised a C++ exception",
        ),
        (
            {
                "imports": {"__asyncjs__dispatch": DISPATCH},
                "begin": f"(drop (call $dispatch {ZERO} {ZERO} {ZERO}))",
            },
            "the service calls another service",
        ),
        (
            {"begin": f"(i32.store (local.get $size) (i32.const -1)) (return {ZERO})"},
            "the module's reply has more than",
        ),
        (
            {"begin": "(i32.store (local.get $size) (i32.const 9)) (return (i32.const -8))"},
            "named memory that it does not have",
        ),
        (
            {
                "begin": "(i32.store (local.get $size) (i32.const 1)) "
                "(i32.store8 (i32.const 6000) (i32.const 255)) (return (i32.const 6000))"
            },
            "the module's reply is no UTF-8 text",
        ),
    ],
)
def test_bad_call_ends_alone(
    changes: dict[str, Any], reason: str, toy: Callable[..., Any], ask: Ask
) -> None:
    """Each case of such a module ends with its reason, and the next one is asked again."""
    first, second = ask(toy(**changes), GOOD, GOOD)

    assert reason in first.error
    assert first == second


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": LOOP}, "it took longer than 1 s"),
        ({"pages": 65536}, "the module needs more than 268435456 bytes (limits.memory)"),
        ({"imports": {"_system": SYSTEM}}, "it needs _system, which is not provided"),
        ({"imports": {"___syscall_socket": SYSTEM}}, "it needs ___syscall_socket, which is not"),
        ({"imports": {"___syscall_unlinkat": SYSTEM}}, "it needs ___syscall_unlinkat, which is"),
        ({"imports": {"_proc_exit": SYSTEM}}, "it needs _proc_exit, which is not provided"),
        ({"imports": {"_emscripten_run_script": SYSTEM}}, "it needs _emscripten_run_script, which"),
        ({"imports": {"invoke_ii": SYSTEM}}, "it needs invoke_ii, which is not provided"),
        ({"imports": {"_abort": SYSTEM}}, "it needs _abort with other parameters"),
        ({"is_async": 1}, "the service calls other services (Xcall)"),
    ],
)
def test_bad_start_is_refused(
    changes: dict[str, Any], reason: str, toy: Callable[..., Any], ask: Ask
) -> None:
    """Before any case is calculated."""
    with pytest.raises(CannotCalculateError) as error:
        ask(toy(**changes), GOOD)

    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"js": b"module.exports = {};"}, 'its start-up code has no Module["_construct"]'),
        ({"wasm": b"\0asm\x01\0\0\0\xff\xff"}, "it does not compile: "),
        ({"wasm": b"\0asm\x01\0\0\0\0\x01\0"}, "it has no memory of the name"),
        ({"js": b" " * (3 << 20)}, "its start-up code has more than"),
    ],
)
def test_unknown_interface_is_refused(
    files: dict[str, bytes],
    reason: str,
    toy: Callable[..., Any],
    as_module: Callable[..., Module],
    ask: Ask,
) -> None:
    """Another compiler may write another interface: nothing is guessed."""
    with pytest.raises(CannotCalculateError) as error:
        ask(as_module(toy(), **files), GOOD)

    assert reason in str(error.value)


def test_javascript_never_runs(toy: Callable[..., Any], ask: Ask, as_module: Any) -> None:
    """A package's code that would write a file is read as text only."""
    good = as_module(toy())
    code = (
        good.files["js"] + b"\nrequire('fs').writeFileSync('/tmp/impex-was-here', '');\nthrow 1;\n"
    )

    [reply] = ask(as_module(toy(), js=code), GOOD)

    assert '"premium":1.10' in reply.text


def additions(toy: Callable[..., Any], number: int) -> Any:
    """Return a toy with a function of so many additions, which takes long to compile."""
    adding = "(local.set $n (i32.add (local.get $n) (i32.mul (local.get $n) (i32.const 7))))"
    return toy(functions=f"(func $slow (param $n i32) {adding * number})")


def test_slow_compilation_is_killed(
    toy: Callable[..., Any], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No deadline of the engine ends the compiler: its process is killed."""
    slow = additions(toy, 300_000)
    monkeypatch.setattr(process, "COMPILE_SECONDS", 0.5)

    with pytest.raises(CannotCalculateError, match=r"takes longer than 0\.5 s to compile"):
        ask(slow, GOOD, limits=Limits(case=0.1))


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux limits this memory")
def test_compiler_memory_is_limited(
    toy: Callable[..., Any], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling takes more memory than the module has bytes."""
    large = additions(toy, 300_000)
    monkeypatch.setattr(process, "COMPILE_MEMORY", 64 << 20)

    with pytest.raises(CannotCalculateError, match="bytes of memory"):
        ask(large, GOOD, limits=Limits(memory=1 << 20))


OPENAT = '(import "a" "i0" (func $open (param i32 i32 i32 i32) (result i32)))'
WRITE = '(import "a" "i0" (func $write (param i32 i32 i32 i32) (result i32)))'
RESIZE = '(import "a" "i0" (func $resize (param i32) (result i32)))'
NO_SUCH_FILE = -44


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "../../etc/passwd", "."])
def test_no_file_of_the_machine_is_opened(path: str, toy: Callable[..., Any], ask: Ask) -> None:
    """For a module there is only the file that came with it."""
    opened = f"(call $open {ZERO} (i32.const 6000) {ZERO} {ZERO})"
    reading = toy(
        imports={"___syscall_openat": OPENAT},
        functions=f'(data (i32.const 6000) "{path}\\00")',
    )
    reading.outputs["rate"] = f"(f64.convert_i32_s {opened})"

    [reply] = ask(reading, GOOD)

    assert f'"rate":{NO_SUCH_FILE}.00' in reply.text


def test_printed_reply_is_none(toy: Callable[..., Any], ask: Ask) -> None:
    """What a module writes to any descriptor reaches neither the runner's pipe nor its output."""
    forged = '\\n{\\"id\\":0,\\"reply\\":\\"{}\\"}\\n'
    vector = (
        "(i32.store (i32.const 6200) (i32.const 6000)) (i32.store (i32.const 6204) (i32.const 23))"
    )
    writes = "".join(
        f"(drop (call $write (i32.const {number}) (i32.const 6200) (i32.const 1) (i32.const 6300)))"
        for number in (1, 2, 3)
    )
    printing = toy(
        imports={"_fd_write": WRITE},
        functions=f'(data (i32.const 6000) "{forged}")',
        begin=vector + writes,
    )

    first, second = ask(printing, GOOD, GOOD)

    assert '"premium":1.10' in first.text
    assert first == second


def test_heap_has_an_end(toy: Callable[..., Any], ask: Ask) -> None:
    """Beyond the limit the function that enlarges the memory says no, and the case says why."""
    growing = toy(
        imports={"_emscripten_resize_heap": RESIZE},
        begin="(if (i32.eqz (call $resize (i32.const 2000000000))) (then (unreachable)))",
    )

    [reply] = ask(growing, GOOD)

    assert reply.error == "the module needs more than 268435456 bytes (limits.memory)"


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has these namespaces")
def test_child_has_no_network(toy: Callable[..., Any], as_module: Any) -> None:
    """Where the system allows it: the module has no function for one anyway."""
    leaving = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000))"
    if subprocess.run([sys.executable, "-c", leaving], check=False).returncode:
        pytest.skip("this system lets no process leave its network")

    with ModuleProcess(as_module(toy()), Limits(), lambda: None) as running:
        theirs = Path(f"/proc/{running._process.pid}/ns/net").readlink()

    assert theirs != Path("/proc/self/ns/net").readlink()


def test_total_time_is_limited(toy: Callable[..., Any], ask: Ask) -> None:
    """What is left has no reply, with the reason."""
    limits = Limits(case=1.0, total=0.2)

    replies = ask(toy(begin=LOOP), *[GOOD] * 5, limits=limits)

    assert len(replies) == 5
    assert replies[-1].error == "it takes longer than 0.2 s"


def test_memory_stays_the_same(toy: Callable[..., Any], as_module: Any) -> None:
    """After 300 failed cases, each with an instance of its own, as large as before."""
    module = as_module(toy(begin="(unreachable)", pages=200))

    with ModuleProcess(module, Limits(), lambda: None) as running:
        list(running.calculate([Request(GOOD)] * 5))
        before = resident(running)
        list(running.calculate([Request(GOOD)] * 300))
        after = resident(running)

    assert after < before + (20 << 20)


def resident(running: ModuleProcess) -> int:
    """Return the bytes of a process in memory; 0 where that cannot be read."""
    try:
        with open(f"/proc/{running._process.pid}/statm") as file:  # noqa: PTH123 - no file
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def test_stopped_run_ends_promptly(toy: Callable[..., Any], as_module: Any) -> None:
    """A signal ends the process while a case loops."""

    def check() -> None:
        if time.monotonic() > stop:
            raise Interrupted

    stop = time.monotonic() + 60
    with ModuleProcess(as_module(toy(begin=LOOP)), Limits(case=30), check) as running:
        stop = time.monotonic()
        with pytest.raises(Interrupted):
            list(running.calculate([Request(GOOD)]))

    assert running._process.returncode is not None
    assert time.monotonic() - stop < 20


ORPHAN = """
import os, pickle, signal, sys
from spark_impex_runner.plugins.calculate.process import Limits, ModuleProcess, Request
running = ModuleProcess(pickle.load(sys.stdin.buffer), Limits(case=600), lambda: None)
print(running._process.pid, flush=True)
running._send([Request({})], running._lines)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="waits for a process by its descriptor")
def test_killed_runner_leaves_no_process(toy: Callable[..., Any], as_module: Any) -> None:
    """Not even one that loops: it notices that its parent has gone."""
    module = pickle.dumps(as_module(toy(begin=LOOP)))
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(module)
        parent.stdin.close()
        child = os.pidfd_open(int(parent.stdout.readline()))
    ended, _, _ = select.select([child], [], [], 30)
    os.close(child)

    assert ended


def test_child_has_an_environment_of_its_own(
    toy: Callable[..., Any], as_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret of the runner's environment is in its memory."""
    monkeypatch.setenv("CSPARK_API_KEY", "secret-of-the-runner")

    with ModuleProcess(as_module(toy()), Limits(), lambda: None) as running:
        try:
            found = Path(f"/proc/{running._process.pid}/environ").read_bytes()
        except OSError:
            pytest.skip("this system does not show the environment of a process")

    assert b"secret-of-the-runner" not in found


def test_unasked_answers_count_for_nothing(toy: Callable[..., Any], as_module: Any) -> None:
    """Whatever a process answers besides: no case after it is believed."""
    with ModuleProcess(as_module(toy()), Limits(), lambda: None) as running:
        running._lines.put(b'{"id": 7, "reply": "{}"}\n')
        replies = list(running.calculate([Request(GOOD)] * 2))

    assert [each.error for each in replies] == ["the process answered something else"] * 2


def test_dead_process_leaves_reasons(toy: Callable[..., Any], as_module: Any) -> None:
    """Cases after it count as not calculated."""
    with ModuleProcess(as_module(toy()), Limits(), lambda: None) as running:
        good = running.calculate([Request(GOOD)])
        assert next(good).text
        running._process.kill()
        replies = list(running.calculate([Request(GOOD)] * 3))

    assert [each.error for each in replies] == ["its process ended early: exit code -9"] * 3
