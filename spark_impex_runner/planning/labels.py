"""Labels of jobs, by which a later run finds a job without any state."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from spark_impex_runner.spark.request import SOURCE_SYSTEM
from spark_impex_runner.state.keys import request_digest, target_key_for

if TYPE_CHECKING:
    from spark_impex_runner.models import Manifest, Request, Run, Target

_DIGITS = 6
_DIGESTS = (
    r"(?P<target_digest>[0-9a-f]{6})(?P<request_digest>[0-9a-f]{6})"
    r"(?:~part(?P<part>\d+(?:\.\d+)*)-(?P<part_digest>[0-9a-f]{12}))?"
)
# No target's name contains the ~ that precedes a part. Compiled on first use: most runs need none.
_CORRELATION_ID = rf"(?P<run_id>\d{{8}}T\d{{6}}Z-[0-9a-f]{{8}})-(?P<target>[^~]+)-{_DIGESTS}"
_SOURCE_SYSTEM = rf"{SOURCE_SYSTEM}/{_DIGESTS}"


class Tagged(Protocol):
    """A request, or a job as the tenant lists it."""

    @property
    def correlation_id(self) -> str | None:
        """The correlation id, if it has one."""

    @property
    def source_system(self) -> str | None:
        """The name of the system that asks, if it has one."""


class Relation(Enum):
    """What a job on the tenant is to a target of the manifest, as far as its labels tell."""

    SAME = "same request"
    PART = "part of the request"
    OTHER = "another request"
    # It has the target's own correlation id, and nothing that tells what it exports.
    PERHAPS = "perhaps"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Label:
    """The default correlation id ``RUN-TARGET-DIGEST``; ``~part1-DIGEST`` follows for a part.

    A target with a correlation id of its own, ``given``, has ``spark-impex-runner/DIGEST`` as its
    source system instead. DIGEST is that of the target and that of its request, ``part_digest`` is
    that of the part's request: all are the same in every run, on any machine.
    """

    run_id: str
    target: str
    target_digest: str
    request_digest: str
    part: str = ""
    part_digest: str = ""
    given: str = ""

    @classmethod
    def of(cls, run_id: str, manifest: Manifest, target: Target, request: Request) -> Label:
        """Return the label of a target's whole request."""
        key = target_key_for(manifest, target)
        digests = digest_of(manifest, target), _digest(f"{key}\n{request_digest(request)}")
        if given := target.correlation_id:
            return cls("", "", *digests, given=given)
        return cls(run_id, target.name, *digests)

    @classmethod
    def read(cls, tagged: Tagged) -> Label | None:
        """Return the label of a request or job, None if this runner did not label it."""
        given = tagged.correlation_id or ""
        if not (found := re.fullmatch(_SOURCE_SYSTEM, tagged.source_system or "", re.ASCII)):
            return cls.parse(given)
        fields = {name: value or "" for name, value in found.groupdict().items()}
        suffix = f"-part{fields['part']}" if fields["part"] else ""
        if not given or not given.endswith(suffix):
            return None
        return cls("", "", **fields, given=given.removesuffix(suffix))

    @classmethod
    def parse(cls, text: str) -> Label | None:
        """Return the label that a correlation id is, None if it is none of this runner's."""
        found = re.fullmatch(_CORRELATION_ID, text, re.ASCII | re.DOTALL)
        return (
            cls(**{name: value or "" for name, value in found.groupdict().items()})
            if found
            else None
        )

    def on(self, request: Request) -> Request:
        """Return a request with this label."""
        return replace(
            request,
            correlation_id=self.correlation_id,
            source_system=self.source_system or request.source_system,
        )

    def for_part(self, name: str, request: Request) -> Label:
        """Return the label of a part of the request."""
        text = f"{self.target_digest}{self.request_digest}\n{name}\n{request_digest(request)}"
        return replace(self, part=name, part_digest=_digest(text, 2 * _DIGITS))

    def relation(self, theirs: Label) -> Relation:
        """Return what a job with another label is to the target and request of this one."""
        if self.target_digest != theirs.target_digest:
            return Relation.NONE
        if replace(self, run_id="") == replace(theirs, run_id=""):
            return Relation.SAME
        return Relation.PART if theirs.is_part_of(self) else Relation.OTHER

    def is_part_of(self, other: Label) -> bool:
        """Return whether this is the label of a part of the other's request."""
        within = self.part.startswith(f"{other.part}.") if other.part else bool(self.part)
        return within and self.whole == other.whole

    @property
    def whole(self) -> Label:
        """The label of the whole request, of any run."""
        return replace(self, run_id="", part="", part_digest="")

    @property
    def correlation_id(self) -> str:
        """The correlation id of a job with this label."""
        if self.given:
            return f"{self.given}-part{self.part}" if self.part else self.given
        return f"{self.run_id}-{self.target}-{self._digests}"

    @property
    def source_system(self) -> str | None:
        """The source system of a job with this label, None if that does not matter."""
        return f"{SOURCE_SYSTEM}/{self._digests}" if self.given else None

    @property
    def _digests(self) -> str:
        part = f"~part{self.part}-{self.part_digest}" if self.part else ""
        return f"{self.target_digest}{self.request_digest}{part}"


def labelled(request: Request, run: Run, target: Target) -> Request:
    """Return a target's request with a label, unless the manifest uses both places for one."""
    if target.correlation_id and target.source_system:
        return request
    return Label.of(run.id, run.manifest, target, request).on(request)


def labelled_part(whole: Request, name: str, part: Request) -> Request:
    """Return the request of a part with the label of a part of the whole request."""
    if label := Label.read(whole):
        return label.for_part(name, part).on(part)
    return replace(part, correlation_id=f"{whole.correlation_id}-part{name}")


def relation(request: Request, job: Tagged) -> Relation:
    """Return what a job on the tenant is to a target's request."""
    own, theirs = Label.read(request), Label.read(job)
    if theirs:
        return own.relation(theirs) if own else Relation.NONE
    return Relation.PERHAPS if has_given_id(request.correlation_id, job) else Relation.NONE


def has_given_id(given: str | None, job: Tagged) -> bool:
    """Return whether a job has a correlation id of the manifest, or that of a part."""
    part = rf"{re.escape(given or '')}(-part\d+(\.\d+)*)?"
    return bool(given and re.fullmatch(part, job.correlation_id or "", re.ASCII))


def target_of(label: Label, manifest: Manifest) -> Target | None:
    """Return the target of a manifest that a label belongs to."""
    found = (each for each in manifest.targets if digest_of(manifest, each) == label.target_digest)
    return next(found, None)


def digest_of(manifest: Manifest, target: Target) -> str:
    """Return the digest of a target, whatever it requests."""
    return _digest(target_key_for(manifest, target))


def _digest(text: str, digits: int = _DIGITS) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
