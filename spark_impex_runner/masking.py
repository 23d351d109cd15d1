"""Secrets are masked by value, wherever text leaves the process."""

from __future__ import annotations

import logging
import threading
from urllib.parse import quote, quote_plus

MASK = "***"


class Masker:
    """The secrets known so far, and the text without them.

    Values are only ever added, before the first use of the secret. A value is masked as it is
    and in both of its URL-encoded forms.
    """

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()
        self._adding = threading.Lock()

    def add(self, secret: str | None) -> None:
        """Remember a secret. Empty values are no secrets."""
        if not secret:
            return
        new = {secret, quote(secret, safe=""), quote_plus(secret)}
        with self._adding:
            # Longest first, so that a secret that contains another is not left in pieces.
            self._forms = tuple(sorted({*self._forms, *new}, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``***``."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


class MaskingFilter(logging.Filter):
    """Puts a handler's records through a masker, arguments and traceback included."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the finished message; never drop a record."""
        record.msg, record.args = self._masker.mask(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._masker.mask(record.exc_text)
        return True
