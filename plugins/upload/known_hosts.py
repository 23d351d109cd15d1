"""Check SSH host keys by the rules of OpenSSH (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

Host certificates are not supported: a ``@cert-authority`` line matches no key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
_PORT = 22
_CERTIFICATE, _REVOKED = "@cert-authority", "@revoked"
# OpenSSH's key types and the number of strings in each (RFC 4253, 6.6); others are ignored.
_TYPES: Final = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ssh-dss": 5,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that matches a host; ``where`` is its file and number, ``key`` empty if unreadable."""

    where: str
    marker: str = ""
    kind: str = ""
    key: bytes = b""


class KnownHosts:
    """The host keys of several files; a missing or unreadable one counts as empty."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def kinds(self, host: str, port: int) -> list[str]:
        """Return the types of a host's known keys, for the key exchange to prefer."""
        lines = self._lines(_name(host, port))
        return [each.kind for each in lines if each.key and not each.marker]

    def check(self, host: str, port: int, kind: str, key: bytes, fingerprint: str) -> None:
        """Raise ``StepError`` if OpenSSH would refuse the host's key."""
        name = _name(host, port)
        lines = list(self._lines(name))
        unreadable = [each.where for each in lines if not each.key]
        for where in unreadable:
            _log.warning("%s: cannot read the line, ignoring it", where)
        if revoked := [each.where for each in lines if (each.marker, each.key) == (_REVOKED, key)]:
            raise errors.StepError(f"{name}: {revoked[0]} revokes its {kind} key {fingerprint}")
        own = [each for each in lines if each.key and not each.marker]
        if any(each.key == key for each in own):
            return
        # A known host with another key may be an attack: never fall back to other lines.
        if own:
            raise errors.StepError(
                f"{name}: its {kind} key {fingerprint} does not match {own[0].where}; if the host "
                "has a new key, ask its owner for the fingerprint and replace the line"
            )
        # OpenSSH accepts a key that is known for the host on the default port.
        if port != _PORT and self._knows_without_port(host, key):
            return
        raise errors.StepError(self._unknown(name, kind, fingerprint, lines, unreadable))

    def _knows_without_port(self, host: str, key: bytes) -> bool:
        """Return True if the key is known for the host without a port."""
        lines = [each for each in self._lines(host) if each.key == key]
        markers = {each.marker for each in lines}
        return "" in markers and _REVOKED not in markers

    def _unknown(
        self,
        name: str,
        kind: str,
        fingerprint: str,
        lines: Sequence[Line],
        unreadable: Sequence[str],
    ) -> str:
        """Return the error for a host without a known key."""
        files = ", ".join(map(str, self._files))
        message = (
            f"{name} is not in {files}; ask the host's owner whether its {kind} key has the "
            f"fingerprint {fingerprint}, then add the key"
        )
        if authority := [each.where for each in lines if each.marker == _CERTIFICATE]:
            message += f"; {authority[0]} trusts certificates, which are not supported"
        if unreadable:
            message += f"; {unreadable[0]} cannot be read"
        return message

    def _lines(self, name: str) -> Iterator[Line]:
        """Yield the lines of all files that match a host."""
        for file in self._files:
            try:
                content = file.read_bytes()
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    _log.warning("%s: %s; ignoring the file", file, error.strerror)
                continue
            # Not splitlines(): OpenSSH ends a line at a newline only, and keeps other bytes.
            for number, line in enumerate(content.split(b"\n"), 1):
                found = _read(line.decode("latin-1"), name, f"{file}:{number}")
                if found is not None:
                    yield found


def _name(host: str, port: int) -> str:
    return host if port == _PORT else f"[{host}]:{port}"


def _read(line: str, name: str, where: str) -> Line | None:
    """Return the parsed line if it matches a host, else None."""
    text = line.lstrip(" \t")
    if not text.strip("\r") or text.startswith("#"):
        return None
    marker, text = _marker(text)
    hosts, _, key = text.replace("\t", " ").partition(" ")
    if marker is None:
        found = any(_matches(part, name) for part in text.replace("\t", " ").split(" ")[:3])
        return Line(where) if found else None
    if not _matches(hosts, name):
        return None
    kind, blob = _key(key)
    return Line(where, marker, kind, blob)


def _marker(text: str) -> tuple[str | None, str]:
    """Return the marker of a line and the rest; the marker is None if it is unknown."""
    if not text.startswith("@"):
        return "", text
    end = " " if " " in text else "\t"
    marker, _, rest = text.partition(end)
    rest = rest.lstrip(" \t")
    if marker not in {_CERTIFICATE, _REVOKED} or rest.startswith("@"):
        return None, text
    return marker, rest


def _matches(patterns: str, name: str) -> bool:
    """Return True if a line's host field, hashed or a list of patterns, matches."""
    if patterns.startswith("|"):
        return _is_hash_of(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        positive = pattern.removeprefix("!")
        if re.fullmatch(_regex(positive), name):
            if positive != pattern:  # A negated match excludes the host, whatever else matches.
                return False
            matched = True
    return matched


def _regex(pattern: str) -> str:
    wild = {"*": ".*", "?": "."}
    return "".join(wild.get(each, re.escape(each)) for each in pattern)


def _is_hash_of(text: str, name: str) -> bool:
    """Return True if ``|1|salt|hash`` is the hash of a host."""
    try:
        _, version, salt, digest = text.split("|")
        expected = base64.b64decode(digest, validate=True)
        found = hmac.digest(base64.b64decode(salt, validate=True), name.encode(), "sha1")
    except ValueError:
        return False
    return version == "1" and hmac.compare_digest(found, expected)


def _key(text: str) -> tuple[str, bytes]:
    """Return type and bytes of a key, both empty if it is invalid."""
    parts = re.findall(r"[^ \t\r]+", text)
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        return "", b""
    strings = list(_strings(blob))
    kind = strings[0].decode("latin-1") if strings else ""
    if parts[0] != kind or _TYPES.get(kind) != len(strings):
        return "", b""
    return kind, blob


def _strings(blob: bytes) -> Iterator[bytes]:
    """Yield the strings of an SSH key; a truncated one yields an additional string."""
    while blob:
        size = int.from_bytes(blob[:4], "big")
        yield blob[4 : 4 + size]
        if len(blob) < 4 + size:
            yield b""
        blob = blob[4 + size :]
