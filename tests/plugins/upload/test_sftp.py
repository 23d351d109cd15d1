"""Uploads to SFTP servers that have the protocol's version 3 and nothing more."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

LISTING = "impex-upload.json"
FIRST, SECOND, THIRD = ({"a.zip": b"a%d" % n, "d/b.zip": b"b%d" % n * 9} for n in (1, 2, 3))


def answered(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do something with files, and return how SFTP answers."""
    try:
        return work(*arguments) or paramiko.SFTP_OK
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno or 0)


class Login(paramiko.ServerInterface):
    """Lets every user in."""

    def check_auth_password(self, username: str, password: str) -> int:
        """Accept it."""
        del username, password
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Open it."""
        del kind, chanid
        return paramiko.OPEN_SUCCEEDED


class Opened(paramiko.SFTPHandle):
    """An open file."""

    def stat(self) -> Any:
        """Return its size."""
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class Files(paramiko.SFTPServerInterface):
    """A folder: ``rename`` replaces nothing, and no extension is known."""

    root = Path()

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def stat(self, path: str) -> Any:
        """Return what is known of a file."""
        return answered(lambda: paramiko.SFTPAttributes.from_stat(self._at(path).stat()))

    def list_folder(self, path: str) -> Any:
        """List a folder."""
        try:
            found = [(each, each.stat()) for each in self._at(path).iterdir()]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return [paramiko.SFTPAttributes.from_stat(status, each.name) for each, status in found]

    def open(self, path: str, flags: int, attr: Any) -> Any:
        """Open a file."""
        del attr
        try:
            descriptor = os.open(self._at(path), flags, 0o666)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        mode = "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
        handle = Opened(flags)
        handle.readfile = handle.writefile = os.fdopen(descriptor, mode)
        return handle

    def remove(self, path: str) -> Any:
        """Remove a file."""
        return answered(self._at(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> Any:
        """Rename a file to a name that nothing has."""
        if self._at(newpath).exists():
            return paramiko.SFTP_FAILURE
        return answered(os.rename, self._at(oldpath), self._at(newpath))

    def mkdir(self, path: str, attr: Any) -> Any:
        """Make a folder."""
        del attr
        return answered(self._at(path).mkdir)

    def rmdir(self, path: str) -> Any:
        """Remove an empty folder."""
        return answered(self._at(path).rmdir)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Serve a folder without extensions; return the options of a destination in it."""
    root, key = tmp_path / "served", paramiko.ECDSAKey.generate()
    root.mkdir()
    served = type("Served", (Files,), {"root": root})
    transports: list[paramiko.Transport] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    transport = paramiko.Transport(listening.accept()[0])
                except OSError:
                    return
                transports.append(transport)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, served)
                transport.start_server(server=Login())

        Thread(target=accept, daemon=True).start()
        port = listening.getsockname()[1]
        hosts = tmp_path / "hosts"
        hosts.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        yield {
            "to": f"sftp://127.0.0.1:{port}/in",
            "user": "backup",
            "password": "of-the-tests",
            "known_hosts": str(hosts),
        }
        listening.shutdown(socket.SHUT_RDWR)
    for each in transports:
        each.close()


def test_first_and_second_upload_without_extensions(
    plain: dict[str, Any], motor: Any, tmp_path: Path
) -> None:
    """Files are replaced with the protocol's own rename; nothing temporary is left."""
    motor.deliver(plain, FIRST)
    motor.on(1).deliver(plain, SECOND)

    root = tmp_path / "served/in"
    found = {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}
    assert found == {*SECOND, LISTING}
    assert {name: (root / name).read_bytes() for name in SECOND} == SECOND


class Killed(BaseException):
    """The end of a process."""


@dataclass
class Disk:
    """An SFTP client's channel to a folder, as a server without extensions answers it.

    The ``left``th change kills the client.
    """

    root: Path
    left: int = 1 << 30

    def _change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def get_channel(self) -> Any:
        """Return a channel that stays open."""
        return SimpleNamespace(closed=False, settimeout=lambda _: None)

    def stat(self, path: str) -> Any:
        """Return what is known of a file."""
        return paramiko.SFTPAttributes.from_stat(self._at(path).stat())

    def open(self, path: str, mode: str) -> Any:
        """Open a file."""
        if mode != "rb":
            self._change()
        return File(self._at(path).open(mode))

    def rename(self, old: str, new: str) -> None:
        """Rename a file to a name that nothing has."""
        self._change()
        if self._at(new).exists():
            raise OSError("Failure")
        self._at(old).rename(self._at(new))

    def posix_rename(self, old: str, new: str) -> None:
        """Fail: the extension is not known."""
        del old, new
        raise OSError("Operation unsupported")

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._change()
        self._at(path).unlink()

    def mkdir(self, path: str) -> None:
        """Make a folder."""
        self._change()
        self._at(path).mkdir()

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self._change()
        self._at(path).rmdir()

    def listdir(self, path: str) -> list[str]:
        """List a folder."""
        return [each.name for each in self._at(path).iterdir()]

    def listdir_attr(self, path: str) -> list[Any]:
        """List a folder with what is known of the files."""
        found = self._at(path).iterdir()
        return [paramiko.SFTPAttributes.from_stat(each.stat(), each.name) for each in found]


