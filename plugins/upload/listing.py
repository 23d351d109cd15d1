"""``impex-upload.json`` beside every delivery: what this step put there, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from .store import Source, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.models import Job

    from .store import Found, Store

NAME = "impex-upload.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that this step put somewhere; ``mark`` is empty until that is certain."""

    size: int
    sha256: str
    mark: str = ""

    def is_at(self, found: Found | None) -> bool:
        """Tell whether a file is this one, and certainly so."""
        return found is not None and (found.size, found.mark) == (self.size, self.mark)


@dataclass(frozen=True, slots=True)
class Listing:
    """One delivery: whose it is, when its run began, and its files by name.

    ``complete`` is False while files are on their way, and where one did not arrive.
    """

    manifest: str
    target: str
    run_id: str
    at: datetime
    tenant: str = ""
    job_id: str = ""
    complete: bool = False
    files: Mapping[str, Sent] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Listing:
        """Return the listing of a delivery that has not begun."""
        run = job.run
        return cls(run.manifest.name, job.target.name, run.id, run.started, job.tenant, job.id)

    @property
    def owner(self) -> tuple[str, str]:
        """Whose delivery it is: only the same target of the same manifest may remove it."""
        return self.manifest, self.target

    def write(self, store: Store, folder: str) -> None:
        """Leave it beside the delivery."""
        data = {"version": _VERSION, **asdict(self), "at": self.at.isoformat()}
        text = json.dumps(data, indent=2) + "\n"
        store.send(f"{folder}{NAME}", Source.of_text(NAME, text))


def read(store: Store, folder: str) -> Listing | None:
    """Return the listing of a folder, or None where no delivery of this step lies."""
    text = read_text(store, f"{folder}{NAME}")
    if text is None:
        return None
    try:
        return _parsed(json.loads(text))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _parsed(data: Any) -> Listing:
    """Return a listing from its JSON; raise where it is none of version 1."""
    if data.pop("version") != _VERSION:
        raise ValueError(data)
    at = datetime.fromisoformat(data.pop("at"))
    if at.tzinfo is None:
        raise ValueError(at)
    files = {name: Sent(**each) for name, each in data.pop("files").items()}
    if any(_leads_out(name) for name in files):
        raise ValueError(files)
    return Listing(at=at, files=files, **data)


def _leads_out(name: str) -> bool:
    """Tell whether a name might mean a file outside of the delivery's folder."""
    return "\\" in name or any(part in {"", ".", ".."} for part in name.split("/"))
