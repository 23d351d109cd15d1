"""The signed records of an attempt: kept in the state, and written beside the receipt."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError
from spark_impex_runner.evidence import statements
from spark_impex_runner.evidence.dsse import Envelope
from spark_impex_runner.evidence.statements import DELIVERY
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.evidence.dsse import Signer
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Approval, Imported, Manifest
    from spark_impex_runner.state.holds import Hold
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State


def signer_of(manifest: Manifest) -> Signer | None:
    """Return the key that signs receipts, None without one; raise ``UsageError`` if it cannot."""
    # Imported on use: most runs sign nothing.
    sign = manifest.sign
    if sign is None:
        return None
    try:
        if sign.ssh_key:
            from spark_impex_runner.evidence.ssh import SshSigner  # noqa: PLC0415

            return SshSigner.of(sign.ssh_key)
        from spark_impex_runner.evidence.keys import PemSigner  # noqa: PLC0415

        return PemSigner.of(sign.key or "")
    except UsageError as error:
        raise UsageError(f"sign: {error}") from None


@dataclass(frozen=True, slots=True)
class Records:
    """The signed records of one state; each is signed, stored and chained to the one before."""

    state: State
    signer: Signer
    masker: Masker

    def add_delivery(self, attempt: Attempt, receipt: str) -> str:
        """Add a record about a receipt; return all records of the attempt, one a line."""
        digest = hashlib.sha256(receipt.encode()).hexdigest()
        self._add(attempt, statements.delivery(json.loads(receipt), digest))
        return "".join(f"{each}\n" for each in self.state.evidence.of(attempt))

    def ends_with_delivery(self, attempt: Attempt) -> bool:
        """Return whether the last record of an attempt is about a delivery."""
        last = self._statements(attempt)[-1:]
        return bool(last) and last[0]["predicateType"] == DELIVERY

    def add_approval(self, attempt: Attempt, hold: Hold, given: Approval) -> None:
        """Add a record about an approval of what is held, unless there is one."""
        about = {
            "held_by": hold.run_id,
            "held_at": hold.at.isoformat(),
            "initiators": list(hold.initiators),
            "four_eyes": bool(hold.work["options"].get("four_eyes")),
            "step": hold.work["step"],
            "options": hold.work["options"],
        }
        statement = statements.approval(hold.work["packages"], given, about)
        if not self._has(attempt, statement, ("at", "by", "run_id")):
            self._add(attempt, statement)

    def add_source(
        self, attempt: Attempt, receipt: Mapping[str, Any], files: Mapping[str, str], at: str
    ) -> None:
        """Add a record about a delivery that is imported again, unless the last one covers it.

        ``files`` are the SHA-256 of its packages and records by name; see ``statements.source``.
        """
        deliveries = [
            each for each in self._statements(attempt) if each["predicateType"] == DELIVERY
        ]
        last = statements.digests(deliveries[-1]["subject"]) if deliveries else {}
        if not files.items() <= last.items():
            self._add(attempt, statements.source(receipt, files, at, __version__))

    def add_import(self, attempt: Attempt, record: Imported, run_id: str, by: str) -> None:
        """Add a record about an import, with the approval of its bytes, unless there is one."""
        statement = statements.imported(record, self._approval_of(attempt, record), run_id, by)
        if not self._has(attempt, statement, ("connection", "tenant", "job_id")):
            self._add(attempt, statement)

    def _approval_of(self, attempt: Attempt, record: Imported) -> str | None:
        """Return the digest of the last approval that covers an import, None without one."""
        for envelope in reversed(self._envelopes(attempt)):
            statement = envelope.statement
            if (
                statement["predicateType"] == statements.APPROVAL
                and record.to in statement["predicate"]["tenants"]
                and record.sha256 in statements.digests(statement["subject"]).values()
            ):
                return envelope.digest
        return None

    def _has(self, attempt: Attempt, wanted: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
        """Return whether there is a record with the same subjects and facts."""
        # A run that is killed after it has added one comes here again.
        return any(
            all(each[key] == wanted[key] for key in ("predicateType", "subject"))
            and all(each["predicate"].get(k) == wanted["predicate"][k] for k in keys)
            for each in self._statements(attempt)
        )

    def _add(self, attempt: Attempt, statement: Mapping[str, Any]) -> None:
        last = self._envelopes(attempt)[-1:]
        chained = statements.with_previous(statement, last[0].digest if last else None)
        envelope = Envelope.of(self.masker.mask_within(chained), self.signer)
        self.state.evidence.add(attempt, envelope.text)

    def _statements(self, attempt: Attempt) -> list[Mapping[str, Any]]:
        return [each.statement for each in self._envelopes(attempt)]

    def _envelopes(self, attempt: Attempt) -> list[Envelope]:
        return [Envelope.parse(each) for each in self.state.evidence.of(attempt)]
