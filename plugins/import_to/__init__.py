"""The ``import`` step: a package goes on to another tenant, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

from .errand import Errand, Order
from .lock import Lock, entry, imported
from .mapping import contents_of, mappings_for, shown
from .options import DEADLINE, INTERVAL, MAX_SIZE, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


NAME = "import"


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(
        NAME,
        "imports the package to another tenant",
        OPTIONS,
        file_filter="migrate",
        dry_run=True,
        credentials=True,
    )


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Import one package; answer for ``import`` only."""
    if step.uses != NAME:
        return None
    try:
        return _import(job, step.options, artifact)
    except OSError as error:
        raise errors.StepError(f"{artifact.name}: {error.strerror or error}") from error


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Say what the step would do; answer for ``import`` only."""
    if step.uses != NAME:
        return None
    options = step.options
    lock = _lock(job, options)
    if lock:
        lock.read()
    what = "everything in the package"
    if services := options.get("services"):
        names = [each if isinstance(each, str) else each["source"] for each in services]
        what = ", ".join(names)
    url, to = job.run.connect(options["to"]).url, options["to"]
    parts = [f"{what} to {to} ({url}), if_present: {options.get('if_present', 'abort')}"]
    if lock and options.get("only_locked", False):
        parts.append(f"only what {lock.path} holds")
    if options.get("gate") == "manual" and to not in job.run.approved:
        parts.append(f"held for --approve {to}")
    return "; ".join(parts)


def _import(job: models.Job, options: Mapping[str, Any], package: models.Artifact) -> StepOutput:
    """Check what can be checked without a question to the tenant, then import."""
    _check_size(options, package)
    contents = contents_of(job, package)
    others = [contents_of(job, each) for each in job.packages if each.name != package.name]
    mappings = mappings_for(options.get("services"), contents, others)
    if not mappings:
        return StepOutput(message=f"{package.name}: none of the services is in it")
    lock = _lock(job, options)
    # That of the bytes that would be sent, whatever was known of them.
    sha256 = tools.file_digests(package.path, ["sha256"], tools.stop_check(job))["sha256"]
    if lock:
        # One that cannot be added to is found before the import, too.
        known = {each["sha256"] for each in lock.read()}
        if options.get("only_locked", False) and sha256 not in known:
            raise errors.StepError(
                f"{package.name} is not in {lock.path}: no import has locked sha256 {sha256}; "
                "import it first where the lock file is written (only_locked)"
            )
    spark, to = job.run.connect(options["to"]), options["to"]
    errand = Errand(job, spark, _order(options, package, sha256, mappings))
    before = errand.begun()
    held = models.Held(to, sha256, _does(options, mappings))
    gated = options.get("gate") == "manual" and not before.job_id
    if gated and job.approval.get(package.name) != held:
        raise errors.HeldError(
            f"{package.name} (sha256 {sha256}) waits to be imported to {to}: {shown(contents)}",
            to,
            sha256=sha256,
            does=held.does,
        )
    note = errand.run()
    if lock and not options.get("only_locked", False):
        lock.add(entry(job, package, sha256, contents), imported(to, spark.url, note))
    when = f"imported to {to} by job {note.job_id}"
    if before.done:
        return StepOutput(
            message=f"{package.name}: was {when} at {note.at}, nothing was sent again"
        )
    return StepOutput(
        message=f"{package.name}: {when}: {note.result or 'the tenant names no services'}"
    )


def _check_size(options: Mapping[str, Any], package: models.Artifact) -> None:
    written = options.get("max_size", MAX_SIZE)
    size = package.path.stat().st_size
    if size > tools.parse_size(written):
        raise errors.StepError(
            f"{package.name} has {size:,} bytes, more than max_size ({written}): a tenant takes "
            "no larger one; export fewer services or versions in a target"
        )


def _lock(job: models.Job, options: Mapping[str, Any]) -> Lock | None:
    name = options.get("lock")
    # Of a link the file behind it: it is what other runs lock, and what is replaced.
    return Lock((job.run.manifest.path.absolute().parent / name).resolve()) if name else None


def _does(options: Mapping[str, Any], mappings: list[dict[str, str]]) -> dict[str, Any]:
    """Return what an import does with the bytes, for an approval of it."""
    return {"mapping": mappings, "if_present": options.get("if_present", "abort")}


def _order(
    options: Mapping[str, Any],
    package: models.Artifact,
    sha256: str,
    mappings: list[dict[str, str]],
) -> Order:
    return Order(
        path=package.path,
        sha256=sha256,
        to=options["to"],
        mappings=mappings,
        if_present=options.get("if_present", "abort"),
        source_system=options.get("source_system"),
        deadline=tools.parse_duration(options.get("deadline", DEADLINE)),
        interval=tools.parse_duration(options.get("interval", INTERVAL)),
    )
