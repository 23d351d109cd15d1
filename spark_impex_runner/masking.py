"""Secrets are masked by value, wherever text leaves the process."""

from __future__ import annotations

import logging
import threading
from urllib.parse import quote, quote_plus

MASK = "***"
# Secrets are looked up by so many characters of their middles, as many begin or end alike: a run of
# many jobs knows many download links, and every line that it says is searched for all of them.
_PIECE = 8


class Masker:
    """The secrets known so far, and the text without them.

    Values are only ever added, before the first use of the secret. A value is masked as it is
    and in both of its URL-encoded forms.
    """

    def __init__(self) -> None:
        # By its piece, each form with the place of the piece in it.
        self._forms: dict[str, tuple[tuple[str, int], ...]] = {}
        self._sizes: frozenset[int] = frozenset()
        self._adding = threading.Lock()

    def add(self, secret: str | None) -> None:
        """Remember a secret. Empty values are no secrets."""
        if not secret:
            return
        with self._adding:
            for form in (secret, quote(secret, safe=""), quote_plus(secret)):
                begin = max(len(form) - _PIECE, 0) // 2
                piece = form[begin : begin + _PIECE]
                known = self._forms.get(piece, ())
                if (form, begin) not in known:
                    self._forms[piece] = (*known, (form, begin))
                    self._sizes |= {len(piece)}

    def mask(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``***``.

        Secrets that overlap are replaced as one, so that no piece of them is left.
        """
        found = self._found(text)
        if not found:
            return text
        pieces, end = [], 0
        for begin, after in sorted(found):
            if begin >= end:
                pieces += [text[end:begin], MASK]
            end = max(end, after)
        return "".join([*pieces, text[end:]])

    def _found(self, text: str) -> list[tuple[int, int]]:
        """Return where the secrets in ``text`` begin and end."""
        forms = self._forms
        places = [
            (at, text[at : at + size])
            for size in self._sizes
            for at in range(len(text) - size + 1)
            if text[at : at + size] in forms
        ]
        return [
            (at - begin, at - begin + len(form))
            for at, piece in places
            for form, begin in forms[piece]
            if at >= begin and text.startswith(form, at - begin)
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
