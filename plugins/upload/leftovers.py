"""Remove what killed runs left beside the files of a delivery."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors

from . import listing
from .listing import NAME, Listing, PendingFile, UnreadableError
from .store import Part, part_of, part_path, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .owner import Owner
    from .store import Store

_log = logging.getLogger(__name__)
# Younger files may belong to a run that is still active on another machine.
GRACE: Final = timedelta(days=1)


def is_abandoned(pending: PendingFile, present: Listing) -> bool:
    """Return True if the run that was sending a file is no longer active.

    ``present`` is the listing of the current run.
    """
    return pending.run_id == present.writer or pending.at < present.at - GRACE


def remove_leftovers(store: Store, folder: str, known: Listing, present: Listing) -> None:
    """Remove temporary files that the owner's runs left in a folder.

    Only those of files in ``known``, the folder's listing, and those of the owner's listings.
    """
    for path in _leftovers(store, folder, known, present):
        _log.info("%s: removed leftover of a killed run", path)
        store.remove(path)
    if left := [each for each in known.pending if each.at < present.at - GRACE]:
        try:
            store.abort_uploads({path for each in left for path in _paths(folder, each)})
        except errors.StepError as error:  # The permission to write does not include this one.
            _log.warning("%s; set a lifecycle rule for incomplete multipart uploads", error)


def try_to_remove_leftovers(store: Store, folder: str, known: Listing, present: Listing) -> None:
    """Remove leftovers, but only warn on failure: they do not harm the delivery."""
    try:
        remove_leftovers(store, folder, known, present)
    except (errors.StepError, OSError) as error:
        _log.warning("%s: leftovers of killed runs stay until the next run: %s", folder, error)


def _paths(folder: str, pending: PendingFile) -> Iterator[str]:
    """Yield the paths that an upload of a file writes to."""
    path = f"{folder}{pending.name}"
    yield from (path, part_path(path, pending.sha256))


def _leftovers(store: Store, folder: str, known: Listing, present: Listing) -> Iterator[str]:
    # The name of a temporary file has no run: one of an active run must stay.
    at_work = {_key(each) for each in known.pending if not is_abandoned(each, present)}
    left = {_key(each) for each in known.pending if each.run_id != present.writer} - at_work
    sent = {(name, each.sha256[:12]) for name, each in known.files.items()}
    ours = {_key(each) for each in known.pending} | sent
    for inner in sorted({"", *(name.rpartition("/")[0] for name in known.names())}):
        start = f"{inner}/" if inner else ""
        likely = [
            str(Part(name.removeprefix(start), digest))
            for name, digest in sorted(left)
            if name.rpartition("/")[0] == inner
        ]
        for file in store.temporary(f"{folder}{inner}".rstrip("/"), likely):
            part = part_of(file)
            if part and (f"{start}{part.name}", part.digest) in ours - at_work:
                yield f"{folder}{start}{file}"
    yield from listing_parts(store, folder, present)


def _key(pending: PendingFile) -> tuple[str, str]:
    """Return the part of a file's identity that its temporary name has."""
    return pending.name, pending.sha256[:12]


def listing_parts(store: Store, folder: str, present: Listing) -> Iterator[str]:
    """Yield the abandoned temporary files of the owner's listings in a folder."""
    for file in store.temporary(folder.rstrip("/"), ()):
        part = part_of(file)
        if part and part.name == NAME and _is_abandoned_part(store, folder, part, present):
            yield f"{folder}{file}"


def _is_abandoned_part(store: Store, folder: str, part: Part, present: Listing) -> bool:
    """Return True if a listing's temporary file is the owner's, of a run that is not active.

    One that was set aside is obsolete as soon as the listing exists.
    """
    path = f"{folder}{part}"
    text = read_text(store, path)
    if text is None:
        return False
    try:
        found = listing.parse(text, path, present.owner)
    except UnreadableError:
        return _is_truncated_listing(text, present.owner)
    if found.owner != present.owner:
        return False
    if part.kind == "old":
        return store.find(f"{folder}{NAME}") is not None
    runs = {each.run_id: each.at for each in found.pending} | {found.run_id: found.at}
    at = runs.get(found.writer, found.at)
    return found.writer == present.writer or at < present.at - GRACE


def _is_truncated_listing(text: str, owner: Owner) -> bool:
    """Return True if a truncated text started as a listing of the owner."""
    head = listing.head(owner)
    return text.startswith(head) or head.startswith(text)
