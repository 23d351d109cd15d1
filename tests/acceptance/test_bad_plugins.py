"""Errors name the plugin that caused them, and work without that plugin succeeds.

Each bad plugin is a distribution with an entry point, as pip leaves it: ``impex-bad``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.hooks.validation import HOOKS
from spark_impex_runner.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEAD = "version: 1\nconnections: {here: {sandbox: acme}}\n"
PLAIN = HEAD + (
    "targets: [{name: one, services: [motor/pricing], steps: [{uses: checksum}],\n"
    "  polling: {strategy: fixed}, retry_interval: 10ms}]\n"
)
NOBODY = PLAIN.replace("targets", "requires: {plugins: []}\ntargets")
OURS = PLAIN.replace("checksum", "bad")
LABEL = "plugin bad (impex-bad)"
# For a child: a call counts as slow after a twentieth of a second.
CHILD = (
    "from spark_impex_runner.hooks import monitor\n"
    "monitor._LOADING_SECONDS = monitor._HOOK_SECONDS = 0.05; monitor._CHECK_SECONDS = 0.01\n"
    "from spark_impex_runner.cli.main import main; main()\n"
)


@dataclass(frozen=True)
class Finished:
    """The result of a command: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A folder with a tenant and manifests, in which a bad plugin is installed."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def install(self, code: str) -> None:
        """Install the distribution, as pip would."""
        code = f"from spark_impex_runner import hookimpl\n{textwrap.dedent(code)}"
        (self.folder / "impex_bad.py").write_text(code)
        info = self.folder / "impex_bad-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: impex-bad\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[impex_runner]\nbad = impex_bad\n")

    def __call__(self, *words: str) -> Finished:
        """Run ``impex …``."""
        sys.modules.pop("impex_bad", None)
        with pytest.raises(SystemExit) as exit_:
            main.main(list(words))
        captured = self.capsys.readouterr()
        return Finished(int(exit_.value.code or 0), captured.out, captured.err)

    def run(self, manifest: str, *words: str) -> Finished:
        """Run a manifest."""
        (self.folder / "m.yaml").write_text(manifest)
        return self("run", "m.yaml", "--fresh", *words)


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    """Return the folder, on Python's path."""
    (tmp_path / "acme/motor/pricing/1.0.0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Place(tmp_path, capsys)
    sys.modules.pop("impex_bad", None)


REGISTER = "@hookimpl\ndef impex_register(registry):\n    "
NOT_LOADED = {
    "raises at import": ("raise OSError('no disk')", "import failed: OSError: no disk"),
    "exits at import": ("import sys; sys.exit(0)", "import failed: SystemExit: 0"),
    "is no Python": ("def (", "import failed: SyntaxError: invalid syntax"),
    "lacks a library": (
        "import no_such_library",
        "import failed: ModuleNotFoundError: No module named 'no_such_library'",
    ),
    "raises at registration": (
        f"{REGISTER}registry.step('bad', 'Bad.'); 1 / 0",
        "impex_register failed: ZeroDivisionError: division by zero",
    ),
    "exits at registration": (
        f"{REGISTER}raise SystemExit('bye')",
        "impex_register failed: SystemExit: bye",
    ),
    "offers nonsense": (f"{REGISTER}registry.step(7, 'Bad.')", "it offers a step named 7, which"),
    "offers what is taken": (
        f"{REGISTER}registry.step('bad', 'Bad.'); registry.step('unzip', 'Mine.')",
        "it offers 'unzip', which spark-impex-runner already offers",
    ),
    "misspells a hook": (
        "@hookimpl\ndef impex_run_steps(job):\n    return []",
        "there is no hook impex_run_steps (did you mean 'impex_run_step'?)",
    ),
    "misspells an argument": (
        "@hookimpl\ndef impex_run_step(jobb):\n    return []",
        "impex_run_step takes an argument 'jobb' (did you mean 'job'?); impex_run_step has job,",
    ),
    "forgets the mark": (
        "def impex_run_step(job):\n    return []",
        "impex_run_step is never called: it is not marked with @hookimpl",
    ),
    "is async": (
        "@hookimpl\nasync def impex_run_step(job):\n    return []",
        "impex_run_step is 'async def'; hooks are plain functions",
    ),
}


@pytest.mark.parametrize("kind", NOT_LOADED)
def test_unloadable_plugin_is_named(place: Place, kind: str) -> None:
    """The list of plugins and the errors of its users give the reason; others do not see it."""
    code, reason = NOT_LOADED[kind]
    place.install(code)

    listed = place("plugins")
    [row] = (row for row in json.loads(place("plugins", "--json").out) if row["name"] == "bad")
    using, requiring = (
        place.run(OURS),
        place.run(OURS.replace("tar", "requires: {plugins: [impex-bad]}\ntar")),
    )
    other = place.run(PLAIN)

    assert f"bad 1.2 pip LEFT OUT: {reason}" in " ".join(listed.out.split())
    assert (listed.code, row["distribution"], row["version"]) == (0, "impex-bad", "1.2")
    assert row["error"].startswith(reason)
    assert using.code == requiring.code == 7
    assert f"left out: bad (impex-bad): {reason}" in using.err
    assert f"{LABEL} cannot be used: {reason}" in requiring.err
    assert (other.code, "impex-bad" in other.err + other.out) == (0, False)


def test_broken_schema_is_named(place: Place) -> None:
    """Options that are no JSON Schema fail only manifests with the step."""
    place.install(f"{REGISTER}registry.step('bad', 'Bad.', {{'type': 'objekt'}})")

    assert place.run(PLAIN).code == 0
    using = place.run(OURS)
    assert using.code == 7
    assert "plugin impex-bad: the options schema of 'bad'" in using.err


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "failed to check 'motor/pricing' as mine: ZeroDivisionError: division by zero"),
        ("raise SystemExit('bye')", "failed to check 'motor/pricing' as mine: SystemExit: bye"),
        (
            "return 7",
            "check of 'motor/pricing' as mine returned 7 instead of text or None; it came",
        ),
    ],
)
def test_failing_resolver_is_named(place: Place, body: str, words: str) -> None:
    """It fails the validation of every manifest, unless it is blocked."""
    place.install(
        f"def check(entry, folder):\n    {body}\n"
        f"{REGISTER}registry.resolver('mine', 'Mine.', check)"
    )

    done = place.run(PLAIN)

    assert done.code == 7
    assert words in done.err
    assert "plugin impex-bad" in done.err
    assert "; -p no:impex-bad runs without it" in done.err
    assert place.run(PLAIN, "-p", "no:impex-bad").code == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise SystemExit('hunter2')", "the source 'mine' failed with SystemExit on 'key'"),
        ("raise OSError('hunter2')", "the source 'mine' failed with OSError on 'key'"),
        ("return 7", "the source 'mine' gave no text"),
    ],
)
def test_failing_source_is_named(place: Place, body: str, words: str) -> None:
    """Its message may contain a secret, so it is not shown."""
    place.install(f"def read(key):\n    {body}\n{REGISTER}registry.source('mine', 'Mine.', read)")
    using = PLAIN.replace("name: one", "name: one, source_system: '${mine:key}'")

    done = place.run(using)

    assert done.code == 7
    assert f"plugin impex-bad: {words}" in done.err
    assert "hunter2" not in done.err
    assert place.run(PLAIN).code == 0


