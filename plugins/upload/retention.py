"""Remove outdated deliveries: only files that this step uploaded and that did not change since."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_impex_runner import tools

from .leftovers import GRACE, listing_parts, remove_leftovers
from .listing import NAME, UnreadableError, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .listing import Listing, SentFile
    from .store import RemoteFile, Store

_log = logging.getLogger(__name__)


def prune(
    store: Store, options: Mapping[str, Any], present: Listing, check: Callable[[], None]
) -> int:
    """Remove outdated deliveries and return their number.

    The current one, in the folder ``prefix``, stays: it is complete and verified, so there is
    always a good one.
    """
    own = {}
    for name in set(store.folders()) - {options["prefix"]}:
        check()
        found = _own_listing(store, name, present)
        if found is not None:
            own[name] = found
    old = outdated(own, options["keep"], present)
    return sum(_remove(store, name, own[name], present, check) for name in old)


def _own_listing(store: Store, name: str, present: Listing) -> Listing | None:
    """Return the listing of a folder, None if the folder has none or another owner."""
    try:
        found = read(store, f"{name}/", present.owner)
    except UnreadableError as error:
        _log.info("%s", error)
        return None
    if found is None:
        for path in listing_parts(store, f"{name}/", present):
            store.remove(path)
    return found if found and found.owner == present.owner else None


def outdated(own: Mapping[str, Listing], keep: Mapping[str, Any], present: Listing) -> list[str]:
    """Return the folders of outdated deliveries, oldest first."""
    # A delivery that is newer than this run, perhaps by a fast clock, is left to later runs.
    earlier = sorted((each.at, name) for name, each in own.items() if each.at < present.at)
    complete = [name for _, name in earlier if own[name].complete]
    newest = complete[len(complete) - min(keep.get("last", 1) - 1, len(complete)) :]
    since = present.at - timedelta(days=keep.get("days", 0))
    return [
        name
        for at, name in earlier
        if name not in newest and at < since and _is_idle(own[name], present)
    ]


def _is_idle(known: Listing, present: Listing) -> bool:
    """Return True if no run but this one can be active in a delivery."""
    idle = known.complete or known.at < present.at - GRACE
    return idle or known.writer == present.writer


def _remove(
    store: Store, name: str, known: Listing, present: Listing, check: Callable[[], None]
) -> bool:
    """Remove the files of a delivery, its listing last; return False if a run has claimed it."""
    folder = f"{name}/"
    check()
    if read(store, folder, present.owner) != known:
        return False
    # First recorded as incomplete: a removal that is killed must not look like a good delivery.
    marked = replace(known, complete=False, writer=present.writer)
    marked.write(store, folder)
    for file in known.names():
        check()
        path = folder + file
        found = store.find(path)
        if found is None:
            continue
        if match(store, path, found, known.versions(file), check):
            store.remove(path)
        else:
            _log.warning("%s stays: it was changed after the delivery", path)
    remove_leftovers(store, folder, marked, present)
    if read(store, folder, present.owner) != marked:
        return False
    store.remove(f"{folder}{NAME}")
    return True


def match(
    store: Store,
    path: str,
    found: RemoteFile,
    versions: Sequence[SentFile],
    check: Callable[[], None],
) -> SentFile | None:
    """Return which of several contents a file has, None if it has another one."""
    for each in versions:
        if each.is_at(found):
            return each
    # Without a known mark the bytes decide.
    likely = [each for each in versions if each.size == found.size]
    digest = tools.digest_of(store.read(path), check=check) if likely else ""
    return next((each for each in likely if each.sha256 == digest), None)
