"""A folder behind an SSH server, by SFTP."""

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
from .store import CHUNK, Found, Store, TransientError, part_of, part_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .destination import Destination
    from .store import Source

_TIMEOUT = 60
_WINDOW = 4 * CHUNK
# Where OpenSSH looks.
_KNOWN_HOSTS = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
# Signatures by which a key of the type ssh-rsa is asked for.
_RSA = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class SftpStore(Store):
    """Files are written beside their place, read back, and then renamed.

    What a cut connection left of a file is held against the file's own start, and continued. Each
    thread has a channel of its own, and after a fault a new connection.
    """

    def __init__(self, root: str, login: Mapping[str, Any], known_hosts: KnownHosts) -> None:
        self._root = root
        self._login = login
        self._known_hosts = known_hosts
        self._lock = threading.Lock()
        self._client: paramiko.SSHClient | None = None
        self._channels = threading.local()

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""
        with self._channel(path) as sftp:
            return _find(sftp, self._at(path))

    def create(self, path: str, source: Source) -> bool:
        """Write a part and rename it to a name that nothing has.

        The protocol's own rename refuses to replace a file (version 3, 6.5); on a server that
        replaces it, two callers at the same instant find that out when they read the file.
        """
        place, part = self._at(path), self._at(part_path(path, source))
        with self._channel(path) as sftp:
            if _find(sftp, place):
                return False
        self.stage(path, source)
        with self._channel(path) as sftp:
            try:
                sftp.rename(part, place)
            except OSError as error:
                if self._lost(error) or not _find(sftp, place):
                    raise
                sftp.remove(part)
                return False
        return True

    def stage(self, path: str, source: Source) -> None:
        """Write or continue the part, and read it back."""
        part = self._at(part_path(path, source))
        with self._channel(path) as sftp:
            _make_folders(sftp, posixpath.dirname(part))
            stream, start = _opened(sftp, part, _agreed(sftp, part, source))
            try:
                with stream:
                    stream.set_pipelined(True)
                    stream.seek(start)
                    for piece in source.pieces(start):
                        stream.write(piece)
                source.prove(_pieces(sftp, part))
            except errors.StepError:  # The part is not what it should be.
                sftp.remove(part)
                raise

    def commit(self, path: str, source: Source) -> None:
        """Rename the part, in place of the file that has its name."""
        with self._channel(path) as sftp:
            part, place = self._at(part_path(path, source)), self._at(path)
            try:
                sftp.posix_rename(part, place)
            except OSError as error:
                if self._lost(error) or error.errno == errno.ENOENT:
                    raise
                # Most likely a server without this extension of OpenSSH's.
                _replace(sftp, part, place, self._at(part_path(path, source, "old")))

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""
        with self._channel(path) as sftp:
            yield from _pieces(sftp, self._at(path))

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""
        with self._channel(self._root) as sftp:
            listed = sftp.listdir_attr(self._root or ".")
        return sorted(each.filename for each in listed if stat.S_ISDIR(each.st_mode or 0))

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files directly in a folder."""
        del likely
        with self._channel(folder) as sftp:
            try:
                listed = sftp.listdir(self._at(folder).rstrip("/") or ".")
            except (OSError, paramiko.SFTPError) as error:
                if isinstance(error, OSError) and self._lost(error):
                    raise
                return []  # There is no such folder, or the server lists none.
        return [name for name in listed if part_of(name)]

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty."""
        with self._channel(path) as sftp:
            with suppress(FileNotFoundError):
                sftp.remove(self._at(path))
            folder = posixpath.dirname(path)
            with suppress(OSError):  # One that holds something else stays.
                while folder:
                    sftp.rmdir(self._at(folder))
                    folder = posixpath.dirname(folder)

    def close(self) -> None:
        """End the connection, and with it all channels."""
        if self._client is not None:
            self._client.close()

    def _at(self, path: str) -> str:
        return posixpath.join(self._root, path)

    @contextmanager
    def _channel(self, path: str) -> Iterator[paramiko.SFTPClient]:
        """Give a channel, and tell of faults in one line; a lost connection is not used again."""
        client = None
        try:
            with self._lock:
                client = self._connected()
            if getattr(self._channels, "client", None) is not client:
                self._channels.sftp = client.open_sftp()
                self._channels.sftp.get_channel().settimeout(_TIMEOUT)
                self._channels.client = client
            yield self._channels.sftp
        except (paramiko.AuthenticationException, paramiko.SFTPError) as error:
            raise errors.StepError(f"{self._login['hostname']}: {error}") from error
        except (EOFError, OSError, paramiko.SSHException) as error:
            if getattr(error, "filename", None):  # It is a file of this machine.
                raise
            place = f"{self._login['hostname']}:{self._at(path)}"
            words = getattr(error, "strerror", None) or str(error) or "the connection was lost"
            if isinstance(error, OSError) and client is not None and not self._lost(error):
                raise errors.StepError(f"{place}: {words}") from error
            self._drop(client)
            raise TransientError(f"{place}: {words}") from error

    def _lost(self, error: OSError) -> bool:
        """Tell a fault of the connection from the server's word about a file."""
        sftp = getattr(self._channels, "sftp", None)
        closed = sftp is not None and sftp.get_channel().closed
        return closed or isinstance(error, (TimeoutError, ConnectionError))

    def _drop(self, client: paramiko.SSHClient | None) -> None:
        """Have the next caller connect anew."""
        with self._lock:
            if client is not None and client is self._client:
                client.close()
                self._client = None

    def _connected(self) -> paramiko.SSHClient:
        """Return the connection, made anew where it was lost."""
        if self._client is not None:
            return self._client
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(_Check(self._known_hosts, self._login))
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
        """Return a transport that asks first for a host key of a type that is known."""
        transport = paramiko.Transport(*arguments, **settings)
        known = self._known_hosts.kinds(self._login["hostname"], self._login["port"])
        options = transport.get_security_options()
        options.key_types = sorted(
            options.key_types, key=lambda each: _RSA.get(each, each) not in known
        )
        return transport


