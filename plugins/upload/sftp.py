"""Store files on an SSH server by SFTP."""

from __future__ import annotations

import errno
import io
import posixpath
import stat
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import paramiko

from spark_impex_runner import errors, tools

from .known_hosts import KnownHosts
from .store import CHUNK, RemoteFile, Store, TransientError, part_of, part_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .destination import Destination
    from .store import UploadFile

_TIMEOUT = 60
_WINDOW = 4 * CHUNK
# The files that OpenSSH reads by default.
_KNOWN_HOSTS = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
# Signature algorithms that negotiate a key of the type ssh-rsa (RFC 8332).
_RSA = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class SftpStore(Store):
    """Writes a file beside its path, reads it back, and renames it.

    A partial file of a lost connection is compared with the source and resumed. Each thread has
    its own channel; after a connection error all threads use a new connection.
    """

    def __init__(self, root: str, login: Mapping[str, Any], known_hosts: KnownHosts) -> None:
        self._root = root
        self._login = login
        self._known_hosts = known_hosts
        self._lock = threading.Lock()
        self._client: paramiko.SSHClient | None = None
        self._channels = threading.local()

    def find(self, path: str) -> RemoteFile | None:
        """Return size and mark of a file, None if there is none."""
        with self._channel(path) as sftp:
            return _find(sftp, self._remote(path))

    def create(self, path: str, source: UploadFile) -> bool:
        """Write a part and rename it to a free name."""
        # SFTP's rename must not replace a file (version 3, 6.5). On a server that does, two callers
        # at the same instant notice it when they read the file.
        place, part = self._remote(path), self._remote(part_path(path, source.sha256))
        with self._channel(path) as sftp:
            if _find(sftp, place):
                return False
        self.stage(path, source)
        with self._channel(path) as sftp:
            try:
                sftp.rename(part, place)
            except OSError as error:
                if self._is_disconnected(error) or not _find(sftp, place):
                    raise
                sftp.remove(part)
                return False
        return True

    def stage(self, path: str, source: UploadFile) -> None:
        """Write or resume the part, and read it back."""
        part = self._remote(part_path(path, source.sha256))
        with self._channel(path) as sftp:
            _create_folders(sftp, posixpath.dirname(part))
            stream, start = _open_part(sftp, part, _resume_offset(sftp, part, source))
            try:
                with stream:
                    stream.set_pipelined(True)
                    stream.seek(start)
                    for piece in source.pieces(start):
                        stream.write(piece)
                source.verify(_pieces(sftp, part))
            except errors.StepError:  # The part is corrupt.
                sftp.remove(part)
                raise

    def commit(self, path: str, source: UploadFile) -> None:
        """Rename the part, replacing the file."""
        with self._channel(path) as sftp:
            part, place = self._remote(part_path(path, source.sha256)), self._remote(path)
            try:
                sftp.posix_rename(part, place)
            except OSError as error:
                if self._is_disconnected(error) or error.errno == errno.ENOENT:
                    raise
                # Most likely a server without OpenSSH's extension posix-rename.
                _replace(sftp, part, place, self._remote(part_path(path, source.sha256, "old")))

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        with self._channel(path) as sftp:
            yield from _pieces(sftp, self._remote(path))

    def folders(self) -> list[str]:
        """Return the names of the folders in the root."""
        with self._channel(self._root) as sftp:
            listed = sftp.listdir_attr(self._root or ".")
        return sorted(each.filename for each in listed if stat.S_ISDIR(each.st_mode or 0))

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files in a folder."""
        del likely
        with self._channel(folder) as sftp:
            try:
                listed = sftp.listdir(self._remote(folder).rstrip("/") or ".")
            except (OSError, paramiko.SFTPError) as error:
                if isinstance(error, OSError) and self._is_disconnected(error):
                    raise
                return []  # No such folder, or a server that does not list folders.
        return [name for name in listed if part_of(name)]

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that become empty."""
        with self._channel(path) as sftp:
            with suppress(FileNotFoundError):
                sftp.remove(self._remote(path))
            folder = posixpath.dirname(path)
            with suppress(OSError):  # A folder with other files stays.
                while folder:
                    sftp.rmdir(self._remote(folder))
                    folder = posixpath.dirname(folder)

    def close(self) -> None:
        """Close the connection and all channels."""
        if self._client is not None:
            self._client.close()

    def _remote(self, path: str) -> str:
        return posixpath.join(self._root, path)

    @contextmanager
    def _channel(self, path: str) -> Iterator[paramiko.SFTPClient]:
        """Yield this thread's channel; translate errors, and drop a lost connection."""
        client = None
        try:
            with self._lock:
                client = self._connect()
            if getattr(self._channels, "client", None) is not client:
                self._channels.sftp = client.open_sftp()
                self._channels.sftp.get_channel().settimeout(_TIMEOUT)
                self._channels.client = client
            yield self._channels.sftp
        except (paramiko.AuthenticationException, paramiko.SFTPError) as error:
            raise errors.StepError(f"{self._login['hostname']}: {error}") from error
        except (EOFError, OSError, paramiko.SSHException) as error:
            if getattr(error, "filename", None):  # The error is about a local file.
                raise
            place = f"{self._login['hostname']}:{self._remote(path)}"
            text = getattr(error, "strerror", None) or str(error) or "the connection was lost"
            if (
                isinstance(error, OSError)
                and client is not None
                and not self._is_disconnected(error)
            ):
                raise errors.StepError(f"{place}: {text}") from error
            self._disconnect(client)
            raise TransientError(f"{place}: {text}") from error

    def _is_disconnected(self, error: OSError) -> bool:
        """Return True for a connection error, False for the server's reply about a file."""
        sftp = getattr(self._channels, "sftp", None)
        closed = sftp is not None and sftp.get_channel().closed
        return closed or isinstance(error, (TimeoutError, ConnectionError))

    def _disconnect(self, client: paramiko.SSHClient | None) -> None:
        """Close the connection, so that the next caller opens a new one."""
        with self._lock:
            if client is not None and client is self._client:
                client.close()
                self._client = None

    def _connect(self) -> paramiko.SSHClient:
        """Return the connection, reconnecting if it was lost."""
        if self._client is not None:
            return self._client
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(_HostKeyPolicy(self._known_hosts, self._login))
        names = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
        limits: dict[str, Any] = dict.fromkeys(names, _TIMEOUT)
        try:
            client.connect(**self._login, **limits, transport_factory=self._transport)
        except BaseException:
            client.close()
            raise
        self._client = client
        return client

    def _transport(self, *arguments: Any, **settings: Any) -> paramiko.Transport:
        """Return a transport that prefers the host key types in the known hosts."""
        transport = paramiko.Transport(*arguments, **settings)
        known = self._known_hosts.kinds(self._login["hostname"], self._login["port"])
        options = transport.get_security_options()
        options.key_types = sorted(
            options.key_types, key=lambda each: _RSA.get(each, each) not in known
        )
        return transport


