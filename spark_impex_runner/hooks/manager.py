"""Load the plugins of one run, and call their hooks.

Each run makes its own manager; importing this module loads no plugin. A plugin that cannot be used
is recorded with its error and left out: only a manifest that needs it fails.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import pluggy

from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.hooks import specs
from spark_impex_runner.hooks.discovery import (
    Candidate,
    PluginChoice,
    PluginInfo,
    blocked_plugins,
    candidates,
    check_choice,
    required_names,
    unknown_names,
)
from spark_impex_runner.hooks.guard import preserved
from spark_impex_runner.hooks.monitor import IMPORT, CallMonitor, PluginRaisedError, PluginRef
from spark_impex_runner.hooks.registry import KINDS, Registry
from spark_impex_runner.hooks.validation import Implementation, check, implementations
from spark_impex_runner.version import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)
# What ``@hookimpl`` sets.
_MARK = f"{specs.PROJECT}_impl"
# The hooks of the built-in plugins, whose modules do not change.
_BUILT_IN: dict[object, list[Implementation]] = {}


class PluginManager(pluggy.PluginManager):
    """Pluggy's manager, which knows each plugin by a proxy whose hooks are monitored."""

    def __init__(self) -> None:
        super().__init__(specs.PROJECT)
        self.monitor = CallMonitor()
        self.add_hookspecs(specs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook's implementation; Python's own attributes have none."""
        if isinstance(plugin, PluginProxy):
            return getattr(vars(plugin).get(name), _MARK, None)
        if name.startswith("__") or _is_no_hook(plugin, name):
            return None
        return super().parse_hookimpl_opts(plugin, name)

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register the monitored hooks of a plugin."""
        plugin_ref = PluginRef(name or type(plugin).__name__)
        return self.register_hooks(plugin, implementations(self, plugin), plugin_ref)

    def register_hooks(
        self, plugin: object, found: list[Implementation], plugin_ref: PluginRef
    ) -> str | None:
        """Register the hooks ``found`` in a plugin; messages name it by ``plugin_ref``."""
        proxy = PluginProxy(plugin, plugin_ref)
        for each in found:
            monitored = self.monitor.monitored_wrapper if each.wraps else self.monitor.monitored
            function = monitored(plugin_ref, each.hook, each.function, tuple(each.parameters))
            setattr(proxy, each.attribute, specs.hookimpl(**each.options)(function))
        return super().register(proxy, plugin_ref.name)

    @contextmanager
    def default(self, hook: str, function: Callable[..., Any]) -> Iterator[None]:
        """Register ``function``, unmonitored, as the last implementation of a hook for a block."""
        proxy = PluginProxy(function, PluginRef("(the runner)", essential=True))
        setattr(proxy, hook, specs.hookimpl(trylast=True)(function))
        super().register(proxy, proxy.ref.name)
        try:
            yield
        finally:
            self.unregister(proxy)


def _is_no_hook(plugin: object, name: str) -> bool:
    """Return True for what most names of a module mean, which pluggy would look at slowly."""
    value = vars(plugin).get(name) if isinstance(plugin, ModuleType) else None
    if value is None:
        return False
    if isinstance(value, FunctionType):
        return not hasattr(value, _MARK)
    return isinstance(value, type) or not callable(value)


class PluginProxy:
    """A plugin as pluggy registers it: its monitored hooks, and no other attributes."""

    def __init__(self, plugin: object, ref: PluginRef) -> None:
        self.original = plugin
        self.ref = ref


@dataclass(slots=True)
class Plugins:
    """The plugins of one run: their hooks, their merged offers, and the offers of each."""

    manager: PluginManager = field(default_factory=PluginManager)
    registry: Registry = field(default_factory=Registry)
    infos: list[PluginInfo] = field(default_factory=list)
    offers: dict[str, Registry] = field(default_factory=dict)
    choice: PluginChoice = field(default_factory=PluginChoice)

    def left_out(self) -> list[PluginInfo]:
        """Return each installed plugin that was not loaded, with the reason as its error."""
        return [*(info for info in self.infos if info.error), *blocked_plugins(self.choice)]

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook whose answer or error counts.

        Raises ``ImpexError``: any other error becomes a ``PluginRaisedError``.
        """
        return getattr(self.manager.hook, hook)(**arguments)

    def has(self, hook: str) -> bool:
        """Return whether a plugin implements a hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call each observer of a hook; log the error of one and go on to the next."""
        plugins = self.manager.get_plugins()
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            # One caller for each observer: in a common one, the first error ends the call.
            alone = self.manager.subset_hook_caller(hook, plugins - {impl.plugin})
            try:
                alone(**arguments)
            except PluginRaisedError as error:
                _log.warning("%s; the run continues", error)
            except ImpexError as error:
                named = PluginRaisedError(_owner(impl), hook, error)
                _log.warning("%s; the run continues", named)

    def invalid_answer(self, hook: str, answer: object, wanted: str) -> PluginError:
        """Return the error for an answer that cannot be used; it names the plugin that gave it."""
        if answer is not None:
            plugin = self.manager.monitor.last_answer_from
            origin = f"it came from plugin {plugin.label}{plugin.how_to_disable}"
        else:
            impls = getattr(self.manager.hook, hook).get_hookimpls()
            origin = f"asked: {', '.join(_owner(impl).label for impl in reversed(impls))}"
        return PluginError(f"{hook} answered {answer!r} instead of {wanted}; {origin}")


def _owner(impl: pluggy.HookImpl) -> PluginRef:
    return cast("PluginProxy", impl.plugin).ref


def make_plugin_manager(choice: PluginChoice | None = None) -> Plugins:
    """Load the plugins that ``choice`` allows.

    Raises ``PluginError`` when a required plugin is missing or broken. Other plugins that fail
    are left out, and stand in ``infos`` with their error.
    """
    choice = choice or PluginChoice()
    check_choice(choice)
    for warning in unknown_names(choice):
        _log.warning("%s", warning)
    plugins = Plugins(choice=choice)
    for candidate in candidates(choice):
        plugins.infos.append(_load_and_register(plugins, candidate))
    _check_loaded(plugins, choice)
    return plugins


def _check_loaded(plugins: Plugins, choice: PluginChoice) -> None:
    """Raise ``PluginError`` if a plugin failed that the user named or that is built in."""
    required = required_names(choice) or frozenset()
    for info in plugins.infos:
        third_party = info.origin in {"pip", "unreadable"}
        if info.error and (not third_party or info.distribution in required):
            owner = info.distribution or info.origin
            raise PluginError(f"plugin {info.name} ({owner}) cannot be used: {info.error}")


def _load_and_register(plugins: Plugins, candidate: Candidate) -> PluginInfo:
    """Load and register one plugin; return its info, with the error if that failed."""
    info = candidate.info
    if info.error:
        return info
    plugin_ref = PluginRef(info.name, info.distribution, essential=info.origin == "essential")
    load = partial(_import_plugin, plugins, candidate)
    try:
        # Built-in plugins leave the process alone, and there are many of them.
        with nullcontext() if info.origin == "built-in" else preserved():
            plugin, found = plugins.manager.monitor.run(plugin_ref, IMPORT, load)
            _register(plugins, plugin, found, plugin_ref)
    except (ImpexError, pluggy.PluginValidationError) as error:
        reason = error.reason if isinstance(error, PluginRaisedError) else str(error)
        return replace(info, error=" ".join(reason.split()))
    return replace(info, hooks=tuple(sorted({each.hook for each in found})))


def _import_plugin(plugins: Plugins, candidate: Candidate) -> tuple[object, list[Implementation]]:
    # Both are monitored: a plugin's properties and __getattr__ run while its hooks are searched.
    plugin = candidate.load()
    if candidate.info.origin != "built-in":
        return plugin, implementations(plugins.manager, plugin)
    if plugin not in _BUILT_IN:
        _BUILT_IN[plugin] = implementations(plugins.manager, plugin)
    return plugin, _BUILT_IN[plugin]


def _register(
    plugins: Plugins, plugin: object, found: list[Implementation], plugin_ref: PluginRef
) -> None:
    """Register a plugin and merge its offers; on an error, undo both."""
    manager = plugins.manager
    if other := manager.get_plugin(plugin_ref.name):
        raise PluginError(
            f"a plugin named {plugin_ref.name} is loaded already, from "
            f"{other.ref.distribution or 'a file'}; block one by its distribution's name"
        )
    duplicate = next((each for each in manager.get_plugins() if each.original is plugin), None)
    if duplicate:
        raise PluginError(f"it is the same as plugin {duplicate.ref.label}")
    # The tests check the built-in plugins.
    if plugin_ref.distribution != DISTRIBUTION:
        check(plugin, found)
    try:
        manager.register_hooks(plugin, found, plugin_ref)
        offers = _offers(plugins, plugin_ref)
        plugins.registry.merge(offers)
    except BaseException:
        # pluggy 1.5 and 1.6 leave a plugin that failed half registered.
        if manager.has_plugin(plugin_ref.name):
            manager.unregister(name=plugin_ref.name)
        raise
    plugins.offers[plugin_ref.name] = offers


def _offers(plugins: Plugins, plugin_ref: PluginRef) -> Registry:
    """Call ``impex_register`` of one plugin alone, so that its offers carry its name."""
    manager = plugins.manager
    other_plugins = manager.get_plugins() - {manager.get_plugin(plugin_ref.name)}
    registry = Registry(plugin_ref.distribution or plugin_ref.name)
    manager.subset_hook_caller("impex_register", other_plugins)(registry=registry)
    for kind, noun in KINDS.items():
        offers = registry.of_kind(kind)
        for name, offer in offers.items():
            offers[name] = _monitored_offer(offer, noun, plugins, plugin_ref)
    return registry


def _monitored_offer(offer: Any, noun: str, plugins: Plugins, plugin_ref: PluginRef) -> Any:
    """Return an offer with a warning where one of its functions is slow."""
    monitor, what = plugins.manager.monitor, f"{noun} {offer.name}"
    functions = {
        each.name: monitor.timed(plugin_ref, what, value)
        for each in fields(offer)
        if callable(value := getattr(offer, each.name))
    }
    return replace(offer, **functions)