# Every hook that decides something for everybody, with an answer that makes no sense.
NONSENSE = {
    "impex_resolve_uri": "7",
    "impex_poll_delay": "'soon'",
    "impex_poll_verdict": "'done'",
    "impex_download_path": "'/etc/passwd'",
    "impex_run_step": "['x']",
    "impex_run_job": "7",
}
RAISES = "raise RuntimeError('one\\n\\ntwo')", "RuntimeError: one two"
EXITS = "import sys; sys.exit('bye')", "SystemExit: bye"


def misbehave(hook: str, body: str) -> str:
    """Return a plugin that does ``body`` in a hook."""
    return f"@hookimpl\ndef {hook}():\n    {body}\n"


WAYS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "by its name": (PLAIN, ("-p", "no:bad"), {}),
    "by its distribution": (PLAIN, ("-p", "no:impex-bad"), {}),
    "by the manifest": (NOBODY, (), {}),
    "by who is allowed": (PLAIN, (), {"IMPEX_PLUGINS": ""}),
    "by who is not": (PLAIN, (), {"IMPEX_DISABLE_PLUGINS": "impex-bad"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_blocked_plugin_does_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """None of its code runs, so the run succeeds as without it."""
    manifest, words, variables = WAYS[way]
    place.install("import os; os._exit(1)")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)

    assert place.run(manifest, *words).code == 0


@pytest.mark.parametrize(("body", "words"), [RAISES, EXITS], ids=["raises", "exits"])
@pytest.mark.parametrize("hook", [*NONSENSE, "impex_check_download"])
def test_raising_hook_names_its_plugin(place: Place, hook: str, body: str, words: str) -> None:
    """The job fails in one line that also says how to run without the plugin."""
    place.install(misbehave(hook, body))

    done = place.run(PLAIN, "-q")

    line = f"{LABEL} failed in {hook}: {words}; -p no:bad runs without it"
    assert line in done.err + done.out
    assert done.code in {4, 7}
    assert "Traceback" not in done.err


@pytest.mark.parametrize("hook", NONSENSE)
def test_invalid_answer_names_its_plugin(place: Place, hook: str) -> None:
    """The error names the hook, the answer and the plugin."""
    place.install(misbehave(hook, f"return {NONSENSE[hook]}"))

    done = place.run(PLAIN, "-q")

    assert f"{hook} answered {NONSENSE[hook]} instead of " in done.err + done.out
    assert f"; it came from {LABEL}; -p no:bad runs without it" in done.err + done.out
    assert done.code in {4, 7}


@pytest.mark.parametrize(("body", "words"), [RAISES, EXITS], ids=["raises", "exits"])
@pytest.mark.parametrize("hook", ["impex_job_changed", "impex_run_started", "impex_run_finished"])
def test_raising_observer_only_warns(place: Place, hook: str, body: str, words: str) -> None:
    """An observer cannot fail a run."""
    place.install(misbehave(hook, body))

    done = place.run(PLAIN)

    line = f"{LABEL} failed in {hook}: {words}; -p no:bad runs without it; the run continues"
    assert done.code == 0
    assert line in done.err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (RAISES[0], f"{LABEL} failed in impex_plan_step: {RAISES[1]}; -p no:bad runs without it"),
        (
            "return 7",
            f"impex_plan_step answered 7 instead of a line of text; it came from {LABEL}",
        ),
    ],
)
def test_failing_dry_run_names_its_plugin(place: Place, body: str, said: str) -> None:
    """The rest of the plan is printed, and a run does not call the hook."""
    place.install(misbehave("impex_plan_step", body))
    assert place.run(PLAIN).code == 0

    done = place("plan", "m.yaml", "--fresh")

    assert f"fails    checksum: {said}" in done.out
    assert done.code == 2