class _Check(paramiko.MissingHostKeyPolicy):
    """Decides about every host's key, as the client itself knows none."""

    def __init__(self, known_hosts: KnownHosts, login: Mapping[str, Any]) -> None:
        self._known_hosts = known_hosts
        self._login = login

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Raise ``StepError`` for a key that is not known."""
        del client, hostname
        host, port = self._login["hostname"], self._login["port"]
        self._known_hosts.check(host, port, key.get_name(), key.asbytes(), key.fingerprint)


def _replace(sftp: paramiko.SFTPClient, part: str, place: str, old: str) -> None:
    """Rename a part with the protocol's own rename, which replaces nothing.

    The file that has the name is set aside meanwhile: it is there at every instant, under one of
    the two names.
    """
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


def _find(sftp: paramiko.SFTPClient, place: str) -> Found | None:
    try:
        status = sftp.stat(place)
    except FileNotFoundError:
        return None
    return Found(status.st_size or 0, str(status.st_mtime))


def _opened(sftp: paramiko.SFTPClient, part: str, start: int) -> tuple[paramiko.SFTPFile, int]:
    """Open a part to continue it at ``start``; from the beginning where a server refuses that."""
    if start:
        with suppress(OSError):
            return sftp.open(part, "r+b"), start
    return sftp.open(part, "wb"), 0


def _agreed(sftp: paramiko.SFTPClient, part: str, source: Source) -> int:
    """Return how many bytes of a file are there, read back and found to be its own."""
    there = _find(sftp, part)
    if there is None or not 0 < there.size <= source.size:
        return 0
    own = tools.digest_of(source.start(there.size), check=source.check)
    return there.size if tools.digest_of(_pieces(sftp, part), check=source.check) == own else 0


def _pieces(sftp: paramiko.SFTPClient, place: str) -> Iterator[bytes]:
    """Yield the bytes of a file, asking for all requests of a window at a time."""
    with sftp.open(place, "rb") as stream:
        size = stream.stat().st_size or 0
        for start in range(0, size, _WINDOW):
            end = min(start + _WINDOW, size)
            yield from stream.readv([(at, min(CHUNK, end - at)) for at in range(start, end, CHUNK)])


def _make_folders(sftp: paramiko.SFTPClient, folder: str) -> None:
    """Make a folder, and those around it, where they are missing."""
    if not folder or _find(sftp, folder):
        return
    _make_folders(sftp, posixpath.dirname(folder))
    try:
        sftp.mkdir(folder)
    except OSError:
        if not _find(sftp, folder):  # Another file may have made it meanwhile.
            raise


def _private_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """Read a private key of any kind."""
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text), passphrase)
        except paramiko.PasswordRequiredException as error:
            raise errors.StepError("private_key: it needs a passphrase") from error
        except (paramiko.SSHException, ValueError):
            continue
    raise errors.StepError("private_key: it is no private SSH key, or passphrase does not open it")


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> SftpStore:
    """Open a folder of a server; what follows ~/ is relative to the user's own."""
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
