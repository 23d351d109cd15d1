"""Which plugins are let in, and what becomes of those that misbehave."""

from __future__ import annotations

import functools
import locale
import logging
import signal
import sys
import textwrap
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import JobError, PluginError, StepError, UsageError
from spark_impex_runner.hooks import discovery
from spark_impex_runner.hooks.discovery import BUILT_IN, ESSENTIAL, PluginChoice, check_choice
from spark_impex_runner.hooks.manager import PluginManager, Plugins, make_plugin_manager
from spark_impex_runner.hooks.specs import hookimpl
from spark_impex_runner.hooks.validation import check, implementations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def nothing() -> None:
    """Do nothing."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Give a function that installs a distribution with one entry point, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def run(name: str, code: str, version: str = "1.0") -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[impex_runner]\n{name} = {module}\n")

    yield run
    for module in {name for name in sys.modules if name.startswith("impex_")} - before:
        del sys.modules[module]


def info(plugins: Plugins, name: str) -> Any:
    """Return what the manager says of one plugin."""
    return next(info for info in plugins.infos if info.name == name)


GOOD = """
    from spark_impex_runner import hookimpl

    @hookimpl
    def impex_register(registry):
        registry.step("shout", "Says it loudly.")
"""


def test_built_ins_offer_their_steps() -> None:
    """Without any choice the built-in plugins are there."""
    plugins = make_plugin_manager()

    assert {"checksum", "unzip"} <= set(plugins.registry.steps)
    assert {"adaptive", "fixed", "exponential"} <= set(plugins.registry.strategies)
    assert not [info for info in plugins.infos if info.error]


@pytest.mark.parametrize("name", [*BUILT_IN, ESSENTIAL[0]])
def test_built_ins_implement_hooks_as_they_are(name: str) -> None:
    """Only other plugins are checked when they are loaded."""
    plugins = make_plugin_manager()
    plugin = plugins.manager.get_plugin(name).original

    found = implementations(plugins.manager, plugin)

    check(plugin, found)
    assert tuple(sorted({each.hook for each in found})) == info(plugins, name).hooks


@pytest.mark.parametrize(
    "value", [None, "text", dict, GOOD, functools.partial(print), hookimpl(nothing)]
)
def test_only_marked_functions_are_hooks(value: object) -> None:
    """As pluggy finds them, without its long look at everything else that a module has."""
    module = ModuleType("plugin")
    module.impex_register = value  # type: ignore[attr-defined]
    manager = PluginManager()

    found = manager.parse_hookimpl_opts(module, "impex_register")

    assert found == pluggy.PluginManager.parse_hookimpl_opts(manager, module, "impex_register")
    assert (found is not None) == hasattr(value, "impex_runner_impl")


def test_installed_plugin_has_name_and_version(
    install: Callable[..., None],
) -> None:
    """A pip-installed distribution takes part, and its offers carry its name."""
    install("impex-shout", GOOD, "1.2")

    plugins = make_plugin_manager()

    assert plugins.registry.steps["shout"].provider == "impex-shout"
    assert (info(plugins, "impex-shout").version, info(plugins, "impex-shout").origin) == (
        "1.2",
        "pip",
    )


def test_blocked_plugin_is_not_loaded() -> None:
    """``-p no:NAME`` keeps a plugin out; its steps are unknown then."""
    plugins = make_plugin_manager(PluginChoice(blocked=frozenset({"checksum"})))

    assert "checksum" not in plugins.registry.steps


@pytest.mark.parametrize("name", ["defaults", "spark-impex-runner"])
def test_essential_defaults_cannot_be_blocked(name: str) -> None:
    """Blocking a plugin that the runner needs is an error of one line."""
    with pytest.raises(UsageError) as caught:
        make_plugin_manager(PluginChoice(blocked=frozenset({name})))

    assert str(caught.value) == (
        f"the runner cannot do without its plugin defaults, but -p no:{name} blocks it"
    )


def names(**environment: str) -> set[str]:
    """Return the names of the plugins that are let in under these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, text in environment.items():
            patch.setenv(variable, text)
        return {info.name for info in make_plugin_manager().infos}


