"""Check the entries of ``services`` by the resolvers of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import PluginError, UriError
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Registry, Resolver


def entry_error(registry: Registry, folder: Path, entry: str) -> str:
    """Return what is wrong with an entry of ``services``, an empty text if nothing is.

    The first resolver that claims the entry checks it; an entry that none claims is a service URI.
    """
    for resolver in registry.resolvers.values():
        error = _check_entry(resolver, entry, folder)
        if error is not None:
            return error
    try:
        Uri.parse(entry)
    except UriError as error:
        return str(error)
    return ""


def files_read(registry: Registry, entries: Iterable[str]) -> list[str]:
    """Return the files that entries of ``services`` read, relative to the manifest."""
    found: list[str] = []
    for entry in dict.fromkeys(entries):
        for resolver in registry.resolvers.values():
            try:
                file = resolver.reads(entry)
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"plugin {resolver.provider} failed to name the file that '{entry}' reads: "
                    f"{type(error).__name__}: {error}"
                ) from error
            found += [file] if file else []
    return found


def _check_entry(resolver: Resolver, entry: str, folder: Path) -> str | None:
    """Return what is wrong with an entry, None if the resolver does not claim it."""
    # Every resolver sees every entry, so a broken one stops manifests that do not use it.
    hint = f"-p no:{resolver.provider} runs without it"
    try:
        answer = resolver.check(entry, folder)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {resolver.provider} failed to check '{entry}' as {resolver.name}: "
            f"{type(error).__name__}: {error}; {hint}"
        ) from error
    if answer is None or isinstance(answer, str):
        return answer
    raise PluginError(
        f"the check of '{entry}' as {resolver.name} returned {answer!r} instead of text or None; "
        f"it came from plugin {resolver.provider}; {hint}"
    )
