"""Four eyes: the user who started something does not approve it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def refusal(initiators: Collection[str], approver: str) -> str:
    """Return why an approval is refused under ``four_eyes``, an empty text if it is not."""
    if not approver.strip():
        return "four_eyes: it is unknown who approves; name them with --approved-by"
    if not initiators or not all(each.strip() for each in initiators):
        return "four_eyes: it is unknown who started this; export it again with --fresh"
    if _folded(approver) in {_folded(each) for each in initiators}:
        return f"four_eyes: {approver} started this and cannot approve it; another person must"
    return ""


def _folded(name: str) -> str:
    """Return what the spellings of one person's name have in common.

    ``Alice``, ``alice@acme.com`` and a Windows account are one: a wrong refusal is harmless.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(text.rpartition("\\")[2].partition("@")[0].split())
