"""Statements of in-toto: what was delivered, who approved it, and where it was imported.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner.fields import text
from spark_impex_runner.models import RECEIPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spark_impex_runner.models import Approval, Imported

TYPE: Final = "https://in-toto.io/Statement/v1"
DELIVERY: Final = "urn:spark-impex-runner:delivery:1"
APPROVAL: Final = "urn:spark-impex-runner:approval:1"
IMPORT: Final = "urn:spark-impex-runner:import:1"
_FACTS = (
    *("target", "outcome", "tenant", "job_ids", "correlation_id", "started_by", "started"),
    *("finished", "run_id", "runner_version"),
)


def delivery(receipt: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """Return the statement about a delivery: its receipt's digest and every file of the receipt."""
    subjects = [_subject(RECEIPT, sha256), *artifacts(receipt)]
    facts = {name: receipt[name] for name in _FACTS} | {"manifest": receipt.get("manifest")}
    return _statement(subjects, DELIVERY, facts)


def source(
    receipt: Mapping[str, Any], files: Mapping[str, str], at: str, runner_version: str
) -> dict[str, Any]:
    """Return the statement about a delivery whose packages are imported again.

    ``receipt`` is what that delivery says of itself, empty if it says nothing; ``files`` are the
    SHA-256 of its packages and records by name, ``at`` the moment to name if it names none.
    """
    stated = {name: text(receipt.get(name)) for name in _FACTS}
    facts: dict[str, Any] = {
        **{name: stated[name] for name in ("target", "outcome", "run_id")},
        **{name: stated[name] or None for name in ("tenant", "correlation_id", "started_by")},
        **{name: _moment(stated[name]) or at for name in ("started", "finished")},
        "job_ids": [each for each in receipt.get("job_ids") or () if isinstance(each, str)],
        "runner_version": stated["runner_version"] or runner_version,
        "manifest": text(receipt.get("manifest")) or None,
    }
    return _statement([_subject(*each) for each in files.items()], DELIVERY, facts)


def artifacts(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files and folders of a receipt as subjects; those without a digest have none."""
    listed = [each for each in receipt["artifacts"] if each["sha256"]]
    return [_subject(each["name"], each["sha256"]) for each in listed]


def approval(
    packages: Mapping[str, Mapping[str, Any]], given: Approval, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the statement about an approval of packages; ``about`` is what was held."""
    subjects = [_subject(name, each["sha256"]) for name, each in packages.items()]
    tenants = {each["to"]: each["tenant"] for each in packages.values()}
    facts = {"by": given.by, "named_by": given.named_by, "at": given.at, "run_id": given.run_id}
    return _statement(subjects, APPROVAL, {**facts, "tenants": tenants, **about})


def imported(record: Imported, approval: str | None, run_id: str, by: str) -> dict[str, Any]:
    """Return the statement about an import; ``approval`` is the digest of its approval.

    ``by`` is the name of the user who started the run that imported it, empty if unknown.
    """
    facts = {
        "connection": record.to,
        "tenant": record.tenant,
        "job_id": record.job_id,
        "at": record.at,
        "run_id": run_id,
        "by": by or None,
        "approval": approval,
        "lock": record.lock,
    }
    return _statement([_subject(record.package, record.sha256)], IMPORT, facts)


def with_previous(statement: Mapping[str, Any], previous: str | None) -> dict[str, Any]:
    """Return a statement that follows the record with this digest."""
    return {**statement, "predicate": {"previous": previous, **statement["predicate"]}}


def digests(subjects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the digests of subjects by their names."""
    return {each["name"]: next(iter(each["digest"].values())) for each in subjects}


def _moment(stated: str) -> str:
    """Return a moment if it is ISO 8601 with a zone, else an empty text."""
    try:
        # Python 3.10 reads no Z.
        return stated if datetime.fromisoformat(stated.replace("Z", "+00:00")).tzinfo else ""
    except ValueError:
        return ""


def _subject(name: str, sha256: str) -> dict[str, Any]:
    # A folder's digest is that of a list of its files, which is not its own SHA-256.
    algorithm = "impexFolder" if name.endswith("/") else "sha256"
    return {"name": name, "digest": {algorithm: sha256}}


def _statement(
    subjects: list[dict[str, Any]], kind: str, predicate: dict[str, Any]
) -> dict[str, Any]:
    return {"_type": TYPE, "subject": subjects, "predicateType": kind, "predicate": predicate}
