"""From the links of a finished job to named, proven files in the output folder."""

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
from spark_impex_runner.models import RECEIPT, Artifact, RemoteFile
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

_PAUSE = 5.0
# Names of files and folders that are not complete yet: those of downloads, steps and documents.
_TEMPORARY = re.compile(r"\..+\.(part|part\.json|new|old[0-9]*|[0-9a-f]{8})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PackageDownload:
    """The download of one finished job: all of its files or none get their names."""

    job: Job
    spark: Spark
    context: Context
    limits: TenantLimits

    @property
    def owned(self) -> Ownership:
        """What earlier runs have put into the output."""
        return Ownership.of(self.job)

    def run(self, status: Status, progress: TargetProgress) -> tuple[Artifact, ...]:
        """Download, check and name every file; return the packages.

        As many files come at once as the limits on downloads allow.
        Raises ``IntegrityError``, ``SparkError`` or ``DeliveryError``; a partial file stays only
        where the next run can go on with it.
        """
        wanted = self._destinations(status.files)
        paths = [_partial(item.path) for item in wanted]
        progress.files = tuple(paths)
        calls = [
            partial(self._download_verified, index, replace(item, path=path))
            for index, (item, path) in enumerate(zip(wanted, paths, strict=True))
        ]
        complete = parallel(calls, self.limits.downloads.width, self.context.clock)
        self._check_sizes(complete)
        self._drop_receipt()
        require_same_output(self.job)
        for item, path in zip(wanted, paths, strict=True):
            self.owned.claim(item.path)
            files.commit(path, item.path)
        final = zip(complete, wanted, strict=True)
        packages = tuple(replace(item, path=place.path) for item, place in final)
        for package in packages:
            self._report(package)
        return packages

    def _check_sizes(self, complete: Sequence[Artifact]) -> None:
        """Raise ``TooLargeError`` for a package over ``max_package``; then none of them is kept.

        How large one is, no tenant is known to say before it is fetched.
        """
        most = self.job.target.max_package
        over = [each for each in complete if most is not None and each.size > most]
        if over:
            for each in complete:
                partial_files.discard(each.path)
            message = f"{over[0].name} has {over[0].size:,} bytes, more than max_package: {most:,}"
            raise TooLargeError(f"job {self.job.id}: {message}")

    def _drop_receipt(self) -> None:
        """Remove the receipt of an earlier delivery, which does not speak for this one."""
        path = self.job.target.output / RECEIPT
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DeliveryError(f"cannot replace {path}: {error.strerror or error}") from error

    def _destinations(self, offered: Sequence[RemoteFile]) -> list[Artifact]:
        """Ask where each file goes; two files may not become one, nor one of another part."""
        wanted = [self._destination(remote) for remote in offered]
        names = [folded(item.name) for item in (*self.job.artifacts, *wanted)]
        for item in wanted:
            if (same := names.count(folded(item.name))) > 1:
                raise DeliveryError(
                    f"job {self.job.id} offers {same} files that become {item.name}; "
                    "a plugin with impex_download_path can tell them apart"
                )
            if stranger := self.owned.stranger(item.path):
                raise DeliveryError(f"job {self.job.id}: {stranger}")
        return wanted

    def _destination(self, remote: RemoteFile) -> Artifact:
        """Ask the plugins, and hold their answer inside the output folder."""
        output, name = self.job.target.output, self._name(remote)
        asked = Artifact(output / name, name, remote=remote)
        hooks = self.context.hooks
        answer = hooks.call("impex_download_path", job=self.job, artifact=asked)
        path = PurePosixPath(answer if isinstance(answer, str) and answer else "/")
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in str(path):
            raise hooks.invalid_answer(
                "impex_download_path", answer, "a path inside the target's output"
            )
        if self._reserved(str(path)):
            free = "a path in the target's output that the run does not need for another file"
            raise hooks.invalid_answer("impex_download_path", answer, free)
        return replace(asked, path=output / path, name=str(path))

    def _name(self, remote: RemoteFile) -> str:
        """Return a file's own name, or another one where the run writes a file of that name."""
        own = PurePosixPath(files.filename(remote.url))
        part = f"-{self.job.part}" if self.job.part else ""
        others = (f"package-{number}" for number in count(2))
        names = chain([(own.stem, own.suffix), ("package", ".zip")], ((n, ".zip") for n in others))
        spelt = (f"{stem}{part}{suffix}" for stem, suffix in names)
        return next(name for name in spelt if not self._reserved(name))

    def _reserved(self, name: str) -> bool:
        """Tell whether a path in the output is needed for another file of the run, or for none."""
        path = self.job.target.output / name
        ours = any(map(_TEMPORARY.fullmatch, PurePosixPath(name).parts))
        outside = not path.parent.resolve().is_relative_to(self.job.target.output.resolve())
        if ours or outside or self.owned.forbidden(path):
            return True
        place = f"{folded(name)}/"
        return any(place.startswith(each) or each.startswith(place) for each in self._step_places())

    def _step_places(self) -> list[str]:
        """Return what the target's steps write, each with a slash at its end."""
        offers = self.context.hooks.registry.steps
        written = (
            name
            for step in self.job.target.steps
            if (offer := offers.get(step.uses))
            for name in offer.writes(step.options)
        )
        return [f"{folded(name)}/" for name in written]

    def _download_verified(self, index: int, artifact: Artifact) -> Artifact:
        """Download to the partial file and verify it; see ``files.download_verified``."""
        with HeldLimits(self.context.clock) as held:
            held.acquire(self.limits.downloads)
            held.acquire(self.limits.run.downloads)
            return self._download_one(index, artifact)

    def _download_one(self, index: int, artifact: Artifact) -> Artifact:
        _make_folder(artifact.path.parent)
        wanted = artifact

        def once() -> Artifact:
            complete = self._download(index, wanted)
            hooks = self.context.hooks
            hooks.call("impex_check_download", job=self.job, artifact=complete)
            return complete

        def refused(error: SparkError, hint: str) -> None:
            nonlocal wanted
            message = f"{artifact.name} does not verify, {hint}: {error}"
            self.context.changed(self.job, "package.refused", message, name=artifact.name)
            # The announced hash may be what is wrong, and one answer is not enough for that.
            with suppress(SparkError):
                wanted = replace(artifact, remote=self._offered(index) or artifact.remote)

        return files.download_verified(artifact.path, once, self.context.clock, refused)

    def _download(self, index: int, artifact: Artifact) -> Artifact:
        """Fetch the bytes, by new links where one does not work; see ``links.with_fresh_links``.

        A fresh link that is refused, too, is no matter of our credentials: it carries its own.
        """
        refused: list[SparkError] = []

        def by(link: RemoteFile) -> Artifact:
            try:
                return files.fetch(self.spark.session, link, artifact.path)
            except (SparkApiError, TransportError) as error:
                refused.append(error)
                raise

        def renewed(error: SparkError) -> RemoteFile:
            return self._renewed(index, artifact, error)

        remote = artifact.remote or RemoteFile("")
        try:
            got = with_fresh_links(remote, artifact.path, by, renewed, self.context.clock)
        except (SparkApiError, TransportError) as error:
            # A refusal by the tenant itself, when it is asked for a link, stays what it is.
            if error in refused and has_expired(error):
                message = f"{MAX_LINKS} fresh links in a row do not work: {error}"
                raise DeliveryError(message) from error
            raise
        return replace(got, name=artifact.name)

    def _renewed(self, index: int, artifact: Artifact, error: SparkError) -> RemoteFile:
        message = f"the link of {artifact.name} does not work, asking for a new one: {error}"
        self.context.changed(self.job, "package.link_expired", message, name=artifact.name)
        clock = self.context.clock
        if isinstance(error, TransportError):  # its host may be back in a moment
            clock.wait(_PAUSE)
        for last in (False, True):
            try:
                if fresh := self._offered(index):
                    return fresh
            except SparkError as odd:
                if last or not unconfirmed(odd):
                    raise
            if not last:
                clock.wait(_PAUSE)
        raise DeliveryError(f"job {self.job.id} no longer offers {artifact.name}")

    def _offered(self, index: int) -> RemoteFile | None:
        """Ask for a file's link; None where the answer has not the files that the job had."""
        before = self.job.status.files if self.job.status else ()
        files_now = self.spark.impex.exports.status(self.job.id).files
        return files_now[index] if len(files_now) == len(before) else None

    def _report(self, package: Artifact) -> None:
        proof = "the tenant's hash agrees" if package.hash_agreed else "the tenant gave no hash"
        given = package.remote.file_hash if package.remote else None
        if given and package.hash_agreed is None:
            proof = f"the tenant's hash {one_line(given)!r} is in no known notation; not compared"
        message = f"{package.name}: {package.size:,} bytes, {proof}"
        self.context.changed(
            self.job, "package.delivered", message, name=package.name, size=package.size
        )


def _partial(path: Path) -> Path:
    """Return the partial file of a package; a link by that name is removed, never followed."""
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
        raise DeliveryError(f"cannot make {path}: {error.strerror or error}") from error
