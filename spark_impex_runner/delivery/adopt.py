"""Find the packages that an approval names by digest, held here or delivered by another machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from spark_impex_runner.delivery.attempt import (
    are_intact,
    describe_changes,
    is_elsewhere,
    step_digest,
    tenants_of,
)
from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.evidence.dsse import Envelope
from spark_impex_runner.models import (
    EVIDENCE,
    RECEIPT,
    Artifact,
    RemoteFile,
    ServiceVersion,
    StepResult,
)
from spark_impex_runner.report import receipt
from spark_impex_runner.state.keys import fingerprint, size_class, target_key
from spark_impex_runner.state.models import Intent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.models import Job


@dataclass(frozen=True, slots=True)
class _Folder:
    """A delivered folder, as its receipt describes it."""

    target: str
    tenant: str
    run_id: str
    job_id: str
    correlation_id: str
    artifacts: tuple[Artifact, ...]
    reported: tuple[tuple[ServiceVersion, ...], ...]
    finished: tuple[tuple[tuple[int, str], StepResult], ...]
    started_by: str
    evidence: tuple[str, ...]

    @property
    def packages(self) -> list[Artifact]:
        """The packages among the artifacts."""
        return [each for each in self.artifacts if each.is_package]


def adopt(job: Job, url: str, context: Context) -> Job:
    """Open an attempt on the packages that an approval names by digest; return the job for it.

    An earlier run holds them, in any folder, or a run on another machine delivered them into the
    target's output. Raises ``DeliveryError`` if neither is so: an approval by digest must not
    export packages that were not approved.
    """
    wanted = context.approvals.for_target(job.target)
    attempt = context.state.unfinished(target_key(job))
    if not wanted or context.fresh or context.job or (attempt and not attempt.held):
        return job
    artifacts = context.state.artifacts(attempt) if attempt else ()
    packages = [each for each in artifacts if each.is_package]
    if _named(packages, wanted):
        return _with_their_folder(job, packages)
    if attempt and not is_elsewhere(job, packages):
        return job
    found = _delivered(job, wanted, context)
    if attempt:
        why = f"the approval names the packages in {job.target.output}"
        context.state.finish(attempt, "abandoned", why, context.clock.now())
    _open(job, url, found, context)
    return job


def _named(packages: Sequence[Artifact], wanted: Collection[str]) -> bool:
    return any(each.sha256.startswith(tuple(wanted)) for each in packages)


def _with_their_folder(job: Job, packages: Sequence[Artifact]) -> Job:
    """Return the job with the folder of its packages, which may be that of an earlier day."""
    # The output may contain the date of the run.
    first = packages[0]
    output = first.path.parents[len(PurePosixPath(first.name).parts) - 1]
    return replace(job, target=replace(job.target, output=output))


def _delivered(job: Job, wanted: Collection[str], context: Context) -> _Folder:
    """Return the delivery in the output, if its packages are those that are wanted."""
    output, nothing = job.target.output, "nothing was exported or imported"
    try:
        found = _read(job, context)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        raise DeliveryError(
            f"{output} contains no delivery of {job.target.name} (no readable {RECEIPT}), and "
            f"--approve with a digest takes only what was delivered there: {nothing}"
        ) from None
    if (found.target, found.tenant) != (job.target.name, job.tenant):
        of = f"target {found.target} of {found.tenant}"
        raise DeliveryError(f"{output} was delivered for {of}: {nothing}")
    if not _named(found.packages, wanted):
        holds = ", ".join(f"{each.name} (sha256 {each.sha256})" for each in found.packages)
        raise DeliveryError(
            f"--approve names no package in {output} by its SHA-256: {nothing}; "
            f"the folder contains {holds or 'no package'}"
        )
    if not are_intact(job, found.artifacts):
        changes = describe_changes(job, found.artifacts)
        raise DeliveryError(f"{output} has changed since the delivery ({changes}): {nothing}")
    return found


def _read(job: Job, context: Context) -> _Folder:
    """Read the receipt; a malformed one raises one of the errors that ``_delivered`` handles."""
    data = receipt.read(job.target.output)
    artifacts = tuple(_artifact(job, each) for each in data["artifacts"])
    packages = [each for each in artifacts if each.is_package]
    reported = (data["services"], data["service_versions"])
    return _Folder(
        target=str(data["target"]),
        tenant=str(data["tenant"]),
        run_id=str(data["run_id"]),
        job_id=str(data["job_id"] or ""),
        correlation_id=str(data["correlation_id"] or ""),
        artifacts=artifacts,
        reported=tuple(tuple(map(_service, each)) for each in reported),
        finished=tuple(_finished(job, data["steps"], packages, context)),
        started_by=str(data.get("started_by") or ""),
        evidence=_evidence(job) if context.records else (),
    )


def _evidence(job: Job) -> tuple[str, ...]:
    """Return the signed records beside the receipt; ``ValueError`` if one is malformed."""
    file = job.target.output / EVIDENCE
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    return tuple(Envelope.parse(line).text for line in lines)


def _artifact(job: Job, data: Mapping[str, Any]) -> Artifact:
    """Return an artifact of a receipt; raise ``ValueError`` if its name leads out of the folder."""
    name, sha256, by = str(data["name"]), str(data["sha256"] or ""), str(data["made_by"])
    parts = PurePosixPath(name).parts
    # Anybody who can write to the output can edit its receipt.
    if not parts or ".." in parts or PurePosixPath(name).is_absolute():
        raise ValueError(name)
    remote = RemoteFile("", data["tenant_hash"]) if by == "download" else None
    agreed, path = data["hash_agreed"], job.target.output / name.rstrip("/")
    return Artifact(path, name, int(data["size"]), sha256, remote, agreed, made_by=by)


def _service(data: Mapping[str, Any]) -> ServiceVersion:
    fields = ("folder", "service", "service_id", "version", "version_id")
    return ServiceVersion(*(str(data[name] or "") for name in fields))


def _finished(
    job: Job, steps: Sequence[Any], packages: Sequence[Artifact], context: Context
) -> Iterator[tuple[tuple[int, str], StepResult]]:
    """Yield the leading steps of the target that succeeded according to the receipt."""
    # Up to the first that differs: a later step may need what that one would make.
    for position, (step, data) in enumerate(zip(job.target.steps, steps, strict=False)):
        if (data["uses"], data["outcome"]) != (step.uses, "succeeded"):
            return
        message, made = str(data["message"] or ""), tuple(map(str, data["artifacts"]))
        result = StepResult(step.uses, "succeeded", float(data["seconds"]), message, made)
        does = step_digest(step, packages, context.masker, tenants_of(step, job))
        yield (position, does), result


def _open(job: Job, url: str, found: _Folder, context: Context) -> None:
    """Store an attempt with what the receipt says was done."""
    state, now = context.state, context.clock.now()
    intent = Intent(
        run_id=job.run.id,
        target=target_key(job),
        tenant=url,
        fingerprint=fingerprint(job),
        correlation_id=found.correlation_id,
        size=size_class(job),
        started_by=found.started_by,
    )
    attempt = state.note_job(state.intend(intent, now), found.job_id, now)
    state.note_delivered(attempt, found.artifacts, found.reported)
    for key, result in found.finished:
        state.note_step(attempt, key, result, [])
    for envelope in found.evidence:
        state.evidence.add(attempt, envelope)
    where = f"the packages in {job.target.output} were delivered by run {found.run_id}"
    context.changed(job, "package.adopted", where)
