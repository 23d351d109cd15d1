"""Which deliveries stay, and how the others go: only what this step put there, and still is."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .listing import NAME, read
from .store import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .listing import Listing, Sent
    from .store import Store

_log = logging.getLogger(__name__)
# Another machine may still be at work on a delivery that is not complete.
_GRACE = timedelta(days=1)


def prune(
    store: Store, keep: Mapping[str, Any], present: Listing, check: Callable[[], None]
) -> int:
    """Remove the deliveries that need not stay; return how many.

    ``present`` is complete and proven, so that there is always a good one.
    """
    found = {name: read(store, f"{name}/") for name in store.folders()}
    own = {name: each for name, each in found.items() if each and each.owner == present.owner}
    old = outdated(own, keep, present)
    for name in old:
        check()
        _remove(store, name, own[name], check)
    return len(old)


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
        if name not in newest and at < since and (own[name].complete or at < present.at - _GRACE)
    ]


def _remove(store: Store, folder: str, listing: Listing, check: Callable[[], None]) -> None:
    """Remove the files of a delivery, its listing last."""
    for name, sent in listing.files.items():
        check()
        path = f"{folder}/{name}"
        if store.find(path) is None:
            continue
        if is_ours(store, path, sent, check):
            store.remove(path)
        else:
            _log.warning("%s stays: it is not what was delivered there", path)
    store.remove(f"{folder}/{NAME}")


def is_ours(store: Store, path: str, sent: Sent, check: Callable[[], None]) -> bool:
    """Tell whether a file still is what this step sent.

    Where a run was killed before it could make sure, the bytes decide.
    """
    found = store.find(path)
    if found is None or found.size != sent.size or (sent.mark and sent.mark != found.mark):
        return False
    return bool(sent.mark) or sha256_of(store.read(path), check) == sent.sha256
