"""Secrets are masked by value, wherever text leaves the process."""

from __future__ import annotations

import bisect
import html
import json
import logging
import re
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "***"
# Secrets are looked up by so many characters of their middles, as many begin or end alike: a run of
# many jobs knows many download links, and every line that it says is searched for all of them.
_PIECE = 8
# What is derived from a secret and may be shorter than it, its lines and what base64 leaves of it,
# is masked from so many characters on. A secret of three characters has base64 forms of one to
# three, which stand in every text: to mask them would hide half of the text and no secret. Eight
# base64 characters are 48 bits, which no text holds by chance, and they fill a piece, so that these
# forms cost no look-ups of their own.
_LEAST = 8
# A text of these alone is written alike in URLs, JSON, Python and XML.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
_ESCAPED = re.compile("%[0-9A-F]{2}")
_URLSAFE = str.maketrans("+/", "-_")
# What stands behind the host of a URL: HTTP libraries tell it alone, and it opens as much.
_BEHIND_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*(/\S{7,})")
# By how many bytes a secret may be off the groups of three that base64 encodes, and how many
# characters the bytes before it have a share in.
_SHIFTS = ((0, 0), (1, 2), (2, 3))


class Masker:
    """The secrets known so far, and the text without them.

    Values are only ever added, before the first use of the secret. A value is masked as it is and
    as URLs, base64, JSON, Python's ``repr`` and XML write it, and each of its lines as well.

    ``announce`` is called once with each new secret, for whoever else masks.
    """

    def __init__(self) -> None:
        self.announce: Callable[[str], None] = lambda _: None
        self._known: set[str] = set()
        # By its piece, each form with the place of the piece in it.
        self._forms: dict[str, tuple[tuple[str, int], ...]] = {}
        self._sizes: frozenset[int] = frozenset()
        self._sorted: list[str] = []
        self._longest = 0
        self._adding = threading.Lock()

    def add(self, secret: str | None, *, announce: bool = True) -> None:
        """Remember a secret. Empty values are no secrets.

        What opens one file for some minutes, as a download link does, need not be announced: there
        are thousands, and nobody else can use them.
        """
        if not secret:
            return
        with self._adding:
            if secret in self._known:
                return
            for form in _forms(secret):
                begin = max(len(form) - _PIECE, 0) // 2
                piece = form[begin : begin + _PIECE]
                known = self._forms.get(piece, ())
                if (form, begin) not in known:
                    self._forms[piece] = (*known, (form, begin))
                    self._sizes |= {len(piece)}
                    self._longest = max(self._longest, len(form))
            self._known.add(secret)
            self._sorted = []
        if announce:
            self.announce(secret)

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

    def mask_within(self, value: Any, *, keys: bool = True) -> Any:
        """Return a value of JSON's kinds with its texts masked; anything else as masked text.

        ``keys`` False leaves those of mappings alone, where they are ours.
        """
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, dict):
            return {
                self.mask(str(key)) if keys else key: self.mask_within(each, keys=keys)
                for key, each in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.mask_within(each, keys=keys) for each in value]
        return self.mask(str(value))

    def cut(self, text: str, at: int) -> int:
        """Return the last place up to ``at`` where ``text`` can be cut and no secret with it."""
        for begin, after in sorted(self._found(text), reverse=True):
            if begin < at < after:
                at = begin
        return at

    def begun(self, text: str) -> int:
        """Return where a secret begins of which ``text`` holds no more than the beginning."""
        with self._adding:
            if not self._sorted:
                self._sorted = sorted(form for known in self._forms.values() for form, _ in known)
            forms = self._sorted
        for at in range(max(len(text) - self._longest, 0), len(text)):
            end = text[at:]
            next_ = bisect.bisect_right(forms, end)
            if next_ < len(forms) and forms[next_].startswith(end):
                return at
        return len(text)

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


def lines_of(secret: str) -> list[str]:
    """Return what a secret is looked for by where text is read line by line.

    Short lines of a longer secret, such as a lone bracket, stand in every text.
    """
    lines = [line.strip() for line in secret.splitlines() if line.strip()]
    return lines if len(lines) == 1 else [line for line in lines if len(line) >= _LEAST]


def _forms(secret: str) -> set[str]:
    """Return every way in which a secret, or a part of it that is told alone, is written."""
    forms = set()
    behind = _BEHIND_HOST.fullmatch(secret)
    for text in {secret, *lines_of(secret), *(behind.groups() if behind else ())}:
        written = {text} if _PLAIN.fullmatch(text) else {text, *_in_urls(text)}
        forms |= written
        # Clients encode their secret for a URL before they put it into a Basic header (RFC 6749).
        forms.update(form for each in written for form in _in_base64(each))
        if not _PLAIN.fullmatch(text):
            forms |= {*_in_json(text), *_in_python(text), *_in_xml(text)}
    return forms


def _in_urls(text: str) -> Iterator[str]:
    data = _encoded(text)
    for form in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield form
        yield _ESCAPED.sub(lambda match: match[0].lower(), form)


def _in_base64(text: str) -> Iterator[str]:
    """Yield the characters that are the same whatever stands before and behind the secret.

    The ones at its edges also hold bits of its neighbours, and too few of its own to matter.
    """
    data = _encoded(text)
    for shift, shared in _SHIFTS:
        whole = (shift + len(data)) * 8 // 6
        form = b64encode(bytes(shift) + data).decode()[shared:whole]
        if len(form) >= _LEAST:
            yield form
            yield form.translate(_URLSAFE)


def _in_json(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _in_python(text: str) -> Iterator[str]:
    """Yield what ``repr`` makes of a text that holds the secret, whichever quotes it takes."""
    # A double quote in front makes repr take single ones, and escape those that are inside.
    for form in (
        repr('"' + text)[2:-1],
        ascii('"' + text)[2:-1],
        repr(b'"' + _encoded(text))[3:-1],
    ):
        yield form
        yield form.replace("\\'", "'")


def _in_xml(text: str) -> Iterator[str]:
    bare = html.escape(text, quote=False)
    yield from (bare, html.escape(text), bare.replace('"', "&quot;"))
    yield bare.replace('"', "&#34;").replace("'", "&#39;")


def _encoded(text: str) -> bytes:
    """Return a text's bytes; an environment variable may hold some that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


class MaskingFilter(logging.Filter):
    """Puts a handler's records through a masker: arguments, traceback and extra fields included."""

    _OWN = frozenset(vars(logging.makeLogRecord({})))

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
        if record.stack_info:
            record.stack_info = self._masker.mask(record.stack_info)
        for name in vars(record).keys() - self._OWN:
            setattr(record, name, self._masker.mask_within(getattr(record, name)))
        return True
