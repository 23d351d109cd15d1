"""The ``import`` step: a package goes on to another tenant, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import digests
from spark_impex_runner.errors import HeldError, Interrupted, StepError
from spark_impex_runner.hookspecs import Made, hookimpl
from spark_impex_runner.manifest import quantity

from .errand import Errand, Order
from .lock import Lock, entry, imported
from .mapping import contents_of, mappings_for, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.models import Artifact, Job, Step
    from spark_impex_runner.registry import Registry

NAME = "import"
_MAX_SIZE = "200MiB"
_DEADLINE, _INTERVAL = "30m", "3s"
_SERVICE = {
    "type": "string",
    "pattern": r"^[^/\[\]?]+/[^/\[\]?]+$",
    "patternErrorMessage": "not folder/service",
    "x-form": "folder/service",
}
_SOURCE = {
    "type": "string",
    "pattern": r"^[^/\[\]?]+/[^/\[\]?]+(\[[^/\[\]?]+\])?$",
    "patternErrorMessage": "not folder/service or folder/service[1.2.3]",
    "x-form": "folder/service or folder/service[1.2.3]",
}
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to"],
    "if": {"properties": {"only_locked": {"const": True}}, "required": ["only_locked"]},
    "then": {"required": ["lock"]},
    "properties": {
        "to": {
            "title": "To",
            "description": "Name of the connection whose tenant takes the package.",
            "type": "string",
            "x-connection": True,
            "examples": ["uat"],
        },
        "services": {
            "title": "Services",
            "description": (
                "What is imported from the package, and where it goes; everything in it, under "
                "its own name, where this is absent."
            ),
            "type": "array",
            "minItems": 1,
            "examples": [["motor/pricing"], [{"source": "motor/pricing", "target": "uk/pricing"}]],
            "items": {
                "type": ["string", "object"],
                "if": {"type": "string"},
                "then": _SOURCE,
                "additionalProperties": False,
                "required": ["source"],
                "properties": {
                    "source": {
                        **_SOURCE,
                        "title": "Source",
                        "description": "The service in the package.",
                        "examples": ["motor/pricing[1.4.2]"],
                    },
                    "target": {
                        **_SERVICE,
                        "title": "Target",
                        "description": (
                            "The service that it becomes, in a folder that exists there; its own "
                            "name where this is absent."
                        ),
                        "examples": ["uk/pricing"],
                    },
                    "upgrade": {
                        "title": "Upgrade",
                        "description": (
                            "Which part of the version number grows where versions are added to "
                            "a service that exists (if_present: add_version)."
                        ),
                        "enum": ["major", "minor", "patch"],
                        "default": "minor",
                    },
                },
            },
        },
        "if_present": {
            "title": "If present",
            "description": (
                "What happens where a service exists there: the import fails, replaces it with all "
                "its versions and their call history, or adds versions to it."
            ),
            "enum": ["abort", "replace", "add_version"],
            "default": "abort",
        },
        "source_system": {
            "title": "Source system",
            "description": "Name of the system that asks, for the tenant's audit.",
            "type": "string",
            "minLength": 1,
            "examples": ["release-train"],
        },
        "deadline": {
            **quantity.DURATION_SCHEMA,
            "title": "Deadline",
            "description": (
                "How long the import is waited for; the same command goes on with one that was "
                "not done by then."
            ),
            "default": _DEADLINE,
            "examples": ["1h"],
        },
        "interval": {
            **quantity.DURATION_SCHEMA,
            "title": "Interval",
            "description": "Time between two looks at the import.",
            "default": _INTERVAL,
            "examples": ["10s"],
        },
        "max_size": {
            **quantity.SIZE_SCHEMA,
            "title": "Largest package",
            "description": "A larger package is refused before the upload; the API's own limit.",
            "default": _MAX_SIZE,
            "examples": ["100MB"],
        },
        "lock": {
            "title": "Lock file",
            "description": (
                "File to which each package is added when it has been imported, by its SHA-256; "
                "relative to the manifest. With only_locked it is read, and nothing is added."
            ),
            "type": "string",
            "minLength": 1,
            "examples": ["release.lock.json"],
        },
        "only_locked": {
            "title": "Only what is locked",
            "description": "Refuse a package whose SHA-256 the lock file does not hold.",
            "type": "boolean",
            "default": False,
        },
        "gate": {
            "title": "Gate",
            "description": (
                "With manual the target is held until a run is given --approve with the name of "
                "the connection; the very same package is then imported."
            ),
            "enum": ["none", "manual"],
            "default": "none",
        },
    },
}


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
def impex_run_step(job: Job, step: Step, artifact: Artifact) -> Made | None:
    """Import one package; answer for ``import`` only."""
    if step.uses != NAME:
        return None
    try:
        return _import(job, step.options, artifact)
    except OSError as error:
        raise StepError(f"{artifact.name}: {error.strerror or error}") from error


@hookimpl(trylast=True)
def impex_plan_step(job: Job, step: Step) -> str | None:
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
    if _is_closed(job, options):
        parts.append(f"held for --approve {to}")
    return "; ".join(parts)


def _import(job: Job, options: Mapping[str, Any], package: Artifact) -> Made:
    """Check what can be checked without a question to the tenant, then import."""
    _check_size(options, package)
    contents = contents_of(job, package)
    others = [contents_of(job, each) for each in _packages(job) if each.name != package.name]
    mappings = mappings_for(options.get("services"), contents, others)
    if not mappings:
        return Made(message=f"{package.name}: none of the services is in it")
    sha256, lock = _sha256(job, package), _lock(job, options)
    if lock:
        # One that cannot be added to is found before the import, too.
        known = {each["sha256"] for each in lock.read()}
        if options.get("only_locked", False) and sha256 not in known:
            raise StepError(
                f"{package.name} is not in {lock.path}: no import has locked sha256 {sha256}; "
                "import it first where the lock file is written (only_locked)"
            )
    spark, to = job.run.connect(options["to"]), options["to"]
    errand = Errand(job, spark, _order(options, package, sha256, mappings))
    before = errand.note
    if not before.job_id and _is_closed(job, options):
        raise HeldError(
            f"{package.name} (sha256 {sha256}) waits to be imported to {to}: {shown(contents)}", to
        )
    note = errand.run()
    if lock and not options.get("only_locked", False):
        lock.add(entry(job, package, sha256, contents), imported(to, spark.url, note))
    when = f"imported to {to} by job {note.job_id}"
    if before.done:
        return Made(message=f"{package.name}: was {when} at {note.at}, nothing was sent again")
    return Made(message=f"{package.name}: {when}: {note.result or 'the tenant names no services'}")


def _packages(job: Job) -> list[Artifact]:
    return [each for each in job.artifacts if each.made_by == "download"]


def _check_size(options: Mapping[str, Any], package: Artifact) -> None:
    written = options.get("max_size", _MAX_SIZE)
    size = package.path.stat().st_size
    if size > quantity.size(written):
        raise StepError(
            f"{package.name} has {size:,} bytes, more than max_size ({written}): a tenant takes "
            "no larger one; export fewer services or versions in a target"
        )


def _sha256(job: Job, package: Artifact) -> str:
    """Return the digest of the bytes that would be sent, whatever was known of them."""

    def check() -> None:
        if job.stopping():
            raise Interrupted

    return digests.of_file(package.path, ["sha256"], check)["sha256"]


def _lock(job: Job, options: Mapping[str, Any]) -> Lock | None:
    name = options.get("lock")
    return Lock(job.run.manifest.path.absolute().parent / name) if name else None


def _is_closed(job: Job, options: Mapping[str, Any]) -> bool:
    """Tell whether somebody has to approve the import first."""
    return options.get("gate") == "manual" and options["to"] not in job.run.approved


def _order(
    options: Mapping[str, Any], package: Artifact, sha256: str, mappings: list[dict[str, str]]
) -> Order:
    return Order(
        path=package.path,
        sha256=sha256,
        to=options["to"],
        mappings=mappings,
        if_present=options.get("if_present", "abort"),
        source_system=options.get("source_system"),
        deadline=quantity.seconds(options.get("deadline", _DEADLINE)),
        interval=quantity.seconds(options.get("interval", _INTERVAL)),
    )
