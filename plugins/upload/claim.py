"""Claim a folder for one run, recorded in the folder's listing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner import errors

from . import listing
from .listing import PendingFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .listing import Listing, SentFile
    from .store import Store, UploadFile


class ClaimedError(errors.StepError):
    """Another run has claimed the folder since it was read."""


class Claim:
    """A folder's listing, as this run reads and writes it.

    A folder belongs to the owner whose run created the listing first. Of the owner's runs, only
    the last writer may replace files; any other stops before it replaces or completes anything.
    """

    def __init__(self, own: Listing, store: Store, folder: str, to: str) -> None:
        self._store = store
        self._folder = folder
        self._place = f"{to.rstrip('/')}/{folder}{listing.NAME}"
        self._own = own
        self._created = False
        self.listing = own

    def open(self) -> Listing:
        """Read the listing; raise ``StepError`` if the folder has another owner."""
        found = self._read()
        self._created = found is not None
        self.listing = found or self._own
        self._check_owner(self.listing)
        return self.listing

    def begin(self, sources: Sequence[UploadFile]) -> None:
        """Record the files about to be sent as the owner's; raise ``ClaimedError`` if overtaken."""
        pending = [PendingFile.of(each, self._own) for each in sources]
        self.listing = replace(self.listing, writer=self._own.writer).with_pending(pending)
        if self._created:
            self._write(self.listing)
            return
        # Not every store creates exclusively, so the listing is read back: the last writer wins.
        created = self.listing.create(self._store, self._folder)
        found = self._read()
        if not created or found is None or not self._is_ours(found):
            raise ClaimedError(f"{self._place}: another run has just started a delivery there")
        self._created = True

    def verify(self) -> None:
        """Raise ``StepError`` if another run has claimed the folder meanwhile."""
        found = self._read()
        if found is None:
            raise errors.StepError(f"{self._place}: removed during the delivery; run again")
        self._check_owner(found)
        if not self._is_ours(found):
            raise errors.StepError(
                f"{self._place}: run {found.writer} of the same target delivers into the same "
                "folder; run again when it has ended"
            )
        # Another run of the owner may have left files meanwhile.
        self.listing = self.listing.with_pending(found.pending)

    def mark_incomplete(self) -> None:
        """Record that files are about to be replaced: the delivery is incomplete meanwhile."""
        self.listing = self._dated(complete=False)
        self._write(self.listing)

    def add_files(self, files: Mapping[str, SentFile]) -> None:
        """Add files that are in place; the next write records them."""
        self.listing = replace(self.listing, files={**self.listing.files, **files})

    def finish(self, pending: Iterable[PendingFile], *, complete: bool) -> Listing:
        """Record the end of the delivery; ``pending`` are the files of other runs."""
        self.listing = replace(self._dated(complete=complete), pending=tuple(pending))
        self._write(self.listing)
        return self.listing

    def abandon(self) -> None:
        """Record the state after a failure, as far as the store and other runs allow."""
        with suppress(errors.StepError, OSError):
            found = self._read()
            if found is None or found.owner != self._own.owner:
                return
            if self._is_ours(found):
                self._write(self.listing)
                return
            # The files of the other run are mixed with those that this run has replaced.
            intact = found.complete and self.listing.run_id != self._own.run_id
            merged = replace(found, complete=intact).with_pending(self.listing.pending)
            self._write(merged)

    def _dated(self, *, complete: bool) -> Listing:
        own = self._own
        return replace(
            self.listing, run_id=own.run_id, at=own.at, job_id=own.job_id, complete=complete
        )

    def _is_ours(self, found: Listing) -> bool:
        return (found.owner, found.writer) == (self._own.owner, self._own.writer)

    def _check_owner(self, found: Listing) -> None:
        if found.owner != self._own.owner:
            own = self._own.owner
            # The same manifest from another checkout: most likely the project has moved.
            moved = replace(own, project=found.owner.project) == found.owner
            hint = f", or set project: {json.dumps(found.owner.project)} if that one has moved here"
            raise errors.StepError(
                f"{self._place}: the folder belongs to {found.owner}, so nothing is replaced "
                f"there; choose another to or prefix for {own}{hint if moved else ''}"
            )

    def _read(self) -> Listing | None:
        return listing.read(self._store, self._folder, self._own.owner)

    def _write(self, present: Listing) -> None:
        present.write(self._store, self._folder)
