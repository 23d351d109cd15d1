"""Write a file of a step beside the packages."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from spark_impex_runner.atomic import write_text
from spark_impex_runner.models import Artifact
from spark_impex_runner.ownership import Ownership

if TYPE_CHECKING:
    from spark_impex_runner.models import Job


def write_artifact(job: Job, name: str, text: str, made_by: str) -> Artifact:
    """Write ``text`` (UTF-8) to the target's output atomically; return the file as an artifact.

    ``name`` is the file's path in the output, ``made_by`` the step. Raises ``StepError`` if no step
    may replace what is there, and ``OSError`` if the disk refuses.
    """
    path = job.target.output / name
    owned = Ownership.of(job)
    owned.check(path)
    owned.claim(path)
    write_text(path, text)
    # Hashed from memory: the file is known to have this text, and another run may replace it.
    content = text.encode()
    return Artifact(path, name, len(content), hashlib.sha256(content).hexdigest(), made_by=made_by)
