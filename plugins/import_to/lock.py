"""The lock file: which packages were imported, for a later import that takes these bytes only.

It is meant for version control: JSON with sorted facts, described by ``import-lock.schema.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from pathlib import Path

    from .errand import Note
    from .mapping import Contents

VERSION = 1


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file, which need not be there yet."""

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """Return the packages; none where there is no file."""
        try:
            data = tools.parse_json(self.path.read_bytes())
            sound = data["version"] == VERSION and all(map(_is_sound, data["packages"]))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise errors.StepError(f"{self.path}: {error.strerror or error}") from error
        except (ValueError, LookupError, TypeError):
            sound = False
        if not sound:
            raise errors.StepError(f"{self.path} is no lock file of version {VERSION}")
        packages: list[dict[str, Any]] = data["packages"]
        return packages

    def add(self, entry: dict[str, Any], imported: dict[str, Any]) -> None:
        """Add a package, unless it is there, and one import of it, unless that is there.

        Targets, runs and processes may share the file: it is read and replaced under a lock.
        """
        try:
            with tools.file_lock(self.path):
                self._add(entry, imported)
        except OSError as error:
            raise errors.StepError(f"{self.path}: {error.strerror or error}") from error

    def _add(self, entry: dict[str, Any], imported: dict[str, Any]) -> None:
        packages = self.read()
        known = [each for each in packages if each["sha256"] == entry["sha256"]]
        package = known[0] if known else {**entry, "imports": []}
        if imported in package["imports"]:
            return
        package["imports"].append(imported)
        every = packages if known else [*packages, package]
        text = json.dumps({"version": VERSION, "packages": every}, indent=2)
        tools.write_atomically(self.path, f"{text}\n")


def _is_sound(package: Any) -> bool:
    """Tell whether a package in a lock file has what is asked of it."""
    return isinstance(package["sha256"], str) and isinstance(package["imports"], list)


def entry(
    job: models.Job, package: models.Artifact, sha256: str, contents: Contents
) -> dict[str, Any]:
    """Return what a lock file says of a package."""
    return {
        "sha256": sha256,
        "name": package.name,
        "size": package.path.stat().st_size,
        "source": {
            "tenant": job.tenant,
            "job_ids": list(job.parts) or [job.id],
            "target": job.target.name,
        },
        "service_versions": [
            {"uri": each.uri, "version_id": each.version_id or None} for each in contents
        ],
    }


def imported(to: str, tenant: str, note: Note) -> dict[str, Any]:
    """Return what a lock file says of one import."""
    return {"connection": to, "tenant": tenant, "job_id": note.job_id, "at": note.at}
