"""What the object of a lease holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import fields
from spark_impex_runner.errors import StateError
from spark_impex_runner.state.remote.document import Owner, segment

if TYPE_CHECKING:
    from spark_impex_runner.state.remote.objects import Found

HELD, RELEASED, TAKEN = "held", "released", "taken"


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What the object of a lease holds; ``by`` is who has taken it."""

    owner: Owner
    state: str = HELD
    beat: int = 0
    by: str = ""
    nonce: str = ""

    def encode(self) -> bytes:
        """Return the bytes of the object."""
        return json.dumps({"format": 1, **asdict(self)}).encode()


def read_record(found: Found, place: str) -> LeaseRecord:
    """Return the record of a lease; raise ``StateError`` if it is damaged."""
    try:
        data = fields.parse(found.data)
        owner = Owner(**data["owner"])
        return LeaseRecord(owner, data["state"], data["beat"], data["by"], data["nonce"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{place} is damaged ({error}); delete this object if no runner is at work"
        ) from error


def lease_folder(run_id: str) -> str:
    """Return the folder of the leases of a run's processes; those of commands have no run."""
    return f"leases/{segment(run_id) if run_id else 'commands'}"
