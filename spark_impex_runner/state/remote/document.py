"""The JSON document of one object: the rows of a target or run, with owner and fencing number."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spark_impex_runner import fields
from spark_impex_runner.state.migrations import MIGRATIONS
from spark_impex_runner.state.storage import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.state.storage import Scope

FORMAT = 1
# Rows by table, as lists of columns.
Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a target, by the key of its lease."""

    lease: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@dataclass(frozen=True, slots=True)
class Document:
    """What an object holds. ``fence`` grows by one with each owner.

    ``nonce`` is another one in each write, by which a writer whose reply was lost knows its own.
    """

    key: str
    tables: Tables
    owner: Owner | None = None
    fence: int = 0
    schema: int = len(MIGRATIONS)
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)

    def encode(self) -> bytes:
        """Return the bytes of the object."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False).encode()


def decode(data: bytes, place: str) -> Document:
    """Return the document of an object; raise ``UnreadableError`` if it cannot be read."""
    try:
        found = fields.parse(data)
        if found["format"] > FORMAT or found["schema"] > len(MIGRATIONS):
            raise UnreadableError(
                f"{place} was written by a newer runner (state version {found['schema']}; this "
                f"runner supports {len(MIGRATIONS)}); run pip install -U spark-impex-runner"
            )
        owner = found["owner"] and Owner(**found["owner"])
        tables = _checked(found["tables"])
        return Document(
            str(found["key"]),
            tables,
            owner,
            int(found["fence"]),
            int(found["schema"]),
            str(found["nonce"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from error


def damaged(place: str, reason: str) -> UnreadableError:
    """Return the error of an object that is damaged."""
    return UnreadableError(
        f"{place} is damaged ({reason}); restore an earlier version of this object, or move it "
        "away to start over: a job that still runs is then not resumed"
    )


def _checked(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Tables:
    return {name: [dict(row) for row in rows] for name, rows in tables.items()}


def object_key(scope: Scope) -> str:
    """Return the key of a scope's object, with a folder for each part of a target's key."""
    if scope.kind == "run":
        return f"runs/{segment(scope.key)}/run.json"
    return f"targets/{'/'.join(map(segment, scope.key.split('/')))}.json"


def segment(text: str) -> str:
    """Return a text as one part of an object's key."""
    # As quoted, but without a per cent sign, which clients escape again; dots alone are a folder.
    name = quote(text, safe="@ ").replace("%", "=")
    return name if name.strip(".") else f"={name}"
