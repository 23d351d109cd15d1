"""Read what signed records are about, without a key."""

from __future__ import annotations

from spark_impex_runner.evidence import statements
from spark_impex_runner.evidence.dsse import Envelope


def signed_digests(text: str) -> dict[str, str]:
    """Return what the last of some records has signed: digests by the names of files.

    ``text`` has one record a line. Their chain is checked, their signatures are not, as that needs
    a key. Raises ``ValueError`` if they are not unbroken records that end with a delivery.
    """
    previous, kind, subjects = None, "", {}
    try:
        for line in text.splitlines():
            envelope = Envelope.parse(line)
            statement = envelope.statement
            if statement["predicate"]["previous"] != previous:
                raise ValueError("a record was removed or added")
            previous, kind = envelope.digest, statement["predicateType"]
            subjects = statements.digests(statement["subject"])
    except (LookupError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError("not records of this runner") from error
    if kind != statements.DELIVERY:
        raise ValueError("the records do not end with a delivery")
    return subjects
