"""``impex-upload.json`` beside every delivery: whose it is, and which files are the owner's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as fields_of
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, models, tools

from .owner import Owner
from .store import Source, part_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .store import Found, Store

NAME = "impex-upload.json"
_VERSION: Final = 2


class UnreadableError(errors.StepError):
    """A file has the name of a listing and is none that this version can read."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that is known to be in place; ``mark`` changes when the file does."""

    size: int
    sha256: str
    mark: str = ""

    def is_at(self, found: Found) -> bool:
        """Tell whether a file is this one, and certainly so."""
        return bool(self.mark) and (found.size, found.mark) == (self.size, self.mark)


@dataclass(frozen=True, slots=True)
class Begun:
    """A file that a run began to send, whether or not it got there before the run ended."""

    name: str
    size: int
    sha256: str
    run_id: str
    at: datetime

    @classmethod
    def of(cls, source: Source, own: Listing) -> Begun:
        """Return the record of a file that the run of a listing is about to send."""
        return cls(source.name, source.size, source.sha256, own.run_id, own.at)


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder's delivery: whose it is, when its run began, and its files by name.

    ``complete`` is True while ``files`` are all in place and make a whole delivery. ``pending``
    are the files that runs began to send and that are not known to be in place. ``writer`` is the
    run that wrote the listing last: only one run at a time may replace files of the folder.
    """

    owner: Owner
    run_id: str
    at: datetime
    job_id: str = ""
    complete: bool = False
    writer: str = ""
    files: Mapping[str, Sent] = field(default_factory=dict)
    pending: tuple[Begun, ...] = ()

    @classmethod
    def of(cls, job: models.Job, project: str = "") -> Listing:
        """Return the listing of a delivery that has not begun."""
        run = job.run
        return cls(Owner.of(job, project), run.id, run.started, job.id, writer=run.id)

    def versions(self, name: str) -> tuple[Sent, ...]:
        """Return the contents that runs of the owner may have left under a name."""
        known = (self.files[name],) if name in self.files else ()
        return (*known, *(Sent(each.size, each.sha256) for each in self._begun(name)))

    def _begun(self, name: str) -> Iterable[Begun]:
        return (each for each in self.pending if each.name == name)

    def names(self) -> list[str]:
        """Return the names of all files that runs of the owner sent, or began to send."""
        return list(dict.fromkeys([*self.files, *(each.name for each in self.pending)]))

    def with_pending(self, begun: Iterable[Begun]) -> Listing:
        """Return the listing with more files that runs began to send."""
        return replace(self, pending=tuple(dict.fromkeys([*self.pending, *begun])))

    def text(self) -> str:
        """Return the listing as it is stored, the owner first."""
        data = asdict(self)
        head = {"version": _VERSION, **data.pop("owner")}
        return json.dumps({**head, **data}, indent=2, default=datetime.isoformat) + "\n"

    def write(self, store: Store, folder: str) -> None:
        """Leave it beside the delivery, in place of an earlier one of the same owner."""
        store.send(f"{folder}{NAME}", Source.of_text(NAME, self.text()))

    def create(self, store: Store, folder: str) -> bool:
        """Leave it in a folder that has none; return False where one is there."""
        return store.create(f"{folder}{NAME}", Source.of_text(NAME, self.text()))


def head(owner: Owner) -> str:
    """Return how the listing of an owner begins."""
    return json.dumps({"version": _VERSION, **asdict(owner)}, indent=2).removesuffix("\n}")


def read(store: Store, folder: str, reader: Owner) -> Listing | None:
    """Return the listing of a folder, or None where no delivery lies.

    Raises ``UnreadableError`` for a file of that name which is no listing.
    """
    for path in _candidates(store, folder):
        text = read_text(store, path)
        if text is not None:
            return parse(text, path, reader)
    return None


def _candidates(store: Store, folder: str) -> Iterable[str]:
    """Yield where a listing may be: a run that was killed may just have set the last one aside."""
    yield f"{folder}{NAME}"
    for name in store.temporary(folder.rstrip("/"), ()):
        part = part_of(name)
        if part and part.kind == "old" and part.name == NAME:
            yield f"{folder}{name}"


def parse(text: str, path: str, reader: Owner) -> Listing:
    """Return a listing from its JSON; ``path`` names it in the error.

    One of version 1 names no project: it counts as one of the reader's.
    """
    try:
        return _parsed(tools.parse_json(text), reader)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnreadableError(
            f"{path}: this is no listing that this version of the runner can read, so nothing is "
            "replaced beside it; move the file away, or choose another to or prefix"
        ) from error


def _parsed(data: Any, reader: Owner) -> Listing:
    """Return a listing from its JSON; raise where it is none."""
    version = data.pop("version")
    if version not in (1, _VERSION):
        raise ValueError(version)
    if version == 1:
        data["project"] = reader.project
    owner = Owner(*(_text(data.pop(each.name)) for each in fields_of(Owner)))
    at, run_id = _moment(data.pop("at")), _text(data.pop("run_id"))
    files = {name: _sent(**each) for name, each in data.pop("files").items()}
    pending = [_begun(**each) for each in data.pop("pending", [])]
    if version == 1:
        # Its files without a mark were on their way when it was written.
        pending = [
            Begun(name, each.size, each.sha256, run_id, at)
            for name, each in files.items()
            if not each.mark
        ]
        files = {name: each for name, each in files.items() if each.mark}
    if any(_leads_out(name) for name in (*files, *(each.name for each in pending))):
        raise ValueError(files)
    return Listing(owner, run_id, at, files=files, pending=tuple(pending), **data)


def _sent(size: int, sha256: str, mark: str = "") -> Sent:
    return Sent(int(size), _text(sha256), _text(mark))


def _begun(name: str, size: int, sha256: str, run_id: str, at: str) -> Begun:
    return Begun(name, int(size), _text(sha256), _text(run_id), _moment(at))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(at)
    return at


def _leads_out(name: str) -> bool:
    """Tell whether a name might mean a file outside of the delivery's folder."""
    return "\\" in name or any(part in {"", ".", ".."} for part in name.split("/"))
