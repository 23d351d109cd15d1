"""What runs that were killed left beside the files of a delivery, and how it goes."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors

from . import listing
from .listing import NAME, Begun, Listing, UnreadableError
from .store import Part, part_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .owner import Owner
    from .store import Store

_log = logging.getLogger(__name__)
# Another machine may still be at work on what it began so recently.
GRACE: Final = timedelta(days=1)


def is_left_behind(begun: Begun, present: Listing) -> bool:
    """Tell whether the run that began to send a file is not at work on it any more.

    ``present`` is the listing of the run that asks.
    """
    return begun.run_id == present.writer or begun.at < present.at - GRACE


def remove_leftovers(store: Store, folder: str, known: Listing, present: Listing) -> None:
    """Remove temporary files in a folder that the owner's runs left there.

    Only those that a listing names, and parts of listings of the owner. ``known`` is the folder's
    listing.
    """
    for path in _leftovers(store, folder, known, present):
        _log.info("%s: removed, a run that was killed left it", path)
        store.remove(path)
    if left := [each for each in known.pending if each.at < present.at - GRACE]:
        try:
            store.abort_uploads({path for each in left for path in _paths(folder, each)})
        except errors.StepError as error:  # The rights to write do not include this one.
            _log.warning("%s; set a lifecycle rule for incomplete multipart uploads", error)


def try_to_remove_leftovers(store: Store, folder: str, known: Listing, present: Listing) -> None:
    """Remove temporary files beside a delivery, which a fault there does not harm."""
    try:
        remove_leftovers(store, folder, known, present)
    except (errors.StepError, OSError) as error:
        _log.warning("%s: leftovers of runs that were killed stay for now: %s", folder, error)


def _paths(folder: str, begun: Begun) -> Iterator[str]:
    """Yield where an upload of a file goes: to its place, or beside it."""
    inner, slash, name = begun.name.rpartition("/")
    yield f"{folder}{begun.name}"
    yield f"{folder}{inner}{slash}{Part(name, begun.sha256[:12])}"


def _leftovers(store: Store, folder: str, known: Listing, present: Listing) -> Iterator[str]:
    at_work = {_key(each) for each in known.pending if not is_left_behind(each, present)}
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


def _key(begun: Begun) -> tuple[str, str]:
    """Return what the name of a file's temporary file tells of it."""
    return begun.name, begun.sha256[:12]


def listing_parts(store: Store, folder: str, present: Listing) -> Iterator[str]:
    """Yield the temporary files of the owner's own listings in a folder."""
    for file in store.temporary(folder.rstrip("/"), ()):
        part = part_of(file)
        if part and part.name == NAME and _is_left(store, folder, part, present):
            yield f"{folder}{file}"


def _is_left(store: Store, folder: str, part: Part, present: Listing) -> bool:
    """Tell whether a listing's temporary file is the owner's, of a run that is not at work.

    One that was set aside is of no use as soon as the listing is there.
    """
    path = f"{folder}{part}"
    text = read_text(store, path)
    if text is None:
        return False
    try:
        found = listing.parse(text, path, present.owner)
    except UnreadableError:
        return _begins(text, present.owner)
    if found.owner != present.owner:
        return False
    if part.kind == "old":
        return store.find(f"{folder}{NAME}") is not None
    runs = {each.run_id: each.at for each in found.pending} | {found.run_id: found.at}
    at = runs.get(found.writer, found.at)
    return found.writer == present.writer or at < present.at - GRACE


def _begins(text: str, owner: Owner) -> bool:
    """Tell whether a text that is cut off began as a listing of the owner."""
    head = listing.head(owner)
    return text.startswith(head) or head.startswith(text)
