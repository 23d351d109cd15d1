"""SSH keys, also those of an agent or a security token, by the program ssh-keygen."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spark_impex_runner.errors import UsageError
from spark_impex_runner.text import one_line

# A signature for one purpose is none for another: not one of a commit by Git, for instance.
NAMESPACE = "spark-impex-runner"
_SIGNER = "signer"
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_COLUMNS = 70


@dataclass(frozen=True, slots=True)
class SshSigner:
    """A private key's file, or a public one's whose private key the agent has."""

    keyid: str
    path: Path

    @classmethod
    def of(cls, path: Path) -> SshSigner:
        """Check that a key signs without a passphrase; raise ``UsageError`` if it does not."""
        listed = _ssh_keygen("-l", "-E", "sha256", "-f", str(path))
        words = listed.stdout.decode("utf-8", "replace").split()
        if listed.returncode or len(words) < 2:
            raise UsageError(f"ssh-keygen cannot read the signing key {path}: {_error(listed)}")
        signer = cls(words[1], path)
        signer.sign(b"")
        return signer

    @property
    def public(self) -> SshPublicKey:
        """The public key; raises ``UsageError`` if ssh-keygen cannot tell it."""
        shown = _ssh_keygen("-y", "-f", str(self.path)).stdout or self.path.read_bytes()
        return SshPublicKey.of(shown.decode("utf-8", "replace"), str(self.path))

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, as the text that ``ssh-keygen -Y verify`` reads."""
        done = _ssh_keygen("-Y", "sign", "-f", str(self.path), "-n", NAMESPACE, message=message)
        if done.returncode or not done.stdout:
            raise UsageError(
                f"ssh-keygen cannot sign with {self.path}: {_error(done)}; a key with a "
                "passphrase is used through its agent: name the public key, and ssh-add the other"
            )
        return done.stdout


@dataclass(frozen=True, slots=True)
class SshPublicKey:
    """A public key, as a line of a ``.pub`` file."""

    keyid: str
    line: str

    @classmethod
    def of(cls, text: str, name: str) -> SshPublicKey:
        """Read a line ``ssh-ed25519 AAAA… comment``; raise ``UsageError`` for any other text."""
        words = text.split()
        try:
            kind, blob = words[0], base64.b64decode(words[1], validate=True)
            known = len(text.splitlines()) == 1 and blob[4 : 4 + blob[3]].decode() == kind
        except (IndexError, ValueError, binascii.Error):
            known = False
        if not known:
            raise UsageError(f"{name}: not a public key of Ed25519, in PEM or of SSH")
        digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        return cls(f"SHA256:{digest}", f"{kind} {words[1]}")

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key has signed a message."""
        if not _is_canonical(signature):
            return False
        with tempfile.TemporaryDirectory(prefix="impex-") as folder:
            signers, signed = Path(folder, "signers"), Path(folder, "signature")
            signers.write_text(f"{_SIGNER} {self.line}\n", encoding="ascii")
            signed.write_bytes(signature)
            options = ("-f", str(signers), "-I", _SIGNER, "-n", NAMESPACE, "-s", str(signed))
            return _ssh_keygen("-Y", "verify", *options, message=message).returncode == 0


def _is_canonical(signature: bytes) -> bool:
    """Return whether a signature is written as ssh-keygen writes it, which reads more forms."""
    try:
        _, *lines, _ = signature.splitlines()
        blob = base64.b64encode(base64.b64decode(b"".join(lines), validate=True))
    except (ValueError, binascii.Error):
        return False
    wrapped = [blob[at : at + _COLUMNS] for at in range(0, len(blob), _COLUMNS)]
    return signature == b"\n".join((_BEGIN, *wrapped, _END, b""))


def _ssh_keygen(*options: str, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen; raise ``UsageError`` if it is missing."""
    # Without a terminal, in a session of its own: it must not ask for a passphrase. Without a
    # timeout: a security token waits for a finger.
    silent = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603 - a fixed program and no shell
            ["ssh-keygen", *options],  # noqa: S607 - the user's own, as Git takes it
            input=message,
            capture_output=True,
            env=silent,
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("SSH keys need the program ssh-keygen; install OpenSSH 8.1+") from None


def _error(done: subprocess.CompletedProcess[bytes]) -> str:
    return one_line(done.stderr.decode("utf-8", "replace")) or f"exit code {done.returncode}"