BUILT_INS = {*BUILT_IN, ESSENTIAL[0]}


@pytest.mark.parametrize(
    ("variables", "let_in"),
    [
        ({}, {"impex-shout", "impex-loud"}),
        ({"IMPEX_PLUGINS": ""}, set()),
        ({"IMPEX_PLUGINS": "impex-shout"}, {"impex-shout"}),
        ({"IMPEX_PLUGINS": " Impex_Loud , "}, {"impex-loud"}),
        ({"IMPEX_DISABLE_PLUGINS": "impex-shout"}, {"impex-loud"}),
        (
            {"IMPEX_PLUGINS": "impex-shout,impex-loud", "IMPEX_DISABLE_PLUGINS": "impex.loud"},
            {"impex-shout"},
        ),
    ],
)
def test_environment_lists_allowed_plugins(
    install: Callable[..., None], variables: dict[str, str], let_in: set[str]
) -> None:
    """``IMPEX_PLUGINS`` lets in what it names, ``IMPEX_DISABLE_PLUGINS`` keeps out; ours stay."""
    install("impex-shout", "")
    install("impex-loud", "")

    assert names(**variables) == let_in | BUILT_INS


def test_disallowed_plugin_runs_no_code(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that is not allowed is not imported, so it can do nothing at all."""
    install("impex-shout", "import no_such_module")
    monkeypatch.setenv("IMPEX_PLUGINS", "")

    plugins = make_plugin_manager()

    assert not [info for info in plugins.infos if info.error]


def test_environment_covers_local_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives ``-p FILE`` wants it; a file beside a manifest is somebody else's code."""
    mine, theirs = tmp_path / "mine.py", tmp_path / "theirs.py"
    for path in (mine, theirs):
        path.write_text("")
    monkeypatch.setenv("IMPEX_PLUGINS", "")

    plugins = make_plugin_manager(PluginChoice(files=(mine,), local=(theirs,)))

    assert {"mine", "theirs"} & {info.name for info in plugins.infos} == {"mine"}


@pytest.mark.parametrize(
    ("variables", "blocked", "why"),
    [
        ({"IMPEX_PLUGINS": "impex-other"}, (), "IMPEX_PLUGINS does not name it"),
        ({"IMPEX_DISABLE_PLUGINS": "Impex-Shout"}, (), "IMPEX_DISABLE_PLUGINS blocks it"),
        ({}, ("impex_shout",), "-p no:impex_shout blocks it"),
    ],
)
def test_blocked_requirement_exits_7(
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    blocked: tuple[str, ...],
    why: str,
) -> None:
    """The strictest wins, and says so."""
    install("impex-shout", GOOD)
    for variable, text in variables.items():
        monkeypatch.setenv(variable, text)

    with pytest.raises(PluginError) as caught:
        check_choice(PluginChoice(required=["impex-shout"], blocked=frozenset(blocked)))

    assert str(caught.value) == f"the manifest requires plugin impex-shout, but {why}"
    assert caught.value.exit_code == 7


def test_unknown_name_warns_with_suggestion(
    install: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A misspelt name blocks nothing, which somebody should hear."""
    install("impex-shout", GOOD)
    monkeypatch.setenv("IMPEX_DISABLE_PLUGINS", "1")
    monkeypatch.setenv("IMPEX_PLUGINS", "impex-shot,checksum")

    make_plugin_manager(PluginChoice(blocked=frozenset({"unzip"})))

    assert caplog.messages == [
        "IMPEX_DISABLE_PLUGINS: '1' names no plugin",
        "IMPEX_PLUGINS: 'impex-shot' names no plugin (did you mean 'impex-shout'?)",
    ]


def test_only_required_distributions_load(install: Callable[..., None]) -> None:
    """With ``requires.plugins`` nothing else that is installed runs a line of code."""
    install("impex-shout", GOOD)
    install("impex-other", "raise SystemError('must not be imported')")

    plugins = make_plugin_manager(PluginChoice(required=["Impex_Shout>=1"]))

    assert "shout" in plugins.registry.steps
    assert "impex-other" not in {info.name for info in plugins.infos}


@pytest.mark.parametrize(
    ("requirement", "output"),
    [
        ("impex-none", "plugin impex-none is not installed; pip install 'impex-none'"),
        ("impex-shout>=2", "plugin impex-shout 1.0 is installed but the manifest requires"),
        ("not a requirement!", "requires.plugins: 'not a requirement!' is not a requirement"),
    ],
)
def test_unmet_requirement_exits_7_with_hint(
    install: Callable[..., None], requirement: str, output: str
) -> None:
    """A missing or too old plugin is named with the command that mends it."""
    install("impex-shout", GOOD)

    with pytest.raises(PluginError) as caught:
        check_choice(PluginChoice(required=[requirement]))

    assert str(caught.value).startswith(output)
    assert caught.value.exit_code == 7


MISBEHAVIOUR = {
    "import": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "syntax": ("def (", "SyntaxError"),
    "register": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_register(registry):
            registry.step("half", "Never there.")
            raise KeyError("boom")
        """,
        "KeyError: 'boom'",
    ),
    "misspelt": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_poll_dely(job):
            return 1
        """,
        "there is no hook impex_poll_dely (did you mean 'impex_poll_delay'?)",
    ),
    "misspelt name of another hook": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl(specname="impex_run_stp")
        def mine(job):
            return 1
        """,
        "there is no hook impex_run_stp (did you mean 'impex_run_step'?)",
    ),
    "unmarked": (
        """
        def impex_run_step(job):
            return []
        """,
        "impex_run_step is never called: it is not marked with @hookimpl",
    ),
    "argument": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_poll_delay(jobs):
            return 1
        """,
        "takes an argument 'jobs' (did you mean 'job'?); impex_poll_delay has job, poll",
    ),
    "default": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_poll_delay(job, poll=None):
            return 1
        """,
        "impex_poll_delay takes 'poll' by keyword only or with a default value",
    ),
    "async": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        async def impex_run_step(job):
            return []
        """,
        "impex_run_step is 'async def'; hooks are plain functions",
    ),
    "async by another name": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl(specname="impex_run_step")
        async def run_it(job):
            return []
        """,
        "run_it is 'async def'; hooks are plain functions",
    ),
    "async generator": (
        """
        from functools import wraps
        from spark_impex_runner import hookimpl

        async def slow(job):
            yield 1

        @hookimpl
        @wraps(slow)
        def impex_run_step(job):
            return slow(job)
        """,
        "impex_run_step is 'async def'; hooks are plain functions",
    ),
    "wrapper without a yield": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl(wrapper=True)
        def impex_run_job(job):
            return 1
        """,
        "impex_run_job is a wrapper without a yield",
    ),
    "exit at import": ("raise SystemExit(3)", "import failed: SystemExit: 3"),
    "other exit at import": (
        "import asyncio\nraise asyncio.CancelledError('now')",
        "import failed: CancelledError: now",
    ),
    "exit at registration": (
        """
        import sys
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_register(registry):
            registry.step("half", "Never there.")
            sys.exit("enough")
        """,
        "impex_register failed: SystemExit: enough",
    ),
    "twice": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_register(registry):
            registry.step("half", "One.")
            registry.step("half", "Another.")
        """,
        "it offers the step 'half' twice",
    ),
    "several lines": ("raise RuntimeError('one\\n\\ntwo')", "RuntimeError: one two"),
    "taken notifier": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_register(registry):
            registry.report("half", "Never there.", str)
            registry.notifier("webhook", "Mine.", None, print)
        """,
        "it offers 'webhook', which spark-impex-runner already offers",
    ),
    "taken": (
        """
        from spark_impex_runner import hookimpl

        @hookimpl
        def impex_register(registry):
            registry.step("checksum", "Mine.")
        """,
        "it offers 'checksum', which spark-impex-runner already offers",
    ),
}


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_broken_plugin_is_left_out(install: Callable[..., None], kind: str) -> None:
    """Whatever a plugin does while loading, the others work and it is listed with its reason."""
    code, reason = MISBEHAVIOUR[kind]
    install("impex-broken", code)
    install("impex-shout", GOOD)

    plugins = make_plugin_manager()

    assert reason in info(plugins, "impex-broken").error
    assert "half" not in {**plugins.registry.steps, **plugins.registry.reports}
    assert {"shout", "checksum"} <= set(plugins.registry.steps)
    assert not plugins.manager.has_plugin("impex-broken")


def test_broken_requirement_ends_the_run(install: Callable[..., None]) -> None:
    """What the manifest requires must load: exit 7 with the distribution's name."""
    install("impex-broken", "raise RuntimeError('boom')")

    with pytest.raises(
        PluginError, match=r"impex-broken.* cannot be used: import failed: RuntimeError: boom"
    ):
        make_plugin_manager(PluginChoice(required=["impex-broken"]))


