"""From the links of a finished job to named, proven files in the output folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spark_impex_runner.errors import DeliveryError, SparkApiError
from spark_impex_runner.models import Artifact, RemoteFile
from spark_impex_runner.spark import files
from spark_impex_runner.spark.links import has_expired

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.models import Job, Status


def fetch(job: Job, status: Status, context: Context) -> tuple[Artifact, ...]:
    """Download every file of a finished job; return the packages under their final names.

    Raises ``IntegrityError``, ``SparkError`` or ``DeliveryError``; no partial file stays behind.
    """
    named: dict[str, Artifact] = {}
    for index, remote in enumerate(status.files):
        artifact = _destination(job, remote, context)
        if artifact.name in named:
            raise DeliveryError(
                f"job {job.id} offers two files that both become {artifact.name}; "
                "an impex_download_path plugin can tell them apart"
            )
        named[artifact.name] = _deliver(job, artifact, index, context)
    return tuple(named.values())


def _destination(job: Job, remote: RemoteFile, context: Context) -> Artifact:
    """Ask where a file goes, and hold the answer inside the output folder."""
    name = files.filename(remote.url)
    asked = Artifact(job.target.output / name, name, remote=remote)
    answer = context.hooks.decide("impex_download_path", job=job, artifact=asked)
    path = PurePosixPath(answer) if isinstance(answer, str) and answer else PurePosixPath("/")
    if path.is_absolute() or ".." in path.parts or "\\" in str(path):
        wanted = "a path inside the target's output"
        raise context.hooks.refuse("impex_download_path", answer, wanted)
    return replace(asked, path=job.target.output / path, name=str(path))


def _deliver(job: Job, artifact: Artifact, index: int, context: Context) -> Artifact:
    """Download to a partial file beside the final place, check it, then name it."""
    final = artifact.path
    partial = final.with_name(f".{final.name}.part")
    _make_folder(final.parent)
    try:
        complete = _download(job, replace(artifact, path=partial), index, context)
        context.hooks.decide("impex_check_download", job=job, artifact=complete)
        files.give_name(partial, final)
    except OSError as error:
        raise DeliveryError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    done = replace(complete, path=final)
    context.changed(job, "package.delivered", _told(done), name=done.name, size=done.size)
    return done


def _download(job: Job, artifact: Artifact, index: int, context: Context) -> Artifact:
    """Fetch the bytes; a link that ran out is asked for again, once."""
    spark = job.run.connect(job.target.connection)
    remote = artifact.remote or RemoteFile("")
    try:
        return _fetched(artifact, files.fetch(spark.session, remote, artifact.path))
    except SparkApiError as error:
        if not has_expired(error):
            raise
    context.changed(job, "package.link_expired", f"the link of {artifact.name} ran out, renewing")
    fresh = spark.impex.exports.status(job.id).files
    if index >= len(fresh):
        raise DeliveryError(f"job {job.id} no longer offers {artifact.name}")
    return _fetched(artifact, files.fetch(spark.session, fresh[index], artifact.path))


def _fetched(artifact: Artifact, bytes_: Artifact) -> Artifact:
    return replace(bytes_, path=artifact.path, name=artifact.name)


def _told(artifact: Artifact) -> str:
    proof = {True: "the tenant's hash agrees", False: "", None: "the tenant gave no usable hash"}
    return f"{artifact.name}: {artifact.size:,} bytes, {proof[artifact.hash_agreed]}"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f"cannot make {path}: {error.strerror or error}") from error
