"""Secrets are masked by value, wherever text leaves the process."""

from __future__ import annotations

import logging
import threading
from urllib.parse import quote, quote_plus

MASK = "***"
# Secrets are looked up by their first characters: a run of many jobs knows many download links,
# and every line that it says is searched for all of them.
_START = 4


class Masker:
    """The secrets known so far, and the text without them.

    Values are only ever added, before the first use of the secret. A value is masked as it is
    and in both of its URL-encoded forms.
    """

    def __init__(self) -> None:
        self._by_start: dict[str, tuple[str, ...]] = {}
        self._sizes: frozenset[int] = frozenset()
        self._adding = threading.Lock()

    def add(self, secret: str | None) -> None:
        """Remember a secret. Empty values are no secrets."""
        if not secret:
            return
        with self._adding:
            for form in (secret, quote(secret, safe=""), quote_plus(secret)):
                start = form[:_START]
                known = self._by_start.get(start, ())
                if form not in known:
                    self._by_start[start] = (*known, form)
                    self._sizes |= {len(start)}

    def mask(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``***``.

        Secrets that overlap are replaced as one, so that no piece of them is left.
        """
        pieces, end = [], 0
        for begin, after in sorted(self._found(text)):
            if begin >= end:
                pieces += [text[end:begin], MASK]
            end = max(end, after)
        return "".join([*pieces, text[end:]]) if pieces else text

    def _found(self, text: str) -> list[tuple[int, int]]:
        """Return where the secrets in ``text`` begin and end."""
        starts = self._by_start
        places = [
            (at, text[at : at + size])
            for size in self._sizes
            for at in range(len(text) - size + 1)
            if text[at : at + size] in starts
        ]
        return [
            (at, at + len(form))
            for at, start in places
            for form in starts[start]
            if text.startswith(form, at)
        ]


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
