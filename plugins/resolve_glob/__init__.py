"""Patterns among the services of a target: ``motor/*``, ``!motor/old-*``, ``motor/pricing[1.*]``.

A pattern becomes the services that the tenant lists, in the order of their names, so that the same
tenant always gives the same request. A listing is read once for each connection of a run.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl, models, tools

from .pattern import Pattern, is_exclusion, is_pattern, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner import Spark


_log = logging.getLogger(__name__)
# So many names or versions are shown where none fits.
_NEAREST = 3


@hookimpl
def impex_register(registry: Registry) -> None:
    """Claim the entries that are patterns."""
    registry.resolver("glob", "Services by patterns, from the tenant's listing.", check)


@hookimpl(trylast=True)
def impex_resolve_uri(uri: str, target: models.Target, run: models.Run) -> Sequence[str] | None:
    """Return the services that a pattern matches; answer for patterns and parts of versions."""
    pattern = read(uri)
    if pattern is None:
        return None
    spark = run.connect(target.connection)
    # Every entry comes here: were all of them read each time, a long list would take minutes.
    excluding = [Pattern.parse(each) for each in target.services if is_exclusion(each)]
    try:
        if not pattern.excludes:
            return _found(pattern, uri, excluding, spark)
        others = [read(each) for each in target.services if not is_exclusion(each)]
        _warn_of_idle(pattern, uri, [each for each in others if each and each.wild], spark)
    except errors.UriError as error:
        raise errors.UriError(f"target {target.name}: {error}") from error
    return []


def check(entry: str, folder: Path) -> str | None:  # noqa: ARG001 - a resolver's signature
    """Return what is wrong with a pattern; None for what is none. Nothing is sent."""
    if not is_pattern(entry):
        return None
    try:
        Pattern.parse(entry)
    except errors.UriError as error:
        return str(error)
    return ""


def _found(
    pattern: Pattern, entry: str, exclusions: Sequence[Pattern], spark: Spark
) -> Sequence[str]:
    """Return the services that a pattern matches and no exclusion takes away."""
    if not pattern.wild:
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
            f"'{entry}' matches no version on {spark.url}{_existing(names, spark)}"
        )
    return found


def _warn_of_idle(exclusion: Pattern, entry: str, givers: Sequence[Pattern], spark: Spark) -> None:
    """Warn of an exclusion that takes nothing away; raise where there is nothing to take from."""
    if not givers:
        raise errors.UriError(
            f"'{entry}' has no pattern to take away from; give one, such as motor/* in place of "
            "the folder motor"
        )
    given = (pair for pair in _services(spark) if any(each.matches(*pair) for each in givers))
    if not any(exclusion.matches(*pair) for pair in given):
        _log.warning("'%s' takes no service away%s", entry, _nearest(exclusion, spark))


def _services(spark: Spark) -> list[tuple[str, str]]:
    """Return folder and name of every service, in order."""
    return sorted((each.folder, each.service) for each in spark.catalogue.services())


def _nearest(pattern: Pattern, spark: Spark) -> str:
    """Return the names that are most like a pattern, as the end of a sentence."""
    names = ["/".join(pair) for pair in _services(spark)]
    if not names:
        return "; these credentials see no service at all"
    near = get_close_matches(f"{pattern.folder}/{pattern.service}", names, _NEAREST, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else f"; there are {len(names)} others"


def _existing(names: Sequence[tuple[str, str]], spark: Spark) -> str:
    """Return the versions of the first services that were asked for, as the end of a sentence."""
    told = []
    for pair in names[:_NEAREST]:
        numbers = [each.version for each in spark.catalogue.versions(*pair)]
        told.append(f"{'/'.join(pair)} has {', '.join(numbers[:_NEAREST]) or 'no version'}")
    return f"; {'; '.join(told)}"
