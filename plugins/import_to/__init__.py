"""The ``import`` step: import a package to another tenant, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

from .lock import Lock, import_entry, package_entry
from .mapping import contents_of, mappings_for
from .options import DEADLINE, INTERVAL, MAX_SIZE, OPTIONS
from .prediction import SHOWN, describe, name_identical, predict, predict_plan, to_send

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .backup import Backup
    from .importer import Import, ImportRecord, ImportRequest
    from .mapping import Contents


NAME = "import"


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "imports the package to another tenant",
        OPTIONS,
        file_filter="migrate",
        dry_run=True,
        credentials=True,
        delivers=True,
        rehearse=lambda options, _: options,  # its tenant is a sandbox then
    )


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Import one package, for the step ``import`` only."""
    if step.uses != NAME:
        return None
    try:
        return _import(job, step.options, artifact)
    except OSError as error:
        raise errors.StepError(f"{artifact.name}: {error.strerror or error}") from error


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> models.PlannedStep | None:
    """Describe the import and predict its outcome, for the step ``import`` only."""
    if step.uses != NAME:
        return None
    options = step.options
    lock = _lock(job, options)
    if lock:
        lock.read()
    scope = "everything in the package"
    if services := options.get("services"):
        names = [each if isinstance(each, str) else each["source"] for each in services]
        scope = ", ".join(names)
    url, to = job.run.connect(options["to"]).url, options["to"]
    parts = [f"{scope} to {to} ({url}), if_present: {options.get('if_present', 'abort')}"]
    if lock and options.get("only_locked", False):
        parts.append(f"only packages in {lock.path}")
    if options.get("before") == "backup":
        parts.append(f"what it changes there is exported first, to {job.target.output / 'backup'}")
    forecasts = predict_plan(job, options)
    changes = not forecasts or not all(each.is_identical for each in forecasts)
    waits = changes or any(_takers(job, options))
    if options.get("gate") == "manual" and waits and to not in job.run.approved:
        parts.append(f"held for --approve {to}")
    return models.PlannedStep(NAME, "; ".join(parts), services=forecasts)


def _import(job: models.Job, options: Mapping[str, Any], package: models.Artifact) -> StepOutput:
    """Import a package after all checks that need no request to the tenant."""
    # Imported on use: each run loads all plugins and uses few.
    from . import importer  # noqa: PLC0415

    _check_size(options, package)
    exported = contents_of(job, package)
    others = (each for each in job.packages if each.name != package.name)
    other_contents = [contents_of(job, each).versions for each in others]
    mappings = mappings_for(options.get("services"), exported.versions, other_contents)
    if not mappings:
        return StepOutput(message=f"{package.name}: contains none of the services")
    # Of the file as it is now: an earlier step may have changed it since the download.
    sha256 = tools.file_digests(package.path, ["sha256"], tools.stop_check(job))["sha256"]
    is_locked = _check_lock(job, options, package, sha256)
    spark = job.run.connect(options["to"])
    request = _request(options, package, sha256, mappings, exported.versions)
    before = importer.Import(job, spark, request).reconcile()
    forecasts = tuple[models.ServiceForecast, ...]()
    # Not asked about an import that was sent: the destination may have a part of it by now.
    if not before.job_id:
        forecasts = predict(spark, exported, mappings, request.if_present)
        request = replace(request, sent=to_send(mappings, forecasts))
    if not request.sent:
        return _nothing_sent(job, options, request, is_locked=is_locked)
    if options.get("gate") == "manual" and not before.job_id:
        awaits = f"for the import to {request.to}: {describe(forecasts)}"
        _require_approval(job, request, awaits)
    package_import = importer.Import(job, spark, request)
    wanted = options.get("before") == "backup"
    backup = _backup(job, package_import, forecasts) if wanted else None
    record = _run(job, package_import)
    imported = _record(job, options, request, record, backup)
    message = _describe_import(request, record, already=before.done)
    if left_out := name_identical(forecasts):
        message += f"; identical there, not sent: {left_out}"
    if backup and backup.services:
        message += f"; {', '.join(backup.services)} as before in {backup.folder}"
    made = backup.artifact(job) if backup else ()
    return StepOutput(made, message, imports=[imported])


def _describe_import(request: ImportRequest, record: ImportRecord, *, already: bool) -> str:
    when = f"imported to {request.to} by job {record.job_id}"
    if already:
        return f"{request.name}: already {when} at {record.at}, not sent again"
    return f"{request.name}: {when}: {record.result or 'the tenant lists no services'}"


def _backup(
    job: models.Job, package_import: Import, forecasts: Sequence[models.ServiceForecast]
) -> Backup | None:
    from .backup import before_import  # noqa: PLC0415

    return before_import(job, package_import, forecasts)


