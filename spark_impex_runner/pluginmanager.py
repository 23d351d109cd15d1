"""The plugins of one run, and how the engine speaks to them.

Every call makes a new manager; nothing is loaded at import. A plugin that cannot be used is
recorded with its distribution's name and left out: it matters only to a manifest that needs it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pluggy

from spark_impex_runner import hookspecs
from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.plugincandidates import (
    Candidate,
    PluginChoice,
    PluginInfo,
    candidates,
    check_choice,
    required_names,
    unknown_names,
)
from spark_impex_runner.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# What the engine drives: a generator that yields what it waits for (see engine/course.py).
Course = Generator[Any, Any, Any]


@dataclass(slots=True)
class Plugins:
    """The plugins of one run: the hooks, what all and each of them offer, and who they are."""

    manager: pluggy.PluginManager
    registry: Registry = field(default_factory=Registry)
    infos: list[PluginInfo] = field(default_factory=list)
    offers: dict[str, Registry] = field(default_factory=dict)

    def decide(self, hook: str, **arguments: Any) -> Any:
        """Call a deciding hook. Anything but an ``ImpexError`` names the plugin that raised."""
        return self._decided(getattr(self.manager.hook, hook), arguments)

    def _decided(self, caller: pluggy.HookCaller, arguments: dict[str, Any]) -> Any:
        try:
            return caller(**arguments)
        except ImpexError:
            raise
        except (Exception, SystemExit) as error:
            _log.debug("hook %s failed", caller.name, exc_info=error)
            raise PluginError(
                f"plugin {self._culprit(caller, error)} failed in {caller.name}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def around(self, hook: str, course: Course, **arguments: Any) -> Course:
        """Run a course inside of the wrappers of a hook; return what the outermost makes of it.

        Order and rules are pluggy's own; but pluggy calls a hook in one go, and a course stops and
        goes on. A plugin's plain implementation that answers takes the place of the course.
        """
        impls = getattr(self.manager.hook, hook).get_hookimpls()
        wrappers = [impl for impl in impls if impl.wrapper]
        inner = self._instead_of(hook, {impl.plugin for impl in wrappers}, course, arguments)
        for impl in wrappers:
            inner = self._wrapped(hook, impl, inner, arguments)
        return (yield from inner)

    def _instead_of(
        self, hook: str, wrapping: set[Any], course: Course, arguments: dict[str, Any]
    ) -> Course:
        """Ask the plain implementations; run the course where none of them answers."""
        plain = self.manager.subset_hook_caller(hook, wrapping)
        answer = self._decided(plain, arguments)
        return (yield from course) if answer is None else answer

    def _wrapped(
        self, hook: str, impl: pluggy.HookImpl, inner: Course, arguments: dict[str, Any]
    ) -> Course:
        """Run ``inner`` between the two halves of one wrapper."""
        halves: Any = impl.function(*(arguments[name] for name in impl.argnames))
        culprit = f"plugin {self._label(impl.plugin_name)} failed in {hook}: "
        if self._half(culprit, halves.send, None) is not None:
            raise PluginError(f"{culprit}a wrapper has to yield once")
        try:
            result = yield from inner
        except Exception as error:  # noqa: BLE001 - it goes to the wrapper, which may raise it
            ended = self._half(culprit, halves.throw, error)
        else:
            ended = self._half(culprit, halves.send, result)
        if ended is None:
            raise PluginError(f"{culprit}a wrapper has to yield once")
        return ended.value

    def _half(self, culprit: str, go_on: Callable[[Any], Any], value: Any) -> StopIteration | None:
        """Run one half of a wrapper; None where it yields, else how it ended."""
        try:
            go_on(value)
        except StopIteration as end:
            return end
        except ImpexError:
            raise
        except (Exception, SystemExit) as error:
            _log.debug("a wrapper failed", exc_info=error)
            raise PluginError(f"{culprit}{type(error).__name__}: {error}") from error
        return None

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every observer on its own: one that raises is logged and the next still runs."""
        plugins = self.manager.get_plugins()
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            alone = self.manager.subset_hook_caller(hook, plugins - {impl.plugin})
            try:
                alone(**arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer may not end the run
                _log.warning(
                    "plugin %s failed in %s, the run goes on: %s: %s",
                    self._label(impl.plugin_name),
                    hook,
                    type(error).__name__,
                    error,
                )
                _log.debug("its traceback", exc_info=error)

    def refuse(self, hook: str, answer: object, wanted: str) -> PluginError:
        """Return the error for an answer that cannot be used, with those who may have given it."""
        impls = getattr(self.manager.hook, hook).get_hookimpls()
        names = ", ".join(self._label(impl.plugin_name) for impl in reversed(impls))
        return PluginError(f"{hook} answered {answer!r} instead of {wanted}; asked: {names}")

    def _culprit(self, caller: pluggy.HookCaller, error: BaseException) -> str:
        """Name the plugin whose function stands in the traceback."""
        codes = set()
        traceback = error.__traceback__
        while traceback:
            codes.add(traceback.tb_frame.f_code)
            traceback = traceback.tb_next
        for impl in caller.get_hookimpls():
            if getattr(inspect.unwrap(impl.function), "__code__", None) in codes:
                return self._label(impl.plugin_name)
        return "(unknown)"

    def _label(self, name: str) -> str:
        info = next((info for info in self.infos if info.name == name), None)
        return f"{name} ({info.distribution})" if info and info.distribution else name


def make_plugin_manager(choice: PluginChoice | None = None) -> Plugins:
    """Load what ``choice`` lets in and return it ready for use.

    Raises ``PluginError`` when a required plugin is missing or broken. Other plugins that fail
    are left out and stand in ``infos`` with their error.
    """
    choice = choice or PluginChoice()
    check_choice(choice)
    for warning in unknown_names(choice):
        _log.warning("%s", warning)
    plugins = Plugins(pluggy.PluginManager(hookspecs.PROJECT))
    plugins.manager.add_hookspecs(hookspecs)
    for candidate in candidates(choice):
        plugins.infos.append(_admit(plugins, candidate))
    _check_admitted(plugins, choice)
    return plugins


def _check_admitted(plugins: Plugins, choice: PluginChoice) -> None:
    """Refuse to go on without a plugin that somebody named, or without one of our own."""
    named = required_names(choice) or frozenset()
    for info in plugins.infos:
        if info.error and (info.origin != "pip" or info.distribution in named):
            owner = info.distribution or info.origin
            raise PluginError(f"plugin {info.name} ({owner}) cannot be used: {info.error}")


def _admit(plugins: Plugins, candidate: Candidate) -> PluginInfo:
    """Load and register one plugin, or return its info with the reason why not."""
    try:
        plugin = candidate.load()
        _register(plugins, plugin, candidate.info)
    except Exception as error:  # noqa: BLE001 - whatever a plugin does must not stop the others
        _log.debug("plugin %s was left out", candidate.info.name, exc_info=error)
        ours = isinstance(error, PluginError)
        return replace(
            candidate.info, error=str(error) if ours else f"{type(error).__name__}: {error}"
        )
    hooks = sorted(caller.name for caller in plugins.manager.get_hookcallers(plugin) or ())
    return replace(candidate.info, hooks=tuple(hooks))


def _register(plugins: Plugins, plugin: object, info: PluginInfo) -> None:
    if plugins.manager.has_plugin(info.name):
        raise PluginError(f"a plugin named {info.name} is loaded already; rename or block one")
    _refuse_coroutines(plugin)
    try:
        plugins.manager.register(plugin, info.name)
        plugins.manager.check_pending()
        _refuse_old_wrappers(plugins, plugin)
        offers = _offers(plugins, plugin, info)
        plugins.registry.merge(offers)
        plugins.offers[info.name] = offers
    except Exception as error:
        # pluggy 1.5 and 1.6 leave a plugin that failed half registered.
        if plugins.manager.is_registered(plugin):
            plugins.manager.unregister(plugin)
        if isinstance(error, pluggy.PluginValidationError):
            raise PluginError(" ".join(str(error).split())) from error
        raise


def _offers(plugins: Plugins, plugin: object, info: PluginInfo) -> Registry:
    """Call ``impex_register`` of this plugin alone, so that its offers carry its name."""
    others = plugins.manager.get_plugins() - {plugin}
    offers = Registry(info.distribution or info.name)
    plugins.manager.subset_hook_caller("impex_register", others)(registry=offers)
    return offers


def _refuse_old_wrappers(plugins: Plugins, plugin: object) -> None:
    """Refuse what ``Plugins.around`` does not run."""
    for impl in plugins.manager.hook.impex_run_job.get_hookimpls():
        if impl.plugin is plugin and impl.hookwrapper:
            raise PluginError("impex_run_job is an old hookwrapper; use @hookimpl(wrapper=True)")


def _refuse_coroutines(plugin: object) -> None:
    for name in dir(plugin):
        if name.startswith("impex_") and inspect.iscoroutinefunction(getattr(plugin, name)):
            raise PluginError(f"{name} is 'async def'; hooks are plain functions")
