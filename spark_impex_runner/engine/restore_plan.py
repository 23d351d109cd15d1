"""What a restore would import, and what has to be right before it may."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.delivery.records import signer_of
from spark_impex_runner.digests import sha256
from spark_impex_runner.errors import HeldError, StepError, UsageError
from spark_impex_runner.evidence.dsse import Envelope
from spark_impex_runner.evidence.verify import verify
from spark_impex_runner.fields import mapping, text
from spark_impex_runner.four_eyes import refusal
from spark_impex_runner.models import EVIDENCE, RECEIPT, ServiceVersion
from spark_impex_runner.planning.approvals import Approvals, approve_values
from spark_impex_runner.spark.client import tenant_identity
from spark_impex_runner.user import Actors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.evidence.dsse import PublicKey
    from spark_impex_runner.models import Artifact, Manifest, RunOptions, ServiceForecast
    from spark_impex_runner.user import User

_FIELDS = ("folder", "service", "service_id", "version", "version_id")


@dataclass(frozen=True, slots=True)
class Backup:
    """The verified packages of one backup, and what is known of its export.

    ``reported`` are the versions that its tenant reported, for packages that do not list theirs.
    ``origin`` is what its first record or its receipt says of the export, empty if there is none;
    ``records`` are the SHA-256 of its receipt and of its signed records, by name. ``exporters`` are
    who started its exports.
    """

    place: str
    packages: tuple[Artifact, ...]
    reported: tuple[ServiceVersion, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    exporters: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        place: str,
        packages: tuple[Artifact, ...],
        receipt: Mapping[str, Any],
        folder: Path,
    ) -> Backup:
        """Return a backup whose receipt and records were fetched into a folder.

        Raises ``UsageError`` if no tenant imports it.
        """
        kind = mapping(receipt.get("request")).get("file_filter")
        if kind not in {None, "migrate"}:
            raise UsageError(f"{place}: exported for {kind}; only file_filter: migrate is imported")
        listed = receipt.get("service_versions")
        rows = map(mapping, listed if isinstance(listed, list) else ())
        versions = [ServiceVersion(*(text(row.get(name)) for name in _FIELDS)) for row in rows]
        by = text(receipt.get("started_by"))  # a listing does not tell
        files = [each for each in (folder / RECEIPT, folder / EVIDENCE) if each.exists()]
        records = {each.name: sha256(each) for each in files}
        origin = _first_record(folder) or receipt
        return cls(place, packages, tuple(versions), origin, records, (by,) if by else ())

    def joined(self, other: Backup, place: str) -> Backup:
        """Return the packages of two backups as one; ``place`` is where both are named."""
        return Backup(
            place,
            (*self.packages, *other.packages),
            (*self.reported, *other.reported),
            self.origin,
            {**self.records, **other.records},
            (*self.exporters, *other.exporters),
        )

    def within(self, folder: str) -> Backup:
        """Return the backup with names in a folder, which tell those of several backups apart."""
        return replace(
            self,
            packages=tuple(replace(each, name=f"{folder}/{each.name}") for each in self.packages),
            records={f"{folder}/{name}": sha256 for name, sha256 in self.records.items()},
        )


@dataclass(frozen=True, slots=True)
class PlannedImport:
    """What importing one package would do, service by service.

    ``wanted`` are the services to import: all but those that are the same there.
    """

    package: Artifact
    wanted: tuple[str, ...]
    services: tuple[ServiceForecast, ...] = ()


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do.

    ``resumed`` is when an earlier one began that it finishes, ``given_up`` when one began that it
    does not; empty without one.
    """

    if_present: str
    imports: tuple[PlannedImport, ...]
    resumed: str = ""
    given_up: str = ""

    @property
    def wanted(self) -> list[PlannedImport]:
        """The packages of which anything is imported."""
        return [each for each in self.imports if each.wanted]

    @property
    def repeated(self) -> str:
        """A service that is imported from several packages, empty if there is none."""
        every = [name for each in self.wanted for name in each.wanted]
        return next((name for name in every if every.count(name) > 1), "")

    @property
    def problems(self) -> list[str]:
        """One line for each service that would end the import without success."""
        lines = [each.line for one in self.imports for each in one.services if each.fails]
        return [] if self.resumed else lines