def test_duplicate_names_are_reported(install: Callable[..., None], tmp_path: Path) -> None:
    """The second of a name is refused instead of being dropped in silence."""
    install("impex-shout", GOOD)
    twin = tmp_path / "impex-shout.py"
    twin.write_text("")

    with pytest.raises(PluginError, match="a plugin named impex-shout is loaded already"):
        make_plugin_manager(PluginChoice(files=(twin,)))


def test_second_distribution_is_left_out(install: Callable[..., None], tmp_path: Path) -> None:
    """Pluggy would drop it in silence; it is named, with how to choose the other."""
    install("impex-one", GOOD)
    install("impex-two", GOOD)
    for name in ("one", "two"):
        points = tmp_path / f"impex_{name}-1.0.dist-info/entry_points.txt"
        points.write_text(f"[impex_runner]\nshout = impex_{name}\n")

    first, second = (each for each in make_plugin_manager().infos if each.name == "shout")
    other = make_plugin_manager(PluginChoice(blocked=frozenset({"impex-one"})))

    assert (first.distribution, first.error) == ("impex-one", "")
    assert second.error == (
        "a plugin named shout is loaded already, from impex-one; "
        "block one by its distribution's name"
    )
    assert other.registry.steps["shout"].provider == "impex-two"


def test_module_under_two_names_is_reported(install: Callable[..., None], tmp_path: Path) -> None:
    """Its hooks would be called twice."""
    install("impex-shout", "")
    points = tmp_path / "impex_shout-1.0.dist-info/entry_points.txt"
    points.write_text("[impex_runner]\na = impex_shout\nb = impex_shout\n")

    plugins = make_plugin_manager()

    assert info(plugins, "a").error == ""
    assert info(plugins, "b").error == "it is the same as plugin a (impex-shout)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file "),
        ("def (", "import failed: SyntaxError: "),
        ("import sys\nsys.exit('no')", "import failed: SystemExit: no"),
        ("raise ValueError('a\\nb')", "import failed: ValueError: a b"),
    ],
)
def test_unusable_file_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    """``-p FILE`` was asked for, so the command ends with exit code 7."""
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)

    with pytest.raises(PluginError) as caught:
        make_plugin_manager(PluginChoice(files=(path,)))

    assert str(caught.value).startswith(f"plugin mine ({path}) cannot be used: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_file_is_a_plugin(tmp_path: Path) -> None:
    """``-p FILE`` loads a plugin without any packaging."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(GOOD))

    plugins = make_plugin_manager(PluginChoice(files=(tmp_path / "mine.py",)))

    assert plugins.registry.steps["shout"].provider == "mine"


def test_failing_observer_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Observers are isolated: the failure is logged with the plugin's name."""
    heard = []

    class Deaf:
        @hookimpl
        def impex_run_started(self, run: Any) -> None:
            raise ValueError(f"no {run}")

    class Listener:
        @hookimpl
        def impex_run_started(self, run: Any) -> None:
            heard.append(run)

    plugins = make_plugin_manager()
    for plugin, name in ((Listener(), "a"), (Deaf(), "deaf"), (Listener(), "b")):
        plugins.manager.register(plugin, name)

    with caplog.at_level(logging.WARNING):
        plugins.notify("impex_run_started", run="this run")

    assert heard == ["this run", "this run"]
    assert "plugin deaf failed in impex_run_started" in caplog.text


def test_failing_hook_names_its_plugin(tmp_path: Path) -> None:
    """The job's error says which plugin failed in which hook, and how."""
    code = (
        "from spark_impex_runner import hookimpl\n@hookimpl\ndef impex_poll_delay():\n    1 / 0\n"
    )
    (tmp_path / "mine.py").write_text(code)
    plugins = make_plugin_manager(PluginChoice(files=(tmp_path / "mine.py",)))

    with pytest.raises(PluginError, match="plugin mine failed in impex_poll_delay: ZeroDivision"):
        plugins.call("impex_poll_delay", job=None, poll=None)


def test_own_errors_pass_unchanged() -> None:
    """A step that fails on purpose keeps its own error."""

    class Failing:
        @hookimpl
        def impex_run_step(self) -> None:
            raise StepError("no room")

    plugins = make_plugin_manager()
    plugins.manager.register(Failing(), "failing")

    with pytest.raises(StepError, match="no room"):
        plugins.call("impex_run_step", job=None, step=None, artifact=None)


def test_file_may_define_dataclasses(tmp_path: Path) -> None:
    """They look their module up by its name, which must lead to it."""
    (tmp_path / "shaped.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Shape:\n    size: int\n"
    )

    plugins = make_plugin_manager(PluginChoice(files=(tmp_path / "shaped.py",)))

    assert info(plugins, "shaped").error == ""


def with_plugins(*plugins: object) -> Plugins:
    """Return a manager that holds these plugins only."""
    made = Plugins()
    for number, plugin in enumerate(plugins):
        made.manager.register(plugin, f"p{number}")
    return made


def wrapper(name: str, log: list[str], **options: bool) -> object:
    """Return a plugin that wraps ``impex_run_job``, notes it, and marks the result."""

    class Plugin:
        @hookimpl(wrapper=True, **options)
        def impex_run_job(self) -> Any:
            log.append(f"{name} before")
            result = yield
            log.append(f"{name} after {result}")
            return f"{result}{name}"

    return Plugin()


def run_job(plugins: Plugins, work: Callable[[], Any]) -> Any:
    """Call ``impex_run_job`` where ``work`` is what the runner itself does."""
    with plugins.manager.default("impex_run_job", lambda job: [job, work()][1]):
        return plugins.call("impex_run_job", job=None)


def done(log: list[str]) -> Callable[[], str]:
    """Return work that is noted."""
    return lambda: [log.append("work"), "done"][1] or ""


_ORDER = st.sampled_from([{}, {"tryfirst": True}, {"trylast": True}])


@given(st.lists(_ORDER, max_size=5))
def test_wrappers_enclose_the_job(options: list[dict[str, bool]]) -> None:
    """Whatever order wrappers ask for, the work is inside of them, and is done once."""
    log: list[str] = []
    wrappers = [wrapper(str(number), log, **each) for number, each in enumerate(options)]

    result = run_job(with_plugins(*wrappers), done(log))

    assert log.index("work") == len(options)
    assert [line.split()[0] for line in log[: len(options)]] == list(result[len("done") :])[::-1]
    assert len(log) == 2 * len(options) + 1


@pytest.mark.parametrize("order", [{}, {"tryfirst": True}, {"trylast": True}])
def test_plain_answer_replaces_the_job(order: dict[str, bool]) -> None:
    """A plugin that runs jobs elsewhere answers, inside of the wrappers."""
    log: list[str] = []

    class Elsewhere:
        @hookimpl(**order)
        def impex_run_job(self) -> str:
            return "elsewhere"

    assert run_job(with_plugins(Elsewhere(), wrapper("w", log)), done(log)) == "elsewherew"
    assert log == ["w before", "w after elsewhere"]


def test_old_hookwrapper_encloses_the_job() -> None:
    """Both of pluggy's kinds of wrappers are taken."""
    seen: list[str] = []

    class Old:
        @hookimpl(hookwrapper=True)
        def impex_run_job(self) -> Any:
            result = yield
            seen.append(result.get_result())

    assert run_job(with_plugins(Old()), done(seen)) == "done"
    assert seen == ["work", "done"]


def test_wrapper_may_replace_an_error() -> None:
    """What the job raises arrives at the wrapper's yield."""

    class Forgiving:
        @hookimpl(wrapper=True)
        def impex_run_job(self) -> Any:
            try:
                return (yield)
            except JobError as error:
                return f"forgiven: {error}"

    assert run_job(with_plugins(Forgiving()), failing(JobError("no"))) == "forgiven: no"


def failing(error: Exception) -> Callable[[], str]:
    """Return work that fails."""

    def fail() -> str:
        raise error

    return fail


@pytest.mark.parametrize("error", [ValueError("ours"), JobError("the tenant's")])
def test_passed_error_names_no_wrapper(error: Exception) -> None:
    """What the job raised comes out as it is, a bug of the runner's included."""
    with pytest.raises(type(error)) as caught:
        run_job(with_plugins(wrapper("w", [])), failing(error))

    assert caught.value is error


class _Odd:
    @hookimpl
    def impex_poll_verdict(self) -> str:
        return "odd"


class _Quiet:
    @hookimpl
    def impex_poll_verdict(self) -> None:
        return None


class _Passing:
    @hookimpl(wrapper=True)
    def impex_poll_verdict(self) -> Any:
        return (yield)


class _Replacing:
    @hookimpl(wrapper=True)
    def impex_poll_verdict(self) -> Any:
        yield
        return "odder"


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ((), "p0"),
        ((_Quiet,), "p0"),
        ((_Passing,), "p0"),
        ((_Replacing, _Quiet), "p1"),
        ((_Odd, _Quiet), "p1"),
    ],
)
def test_invalid_answer_names_its_plugin(others: Any, name: str) -> None:
    """Not with all who were asked; a wrapper answers for what it puts in the place of another's."""
    plugins = with_plugins(_Odd(), *(each() for each in others))
    answer = plugins.call("impex_poll_verdict", job=None, status=None)

    error = plugins.invalid_answer("impex_poll_verdict", answer, "a Verdict")

    assert str(error) == (
        f"impex_poll_verdict answered {answer!r} instead of a Verdict; "
        f"it came from plugin {name}; -p no:{name} runs without it"
    )


