"""Find the hooks that a plugin implements, and refuse those that could never work."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks import specs
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pluggy

HOOKS = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(specs).items()
    if name.startswith("impex_")
}
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Implementation:
    """A plugin's function for a hook; ``options`` are those of ``@hookimpl``."""

    attribute: str
    hook: str
    function: Callable[..., Any]
    options: Mapping[str, Any]

    @property
    def wraps(self) -> bool:
        """Return True for a wrapper of the hook's other implementations."""
        return bool(self.options.get("wrapper") or self.options.get("hookwrapper"))

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the function."""
        return inspect.signature(self.function).parameters


def implementations(manager: pluggy.PluginManager, plugin: object) -> list[Implementation]:
    """Return each function of a plugin that is marked with ``@hookimpl``."""
    found = []
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is not None:
            hook = options.get("specname") or attribute
            found.append(Implementation(attribute, hook, getattr(plugin, attribute), options))
    return found


def check(plugin: object, found: list[Implementation]) -> None:
    """Raise ``PluginError`` for the first implementation that cannot work."""
    for each in found:
        _check_name(each)
        _check_kind(each)
        _check_arguments(each)
    marked = {each.attribute for each in found}
    for name in HOOKS.keys() - marked:
        if inspect.isroutine(getattr(plugin, name, None)):
            raise PluginError(f"{name} is never called: it is not marked with @hookimpl")


def _check_name(each: Implementation) -> None:
    # optionalhook marks one that another version of the runner has.
    if each.hook not in HOOKS and not each.options.get("optionalhook"):
        raise PluginError(f"there is no hook {each.hook}{did_you_mean(each.hook, HOOKS)}")


def _check_kind(each: Implementation) -> None:
    function = inspect.unwrap(each.function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{each.attribute} is 'async def'; hooks are plain functions")
    if each.wraps and not inspect.isgeneratorfunction(function):
        raise PluginError(f"{each.attribute} is a wrapper without a yield")


def _check_arguments(each: Implementation) -> None:
    known = HOOKS.get(each.hook, tuple(each.parameters))
    has = f"{each.hook} has {', '.join(known)}"
    for name, parameter in each.parameters.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise PluginError(f"{each.attribute} takes an argument {name!r}{hint}; {has}")
        if parameter.kind not in _PLAIN or parameter.default is not parameter.empty:
            raise PluginError(
                f"{each.attribute} takes {name!r} by keyword only or with a default value; hooks "
                "take plain arguments"
            )
