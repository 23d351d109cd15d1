"""Ed25519 keys in PEM files, by the library cryptography."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.evidence.dsse import PublicKey, Signer

_EXTRA = "pip install 'spark-impex-runner[sign]'"


@dataclass(frozen=True, slots=True)
class PemSigner:
    """A private key of Ed25519."""

    keyid: str
    _key: Any = field(repr=False)

    @classmethod
    def of(cls, text: str) -> PemSigner:
        """Read a private key in PEM; raise ``UsageError``, without its text, for any other."""
        serialization, key_types = _cryptography()
        try:
            key = serialization.load_pem_private_key(text.encode(), None)
        except TypeError:  # the library's error for a missing password
            raise UsageError(
                "the signing key is encrypted; decrypt it into a store of secrets, or sign by "
                "ssh_key with an agent"
            ) from None
        except ValueError:
            raise UsageError(f"the signing key is not a private key in PEM; {_MAKE}") from None
        if not isinstance(key, key_types.Ed25519PrivateKey):
            raise UsageError(f"the signing key is not of Ed25519; {_MAKE}")
        return cls(_keyid(key.public_key()), key)

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return PemPublicKey(self.keyid, self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        signature: bytes = self._key.sign(message)
        return signature


_MAKE = "make one with: openssl genpkey -algorithm ed25519 -out key.pem"


@dataclass(frozen=True, slots=True)
class PemPublicKey:
    """A public key of Ed25519."""

    keyid: str
    _key: Any = field(repr=False)

    @classmethod
    def of(cls, text: bytes, name: str) -> PemPublicKey:
        """Read a public key in PEM; raise ``UsageError`` for any other text."""
        serialization, key_types = _cryptography()
        if b"PRIVATE KEY" in text:
            raise UsageError(
                f"{name}: this is a private key; give its public one: "
                "openssl pkey -in key.pem -pubout -out public.pem"
            )
        try:
            key = serialization.load_pem_public_key(text)
        except ValueError:
            key = None
        if not isinstance(key, key_types.Ed25519PublicKey):
            raise UsageError(f"{name}: not a public key of Ed25519, in PEM or of SSH")
        return cls(_keyid(key), key)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key has signed a message."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def read_signer(path: Path) -> Signer:
    """Return the private key in a file: in PEM, else one that ``ssh-keygen`` knows."""
    from spark_impex_runner.evidence.ssh import SshSigner  # noqa: PLC0415 - used by few

    text = _read(path)
    if b"-----BEGIN PUBLIC KEY-----" in text:
        raise UsageError(f"{path}: this is a public key; sign with its private one")
    pem = b"-----BEGIN PRIVATE KEY-----" in text or b"ENCRYPTED PRIVATE KEY" in text
    return PemSigner.of(text.decode("ascii", "replace")) if pem else SshSigner.of(path)


def read_public_key(path: Path) -> PublicKey:
    """Return the public key in a file, in PEM or of SSH; raise ``UsageError`` for any other."""
    from spark_impex_runner.evidence.ssh import SshPublicKey  # noqa: PLC0415 - used by few

    text = _read(path)
    if b"-----BEGIN" in text:
        return PemPublicKey.of(text, str(path))
    return SshPublicKey.of(text.decode("utf-8", "replace"), str(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error


def _keyid(public_key: Any) -> str:
    """Return the SHA-256 of the key as ``openssl pkey -pubin -outform DER`` writes it."""
    serialization, _ = _cryptography()
    der = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def _cryptography() -> tuple[Any, Any]:
    """Import the library, which only signing needs."""
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise UsageError(f"keys in PEM need the extra [sign]: {_EXTRA}") from None
    return serialization, ed25519
