"""Mask secrets by value wherever text leaves the process."""

from __future__ import annotations

import bisect
import html
import json
import logging
import re
import threading
import warnings
from base64 import b64encode
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "***"
# The length of the piece by which a secret is looked up. A run of many jobs knows thousands of
# download links, and searches each line of its log for all of them. The piece is from the middle of
# a secret, since many secrets begin or end alike.
_KEY_LENGTH = 8
# The least length of a form that is shorter than its secret: a line of it, or its base64. A secret
# of three characters has base64 forms of one to three, which every text contains: to mask them
# would hide half of the text and no secret. Eight base64 characters are 48 bits, which no text
# holds by chance. They have the length of a piece, so that these forms cost no further look-ups.
_MIN_LENGTH = 8
# A text of only these characters is written alike in URLs, JSON, Python and XML.
_UNESCAPED = re.compile(r"[A-Za-z0-9_.~-]+")
_ESCAPED = re.compile("%[0-9A-F]{2}")
_URLSAFE = str.maketrans("+/", "-_")
# The path and query of a URL: HTTP libraries log it without the host, and it is as secret.
_URL_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*(/\S{7,})")
# Base64 encodes groups of three bytes. For each offset of a secret in its group: the offset, and
# how many characters also contain bits of the bytes before it.
_SHIFTS = ((0, 0), (1, 2), (2, 3))


class Masker:
    """The known secrets, and text with them masked.

    Add a secret before its first use. A value is masked as it is and as URLs, base64, JSON,
    Python's ``repr`` and XML write it, and so is each of its lines. ``announce`` is called once
    with each new secret, for another program that masks, such as a CI server.
    """

    def __init__(self) -> None:
        self.announce: Callable[[str], None] = lambda _: None
        self._known: set[str] = set()
        # By piece: a form of a secret; nearly always the only one, so that a tuple for each would
        # take as much memory as ten thousand download links.
        self._forms: dict[str, str] = {}
        self._more_forms: dict[str, tuple[str, ...]] = {}
        self._sizes: frozenset[int] = frozenset()
        self._sorted: list[str] = []
        self._longest = 0
        self._adding = threading.Lock()

    def add(self, secret: str | None, *, announce: bool = True) -> None:
        """Add a secret; ignore an empty value.

        Set ``announce`` False for the many secrets that expire within minutes, such as links.
        """
        if not secret:
            return
        with self._adding:
            if secret in self._known:
                return
            for form in _forms(secret):
                begin = _piece_begin(form)
                piece = form[begin : begin + _KEY_LENGTH]
                more = self._more_forms.get(piece, ())
                if self._forms.setdefault(piece, form) != form and form not in more:
                    self._more_forms[piece] = (*more, form)
                self._sizes |= {len(piece)}
                self._longest = max(self._longest, len(form))
            self._known.add(secret)
            self._sorted = []
        if announce:
            self.announce(secret)

    def mask(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``***``, overlapping ones as one."""
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
        """Return a JSON value with its texts masked; any other value as masked text.

        ``keys=False`` leaves the keys of mappings unmasked.
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
        """Return the last position up to ``at`` where a cut of ``text`` cuts no secret."""
        for begin, after in sorted(self._found(text), reverse=True):
            if begin < at < after:
                at = begin
        return at

    def partial_secret(self, text: str) -> int:
        """Return the position of a secret that ``text`` ends in the middle of, else its length."""
        with self._adding:
            if not self._sorted:
                self._sorted = sorted(chain(self._forms.values(), *self._more_forms.values()))
            forms = self._sorted
        for at in range(max(len(text) - self._longest, 0), len(text)):
            end = text[at:]
            next_ = bisect.bisect_right(forms, end)
            if next_ < len(forms) and forms[next_].startswith(end):
                return at
        return len(text)

    def begun(self, text: str) -> int:
        """Return the same as ``partial_secret``, by its old name, for one release."""
        warnings.warn("begun is now called partial_secret", DeprecationWarning, stacklevel=2)
        return self.partial_secret(text)

    def _found(self, text: str) -> list[tuple[int, int]]:
        """Return the start and end of each secret in ``text``."""
        forms = self._forms
        places = [
            (at, text[at : at + size])
            for size in self._sizes
            for at in range(len(text) - size + 1)
            if text[at : at + size] in forms
        ]
        return [
            (begin, begin + len(form))
            for at, piece in places
            for form in (forms[piece], *self._more_forms.get(piece, ()))
            # A negative begin is one from the end, where less than a form is left.
            if text.startswith(form, begin := at - _piece_begin(form))
        ]


def _piece_begin(form: str) -> int:
    """Return where the piece by which a form is looked up begins in it."""
    return max(len(form) - _KEY_LENGTH, 0) // 2


def lines_of(secret: str) -> list[str]:
    """Return the lines of a secret by which it is found in text that is read line by line.

    Short lines of a longer secret, such as a single bracket, are left out: every text has them.
    """
    lines = [line.strip() for line in secret.splitlines() if line.strip()]
    return lines if len(lines) == 1 else [line for line in lines if len(line) >= _MIN_LENGTH]


def _forms(secret: str) -> set[str]:
    """Return every form in which a secret, or a part of it that others log alone, is written."""
    forms = set()
    path = _URL_PATH.fullmatch(secret)
    for text in {secret, *lines_of(secret), *(path.groups() if path else ())}:
        written = {text} if _UNESCAPED.fullmatch(text) else {text, *_in_urls(text)}
        forms |= written
        # OAuth clients URL-encode their secret before they base64 it in a Basic header (RFC 6749).
        forms.update(form for each in written for form in _in_base64(each))
        if not _UNESCAPED.fullmatch(text):
            forms |= {*_in_json(text), *_in_python(text), *_in_xml(text)}
    return forms


def _in_urls(text: str) -> Iterator[str]:
    data = _encoded(text)
    for form in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield form
        yield _ESCAPED.sub(lambda match: match[0].lower(), form)


def _in_base64(text: str) -> Iterator[str]:
    """Yield the base64 characters that do not depend on the text around the secret."""
    data = _encoded(text)
    for shift, shared in _SHIFTS:
        whole = (shift + len(data)) * 8 // 6
        form = b64encode(bytes(shift) + data).decode()[shared:whole]
        if len(form) >= _MIN_LENGTH:
            yield form
            yield form.translate(_URLSAFE)


def _in_json(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _in_python(text: str) -> Iterator[str]:
    """Yield the secret as ``repr`` writes it, with either kind of quotes."""
    # A double quote in front makes repr use single quotes, and escape those inside.
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
    """Return a text's bytes."""
    # An environment variable may contain bytes that are not UTF-8; Python decodes them so.
    return text.encode("utf-8", "surrogateescape")


class MaskingFilter(logging.Filter):
    """Mask the records of a handler: arguments, traceback and extra fields included."""

    _OWN = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the formatted record; return True, so that it is never dropped."""
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
