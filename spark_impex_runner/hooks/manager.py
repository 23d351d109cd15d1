"""The plugins of one run, and how the engine speaks to them.

Every call makes a new manager; nothing is loaded at import. A plugin that cannot be used is
recorded with its distribution's name and left out: it matters only to a manifest that needs it.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pluggy

from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.hooks import specs as hookspecs
from spark_impex_runner.hooks.discovery import (
    Candidate,
    PluginChoice,
    PluginInfo,
    barred,
    candidates,
    check_choice,
    required_names,
    unknown_names,
)
from spark_impex_runner.hooks.guard import preserved
from spark_impex_runner.hooks.monitor import IMPORT, Named, PluginRaisedError, Watch
from spark_impex_runner.hooks.registry import KINDS, Registry
from spark_impex_runner.hooks.validation import Implementation, check, implementations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)


class Manager(pluggy.PluginManager):
    """Pluggy's manager; what it calls are stand-ins of the plugins, whose hooks are watched."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.watch = Watch()
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return a mark's options; what Python itself put into a plugin has none."""
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin by its stand-in."""
        who = Named(name or type(plugin).__name__)
        return self.admit(plugin, implementations(self, plugin), who)

    def admit(self, plugin: object, found: list[Implementation], who: Named) -> str | None:
        """Register a plugin and the hooks ``found`` in it by the name that messages call it."""
        stand_in = StandIn(plugin, who)
        for each in found:
            watched = self.watch.watched_wrapper if each.wraps else self.watch.watched
            function = watched(who, each.hook, each.function, each.arguments)
            setattr(stand_in, each.attribute, hookspecs.hookimpl(**each.options)(function))
        return super().register(stand_in, who.name)

    @contextmanager
    def default(self, hook: str, function: Callable[..., Any]) -> Iterator[None]:
        """Have ``function`` answer a hook last, after all plugins, while the block runs.

        It is the runner's own, so that nothing watches it.
        """
        stand_in = StandIn(function, Named("(the runner)", essential=True))
        setattr(stand_in, hook, hookspecs.hookimpl(trylast=True)(function))
        super().register(stand_in, stand_in.who.name)
        try:
            yield
        finally:
            self.unregister(stand_in)


class StandIn:
    """What the manager knows a plugin by: its hooks, watched, and nothing else of it."""

    def __init__(self, plugin: object, who: Named) -> None:
        self.original = plugin
        self.who = who


@dataclass(slots=True)
class Plugins:
    """The plugins of one run: the hooks, what all and each of them offer, and who they are."""

    manager: Manager = field(default_factory=Manager)
    registry: Registry = field(default_factory=Registry)
    infos: list[PluginInfo] = field(default_factory=list)
    offers: dict[str, Registry] = field(default_factory=dict)
    choice: PluginChoice = field(default_factory=PluginChoice)

    def left_out(self) -> list[PluginInfo]:
        """Return each plugin that was not loaded though it is there; its error says why."""
        return [*(info for info in self.infos if info.error), *barred(self.choice)]

    def decide(self, hook: str, **arguments: Any) -> Any:
        """Call a deciding hook. Anything but an ``ImpexError`` names the plugin that raised."""
        return getattr(self.manager.hook, hook)(**arguments)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every observer on its own: one that raises is logged and the next still runs."""
        plugins = self.manager.get_plugins()
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            alone = self.manager.subset_hook_caller(hook, plugins - {impl.plugin})
            try:
                alone(**arguments)
            except ImpexError as error:
                told = (
                    error
                    if isinstance(error, PluginRaisedError)
                    else PluginRaisedError(_who(impl), hook, error)
                )
                _log.warning("%s; the run goes on", told)

    def refuse(self, hook: str, answer: object, wanted: str) -> PluginError:
        """Return the error for an answer that cannot be used, with the one who gave it."""
        if answer is not None:
            who = self.manager.watch.answered
            told = f"it came from plugin {who.label}{who.cure}"
        else:
            impls = getattr(self.manager.hook, hook).get_hookimpls()
            told = f"asked: {', '.join(_who(impl).label for impl in reversed(impls))}"
        return PluginError(f"{hook} answered {answer!r} instead of {wanted}; {told}")


