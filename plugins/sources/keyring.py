"""``${keyring:SERVICE/USERNAME}``: read a password from this machine's keyring."""

from __future__ import annotations

import importlib
import threading
from typing import Any

TIMEOUT = 60.0
_FORM = "write SERVICE/USERNAME"


def check(key: str) -> str:
    """Return the error of a key, empty if it is valid; only the service may contain slashes."""
    service, _, user = key.rpartition("/")
    return "" if service and user else _FORM


def read(key: str) -> str:
    """Return a password; raise ``LookupError`` with the reason if there is none."""
    service, _, user = key.rpartition("/")
    library = _import_keyring()
    found = _get_password(library, service, user)
    if found is None:
        raise LookupError(
            f"the keyring ({library.get_keyring().name}) has no such entry; "
            f"add it with: keyring set {service} {user}"
        )
    return found


def _import_keyring() -> Any:
    """Return the module ``keyring``, an optional dependency."""
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise LookupError(
            "the keyring library is not installed; pip install 'spark-impex-runner[keyring]'"
        ) from None


def _get_password(library: Any, service: str, user: str) -> str | None:
    """Return the password within a timeout: a locked keyring may prompt and wait forever."""
    answers: list[str | None] = []
    failures: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(library.get_password(service, user))
        except Exception as error:  # noqa: BLE001 - raised in the waiting thread
            failures.append(error)

    # A daemon thread: one that waits for a prompt must not keep the process alive.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if failures:
        raise LookupError(_describe(failures[0], library)) from failures[0]
    if not answers:
        raise LookupError(f"the keyring did not answer within {TIMEOUT:g} s; is it locked?")
    return answers[0]


def _describe(error: Exception, library: Any) -> str:
    """Return in one line why the keyring cannot be read."""
    if isinstance(error, library.errors.NoKeyringError):
        return "this machine has no usable keyring; see keyring --list-backends"
    if isinstance(error, library.errors.KeyringLocked):
        return "the keyring is locked; unlock it, or log in to its desktop session"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"the keyring cannot be read: {text}"
