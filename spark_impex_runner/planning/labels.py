"""Default correlation ids: labels by which a later run finds a job without any state."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.state.keys import request_digest, target_key_for

if TYPE_CHECKING:
    from spark_impex_runner.models import Manifest, Request, Run, Target

_DIGITS = 12
# No target's name contains the ~ that precedes a part. Compiled on first use: most runs need none.
_LABEL = (
    r"(?P<run_id>\d{8}T\d{6}Z-[0-9a-f]{8})-(?P<target>[^~]+)-(?P<digest>[0-9a-f]{12})"
    r"(?:~part(?P<part>\d+(?:\.\d+)*)-(?P<part_digest>[0-9a-f]{12}))?"
)


@dataclass(frozen=True, slots=True)
class Label:
    """A default correlation id: ``RUN-TARGET-DIGEST``; ``~part1-DIGEST`` follows for a part.

    ``digest`` is that of the target and its request, ``part_digest`` that of the part's request:
    both are the same in every run, on any machine.
    """

    run_id: str
    target: str
    digest: str
    part: str = ""
    part_digest: str = ""

    @classmethod
    def of(cls, run_id: str, manifest: Manifest, target: Target, request: Request) -> Label:
        """Return the label of a target's whole request."""
        key = f"{target_key_for(manifest, target)}\n{request_digest(request)}"
        return cls(run_id, target.name, _digest(key))

    @classmethod
    def parse(cls, text: str) -> Label | None:
        """Return the label that a correlation id is, None if it is none of this runner's."""
        found = re.fullmatch(_LABEL, text, re.ASCII | re.DOTALL)
        return (
            cls(**{name: value or "" for name, value in found.groupdict().items()})
            if found
            else None
        )

    def for_part(self, name: str, request: Request) -> Label:
        """Return the label of a part of the request."""
        digest = _digest(f"{self.digest}\n{name}\n{request_digest(request)}")
        return Label(self.run_id, self.target, self.digest, name, digest)

    def is_same_request(self, other: Label) -> bool:
        """Return whether both are labels of the same request of the same target."""
        own = self.target, self.digest, self.part, self.part_digest
        return own == (other.target, other.digest, other.part, other.part_digest)

    def is_part_of(self, other: Label) -> bool:
        """Return whether this is the label of a part of the other's request."""
        within = self.part.startswith(f"{other.part}.") if other.part else bool(self.part)
        return within and (self.target, self.digest) == (other.target, other.digest)

    def __str__(self) -> str:
        part = f"~part{self.part}-{self.part_digest}" if self.part else ""
        return f"{self.run_id}-{self.target}-{self.digest}{part}"


def default_label(run: Run, target: Target, request: Request) -> str:
    """Return the correlation id of a target's request in a run, unless the manifest has one."""
    return str(Label.of(run.id, run.manifest, target, request))


def part_label(whole: str, name: str, request: Request) -> str:
    """Return the correlation id of a part, from that of the whole request."""
    label = Label.parse(whole)
    return str(label.for_part(name, request)) if label else f"{whole}-part{name}"


def sharing_id(manifest: Manifest, target: Target) -> list[str]:
    """Return the names of the other targets with the correlation id that a target names."""
    given = target.correlation_id
    return [
        each.name for each in manifest.targets if each != target and each.correlation_id == given
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
