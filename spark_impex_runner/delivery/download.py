"""Download the files of a finished job, verify them and give them their final names."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import parallel
from spark_impex_runner.errors import (
    DeliveryError,
    SparkApiError,
    SparkError,
    TooLargeError,
    TransportError,
)
from spark_impex_runner.limits import HeldLimits
from spark_impex_runner.models import EVIDENCE, RECEIPT, Artifact, RemoteFile
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.paths import folded
from spark_impex_runner.planning.placed import require_same_output
from spark_impex_runner.spark.download import files
from spark_impex_runner.spark.download import partial as partial_files
from spark_impex_runner.spark.download.links import MAX_LINKS, has_expired, with_fresh_links
from spark_impex_runner.spark.failures import unconfirmed
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.limits import TenantLimits
    from spark_impex_runner.models import Job, Status
    from spark_impex_runner.spark.client import Spark

_LINK_PAUSE = 5.0
# Names of incomplete files and folders: of downloads, of steps and of ``atomic``.
_TEMPORARY = re.compile(r"\..+\.(part|part\.json|new|old[0-9]*|[0-9a-f]{8})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PackageDownload:
    """The download of one finished job: all of its files get their final names, or none."""

    job: Job
    spark: Spark
    context: Context
    limits: TenantLimits

    @property
    def owned(self) -> Ownership:
        """The records of what earlier runs put into the output."""
        return Ownership.of(self.job)

    def run(self, status: Status, progress: TargetProgress) -> tuple[Artifact, ...]:
        """Download, verify and name every file; return the packages.

        Raises ``IntegrityError``, ``SparkError`` or ``DeliveryError``; a partial file stays only
        if the next run can resume it.
        """
        wanted = self._destinations(status.files)
        paths = [_partial(item.path) for item in wanted]
        progress.files = dict.fromkeys(paths, 0)
        calls = [
            partial(self._download_verified, index, replace(item, path=path), progress)
            for index, (item, path) in enumerate(zip(wanted, paths, strict=True))
        ]
        complete = parallel(calls, self.limits.downloads.width, self.context.clock)
        self._check_sizes(complete)
        progress.check()
        self._remove_receipt()
        require_same_output(self.job)
        for item, path in zip(wanted, paths, strict=True):
            # Claimed first: a run killed between the two must find the file to be its own.
            self.owned.claim(item.path)
            progress.check()
            files.commit(path, item.path)
        final = zip(complete, wanted, strict=True)
        packages = tuple(replace(item, path=named.path) for item, named in final)
        for package in packages:
            self._report(package)
        return packages

    def _check_sizes(self, complete: Sequence[Artifact]) -> None:
        """Raise ``TooLargeError`` for a package over ``max_package``, and discard all of them."""
        # Checked here, since the status payload does not give the size of a package.
        most = self.job.target.max_package
        over = [each for each in complete if most is not None and each.size > most]
        if over:
            for each in complete:
                partial_files.discard(each.path)
            message = f"{over[0].name} has {over[0].size:,} bytes, more than max_package: {most:,}"
            raise TooLargeError(f"job {self.job.id}: {message}")

    def _remove_receipt(self) -> None:
        """Remove the receipt of an earlier delivery: it does not describe this one."""
        for path in (self.job.target.output / name for name in (RECEIPT, EVIDENCE)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise DeliveryError(f"cannot replace {path}: {error.strerror or error}") from error

    def _destinations(self, offered: Sequence[RemoteFile]) -> list[Artifact]:
        """Return where each file goes; raise ``DeliveryError`` if one would replace another."""
        wanted = [self._destination(remote) for remote in offered]
        names = [folded(item.name) for item in (*self.job.artifacts, *wanted)]
        for item in wanted:
            if (same := names.count(folded(item.name))) > 1:
                raise DeliveryError(
                    f"job {self.job.id} offers {same} files that become {item.name}; "
                    "a plugin with impex_download_path can tell them apart"
                )
            if problem := self.owned.foreign_file(item.path):
                raise DeliveryError(f"job {self.job.id}: {problem}")
        return wanted

    def _destination(self, remote: RemoteFile) -> Artifact:
        """Return the path that the plugins answer, which must lie in the output folder."""
        output, name = self.job.target.output, self._name(remote)
        asked = Artifact(output / name, name, remote=remote)
        hooks = self.context.hooks
        answer = hooks.call("impex_download_path", job=self.job, artifact=asked)
        path = PurePosixPath(answer if isinstance(answer, str) and answer else "/")
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in str(path):
            raise hooks.invalid_answer(
                "impex_download_path", answer, "a path inside the target's output"
            )
        if self._is_reserved(str(path)):
            free = "a path in the target's output that no other file of the run has"
            raise hooks.invalid_answer("impex_download_path", answer, free)
        return replace(asked, path=output / path, name=str(path))

    def _name(self, remote: RemoteFile) -> str:
        """Return a file's own name, or ``package-N.zip`` if the run writes a file of that name."""
        own = PurePosixPath(files.filename(remote.url))
        part = f"-{self.job.part}" if self.job.part else ""
        numbered = ((f"package-{number}", ".zip") for number in count(2))
        names = chain([(own.stem, own.suffix), ("package", ".zip")], numbered)
        candidates = (f"{stem}{part}{suffix}" for stem, suffix in names)
        return next(name for name in candidates if not self._is_reserved(name))

    def _is_reserved(self, name: str) -> bool:
        """Return True if another file has this path, or if it leads out of the output."""
        path = self.job.target.output / name
        temporary = any(map(_TEMPORARY.fullmatch, PurePosixPath(name).parts))
        outside = not path.parent.resolve().is_relative_to(self.job.target.output.resolve())
        if temporary or outside or self.owned.forbidden(path):
            return True
        # The final slashes make a prefix of whole parts: a folder and what is in it conflict.
        key = f"{folded(name)}/"
        return any(key.startswith(each) or each.startswith(key) for each in self._step_paths())

    def _step_paths(self) -> list[str]:
        """Return the paths that the target's steps write, each with a final slash."""
        offers = self.context.hooks.registry.steps
        written = (
            name
            for step in self.job.target.steps
            if (offer := offers.get(step.uses))
            for name in offer.writes(step.options)
        )
        return [f"{folded(name)}/" for name in written]

    def _download_verified(
        self, index: int, artifact: Artifact, progress: TargetProgress
    ) -> Artifact:
        """Download to the partial file and verify it, within the limits on downloads."""
        with HeldLimits(self.context.clock) as held:
            held.acquire(self.limits.downloads)
            held.acquire(self.limits.run.downloads)
            message = f"downloading {artifact.name}"
            self.context.changed(self.job, "download.started", message, name=artifact.name)
            return self._download_one(index, artifact, progress)

    def _download_one(self, index: int, artifact: Artifact, progress: TargetProgress) -> Artifact:
        _make_folder(artifact.path.parent)
        wanted = artifact

        def once() -> Artifact:
            complete = self._download(index, wanted, progress)
            hooks = self.context.hooks
            hooks.call("impex_check_download", job=self.job, artifact=complete)
            return complete

        def refused(error: SparkError, hint: str) -> None:
            nonlocal wanted
            message = f"{artifact.name} does not verify, {hint}: {error}"
            self.context.changed(self.job, "package.refused", message, name=artifact.name)
            # Not the bytes but the announced hash may be wrong: ask for it again.
            with suppress(SparkError):
                wanted = replace(artifact, remote=self._new_link(index) or artifact.remote)

        return files.download_verified(artifact.path, once, self.context.clock, refused)

    def _download(self, index: int, artifact: Artifact, progress: TargetProgress) -> Artifact:
        """Download the bytes, with new links if one does not work."""
        refused: list[SparkError] = []

        def announce(size: int) -> None:
            progress.files[artifact.path] = size

        def fetch(link: RemoteFile) -> Artifact:
            try:
                return files.fetch(self.spark.session, link, artifact.path, announce)
            except (SparkApiError, TransportError) as error:
                refused.append(error)
                raise

        def renew(error: SparkError, hint: str) -> RemoteFile:
            name = artifact.name
            message = f"the link of {name} does not work, requesting a new one, {hint}: {error}"
            self.context.changed(self.job, "package.link_expired", message, name=name)
            return self._renew_link(index, artifact, error)

        remote = artifact.remote or RemoteFile("")
        try:
            complete = with_fresh_links(remote, artifact.path, fetch, renew, self.context.clock)
        except (SparkApiError, TransportError) as error:
            # A link carries its own credentials, so a 401 or 403 for it must not end the run as a
            # problem of ours. One for the status request that renews a link must.
            if error in refused and has_expired(error):
                message = f"{MAX_LINKS} new links in a row do not work: {error}"
                raise DeliveryError(message) from error
            raise
        return replace(complete, name=artifact.name)

    def _renew_link(self, index: int, artifact: Artifact, error: SparkError) -> RemoteFile:
        clock = self.context.clock
        if isinstance(error, TransportError):  # its host may be back in a moment
            clock.wait(_LINK_PAUSE)
        for last in (False, True):
            try:
                if fresh := self._new_link(index):
                    return fresh
            except SparkError as failure:
                if last or not unconfirmed(failure):
                    raise
            if not last:
                clock.wait(_LINK_PAUSE)
        raise DeliveryError(f"job {self.job.id} no longer offers {artifact.name}")

    def _new_link(self, index: int) -> RemoteFile | None:
        """Request a file's link; None if the answer lists other files than the job had."""
        before = self.job.status.files if self.job.status else ()
        files_now = self.spark.impex.exports.status(self.job.id).files
        return files_now[index] if len(files_now) == len(before) else None

    def _report(self, package: Artifact) -> None:
        check = "the tenant's hash agrees" if package.hash_agreed else "the tenant gave no hash"
        given = package.remote.file_hash if package.remote else None
        if given and package.hash_agreed is None:
            check = f"the tenant's hash {one_line(given)!r} is in an unknown notation; not compared"
        message = f"{package.name}: {package.size:,} bytes, {check}"
        self.context.changed(
            self.job, "package.delivered", message, name=package.name, size=package.size
        )


def _partial(path: Path) -> Path:
    """Return the partial file of a package; remove a symbolic link of that name."""
    partial_path = path.with_name(f".{path.name}.part")
    for each in (partial_path, partial_path.with_name(f"{partial_path.name}.json")):
        if each.is_symlink():
            with partial_files.disk_errors(each):
                each.unlink()
    return partial_path


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f"cannot create {path}: {error.strerror or error}") from error