def _who(impl: pluggy.HookImpl) -> Named:
    """Return whose an implementation is; what is registered is a ``StandIn`` always."""
    return cast("StandIn", impl.plugin).who


def make_plugin_manager(choice: PluginChoice | None = None) -> Plugins:
    """Load what ``choice`` lets in and return it ready for use.

    Raises ``PluginError`` when a required plugin is missing or broken. Other plugins that fail
    are left out and stand in ``infos`` with their error.
    """
    choice = choice or PluginChoice()
    check_choice(choice)
    for warning in unknown_names(choice):
        _log.warning("%s", warning)
    plugins = Plugins(choice=choice)
    for candidate in candidates(choice):
        plugins.infos.append(_admit(plugins, candidate))
    _check_admitted(plugins, choice)
    return plugins


def _check_admitted(plugins: Plugins, choice: PluginChoice) -> None:
    """Refuse to go on without a plugin that somebody named, or without one of our own."""
    named = required_names(choice) or frozenset()
    for info in plugins.infos:
        ours = info.origin not in {"pip", "unreadable"}
        if info.error and (ours or info.distribution in named):
            owner = info.distribution or info.origin
            raise PluginError(f"plugin {info.name} ({owner}) cannot be used: {info.error}")


def _admit(plugins: Plugins, candidate: Candidate) -> PluginInfo:
    """Load and register one plugin, or return its info with the reason why not."""
    info = candidate.info
    if info.error:
        return info
    who = Named(info.name, info.distribution, essential=info.origin == "essential")
    load = partial(_loaded, plugins, candidate)
    try:
        with preserved():
            plugin, found = plugins.manager.watch.run(who, IMPORT, load)
            _register(plugins, plugin, found, who)
    except (ImpexError, pluggy.PluginValidationError) as error:
        words = error.reason if isinstance(error, PluginRaisedError) else str(error)
        return replace(info, error=" ".join(words.split()))
    return replace(info, hooks=tuple(sorted({each.hook for each in found})))


def _loaded(plugins: Plugins, candidate: Candidate) -> tuple[object, list[Implementation]]:
    """Import a plugin and look for its hooks; to read what it is made of may run its code, too."""
    plugin = candidate.load()
    return plugin, implementations(plugins.manager, plugin)


def _register(plugins: Plugins, plugin: object, found: list[Implementation], who: Named) -> None:
    """Register a plugin and take over what it offers, or nothing of it."""
    manager = plugins.manager
    if other := manager.get_plugin(who.name):
        raise PluginError(
            f"a plugin named {who.name} is loaded already, from "
            f"{other.who.distribution or 'a file'}; block one by its distribution's name"
        )
    twin = next((each for each in manager.get_plugins() if each.original is plugin), None)
    if twin:
        raise PluginError(f"it is the same as plugin {twin.who.label}")
    check(plugin, found)
    try:
        manager.admit(plugin, found, who)
        offers = _offers(plugins, who)
        plugins.registry.merge(offers)
    except BaseException:
        # pluggy 1.5 and 1.6 leave a plugin that failed half registered.
        if manager.has_plugin(who.name):
            manager.unregister(name=who.name)
        raise
    plugins.offers[who.name] = offers


def _offers(plugins: Plugins, who: Named) -> Registry:
    """Call ``impex_register`` of this plugin alone, so that its offers carry its name."""
    others = plugins.manager.get_plugins() - {plugins.manager.get_plugin(who.name)}
    offers = Registry(who.distribution or who.name)
    plugins.manager.subset_hook_caller("impex_register", others)(registry=offers)
    for kind, word in KINDS.items():
        held = offers.of_kind(kind)
        held |= {name: _timed(each, word, plugins, who) for name, each in held.items()}
    return offers


def _timed(offer: Any, word: str, plugins: Plugins, who: Named) -> Any:
    """Return an offer whose functions are told of where they take long."""
    values = {each.name: getattr(offer, each.name) for each in fields(offer)}
    watch, what = plugins.manager.watch, f"{word} {offer.name}"
    return replace(
        offer,
        **{
            name: watch.timed(who, what, value) for name, value in values.items() if callable(value)
        },
    )
