"""Keep a rehearsal on this machine: refuse connections, name lookups and other programs.

Python raises an audit event (PEP 578) before it connects, looks up a name or starts a program, for
every library that uses its socket and process modules. An audit hook cannot be removed, so ours
stays and does nothing outside a ``Confinement``. Native code that calls the operating system
itself raises no event, nor does a send on a connection that was open before: the hook does not see
them.
"""

from __future__ import annotations

import ipaddress
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from typing_extensions import Self

_CONNECTING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
# Lookups of an address by a name, and of a name by an address.
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname"}
_REVERSE_LOOKUPS = {"socket.gethostbyaddr", "socket.getnameinfo"}
_PROGRAMS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "pty.spawn",
    "_winapi.CreateProcess",
}


class RefusedError(PermissionError):
    """What the code that tried to leave the machine gets: libraries handle it as any OSError."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An attempt that was refused: what was tried, by whom, and on which targets' behalf."""

    what: str
    by: str
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """The plugin call that an attempt came from, and the targets that it may belong to."""

    name: str = "the runner"
    targets: frozenset[str] = frozenset()


class Confinement:
    """Admit connections to ``ports`` on loopback only, in the whole process, for a block.

    Other servers on loopback are refused, too: one may be a proxy or a tunnel. ``ports`` may grow
    meanwhile. ``caller`` names the code that makes an attempt; ``refused`` lists the attempts. One
    block at a time.
    """

    _lock = threading.Lock()

    def __init__(self, ports: Collection[int], caller: Callable[[], Caller] = Caller) -> None:
        self.ports = ports
        self.refused: list[Refused] = []
        self._caller = caller
        self._fork_exec: Any = None

    def __enter__(self) -> Self:
        self._lock.acquire()
        _install()
        # multiprocessing starts its children by this function, without an audit event.
        with suppress(ImportError):  # Windows has none
            import _posixsubprocess  # noqa: PLC0415

            self._fork_exec = _posixsubprocess.fork_exec
            _posixsubprocess.fork_exec = self._refuse_program
        _Active.confinement = self
        return self

    def __exit__(self, *_: object) -> None:
        if not _Active.for_good:
            _Active.confinement = None
            if self._fork_exec:
                import _posixsubprocess  # noqa: PLC0415

                _posixsubprocess.fork_exec = self._fork_exec
        self._lock.release()

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise ``RefusedError`` for an event that would leave the machine."""
        if event in _CONNECTING:
            address = arguments[1]  # None on a socket that is connected already
            if address is not None and not self._is_own_server(address):
                self._refuse(f"connect to {_shown(address)}")
        elif event in _LOOKUPS or event in _REVERSE_LOOKUPS:
            host = arguments[0][0] if isinstance(arguments[0], tuple) else arguments[0]
            known = _is_here(host) or (event in _LOOKUPS and _ip(_text(host)) is not None)
            if not known:
                self._refuse(f"look up {_text(host)}")
        elif event in _PROGRAMS:
            self._refuse_program(*arguments)

    def _is_own_server(self, address: Any) -> bool:
        if not isinstance(address, tuple) or len(address) < 2 or address[1] not in self.ports:
            return False
        host = _text(address[0])
        return host == "localhost" or _is_loopback(host)

    def _refuse_program(self, *arguments: Any) -> NoReturn:
        self._refuse(f"start the program {_program(arguments)}")

    def _refuse(self, what: str) -> NoReturn:
        caller = self._caller()
        self.refused.append(Refused(what, caller.name, caller.targets))
        raise RefusedError(f"a rehearsal stays on this machine: refused to {what}")


class _Active:
    """The confinement of the process, if any."""

    confinement: Confinement | None = None
    installed = False
    for_good = False


def confine_for_good() -> None:
    """Keep the next confinement until the process ends.

    Plugins' threads and ``atexit`` functions, such as exporters of traces, run after its block.
    """
    _Active.for_good = True


def _install() -> None:
    """Add the audit hook to the process, once."""
    if not _Active.installed:
        _Active.installed = True
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # First what costs least: this is called for each file that is opened, in all later life.
    confinement = _Active.confinement
    if confinement is not None:
        confinement.check(event, arguments)


def _is_here(host: Any) -> bool:
    """Return whether a host is none or this machine, which no name server is asked for."""
    return host is None or _text(host) in {"", "localhost"} or _is_loopback(_text(host))


def _is_loopback(host: str) -> bool:
    found = _ip(host)
    mapped = getattr(found, "ipv4_mapped", None)
    return found is not None and (mapped or found).is_loopback


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _shown(address: Any) -> str:
    """Return an address as ``host:port``; that of a local socket is a path."""
    if not isinstance(address, tuple):
        return _text(address)
    host = _text(address[0])
    port = f":{address[1]}" if len(address) > 1 else ""
    return f"[{host}]{port}" if ":" in host else f"{host}{port}"


def _program(arguments: tuple[Any, ...]) -> str:
    """Return the program's name; its arguments may hold secrets."""
    first = arguments[0] if arguments else ""
    if isinstance(first, (list, tuple)):
        first = first[0] if first else ""
    return _text(first if first is not None else "").split(" ")[0]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
