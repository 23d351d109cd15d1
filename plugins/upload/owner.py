"""Identify the owner of a delivery, who may replace and remove its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .project import project_from_option, project_of

if TYPE_CHECKING:
    from spark_impex_runner import models


@dataclass(frozen=True, slots=True)
class Owner:
    """One target of one manifest in one project, for one tenant.

    The manifest is identified by its name, as in the state: its path differs on every CI runner.
    The project distinguishes two manifests of the same name.
    """

    tenant: str
    manifest: str
    target: str
    project: str

    @classmethod
    def of(cls, job: models.Job, project: str = "") -> Owner:
        """Return the owner of what a job delivers; ``project`` is the option of the step."""
        manifest = job.run.manifest
        name = project_from_option(project) if project else project_of(manifest.path)
        return cls(_tenant(job), manifest.name, job.target.name, name)

    def __str__(self) -> str:
        """Name the owner in a message."""
        return (
            f"target {self.target} of manifest {self.manifest} in project {self.project} "
            f"for tenant {self.tenant}"
        )


def _tenant(job: models.Job) -> str:
    """Return the base URL of the tenant, or the folder that a sandbox serves."""
    # A sandbox has another port in every run, so its URL does not identify it.
    manifest = job.run.manifest
    connection = manifest.connections.get(job.target.connection)
    if connection is None or connection.sandbox is None:
        return job.tenant
    try:
        folder = os.path.relpath(connection.sandbox, manifest.path.parent)
    except ValueError:  # On another drive of Windows.
        folder = str(connection.sandbox)
    return f"sandbox:{folder.replace(os.sep, '/')}"