class _NoYield:
    @hookimpl(wrapper=True)
    def impex_run_job(self) -> Any:
        yield from ()
        return 1


class _TwoYields:
    @hookimpl(wrapper=True)
    def impex_run_job(self) -> Any:
        yield
        yield


class _RaisesBefore:
    @hookimpl(wrapper=True)
    def impex_run_job(self) -> Any:
        raise ValueError("oops")
        yield


class _RaisesAfter:
    @hookimpl(wrapper=True)
    def impex_run_job(self) -> Any:
        yield
        raise ValueError("oops")


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (_NoYield, "a wrapper has to yield once"),
        (_TwoYields, "a wrapper has to yield once"),
        (_RaisesBefore, "ValueError: oops"),
        (_RaisesAfter, "ValueError: oops"),
    ],
)
def test_invalid_wrapper_is_named(plugin: Any, message: str) -> None:
    """Whatever a wrapper does wrong is an error with the plugin's name."""
    plugins = with_plugins(plugin())

    with pytest.raises(PluginError, match=f"plugin p0 failed in impex_run_job: {message}"):
        run_job(plugins, done([]))


CHANGES = """
    import locale, logging, os, signal, sys
    os.chdir("/")
    logging.basicConfig(level=1, force=True)
    logging.disable(logging.CRITICAL)
    logging.getLogger("spark_impex_runner").setLevel(100)
    locale.setlocale(locale.LC_ALL, "C")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = sys.stderr = None
    {end}
"""


