"""Read and write ``impex-upload.json``: the owner and the files of a delivery."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as fields_of
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, models, tools

from .owner import Owner
from .store import UploadFile, part_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .store import RemoteFile, Store

NAME = "impex-upload.json"
_VERSION: Final = 2


class UnreadableError(errors.StepError):
    """A file has the name of a listing, but this version cannot read it."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that is in place; ``mark`` is its validator, as in ``RemoteFile``."""

    size: int
    sha256: str
    mark: str = ""

    def is_at(self, found: RemoteFile) -> bool:
        """Return True if a file is certainly this one."""
        return bool(self.mark) and (found.size, found.mark) == (self.size, self.mark)


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file that a run started to send; it may not have arrived."""

    name: str
    size: int
    sha256: str
    run_id: str
    at: datetime

    @classmethod
    def of(cls, source: UploadFile, own: Listing) -> PendingFile:
        """Return the record of a file that this run is about to send."""
        return cls(source.name, source.size, source.sha256, own.run_id, own.at)


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder's delivery: its owner, the start of its run, and its files by name.

    ``complete`` is True while all ``files`` are in place and form a whole delivery. ``pending``
    are files that runs started to send and that may not be in place. ``writer`` is the run that
    wrote the listing last: only it may replace files of the folder.
    """

    owner: Owner
    run_id: str
    at: datetime
    job_id: str = ""
    complete: bool = False
    writer: str = ""
    files: Mapping[str, SentFile] = field(default_factory=dict)
    pending: tuple[PendingFile, ...] = ()

    @classmethod
    def of(cls, job: models.Job, project: str = "") -> Listing:
        """Return the listing of a delivery that has not started."""
        run = job.run
        return cls(Owner.of(job, project), run.id, run.started, job.id, writer=run.id)

    def versions(self, name: str) -> tuple[SentFile, ...]:
        """Return the contents that the owner's runs may have written under a name."""
        known = (self.files[name],) if name in self.files else ()
        return (
            *known,
            *(SentFile(each.size, each.sha256) for each in self.pending if each.name == name),
        )

    def names(self) -> list[str]:
        """Return the names of all files that the owner's runs sent, or started to send."""
        return list(dict.fromkeys([*self.files, *(each.name for each in self.pending)]))

    def with_pending(self, pending: Iterable[PendingFile]) -> Listing:
        """Return the listing with more pending files."""
        return replace(self, pending=tuple(dict.fromkeys([*self.pending, *pending])))

    def text(self) -> str:
        """Return the listing as JSON, the owner first: a truncated file still shows it."""
        # The names of the fields are the keys of the file format.
        data = asdict(self)
        head = {"version": _VERSION, **data.pop("owner")}
        return json.dumps({**head, **data}, indent=2, default=datetime.isoformat) + "\n"

    def write(self, store: Store, folder: str) -> None:
        """Write the listing, replacing an earlier one of the same owner."""
        store.send(f"{folder}{NAME}", UploadFile.of_text(NAME, self.text()))

    def create(self, store: Store, folder: str) -> bool:
        """Create the listing; return False if the folder has one."""
        return store.create(f"{folder}{NAME}", UploadFile.of_text(NAME, self.text()))


def head(owner: Owner) -> str:
    """Return the start of an owner's listing."""
    return json.dumps({"version": _VERSION, **asdict(owner)}, indent=2).removesuffix("\n}")


def read(store: Store, folder: str, reader: Owner) -> Listing | None:
    """Return the listing of a folder, None if it has none.

    Raises ``UnreadableError`` if a file of that name is not a listing.
    """
    for path in _candidates(store, folder):
        text = read_text(store, path)
        if text is not None:
            return parse(text, path, reader)
    return None


def _candidates(store: Store, folder: str) -> Iterable[str]:
    """Yield the paths of a listing: a killed run may have set the last one aside."""
    yield f"{folder}{NAME}"
    for name in store.temporary(folder.rstrip("/"), ()):
        part = part_of(name)
        if part and part.kind == "old" and part.name == NAME:
            yield f"{folder}{name}"


def parse(text: str, path: str, reader: Owner) -> Listing:
    """Parse a listing; ``path`` is for the error.

    Version 1 has no project: such a listing belongs to the reader's.
    """
    try:
        return _from_json(tools.parse_json(text), reader)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnreadableError(
            f"{path}: this version of the runner cannot read the listing, so nothing is replaced "
            "beside it; move the file away, or choose another to or prefix"
        ) from error


def _from_json(data: Any, reader: Owner) -> Listing:
    version = data.pop("version")
    if version not in (1, _VERSION):
        raise ValueError(version)
    if version == 1:
        data["project"] = reader.project
    owner = Owner(*(_text(data.pop(each.name)) for each in fields_of(Owner)))
    at, run_id = _timestamp(data.pop("at")), _text(data.pop("run_id"))
    files = {name: _read_sent(**each) for name, each in data.pop("files").items()}
    pending = [_read_pending(**each) for each in data.pop("pending", [])]
    if version == 1:
        # In version 1, files without a mark were pending when it was written.
        pending = [
            PendingFile(name, each.size, each.sha256, run_id, at)
            for name, each in files.items()
            if not each.mark
        ]
        files = {name: each for name, each in files.items() if each.mark}
    # The listing decides what is removed, and others may write it: no name may lead outside.
    if any(_is_unsafe_name(name) for name in (*files, *(each.name for each in pending))):
        raise ValueError(files)
    return Listing(owner, run_id, at, files=files, pending=tuple(pending), **data)


def _read_sent(size: int, sha256: str, mark: str = "") -> SentFile:
    return SentFile(int(size), _text(sha256), _text(mark))


def _read_pending(name: str, size: int, sha256: str, run_id: str, at: str) -> PendingFile:
    return PendingFile(name, int(size), _text(sha256), _text(run_id), _timestamp(at))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _timestamp(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(at)
    return at


def _is_unsafe_name(name: str) -> bool:
    """Return True if a name may be outside the delivery's folder: anyone may edit the listing."""
    return "\\" in name or any(part in {"", ".", ".."} for part in name.split("/"))
