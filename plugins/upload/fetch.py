"""Fetch the packages of a delivery from a folder or a store, verified while they stream to disk."""

from __future__ import annotations

import hashlib
import unicodedata
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark_impex_runner import errors, models, tools

from . import listing
from .destination import applies, check, destination, is_within, scheme_of
from .owner import Owner
from .retry import retried
from .store import MAX_TEXT, read_text
from .stores import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .destination import Destination
    from .store import Store

_Result = TypeVar("_Result")
# Options that say what to upload and how, not how to reach the store.
_OF_UPLOADS: Final = frozenset(
    {"to", "prefix", "files", "if_exists", "parallel", "project", "keep", "content_type", "tags"}
    | {"encryption", "kms_key"}
)
_RECORDS: Final = (models.RECEIPT, models.EVIDENCE)
_SHOWN = 10
# The API takes no package above 200 MiB, so no backup that can be restored has more of them.
_MAX_PACKAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class FetchedBackup:
    """A delivery whose packages were fetched and have the sizes and digests that it records.

    Attributes:
        place: Where it is, without secrets.
        packages: The packages; their paths are in the folder that ``fetch`` was given.
        receipt: The receipt as JSON; empty if the delivery was uploaded without one.
    """

    place: str
    packages: tuple[models.Artifact, ...]
    receipt: Mapping[str, Any]


def source_problem(source: str) -> str:
    """Return the error of a URL that the step ``upload`` does not know, empty if it does."""
    return check({"to": source}).removeprefix("to: ")


def uploads_to(source: str, manifest: models.Manifest) -> tuple[str, int] | None:
    """Return the target, and the position of its step, that uploads to a source's store.

    If several do, that whose path is the nearest. None if none does: then the credentials are those
    that the store's own tools find. Raises ``StepError`` for a URL that the step does not know.
    """
    folder, deepest = manifest.path.absolute().parent, -1
    best: tuple[str, int] | None = None
    wanted = _destination({"to": source}, folder)
    if wanted.scheme == "file":
        return None
    for target in manifest.targets:
        for number, step in enumerate(target.steps):
            if step.uses != "upload":
                continue
            try:
                place = destination(step.options, folder)
            except errors.StepError:
                continue  # its own run says what is wrong with it
            # The date in a path may be another one; the host's credentials are the same.
            depth = len(place.path) if is_within(wanted, place) else 0
            if (place.scheme, place.host) == (wanted.scheme, wanted.host) and depth > deepest:
                deepest, best = depth, (target.name, number)
    return best


def fetch(
    source: str,
    upload: Mapping[str, Any],
    into: Path,
    job: tuple[Path, Callable[[], None], Callable[[float], None]],
) -> FetchedBackup:
    """Fetch the packages of a delivery into an empty folder, with its receipt and its evidence.

    ``source`` is the delivery's folder, local or in a store, and ``upload`` the options of the step
    that uploaded it, for credentials. ``job`` is the folder of the manifest, a function that raises
    if the command is to stop, and one that waits.

    Raises ``StepError`` with one line if there is no complete delivery, or if a file differs from
    what the delivery records.
    """
    folder, stop_check, wait = job
    scheme = scheme_of(source) or "file"
    options = {
        name: value
        for name, value in upload.items()
        if name not in _OF_UPLOADS and applies(name, scheme)
    }
    place = _destination({**options, "to": source}, folder)
    try:
        with closing(connect(place, options, folder)) as store:
            return _Fetch(store, place, into, stop_check, wait).run()
    except OSError as error:
        raise errors.StepError(f"{place.shown}: {error.strerror or error}") from error


def _destination(options: Mapping[str, Any], folder: Path) -> Destination:
    """Parse a source as the step ``upload`` parses its destination."""
    try:
        return destination(options, folder)
    except errors.StepError as error:
        raise errors.StepError(str(error).removeprefix("to: ")) from None


