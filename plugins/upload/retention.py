"""Which deliveries stay, and how the others go: only what this step put there, and still is."""

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

    from .listing import Listing, Sent
    from .store import Found, Store

_log = logging.getLogger(__name__)


def prune(
    store: Store, options: Mapping[str, Any], present: Listing, check: Callable[[], None]
) -> int:
    """Remove the deliveries that need not stay; return how many.

    That of ``present``, in the folder ``prefix``, stays: it is complete and proven, so that there
    is always a good one.
    """
    own = {}
    for name in set(store.folders()) - {options["prefix"]}:
        check()
        found = _owned(store, name, present)
        if found is not None:
            own[name] = found
    old = outdated(own, options["keep"], present)
    return sum(_remove(store, name, own[name], present, check) for name in old)


def _owned(store: Store, name: str, present: Listing) -> Listing | None:
    """Return the listing of a folder, None where the folder is another owner's or has none."""
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
    """Return the folders of the deliveries that need not stay, oldest first.

    What began after the present run, by a clock that is ahead perhaps, is no business of it.
    """
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
    """Tell whether no run can be at work on a delivery but one that removes it: this one."""
    idle = known.complete or known.at < present.at - GRACE
    return idle or known.writer == present.writer


def _remove(
    store: Store, name: str, known: Listing, present: Listing, check: Callable[[], None]
) -> bool:
    """Remove the files of a delivery, its listing last; return False where a run has claimed it.

    It is recorded as incomplete first: a delivery that is removed in part is no good one.
    """
    folder = f"{name}/"
    check()
    if read(store, folder, present.owner) != known:
        return False
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
            _log.warning("%s stays: it is not what was delivered there", path)
    remove_leftovers(store, folder, marked, present)
    if read(store, folder, present.owner) != marked:
        return False
    store.remove(f"{folder}{NAME}")
    return True


def match(
    store: Store, path: str, found: Found, versions: Sequence[Sent], check: Callable[[], None]
) -> Sent | None:
    """Return which of several contents a file has, None where it has another one.

    Where the store's mark does not tell, the bytes decide.
    """
    for each in versions:
        if each.is_at(found):
            return each
    likely = [each for each in versions if each.size == found.size]
    digest = tools.digest_of(store.read(path), check=check) if likely else ""
    return next((each for each in likely if each.sha256 == digest), None)