class _HostKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Checks every host key, as the client itself has no known hosts."""

    def __init__(self, known_hosts: KnownHosts, login: Mapping[str, Any]) -> None:
        self._known_hosts = known_hosts
        self._login = login

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Raise ``StepError`` if the key is not known."""
        del client, hostname
        host, port = self._login["hostname"], self._login["port"]
        self._known_hosts.check(host, port, key.get_name(), key.asbytes(), key.fingerprint)


def _replace(sftp: paramiko.SFTPClient, part: str, place: str, old: str) -> None:
    """Replace a file with the protocol's own rename, which replaces nothing."""
    # The old file is renamed first: at every instant it exists under one of the two names.
    if not _find(sftp, place):
        sftp.rename(part, place)
        return
    if _find(sftp, old):
        sftp.remove(old)
    sftp.rename(place, old)
    try:
        sftp.rename(part, place)
    except OSError:
        sftp.rename(old, place)
        raise
    with suppress(FileNotFoundError):
        sftp.remove(old)


def _find(sftp: paramiko.SFTPClient, place: str) -> RemoteFile | None:
    try:
        status = sftp.stat(place)
    except FileNotFoundError:
        return None
    return RemoteFile(status.st_size or 0, str(status.st_mtime))


def _open_part(sftp: paramiko.SFTPClient, part: str, start: int) -> tuple[paramiko.SFTPFile, int]:
    """Open a part at ``start``, or at the beginning if the server refuses to resume."""
    if start:
        with suppress(OSError):
            return sftp.open(part, "r+b"), start
    return sftp.open(part, "wb"), 0


def _resume_offset(sftp: paramiko.SFTPClient, part: str, source: UploadFile) -> int:
    """Return the length of the uploaded part, 0 if its bytes are not the start of the file."""
    there = _find(sftp, part)
    if there is None or not 0 < there.size <= source.size:
        return 0
    own = tools.digest_of(source.head(there.size), check=source.check)
    return there.size if tools.digest_of(_pieces(sftp, part), check=source.check) == own else 0


def _pieces(sftp: paramiko.SFTPClient, place: str) -> Iterator[bytes]:
    """Yield the bytes of a file, requesting a window at a time."""
    with sftp.open(place, "rb") as stream:
        size = stream.stat().st_size or 0
        for start in range(0, size, _WINDOW):
            end = min(start + _WINDOW, size)
            yield from stream.readv([(at, min(CHUNK, end - at)) for at in range(start, end, CHUNK)])


def _create_folders(sftp: paramiko.SFTPClient, folder: str) -> None:
    """Create a folder and its parents."""
    if not folder or _find(sftp, folder):
        return
    _create_folders(sftp, posixpath.dirname(folder))
    try:
        sftp.mkdir(folder)
    except OSError:
        if not _find(sftp, folder):  # Another thread may have created it meanwhile.
            raise


def _private_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """Return a private key of any type."""
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text), passphrase)
        except paramiko.PasswordRequiredException as error:
            raise errors.StepError("private_key: requires passphrase") from error
        except (paramiko.SSHException, ValueError):
            continue
    raise errors.StepError("private_key: not a private SSH key, or passphrase is wrong")


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> SftpStore:
    """Open a folder of a server; ~/ is the user's home."""
    at = urlsplit(f"//{destination.host}")
    login: dict[str, Any] = {"hostname": at.hostname, "port": at.port or 22}
    login["username"] = options.get("user")
    login["password"] = options.get("password")
    if "private_key" in options:
        login["pkey"] = _private_key(options["private_key"], options.get("passphrase"))
    own = not {"password", "private_key"} & options.keys()
    login |= {"allow_agent": own, "look_for_keys": own}
    given = [options["known_hosts"]] if "known_hosts" in options else _KNOWN_HOSTS
    known = KnownHosts([folder / Path(each).expanduser() for each in given])
    home = destination.path == "~" or destination.path.startswith("~/")
    root = destination.path[2:] if home else f"/{destination.path}"
    return SftpStore(root, login, known)