def _run(job: models.Job, package_import: Import) -> ImportRecord:
    """Import; after a refusal the next run makes a backup of its own."""
    try:
        return package_import.run()
    except errors.ImpexError:
        from .backup import forget  # noqa: PLC0415

        forget(job, package_import)
        raise


def _check_lock(
    job: models.Job, options: Mapping[str, Any], package: models.Artifact, sha256: str
) -> bool:
    """Return whether a package is in the lock file; raise ``StepError`` if it must be and is not.

    Also without only_locked: a broken lock file must fail before the import, not after it.
    """
    lock = _lock(job, options)
    known = {each["sha256"] for each in lock.read()} if lock else set()
    if lock and options.get("only_locked", False) and sha256 not in known:
        raise errors.StepError(
            f"{package.name} is not in {lock.path}: sha256 {sha256} is not locked; "
            "import it first without only_locked, which adds it"
        )
    return sha256 in known


def _nothing_sent(
    job: models.Job,
    options: Mapping[str, Any],
    request: ImportRequest,
    *,
    is_locked: bool,
) -> StepOutput:
    """Report that the destination has all services already.

    The package is locked all the same, without a job, or a later step could not take it. At a gate
    that needs an approval, since the lock lets it into the next tenant: it is held only if a step
    of the target takes it from there, and not locked without one.
    """
    from .importer import ImportRecord  # noqa: PLC0415

    names = tools.first_of([each["source"] for each in request.mappings], SHOWN)
    same = f"{request.to} has identical versions of {names}"
    message = f"{request.name}: nothing sent, {same}"
    if is_locked or not options.get("lock") or options.get("only_locked"):
        return StepOutput(message=message)
    if options.get("gate") == "manual":
        takers = list(_takers(job, options))
        if not takers:
            return StepOutput(message=f"{message}; not locked, as that would need an approval")
        awaits = f"to lock it for the import to {takers[0]['to']} ({same})"
        _require_approval(job, request, awaits)
    at = job.run.connect(request.to).clock.now().isoformat(timespec="seconds")
    record = _record(job, options, request, ImportRecord(at=at, done=True))
    return StepOutput(message=message, imports=[record])


def _takers(job: models.Job, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the options of the target's imports that take only what a step's lock file has."""
    lock = _lock(job, options)
    for each in (each for each in job.target.steps if each.uses == NAME):
        if lock and each.options.get("only_locked") and _lock(job, each.options) == lock:
            yield each.options


def _record(
    job: models.Job,
    options: Mapping[str, Any],
    request: ImportRequest,
    record: ImportRecord,
    backup: Backup | None = None,
) -> models.Imported:
    """Add an import to the lock file, if there is one to write; return it for the records."""
    url, locked, lock = job.run.connect(request.to).url, None, _lock(job, options)
    if lock and (backup or not options.get("only_locked", False)):
        done = import_entry(request.to, url, record, job.approved)
        done |= {"backup": backup.entry(job, lock.path)} if backup else {}
        locked = lock.add(package_entry(job, request), done)
    return models.Imported(
        request.name, request.sha256, request.to, url, record.job_id, record.at, locked
    )


def _require_approval(
    job: models.Job,
    request: ImportRequest,
    awaits: str,
) -> None:
    # An approval covers what the import does, too: a changed manifest needs a new one.
    does = {"mapping": request.mappings, "if_present": request.if_present}
    held = models.Held(request.to, request.sha256, does)
    if job.approval.get(request.name) != held:
        raise errors.HeldError(
            f"{request.name} (sha256 {held.sha256}) awaits approval {awaits}",
            held.to,
            sha256=held.sha256,
            does=held.does,
        )


def _check_size(options: Mapping[str, Any], package: models.Artifact) -> None:
    limit = options.get("max_size", MAX_SIZE)
    size = package.path.stat().st_size
    if size > tools.parse_size(limit):
        raise errors.StepError(
            f"{package.name} has {size:,} bytes, more than max_size ({limit}), the API's limit; "
            "export fewer services or versions in a target"
        )


def _lock(job: models.Job, options: Mapping[str, Any]) -> Lock | None:
    name = options.get("lock")
    # Resolved: a link is not replaced but its file, which other runs lock under this path.
    return Lock((job.run.manifest.path.absolute().parent / name).resolve()) if name else None


def _request(
    options: Mapping[str, Any],
    package: models.Artifact,
    sha256: str,
    mappings: list[dict[str, str]],
    contents: Contents,
) -> ImportRequest:
    from .importer import ImportRequest  # noqa: PLC0415

    return ImportRequest(
        name=package.name,
        path=package.path,
        sha256=sha256,
        contents=contents,
        to=options["to"],
        mappings=mappings,
        sent=mappings,
        if_present=options.get("if_present", "abort"),
        source_system=options.get("source_system"),
        deadline=tools.parse_duration(options.get("deadline", DEADLINE)),
        interval=tools.parse_duration(options.get("interval", INTERVAL)),
    )
