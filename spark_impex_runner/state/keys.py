"""The keys by which the state finds targets and requests of earlier runs."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.state.models import part_key

if TYPE_CHECKING:
    from spark_impex_runner.models import Job, Manifest, Request, Target


def target_key(job: Job) -> str:
    """Return the key of a job's target, or of the part of it that the job delivers."""
    target = target_key_for(job.run.manifest, job.target)
    return part_key(target, job.part) if job.part else target


def target_key_for(manifest: Manifest, target: Target) -> str:
    """Return the key of a target: unique among the manifests that share a state directory."""
    return f"{manifest.name}/{target.name}"


def tenant_of(job: Job) -> str:
    """Return the identity of the tenant that a job's packages come from."""
    return str(job.run.connect(job.target.connection).identity)


def command_line(manifest: Manifest) -> str:
    """Return a manifest and its overlays as arguments of a command line."""
    overlays = (argument for path in manifest.overlays for argument in ("-f", str(path)))
    return shlex.join([str(manifest.path), *overlays])


def fingerprint(job: Job) -> str:
    """Return the digest of a job's request."""
    return request_digest(job.request)


def request_digest(request: Request) -> str:
    """Return a digest that two requests share if and only if they ask for the same services."""
    # Labels do not count: they may contain the run's id or date.
    request = replace(request, correlation_id=None, source_system=None, file_name=None)
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def size_class(job: Job) -> str:
    """Return the class of requests whose jobs may take as long: their item count and filters."""
    request = job.request
    items = len(request.folders) + len(request.services) + len(request.version_ids)
    return f"{items} {request.file_filter} {request.version_filter}"
