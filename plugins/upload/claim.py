"""The right of one run to write into one folder, recorded in the folder's listing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner import errors

from . import listing
from .listing import Begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .listing import Listing, Sent
    from .store import Source, Store


class ClaimedError(errors.StepError):
    """Another run has claimed the folder since it was looked at."""


class Claim:
    """The folder's listing, as this run knows it and writes it.

    A folder has one owner: the first run that creates the listing. Of the owner's runs, the one
    that wrote it last may replace files; any other stops before it replaces or completes anything.
    """

    def __init__(self, own: Listing, store: Store, folder: str, to: str) -> None:
        self._store = store
        self._folder = folder
        self._place = f"{to.rstrip('/')}/{folder}{listing.NAME}"
        self._own = own
        self._created = False
        self.listing = own

    def open(self) -> Listing:
        """Read the listing; raise ``StepError`` where the folder has another owner."""
        found = self._read()
        self._created = found is not None
        self.listing = found or self._own
        self._check_owner(self.listing)
        return self.listing

    def begin(self, sources: Sequence[Source]) -> None:
        """Record what is about to be sent, so that it is known as the owner's from now on.

        Raises ``ClaimedError`` where another run was faster.
        """
        begun = [Begun.of(each, self._own) for each in sources]
        self.listing = replace(self.listing, writer=self._own.writer).with_pending(begun)
        if self._created:
            self._write(self.listing)
            return
        created = self.listing.create(self._store, self._folder)
        found = self._read()
        if not created or found is None or not self._is_own(found):
            raise ClaimedError(f"{self._place}: another run has just begun a delivery there")
        self._created = True

    def hold(self) -> None:
        """Raise ``StepError`` where another run has claimed the folder meanwhile."""
        found = self._read()
        if found is None:
            raise errors.StepError(f"{self._place}: it was removed during the delivery")
        self._check_owner(found)
        if not self._is_own(found):
            raise errors.StepError(
                f"{self._place}: run {found.writer} of the same target delivers into the same "
                "folder; repeat this run when that one has ended"
            )
        self.listing = self.listing.with_pending(found.pending)

    def replacing(self) -> None:
        """Record that files of the folder are about to change: what it holds is not complete."""
        self.listing = self._dated(complete=False)
        self._write(self.listing)

    def arrived(self, files: Mapping[str, Sent]) -> None:
        """Note files that are known to be in place; it is recorded with what is recorded next."""
        self.listing = replace(self.listing, files={**self.listing.files, **files})

    def finish(self, pending: Iterable[Begun], *, complete: bool) -> Listing:
        """Record how the delivery ended; ``pending`` are the files of other runs."""
        self.listing = replace(self._dated(complete=complete), pending=tuple(pending))
        self._write(self.listing)
        return self.listing

    def give_up(self) -> None:
        """Record what is known after a fault, as far as the store and another run permit it."""
        with suppress(errors.StepError, OSError):
            found = self._read()
            if found is None or found.owner != self._own.owner:
                return
            if self._is_own(found):
                self._write(self.listing)
                return
            # Another run's files are mixed with those that this run has replaced.
            intact = found.complete and self.listing.run_id != self._own.run_id
            merged = replace(found, complete=intact).with_pending(self.listing.pending)
            self._write(merged)

    def _dated(self, *, complete: bool) -> Listing:
        own = self._own
        return replace(
            self.listing, run_id=own.run_id, at=own.at, job_id=own.job_id, complete=complete
        )

    def _is_own(self, found: Listing) -> bool:
        return (found.owner, found.writer) == (self._own.owner, self._own.writer)

    def _check_owner(self, found: Listing) -> None:
        if found.owner != self._own.owner:
            own = self._own.owner
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
