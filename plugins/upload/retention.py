"""Remove outdated deliveries: only files that this step uploaded and that did not change since."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import models, tools

from .leftovers import GRACE, listing_parts, remove_leftovers
from .listing import NAME, UnreadableError, read
from .store import LockedError, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .listing import Listing, SentFile
    from .store import RemoteFile, Store

_log = logging.getLogger(__name__)
# So many locked deliveries are named in the summary.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Pruned:
    """What the retention did: ``retained`` are locked deliveries, ``signed`` the last signed one.

    Both stay although ``keep`` does not select them.
    """

    removed: int = 0
    retained: tuple[str, ...] = ()
    signed: str = ""

    def __str__(self) -> str:
        """Return the summary in one line."""
        parts = [f"{tools.counted(self.removed, 'old delivery')} removed"]
        if self.retained:
            number, locks = len(self.retained), tools.first_of(self.retained, _NAMED)
            parts.append(f"{tools.counted(number, 'locked delivery')} retained: {locks}")
        if self.signed:
            parts.append(f"{self.signed} kept as the last signed delivery")
        return ", ".join(parts)


def prune(
    store: Store, options: Mapping[str, Any], present: Listing, check: Callable[[], None]
) -> Pruned:
    """Remove outdated deliveries that no lock retains.

    The current one, in the folder ``prefix``, stays: it is complete and verified, so there is
    always a good one. If it is not signed, the last signed one stays, too.
    """
    own = {}
    for name in set(store.folders()) - {options["prefix"]}:
        check()
        found = _own_listing(store, name, present)
        if found is not None:
            own[name] = found
    old = outdated(own, options["keep"], present)
    signed = _last_signed(store, {**own, options["prefix"]: present}, check) if old else ""
    removed, retained = 0, []
    for name in old:
        if name == signed:
            continue
        lock = _lock_of(store, name, own[name], check)
        if not lock:
            try:
                removed += _remove(store, name, own[name], present, check)
                continue
            except LockedError as error:
                lock = f"({error})"
        retained.append(f"{name} {lock}")
    return Pruned(removed, tuple(retained), signed if signed in old else "")


def _lock_of(store: Store, name: str, known: Listing, check: Callable[[], None]) -> str:
    """Return the lock of the first locked file of a delivery, empty if there is none."""
    for file in (*known.names(), NAME):
        check()
        if lock := store.lock_of(f"{name}/{file}"):
            return lock
    return ""


def _last_signed(store: Store, own: Mapping[str, Listing], check: Callable[[], None]) -> str:
    """Return the folder of the newest signed delivery, empty if there is none."""
    newest_first = sorted(own.items(), key=lambda each: (each[1].at, each[0]), reverse=True)
    signed = (
        name
        for name, known in newest_first
        if known.complete and _is_signed(store, f"{name}/", known, check)
    )
    return next(signed, "")


def _is_signed(store: Store, folder: str, known: Listing, check: Callable[[], None]) -> bool:
    """Return True if every file of a delivery is in place, and is what its records have signed.

    The signature itself is not checked: a run that signs nothing has no key.
    """
    if models.EVIDENCE not in known.files:
        return False
    for name, sent in known.files.items():
        check()
        found = store.find(folder + name)
        if found is None or not match(store, folder + name, found, [sent], check):
            return False
    try:
        signed = tools.signed_digests(read_text(store, folder + models.EVIDENCE) or "")
    except ValueError:
        return False
    return models.RECEIPT in signed and all(
        sent.sha256 == signed.get(name, sent.sha256) for name, sent in known.files.items()
    )


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
    """Remove the files of a delivery, its listing last; return False if a run has claimed it.

    Raises ``LockedError`` if the store refuses that because of a lock.
    """
    folder = f"{name}/"
    check()
    if read(store, folder, present.owner) != known:
        return False
    # First recorded as incomplete: a removal that is killed must not look like a good delivery.
    marked = replace(known, complete=False, writer=present.writer)
    marked.write(store, folder)
    removed = False
    try:
        for file in known.names():
            check()
            path = folder + file
            found = store.find(path)
            if found is None:
                continue
            if match(store, path, found, known.versions(file), check):
                store.remove(path)
                removed = True
            else:
                _log.warning("%s stays: it was changed after the delivery", path)
        remove_leftovers(store, folder, marked, present)
    except LockedError:
        if not removed:
            known.write(store, folder)  # a whole delivery, as before
        raise
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
