"""``${keyring:SERVICE/USERNAME}``: a password of the keyring that this machine has."""

from __future__ import annotations

import importlib
import threading
from typing import Any

TIMEOUT = 60.0
_FORM = "write SERVICE/USERNAME"


def check(key: str) -> str:
    """Return what is wrong with a key; a service may have slashes in its name, a user has none."""
    service, _, user = key.rpartition("/")
    return "" if service and user else _FORM


def read(key: str) -> str:
    """Return a password; raise ``LookupError`` with the reason where there is none."""
    service, _, user = key.rpartition("/")
    library = _library()
    found = _bounded(library, service, user)
    if found is None:
        raise LookupError(
            f"the keyring ({library.get_keyring().name}) has no such entry; "
            f"keyring set {service} {user}"
        )
    return found


def _library() -> Any:
    """Return the keyring library, which is an extra."""
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise LookupError(
            "the keyring library is not installed; pip install 'spark-impex-runner[keyring]'"
        ) from None


def _bounded(library: Any, service: str, user: str) -> str | None:
    """Return what the keyring answers; one that is locked may ask a person, who is not there."""
    answers: list[str | None] = []
    faults: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(library.get_password(service, user))
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that waits
            faults.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if faults:
        raise LookupError(_reason(faults[0], library)) from faults[0]
    if not answers:
        raise LookupError(f"the keyring did not answer within {TIMEOUT:g} s; is it locked?")
    return answers[0]


def _reason(error: Exception, library: Any) -> str:
    """Return in one line why a keyring cannot be read."""
    if isinstance(error, library.errors.NoKeyringError):
        return "this machine has no keyring that can be used; see keyring --list-backends"
    if isinstance(error, library.errors.KeyringLocked):
        return "the keyring is locked; unlock it, or log in to the desktop it belongs to"
    words = " ".join(str(error).split()) or type(error).__name__
    return f"the keyring cannot be read: {words}"
