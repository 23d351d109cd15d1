"""What signed records are about is read without a key, and only from unbroken records."""

from __future__ import annotations

from typing import Any

import pytest

from spark_impex_runner.evidence import statements
from spark_impex_runner.evidence.dsse import Envelope
from spark_impex_runner.tools import signed_digests


class Key:
    """A key whose signature nobody checks."""

    keyid = "k"

    def sign(self, message: bytes) -> bytes:
        """Return a signature."""
        return message[:4]


def records(*kinds: str) -> list[Envelope]:
    """Return chained records of these kinds; each is about a file with its number as the digest."""
    made: list[Envelope] = []
    for number, kind in enumerate(kinds):
        facts: dict[str, Any] = {
            "subject": [{"name": "m.zip", "digest": {"sha256": str(number)}}],
            "predicateType": kind,
            "predicate": {"previous": made[-1].digest if made else None},
        }
        made.append(Envelope.of(facts, Key()))
    return made


def text(*envelopes: Envelope) -> str:
    """Return the file of some records."""
    return "".join(f"{each.text}\n" for each in envelopes)


CHAIN = records(statements.DELIVERY, statements.APPROVAL, statements.IMPORT, statements.DELIVERY)


def test_last_delivery_counts() -> None:
    """It signs all files of the receipt."""
    assert signed_digests(text(*CHAIN)) == {"m.zip": "3"}


@pytest.mark.parametrize(
    "broken",
    [
        "",
        text(*CHAIN[:2]),
        text(*CHAIN[1:]),
        text(CHAIN[0], CHAIN[3]),
        text(*CHAIN)[:-9],
        "{}\n",
        text(Envelope.of({"predicateType": statements.DELIVERY}, Key())),
        text(Envelope.of({"predicate": None}, Key())),
        text(Envelope(b"[" * 100_000, "k", b"")),
    ],
    ids=[
        "empty",
        "approval",
        "no start",
        "gap",
        "cut",
        "no envelope",
        "no predicate",
        "null",
        "deep",
    ],
)
def test_broken_records_are_refused(broken: str) -> None:
    """A record that was taken out or cut is found without a key, too."""
    with pytest.raises(ValueError, match=r"record|envelope|delivery|statement|Unterminated"):
        signed_digests(broken)
