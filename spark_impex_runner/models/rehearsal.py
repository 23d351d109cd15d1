"""What a rehearsal gives to the plugins that take part in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StandIns:
    """The destinations that a step or a notifier uses in a rehearsal, in place of its own.

    Attributes:
        folder: A folder for files, which does not exist yet and is removed afterwards.
        url: The URL of a server on this machine, which answers each request below it with 200 and
            an empty JSON object. The rehearsal shows what was sent to it.
        left_out: Append one line for each thing that is not rehearsed this way.
    """

    folder: Path
    url: str
    left_out: list[str] = field(default_factory=list)
