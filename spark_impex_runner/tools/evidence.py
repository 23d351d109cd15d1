"""What signed records are about."""

from __future__ import annotations


def signed_digests(text: str) -> dict[str, str]:
    """Return what the records of a delivery have signed: digests by the names of files.

    ``text`` is that of ``impex-receipt.intoto.jsonl``. Signatures are not checked, as that needs a
    key. Raises ``ValueError`` if these are not unbroken records that end with a delivery.
    """
    # Imported on use: plugins load the tools at the start, and few deliveries are signed.
    from spark_impex_runner.evidence import subjects  # noqa: PLC0415

    return subjects.signed_digests(text)