# Hooks that are asked of some targets only.
SELDOM = {"impex_unchanged": "skip_unchanged: true", "impex_split_job": "max_package: 1B"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (RAISES[0], f"{RAISES[1]}; -p no:bad runs without it"),
        (EXITS[0], f"{EXITS[1]}; -p no:bad runs without it"),
        ("return 7", f"it came from {LABEL}; -p no:bad runs without it"),
    ],
)
@pytest.mark.parametrize("hook", SELDOM)
def test_failing_rare_hook_names_its_plugin(
    place: Place, monkeypatch: pytest.MonkeyPatch, hook: str, body: str, said: str
) -> None:
    """A target that needs the hook fails in one line; another one is delivered."""
    place.install(misbehave(hook, body))
    with Sandbox(place.folder / "acme") as tenant:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", tenant.token)
        plain = PLAIN.replace("sandbox: acme", f"base_url: '{tenant.base_url}'")
        (place.folder / "m.yaml").write_text(
            plain.replace("name: one", f"name: one, {SELDOM[hook]}")
        )
        place("run", "m.yaml", "-p", "no:bad")

        done = place("run", "m.yaml", "-q")

        assert hook in done.err + done.out
        assert said in done.err + done.out
        assert done.code in {4, 7}
        assert place.run(plain).code == 0


def test_every_hook_is_covered() -> None:
    """A new hook needs a bad plugin in this file, too."""
    observers = {"impex_job_changed", "impex_run_started", "impex_run_finished"}
    others = {"impex_register", "impex_plan_step", "impex_check_download"}

    assert set(HOOKS) == {*NONSENSE, *SELDOM, *observers, *others}


@pytest.fixture
def impex(place: Place, start: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts ``impex …`` as a process."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place.folder), *sys.path])}
    return partial(start, "-c", CHILD, env=environ)


def read_until(child: Any, words: str) -> str:
    """Return the line of a process's stderr that contains a text."""
    for line in child.stderr:
        if words in line:
            return str(line)
    raise AssertionError(f"no line has {words!r}")


HANGS = "import threading; threading.Event().wait()"
HANGING = {
    "import": HANGS,
    "impex_register(registry=impex-bad)": f"{REGISTER}{HANGS}",
    "impex_resolve_uri": misbehave("impex_resolve_uri", HANGS),
    "impex_poll_delay": misbehave("impex_poll_delay", HANGS),
    "impex_run_step": misbehave("impex_run_step", HANGS),
    "impex_job_changed": misbehave("impex_job_changed", HANGS),
}


@pytest.mark.parametrize("where", HANGING)
def test_hanging_plugin_ends_by_two_signals(
    place: Place, impex: Callable[..., Any], where: str
) -> None:
    """Python cannot end the thread: the run names the plugin, and a second signal exits."""
    place.install(HANGING[where])
    (place.folder / "m.yaml").write_text(PLAIN)
    child = impex("run", "m.yaml")

    line = read_until(child, f"{LABEL} has been in {where} for ")
    child.send_signal(signal.SIGINT)
    read_until(child, "press Ctrl-C again")
    child.send_signal(signal.SIGINT)

    assert line.endswith(" s; -p no:bad runs without it\n")
    assert child.wait() == 130


def test_one_signal_ends_read_only_commands(place: Place, impex: Callable[..., Any]) -> None:
    """They have started nothing that must be cleaned up."""
    place.install(HANGS)
    child = impex("plugins")

    read_until(child, f"{LABEL} has been in import for ")
    child.send_signal(signal.SIGINT)

    assert "interrupted by SIGINT" in read_until(child, "error: ")
    assert child.wait() == 130
