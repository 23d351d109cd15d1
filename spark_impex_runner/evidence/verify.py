"""Verify the signed records of a delivered folder: signatures, digests, and their chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner import digests
from spark_impex_runner.evidence import statements
from spark_impex_runner.evidence.dsse import Envelope, pae
from spark_impex_runner.four_eyes import refusal as four_eyes_refusal
from spark_impex_runner.models import EVIDENCE, RECEIPT
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.evidence.dsse import PublicKey

_KINDS = {
    statements.DELIVERY: "delivery",
    statements.APPROVAL: "approval",
    statements.IMPORT: "import",
}


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose signature is valid; ``kind`` is ``delivery``, ``approval`` or ``import``."""

    kind: str
    digest: str
    keyid: str
    subjects: dict[str, str]
    predicate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records of a folder, and one line for each problem."""

    records: tuple[Record, ...]
    problems: tuple[str, ...]


def verify(folder: Path, keys: Sequence[PublicKey], *, require_approval: bool = False) -> Evidence:
    """Check the signed records of a folder by the keys, and that they are about its files.

    ``report.receipt.verify`` checks the files against the receipt.
    """
    try:
        text = (folder / EVIDENCE).read_bytes().decode("ascii")
    except FileNotFoundError:
        return Evidence((), (f"{EVIDENCE}: missing; this delivery was not signed",))
    except UnicodeDecodeError:
        return Evidence((), (f"{EVIDENCE}: contains bytes that no record has",))
    except OSError as error:
        return Evidence((), (f"{EVIDENCE}: cannot be read: {error.strerror}",))
    records: list[Record] = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            records.append(_record(line, keys))
        except ValueError as error:
            return Evidence(tuple(records), (f"{EVIDENCE}: line {number}: {error}",))
    if not text.endswith("\n"):
        return Evidence(tuple(records), (f"{EVIDENCE}: the end of the last line is missing",))
    problems = [*_chain_problems(records), *_receipt_problems(folder, records)]
    if require_approval:
        problems += _approval_problems(records)
    return Evidence(tuple(records), tuple(f"{EVIDENCE}: {plain(each)}" for each in problems))


def _record(line: str, keys: Sequence[PublicKey]) -> Record:
    """Return a record; raise ``ValueError`` if none of the keys has signed it."""
    envelope = Envelope.parse(line)
    message = pae(envelope.payload)
    named = [each for each in keys if each.keyid == envelope.keyid]
    if not named:
        raise ValueError(f"signed by the key {plain(envelope.keyid)}, which --key does not give")
    if not any(each.verifies(message, envelope.signature) for each in named):
        raise ValueError("the signature is wrong: the record was changed after it was signed")
    statement = envelope.statement
    try:
        kind, subjects = _KINDS[statement["predicateType"]], statement["subject"]
        named_digests = statements.digests(subjects)
        predicate = dict(statement["predicate"])
    except (LookupError, TypeError, AttributeError, StopIteration):
        raise ValueError("not a record of this runner, or of a newer version") from None
    return Record(kind, envelope.digest, envelope.keyid, named_digests, predicate)


def _chain_problems(records: Sequence[Record]) -> Iterator[str]:
    """Yield where a record does not follow the one before it, or is about other bytes."""
    if not records or records[0].kind != "delivery":
        yield "does not begin with a delivery"
    before: Record | None = None
    delivered: set[str] = set()
    for number, each in enumerate(records, 1):
        if each.predicate.get("previous") != (before.digest if before else None):
            yield f"line {number}: does not follow line {number - 1}: a record was removed or added"
        if each.kind == "delivery":
            delivered = {*each.subjects.values()}
        elif not {*each.subjects.values()} <= delivered:
            yield f"line {number}: {each.kind} of bytes that were not delivered before"
        before = each
    yield from _approved_problems(records)


def _approved_problems(records: Sequence[Record]) -> Iterator[str]:
    """Yield which import is not of approved bytes, and which approval is the initiator's own."""
    approvals = {each.digest: each for each in records if each.kind == "approval"}
    for each in (each for each in records if each.kind == "import"):
        if digest := each.predicate.get("approval"):
            covered = approvals[digest].subjects.values() if digest in approvals else ()
            if not {*each.subjects.values()} <= {*covered}:
                to = each.predicate.get("connection")
                yield f"import to {to}: not of the bytes that were approved"
    for each in approvals.values():
        yield from _four_eyes_problem(each)


def _four_eyes_problem(record: Record) -> Iterator[str]:
    facts = record.predicate
    if facts.get("four_eyes") and (
        problem := four_eyes_refusal(facts.get("initiators") or (), str(facts.get("by") or ""))
    ):
        yield f"approval: {problem}"


def _receipt_problems(folder: Path, records: Sequence[Record]) -> Iterator[str]:
    """Yield whether the last record is not about the receipt as it is, with all its files."""
    last = records[-1] if records else None
    if last is None or last.kind != "delivery":
        yield "does not end with a delivery; its run was killed, and the same command completes it"
        return
    try:
        receipt = json.loads((folder / RECEIPT).read_bytes())
        found = digests.sha256(folder / RECEIPT)
        listed = statements.digests(statements.artifacts(receipt))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return  # the check of the receipt itself says so
    if last.subjects.get(RECEIPT) != found:
        yield (
            f"signed {RECEIPT} with sha256 {last.subjects.get(RECEIPT)}, which has {found}; "
            "it was changed, or its run was killed, and the same command completes it"
        )
    elif {**listed, RECEIPT: found} != last.subjects:
        yield f"does not sign the files that {RECEIPT} lists"


def _approval_problems(records: Sequence[Record]) -> Iterator[str]:
    """Yield which import has no approval, or that nothing was approved at all."""
    imports = [each for each in records if each.kind == "import"]
    for each in imports:
        # Without a job nothing was sent: the tenant had identical versions.
        if each.predicate.get("job_id") and not each.predicate.get("approval"):
            yield f"import to {each.predicate.get('connection')}: nobody approved it"
    if not imports and not any(each.kind == "approval" for each in records):
        yield "nothing was approved"
