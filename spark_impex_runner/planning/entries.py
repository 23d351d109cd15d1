"""Entries of ``services``, each judged by the plugin whose form it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import PluginError, UriError
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Registry, Resolver


def entry_error(registry: Registry, folder: Path, entry: str) -> str:
    """Return what is wrong with an entry of ``services``, or nothing.

    An entry is judged by the plugin whose form it has; what has none is a service URI.
    """
    for resolver in registry.resolvers.values():
        fault = _asked(resolver, entry, folder)
        if fault is not None:
            return fault
    try:
        Uri.parse(entry)
    except UriError as error:
        return str(error)
    return ""


def files_read(registry: Registry, entries: Iterable[str]) -> list[str]:
    """Return the files that entries of ``services`` name, relative to the manifest."""
    found: list[str] = []
    for entry in dict.fromkeys(entries):
        for resolver in registry.resolvers.values():
            try:
                file = resolver.reads(entry)
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"plugin {resolver.provider} failed to tell which file '{entry}' names: "
                    f"{type(error).__name__}: {error}"
                ) from error
            found += [file] if file else []
    return found


def _asked(resolver: Resolver, entry: str, folder: Path) -> str | None:
    """Return what a resolver says of an entry. Each is asked for everybody's entries."""
    cure = f"-p no:{resolver.provider} runs without it"
    try:
        fault = resolver.check(entry, folder)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {resolver.provider} failed to check '{entry}' as {resolver.name}: "
            f"{type(error).__name__}: {error}; {cure}"
        ) from error
    if fault is None or isinstance(fault, str):
        return fault
    raise PluginError(
        f"the check of '{entry}' as {resolver.name} answered {fault!r} instead of text or None; "
        f"it came from plugin {resolver.provider}; {cure}"
    )
