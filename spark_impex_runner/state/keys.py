"""What the state calls targets and requests: the same in every run that asks for the same."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.state.models import part_key

if TYPE_CHECKING:
    from spark_impex_runner.models import Job, Manifest, Target


def target_key(job: Job) -> str:
    """Return what the state calls a job's target, or the part of one that the job delivers."""
    target = target_key_for(job.run.manifest, job.target)
    return part_key(target, job.part) if job.part else target


def target_key_for(manifest: Manifest, target: Target) -> str:
    """Return what the state calls a target: unique among the manifests of one folder."""
    return f"{manifest.name}/{target.name}"


def command_line(manifest: Manifest) -> str:
    """Return a manifest and its overlays as a command line names them."""
    overlays = (word for path in manifest.overlays for word in ("-f", str(path)))
    return shlex.join([str(manifest.path), *overlays])


def fingerprint(job: Job) -> str:
    """Return what is the same in two runs if and only if they ask for the same services.

    Labels do not count: correlation id, source system and file name may hold the run's id or date.
    """
    request = replace(job.request, correlation_id=None, source_system=None, file_name=None)
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def size_class(job: Job) -> str:
    """Return what is the same for requests of which as much may be expected."""
    request = job.request
    things = len(request.folders) + len(request.services) + len(request.version_ids)
    return f"{things} {request.file_filter} {request.version_filter}"
