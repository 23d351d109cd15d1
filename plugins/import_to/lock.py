"""Read and extend the lock file, which pins the packages that a later import may take.

It belongs into version control; ``import-lock.schema.json`` describes its JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from pathlib import Path

    from .importer import ImportRecord, ImportRequest

VERSION = 1


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file, which may not exist yet."""

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """Return the locked packages, none if the file does not exist."""
        try:
            data = tools.parse_json(self.path.read_bytes())
            valid = data["version"] == VERSION and all(map(_is_valid, data["packages"]))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise errors.StepError(f"{self.path}: {error.strerror or error}") from error
        except (ValueError, LookupError, TypeError):
            valid = False
        if not valid:
            raise errors.StepError(
                f"{self.path} is not a lock file of version {VERSION}; "
                "restore it from version control"
            )
        packages: list[dict[str, Any]] = data["packages"]
        return packages

    def add(self, entry: dict[str, Any], imported: dict[str, Any]) -> dict[str, Any]:
        """Add a package and one import of it, unless they are in the file; return both from it."""
        # Targets, runs and processes may share the file: it is read and replaced under a lock.
        try:
            with tools.file_lock(self.path):
                return self._add(entry, imported)
        except OSError as error:
            raise errors.StepError(f"{self.path}: {error.strerror or error}") from error

    def _add(self, entry: dict[str, Any], imported: dict[str, Any]) -> dict[str, Any]:
        # Read again under the lock: another run may have added a package since.
        packages = self.read()
        known = [each for each in packages if each["sha256"] == entry["sha256"]]
        package = known[0] if known else {**entry, "imports": []}
        written = {name: value for name, value in package.items() if name != "imports"}
        for each in package["imports"]:
            # A run that was killed after it wrote the file comes here again, without the approval.
            if _job_of(each) == _job_of(imported):
                return {"package": written, "import": each}
        package["imports"].append(imported)
        every = packages if known else [*packages, package]
        text = json.dumps({"version": VERSION, "packages": every}, indent=2)
        tools.write_atomically(self.path, f"{text}\n")
        return {"package": written, "import": imported}


def _job_of(imported: Any) -> tuple[Any, ...]:
    """Return what identifies an import."""
    keys = ("connection", "tenant", "job_id", "at")
    return tuple(imported.get(key) for key in keys) if isinstance(imported, dict) else ()


def _is_valid(package: Any) -> bool:
    """Return True if an entry of a lock file has the required keys."""
    return isinstance(package["sha256"], str) and isinstance(package["imports"], list)


def package_entry(job: models.Job, request: ImportRequest) -> dict[str, Any]:
    """Return the lock file's entry of a package."""
    return {
        "sha256": request.sha256,
        "name": request.name,
        "size": request.path.stat().st_size,
        "source": {
            "tenant": job.tenant,
            "job_ids": list(job.parts) or [job.id],
            "target": job.target.name,
        },
        "service_versions": [
            {"uri": each.uri, "version_id": each.version_id or None} for each in request.contents
        ],
    }


def import_entry(
    to: str, tenant: str, record: ImportRecord, approved: models.Approval | None
) -> dict[str, Any]:
    """Return the lock file's entry of one import, with its approval if there was one."""
    entry = {"connection": to, "tenant": tenant, "job_id": record.job_id, "at": record.at}
    if approved is None:
        return entry
    who = {"by": approved.by or None, "named_by": approved.named_by, "at": approved.at}
    return {**entry, "approval": who}