@dataclass(frozen=True, slots=True)
class _Fetch:
    store: Store
    place: Destination
    into: Path
    check: Callable[[], None]
    wait: Callable[[float], None]

    def run(self) -> FetchedBackup:
        """Fetch the records of the delivery, then the packages that they name."""
        listed = self._listing()
        texts = {name: self._text(name) for name in _RECORDS}
        text = texts[models.RECEIPT]
        receipt = self._receipt(text) if text is not None else {}
        if not receipt and listed is None:
            raise self._error(f"contains no delivery{self._hint()}")
        packages = self._packages(receipt, listed)
        tools.require_space(self.into, sum(each.size for each in packages))
        for name, content in texts.items():
            if content is not None:
                (self.into / name).write_text(content, encoding="utf-8", newline="")
        for each in packages:
            self._retried(partial(self._fetch, each))
        return FetchedBackup(self.place.shown, packages, receipt)

    def _packages(
        self, receipt: Mapping[str, Any], listed: listing.Listing | None
    ) -> tuple[models.Artifact, ...]:
        """Return the packages that the receipt, or else the listing, names."""
        try:
            named = _of_receipt(receipt) if receipt else _of_listing(listed)
        except (LookupError, TypeError, ValueError):
            raise self._error(
                f"{models.RECEIPT}: its artifacts are not those of a receipt"
            ) from None
        if not named:
            raise self._error("the delivery has no package")
        if len(named) > _MAX_PACKAGES:
            raise self._error(f"names {len(named)} packages, more than {_MAX_PACKAGES}")
        seen: set[str] = set()
        for each in named:
            folded = unicodedata.normalize("NFC", each.name).casefold()
            problem = _invalid(each) or ("twice" if folded in seen else "")
            if problem:
                raise self._error(f"names the package {tools.quoted(each.name)}: {problem}")
            seen.add(folded)
        # Under numbers: no name from outside becomes a path of this machine.
        return tuple(
            replace(each, path=self.into / f"{number}.zip") for number, each in enumerate(named, 1)
        )

    def _fetch(self, package: models.Artifact) -> None:
        """Write a package to disk; raise if it has not the recorded bytes."""
        self._check_inside(package.name)
        found = self.store.find(package.name)
        if found is None:
            raise self._error(f"{package.name}: missing")
        if found.size != package.size:
            raise self._differs(package, f"{found.size} bytes", f"{package.size}")
        digest, left = hashlib.sha256(), package.size
        with package.path.open("wb") as stream:
            for piece in self.store.read(package.name):
                self.check()
                left -= len(piece)
                if left < 0:  # a store that sends more than it announced must not fill the disk
                    raise self._differs(package, "more bytes", f"{package.size}")
                digest.update(piece)
                stream.write(piece)
        if left:
            raise self._differs(package, f"{package.size - left} bytes", f"{package.size}")
        if digest.hexdigest() != package.sha256:
            raise self._differs(package, f"sha256 {digest.hexdigest()}", package.sha256)

    def _listing(self) -> listing.Listing | None:
        """Return the listing of an upload, None if there is none, as in a target's output."""
        text = self._text(listing.NAME)
        if text is None:
            return None
        try:
            found = listing.parse(text, listing.NAME, Owner("", "", "", ""))
        except listing.UnreadableError:
            raise self._error(f"{listing.NAME}: not the listing of an upload") from None
        if not found.complete:
            run = tools.one_line(found.writer or found.run_id)
            raise self._error(
                f"the delivery is incomplete: run {run} still uploads it, or was killed; run its "
                "manifest again, or restore another delivery"
            )
        return found

    def _receipt(self, text: str) -> Mapping[str, Any]:
        try:
            data = tools.parse_json(text)
            known = data["version"] == 1 and isinstance(data["artifacts"], list)
        except (ValueError, LookupError, TypeError):
            known = False
        if not known:
            raise self._error(f"{models.RECEIPT}: not a receipt of version 1")
        receipt: Mapping[str, Any] = data
        return receipt

    def _text(self, name: str) -> str | None:
        """Return a record of the delivery as text, None if there is none."""
        self._check_inside(name)
        text = self._retried(lambda: read_text(self.store, name))
        if text is not None and len(text) >= MAX_TEXT:
            raise self._error(f"{name}: has more than {MAX_TEXT:,} bytes, as no delivery's has")
        return text

    def _check_inside(self, name: str) -> None:
        """Raise if a local file leads out of its folder by a link."""
        if self.place.scheme == "file":
            root = Path(self.place.path)
            if not (root / name).resolve().is_relative_to(root.resolve()):
                raise self._error(f"{name}: leads outside of the folder")

    def _hint(self) -> str:
        """Return the names of the deliveries below a folder that is none itself."""
        path = Path(self.place.path)
        if self.place.scheme == "file" and not path.is_dir():
            return (
                ": it is a file; give its folder" if path.exists() else ": there is no such folder"
            )
        try:
            names = self._retried(self.store.folders)
        except (errors.StepError, OSError):
            names = []
        records = (listing.NAME, models.RECEIPT)
        found = [each for each in names if any(self.store.find(f"{each}/{n}") for n in records)]
        if not found:
            return f" (no {models.RECEIPT} and no {listing.NAME}); check the path"
        names = [tools.one_line(each) for each in sorted(found, reverse=True)]
        shown = tools.first_of(names, _SHOWN)
        return f"; name one of the folders in it: {shown}"

    def _retried(self, work: Callable[[], _Result]) -> _Result:
        return retried(work, self.check, self.wait)

    def _differs(self, package: models.Artifact, found: str, recorded: str) -> errors.StepError:
        return self._error(f"{package.name}: has {found}, the delivery records {recorded}")

    def _error(self, message: str) -> errors.StepError:
        return errors.StepError(f"{self.place.shown.rstrip('/')}: {message}")


def _of_receipt(receipt: Mapping[str, Any]) -> list[models.Artifact]:
    """Return the packages that a receipt names; it raises for other JSON."""
    return [
        models.Artifact(Path(), _text(each["name"]), _size(each["size"]), _text(each["sha256"]))
        for each in receipt["artifacts"]
        if each["made_by"] == "download"
    ]


def _of_listing(listed: listing.Listing | None) -> list[models.Artifact]:
    """Return the packages in the listing of an upload without a receipt, by their names."""
    return [
        models.Artifact(Path(), name, each.size, each.sha256)
        for name, each in (listed.files if listed else {}).items()
        if name.lower().endswith(".zip") and "/" not in name
    ]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(value)
    return value


def _invalid(package: models.Artifact) -> str:
    """Return why a package in a foreign record is not fetched, empty if it is."""
    parts = package.name.split("/")
    if not package.name.isprintable():
        return "with a control character"
    if "\\" in package.name or {"", ".", ".."} & set(parts):
        return "leads outside of the folder"
    if {unicodedata.normalize("NFC", each).casefold() for each in parts} & {*_RECORDS}:
        return "is the name of a record"
    digest = package.sha256
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return "without a SHA-256"
    return ""