class File:
    """An open file, with what a client's has besides."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def set_pipelined(self, _: bool) -> None:
        """Wait for each answer all the same."""

    def seek(self, at: int) -> None:
        """Move to a byte."""
        self._stream.seek(at)

    def write(self, data: bytes) -> None:
        """Write."""
        self._stream.write(data)

    def stat(self) -> Any:
        """Return its size."""
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._stream.fileno()))

    def readv(self, chunks: list[tuple[int, int]]) -> Iterator[bytes]:
        """Read pieces."""
        for at, size in chunks:
            self._stream.seek(at)
            yield self._stream.read(size)


def whole(folder: Path, files: dict[str, bytes]) -> bool:
    """Tell whether all files are there, in their places or under the name of a temporary file."""
    found = {
        each.name: each.read_bytes()
        for each in folder.rglob("*")
        if stat.S_ISREG(each.stat().st_mode)
    }
    return all(
        any(
            name in (leaf, *(each for each in found if each.startswith(f".{leaf}.")))
            and data == content
            for name, data in found.items()
        )
        for leaf, content in ((path.rpartition("/")[2], data) for path, data in files.items())
    )


@pytest.fixture
def disk(upload: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    """Return the disk that every SFTP destination leads to."""
    store = importlib.import_module(f"{upload.__name__}.sftp").SftpStore
    disk = Disk(tmp_path)
    client = SimpleNamespace(open_sftp=lambda: disk, close=lambda: None)
    monkeypatch.setattr(store, "_connect", lambda _: client)
    return disk


def test_fault_names_host_and_path(disk: Disk, motor: Any) -> None:
    """The server's own words say neither."""
    (disk.root / "full").mkdir()
    disk.rename = lambda *_: answer("Failure")  # type: ignore[method-assign]

    with pytest.raises(StepError) as caught:
        motor.deliver({"to": "sftp://h/full", "user": "u", "password": "x"}, {"m.zip": b"1"})

    assert str(caught.value) == "h:/full/impex-upload.json: Failure"


def answer(text: str) -> None:
    """Fail as a server does that gives no reason."""
    raise OSError(text)


def test_refused_connection_is_retried(
    motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that is started again refuses connections for a moment."""
    monkeypatch.setattr(upload.retry, "WAITS", (0, 0, 0))
    store = importlib.import_module(f"{upload.__name__}.sftp").SftpStore
    client = SimpleNamespace(open_sftp=lambda: Disk(tmp_path), close=lambda: None)
    refused = [paramiko.ssh_exception.NoValidConnectionsError({("h", 22): OSError("refused")})] * 2
    monkeypatch.setattr(store, "_connect", lambda _: answer_or(refused, client))

    motor.deliver({"to": "sftp://h/in", "user": "u", "password": "x"}, {"m.zip": b"1"})

    assert not refused
    assert (tmp_path / "in/m.zip").read_bytes() == b"1"


def answer_or(faults: list[Exception], client: Any) -> Any:
    """Raise the next fault, or return the client."""
    if faults:
        raise faults.pop()
    return client


def test_killed_replacement_is_finished_later(disk: Disk, motor: Any) -> None:
    """Before each change a whole delivery and its listing are there, under whichever names."""
    runs = {
        name: replace(motor, day=day, attempt=name, output=motor.output.parent / name)
        for name, day in {"a": 0, "b": 1, "c": 1, "d": 3}.items()
    }

    for nth in range(1, 200):
        folder = disk.root / f"n{nth}"
        options = {"to": f"sftp://h/n{nth}", "parallel": 1, "password": "x", "user": "u"}
        runs["a"].deliver(options, FIRST)
        disk.left = nth
        try:
            runs["b"].deliver(options, SECOND)
        except Killed:
            disk.left = 1 << 30
        else:
            break
        assert whole(folder, FIRST) or whole(folder, SECOND)

        runs["c"].deliver(options, THIRD)
        assert {name: (folder / name).read_bytes() for name in THIRD} == THIRD
        assert json.loads((folder / LISTING).read_text())["complete"] is True

        runs["d"].deliver(options, THIRD)
        left = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
        assert left == {*THIRD, LISTING}
        shutil.rmtree(folder)
    assert nth > 15
