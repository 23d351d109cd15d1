"""Envelopes of DSSE: a payload and its signature, as one line of JSON.

https://github.com/secure-systems-lab/dsse/blob/master/envelope.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


class PublicKey(Protocol):
    """A key that verifies signatures."""

    @property
    def keyid(self) -> str:
        """The fingerprint of the key."""

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key has signed a message."""


class Signer(Protocol):
    """A private key; ``keyid`` identifies the public one."""

    @property
    def public(self) -> PublicKey:
        """The public key; raises ``UsageError`` if it cannot be read."""

    @property
    def keyid(self) -> str:
        """The fingerprint of the public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload; ``text`` is its only valid form, without a line end."""

    payload: bytes
    keyid: str
    signature: bytes

    @classmethod
    def of(cls, statement: dict[str, Any], signer: Signer) -> Envelope:
        """Sign a statement."""
        payload = json.dumps(statement, separators=(",", ":")).encode()
        return cls(payload, signer.keyid, signer.sign(pae(payload)))

    @classmethod
    def parse(cls, text: str) -> Envelope:
        """Read an envelope; raise ``ValueError`` for any other text than the one of ``text``.

        The signature covers the payload alone: that every other byte is as it must be is
        checked by writing the envelope again.
        """
        try:
            data = json.loads(text)
            [signature] = data["signatures"]
            payload, signed = (_decoded(each) for each in (data["payload"], signature["sig"]))
            envelope = cls(payload, str(signature["keyid"]), signed)
        except (LookupError, TypeError, RecursionError, binascii.Error) as error:
            raise ValueError("not an envelope") from error
        if envelope.text != text:
            raise ValueError("not an envelope in its canonical form")
        return envelope

    @property
    def text(self) -> str:
        """The envelope as one line of JSON in plain ASCII."""
        signature = {"keyid": self.keyid, "sig": base64.b64encode(self.signature).decode()}
        payload = base64.b64encode(self.payload).decode()
        data = {"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": [signature]}
        return json.dumps(data, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """The SHA-256 of the payload, by which the next record refers to this one."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def statement(self) -> dict[str, Any]:
        """The payload as JSON; raises ``ValueError`` if it is no JSON object."""
        try:
            data = json.loads(self.payload)
        except RecursionError as error:
            raise ValueError("not a statement") from error
        if not isinstance(data, dict):
            raise ValueError("not a statement")  # noqa: TRY004 - content, not type
        return data


def pae(payload: bytes) -> bytes:
    """Return the bytes that a signature covers: DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