@dataclass(frozen=True, slots=True)
class GivenApproval:
    """Who approves a restore, who has started it or what it imports, and whether these differ."""

    by: User
    initiators: tuple[str, ...]
    four_eyes: bool


def check_gate(
    plan: RestorePlan, backup: Backup, where: tuple[Manifest, str], options: RunOptions
) -> GivenApproval | None:
    """Return the approval of a restore; raise ``HeldError`` if a gate of the manifest needs one.

    None if there is no gate before the tenant of the connection. A restore is no way around the
    gate of the step ``import``: it needs an approval of each package by its digest, with
    ``four_eyes`` by another person than the one who restores it and the one who exported it.
    """
    manifest, to = where
    gates = list(_gates(manifest, to))
    if not gates or not plan.wanted:
        return None
    digests = [each.package.sha256 for each in plan.wanted]
    packages = {each: {"to": to, "sha256": each} for each in digests}
    actors = Actors.here(options.approved_by)
    initiators = tuple(dict.fromkeys((actors.initiator.name, *backup.exporters)))
    four_eyes = any(each.get("four_eyes") for each in gates)
    if Approvals.of(options.approved).uncovered(packages):
        values = " ".join(f"--approve {each}" for each in approve_values(to, digests))
        raise HeldError(
            f"the manifest has a gate before {to}; repeat the command with {values}"
            f"{_other_person(initiators) if four_eyes else ''}",
            to,
            digests=digests,
        )
    if four_eyes and (why := refusal(initiators, actors.approver.name)):
        raise HeldError(why, to, digests=digests)
    return GivenApproval(actors.approver, initiators, four_eyes)


def _other_person(initiators: tuple[str, ...]) -> str:
    """Return what ``four_eyes`` asks of an approval."""
    names = " nor ".join(filter(None, initiators))
    return f" and --approved-by a person who is not {names}" if names else ""


def _first_record(folder: Path) -> Mapping[str, Any]:
    """Return the facts of a delivery's first signed record; the receipt is that of the last run."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        line = (folder / EVIDENCE).read_text(encoding="ascii").partition("\n")[0]
        return mapping(Envelope.parse(line).statement["predicate"])
    return {}


def check_evidence(folder: Path, keys: Sequence[PublicKey], manifest: Manifest, place: str) -> None:
    """Raise ``StepError`` if the signed records of a folder are not as the keys signed them.

    Without keys, that of the manifest counts; if it signs nothing, nothing is checked.
    """
    if not keys and manifest.sign:
        if not (folder / EVIDENCE).exists():
            raise StepError(
                f"{place}: was not signed, and {manifest.path} restores only what is, since it "
                "signs; use a manifest without sign if you know where this comes from"
            )
        signer = signer_of(manifest)
        keys = [signer.public] if signer else []
    if keys and (problems := verify(folder, keys).problems):
        raise StepError("; ".join(f"{place}: {each}" for each in problems))


def _gates(manifest: Manifest, to: str) -> Iterator[Mapping[str, Any]]:
    """Yield the options of the steps that import to a tenant only with an approval.

    By whichever connection: ``to`` may be another name of the tenant.
    """
    tenant = _tenant(manifest, to)
    for step in (each for target in manifest.targets for each in target.steps):
        if step.uses != "import" or step.options.get("gate") != "manual":
            continue
        gated = step.options["to"]
        if gated == to or (tenant and _tenant(manifest, gated) == tenant):
            yield step.options


def _tenant(manifest: Manifest, connection: str) -> str:
    """Return what identifies a connection's tenant, empty if its address is not known."""
    with suppress(UsageError, KeyError):
        return tenant_identity(manifest.connections[connection])
    return ""
