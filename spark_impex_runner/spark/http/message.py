"""HTTP requests before they are sent; importing this module does not import the HTTP library."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.paths import local_path
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADDRESS_TODO = "check the address and the network"
# A fast connection is read in pieces of so many bytes.
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request; ``body`` is bytes, or an iterable with a length.

    ``public_path``: the path of the URL holds no secret, as that of a download link does.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes] | None = None
    public_path: bool = False


def check_settings(timeout: float, verify: bool | str) -> None:
    """Raise ``UsageError`` for a timeout or a CA bundle that no connection can have."""
    if timeout <= 0:
        raise UsageError(f"timeout is {timeout:g} s; it must be more than 0")
    if isinstance(verify, str) and not local_path(verify, "read", "verify_tls").exists():
        raise UsageError(f"verify_tls names the CA bundle {verify}, which does not exist")


def product() -> str:
    """Return ``spark-impex-runner/VERSION``, the product of the User-Agent header."""
    return f"spark-impex-runner/{__version__}"


def platform_name() -> str:
    """Return ``Python/VERSION``."""
    return f"Python/{platform.python_version()}"