def process_state() -> tuple[Any, ...]:
    """Return what a command depends on in its process."""
    root = logging.getLogger()
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    own = logging.getLogger("spark_impex_runner").level
    log = list(root.handlers), root.level, root.manager.disable, own
    return Path.cwd(), locale.setlocale(locale.LC_ALL), handlers, sys.stdout, sys.stderr, log


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise GeneratorExit", "raise BaseException"])
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_loading_changes_no_process_state(install: Callable[..., None], end: str) -> None:
    """Whatever its module does to the process, the command finds it as it was."""
    install("impex-changes", CHANGES.format(end=end))
    before = process_state()

    message = info(make_plugin_manager(), "impex-changes")

    assert process_state() == before
    assert bool(message.error) is bool(end)


DAMAGED = {
    "a line without a value": {"entry_points.txt": b"[impex_runner]\nnonsense\n"},
    "bytes that are no text": {"entry_points.txt": b"[impex_runner]\n\xff = a\n"},
    "no metadata": {"METADATA": None},
    "no name": {"METADATA": b"Metadata-Version: 2.1\nVersion: 1.0\n"},
    "an empty file": {"METADATA": b""},
}


@pytest.fixture
def damage(install: Callable[..., None], tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """Return a function that installs a plugin, and spoils files of its metadata."""

    def spoil(files: dict[str, bytes | None]) -> None:
        install("impex-damaged", "X = 1\n")
        for name, content in files.items():
            file = tmp_path / "impex_damaged-1.0.dist-info" / name
            file.write_bytes(content) if content is not None else file.unlink()

    return spoil


@pytest.mark.parametrize("files", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_distribution_is_left_out(
    damage: Callable[[dict[str, Any]], None], files: dict[str, Any]
) -> None:
    """All others are loaded, and it is named with the file that cannot be read."""
    damage(files)

    plugins = make_plugin_manager()

    assert "unzip" in plugins.registry.steps
    message = info(plugins, "impex-damaged")
    assert "impex_damaged-1.0.dist-info" in message.error
    assert "cannot be read" in message.error


def test_damaged_requirement_is_named(
    damage: Callable[[dict[str, Any]], None],
) -> None:
    """It is installed, so to install it is no cure."""
    damage({"METADATA": None})

    with pytest.raises(PluginError, match="impex-damaged cannot be used: the meta"):
        make_plugin_manager(PluginChoice(required=["impex-damaged"]))


def test_invalid_version_meets_no_requirement(install: Callable[..., None], tmp_path: Path) -> None:
    """It is named with what is installed; without a requirement it does not matter."""
    install("impex-odd", "X = 1\n")
    metadata = tmp_path / "impex_odd-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: one.two"))

    assert info(make_plugin_manager(PluginChoice(required=["impex-odd"])), "impex-odd").error == ""
    with pytest.raises(PluginError, match=r"impex-odd one\.two is installed but"):
        make_plugin_manager(PluginChoice(required=["impex-odd>=1"]))


def test_unrelated_damaged_distribution_is_ignored(tmp_path: Path, monkeypatch: Any) -> None:
    """A distribution that has nothing to do with us is not even listed."""
    place = tmp_path / "unrelated-1.0.dist-info"
    place.mkdir()
    (place / "entry_points.txt").write_text("[console_scripts]\nnonsense\n")
    monkeypatch.syspath_prepend(tmp_path)

    infos = make_plugin_manager().infos

    assert not [each for each in infos if "unrelated" in each.name or each.error]


def test_loads_with_importlib_metadata(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backport, which libraries bring along, finds entry points of a class of its own."""
    install("impex-foreign", "X = 1\n")
    found = [point for point in entry_points(group="impex_runner") if point.name == "impex-foreign"]

    class Point:
        """An entry point as the backport has it."""

        name, group, dist = found[0].name, found[0].group, found[0].dist

        def load(self) -> object:
            """Import the plugin."""
            return found[0].load()

    foreign = replace(discovery.installed()[0], point=Point())
    monkeypatch.setattr(discovery, "installed", lambda: [foreign])

    message = info(make_plugin_manager(), "impex-foreign")

    assert (message.error, message.origin) == ("", "pip")
