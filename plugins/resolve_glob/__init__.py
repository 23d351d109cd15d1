"""Expand patterns of services: ``motor/*``, ``!motor/old-*``, ``motor/pricing[1.*]``.

A pattern expands to the services that the tenant lists, sorted by name, so that the same tenant
always gives the same request. The listing is requested once per connection and run.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl, models, tools

from .pattern import Pattern, is_exclusion, is_pattern, parse_entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner import Spark


_log = logging.getLogger(__name__)
# How many names or versions an error suggests.
_MAX_SHOWN = 3


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the resolver of patterns."""
    summary = "Services by patterns, from the tenant's listing."
    registry.resolver("glob", summary, check, examples=examples)


@hookimpl(trylast=True)
def impex_resolve_uri(uri: str, target: models.Target, run: models.Run) -> Sequence[str] | None:
    """Return the matching services, for patterns and partial versions only."""
    pattern = parse_entry(uri)
    if pattern is None:
        return None
    spark = run.connect(target.connection)
    # Called for every entry: parsing all others each time would take minutes for a long list.
    excluding = [Pattern.parse(each) for each in target.services if is_exclusion(each)]
    try:
        if not pattern.excludes:
            return _expand(pattern, uri, excluding, spark)
        entries = [parse_entry(each) for each in target.services if not is_exclusion(each)]
        _check_exclusion(pattern, uri, [each for each in entries if each and each.is_wild], spark)
    except errors.UriError as error:
        raise errors.UriError(f"target {target.name}: {error}") from error
    return []


def check(entry: str, folder: Path) -> str | None:  # noqa: ARG001 - a resolver's signature
    """Return the error of a pattern, empty if it is valid, None for other entries; send nothing."""
    if not is_pattern(entry):
        return None
    try:
        Pattern.parse(entry)
    except errors.UriError as error:
        return str(error)
    return ""


def examples(entry: str, folder: Path) -> Sequence[str]:  # noqa: ARG001 - a resolver's signature
    """Return a service URI that a pattern matches, for a rehearsal without a listing."""
    pattern = Pattern.parse(entry)
    first, second = (
        each.replace("*", "any").replace("?", "x") for each in (pattern.folder, pattern.service)
    )
    return [str(tools.Uri(first, second, ".".join(pattern.version)))]


def _expand(
    pattern: Pattern, entry: str, exclusions: Sequence[Pattern], spark: Spark
) -> Sequence[str]:
    """Return the services that a pattern matches and no exclusion removes."""
    if not pattern.is_wild:
        names = [(pattern.folder, pattern.service)]
    elif not (names := [pair for pair in _services(spark) if pattern.matches(*pair)]):
        raise errors.UriError(
            f"'{entry}' matches no service of {spark.url}{_nearest(pattern, spark)}"
        )
    else:
        names = [pair for pair in names if not any(each.matches(*pair) for each in exclusions)]
    if not pattern.version or not names:
        return [str(tools.Uri(*pair)) for pair in names]
    latest = {pair: pattern.latest(spark.catalogue.versions(*pair)) for pair in names}
    found = [str(tools.Uri(*pair, version)) for pair, version in latest.items() if version]
    if not found:
        raise errors.UriError(
            f"'{entry}' matches no version on {spark.url}{_available_versions(names, spark)}"
        )
    return found


def _check_exclusion(
    exclusion: Pattern, entry: str, patterns: Sequence[Pattern], spark: Spark
) -> None:
    """Warn if an exclusion removes nothing; raise if there is no pattern to remove from."""
    if not patterns:
        raise errors.UriError(
            f"'{entry}' has no pattern to exclude from; add one, such as motor/* instead of the "
            "folder motor"
        )
    given = (pair for pair in _services(spark) if any(each.matches(*pair) for each in patterns))
    if not any(exclusion.matches(*pair) for pair in given):
        _log.warning("'%s' excludes no service%s", entry, _nearest(exclusion, spark))


def _services(spark: Spark) -> list[tuple[str, str]]:
    """Return folder and name of every service, sorted."""
    return sorted((each.folder, each.service) for each in spark.catalogue.services())


def _nearest(pattern: Pattern, spark: Spark) -> str:
    """Return the names closest to a pattern, as the end of a message."""
    names = ["/".join(pair) for pair in _services(spark)]
    if not names:
        return "; these credentials see no services"
    near = get_close_matches(f"{pattern.folder}/{pattern.service}", names, _MAX_SHOWN, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else f"; there are {len(names)} others"


def _available_versions(names: Sequence[tuple[str, str]], spark: Spark) -> str:
    """Return the versions of the first requested services, as the end of a message."""
    texts = []
    for pair in names[:_MAX_SHOWN]:
        numbers = [each.version for each in spark.catalogue.versions(*pair)]
        texts.append(f"{'/'.join(pair)} has {', '.join(numbers[:_MAX_SHOWN]) or 'no version'}")
    return f"; {'; '.join(texts)}"
