"""Every written form of any secret is masked in any text."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from xml.sax import saxutils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.masking import Masker, MaskingFilter

if TYPE_CHECKING:
    from collections.abc import Callable

_SECRETS = st.text(min_size=8, max_size=40) | st.text("ab/+é\"'\\<&>%\n ", min_size=8)
_AROUND = st.binary(max_size=20)

# How programs write a text into another one.
WRITERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "repr with quotes": lambda text: repr(text + "\"'")[1:-4],
    "ascii": lambda text: ascii(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "html": html.escape,
    "jinja": lambda text: saxutils.escape(text, {'"': "&#34;", "'": "&#39;"}),
    "xml text": saxutils.escape,
    "xml attribute": lambda text: saxutils.escape(text, {'"': "&quot;"}),
}


def knowing(*secrets: str) -> Masker:
    """Return a masker of these secrets."""
    masker = Masker()
    for secret in secrets:
        masker.add(secret)
    return masker


@pytest.mark.parametrize("writer", WRITERS)
@given(secret=_SECRETS, before=_AROUND, after=_AROUND)
def test_every_written_form_is_masked(
    writer: str, secret: str, before: bytes, after: bytes
) -> None:
    """A secret escaped for a URL, JSON, Python or XML is masked in any text."""
    form = WRITERS[writer](secret)
    text = before.decode("latin-1") + form + after.decode("latin-1")

    masked = knowing(secret).mask(text)

    assert all(form not in piece and secret not in piece for piece in masked.split("***"))
    assert "***" in masked


@pytest.mark.parametrize("writer", WRITERS)
def test_forms_are_masked_to_their_ends(writer: str) -> None:
    """No character of a form is left, and none around it is taken."""
    secret = "a='pass\" word\\é+&<>;\t"

    assert knowing(secret).mask(f"({WRITERS[writer](secret)})") == "(***)"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@given(secret=_SECRETS, before=_AROUND, after=_AROUND)
def test_every_base64_form_is_masked(
    encode: Callable[[bytes], bytes], secret: str, before: bytes, after: bytes
) -> None:
    """Alone or anywhere within longer base64, with and without padding, no byte run is left.

    What is left of the text decodes to at most the secret's two bytes at its edges.
    """
    text = encode(before + secret.encode() + after).decode()
    masker = knowing(secret)

    for written in (text, text.rstrip("=")):
        masked = masker.mask(written)

        assert "***" in masked
        kept = sum(map(len, masked.split("***")))
        assert kept <= len(written) - (len(secret.encode()) - 2) * 8 // 6


def test_basic_header_is_masked() -> None:
    """The secret follows a user name, at every alignment, and may be URL-encoded first."""
    secret = "s3cr+t/value=1"
    for user in ("a", "ab", "abc"):
        for password in (secret, quote(secret, safe="")):
            token = base64.b64encode(f"{user}:{password}".encode()).decode()

            masked = knowing(secret).mask(f"Authorization: Basic {token}")

            assert re.fullmatch(r"Authorization: Basic \w{2,7}\*\*\*\w?={0,2}", masked)


def test_long_lines_of_secret_are_masked() -> None:
    """A private key may be printed by indented lines; a bracket of a JSON key is no secret."""
    masker = knowing("-----BEGIN-----\r\nMIIEvQIBADANBgkqhkiG\n}\n")

    assert masker.mask("  MIIEvQIBADANBgkqhkiG") == "  ***"
    assert masker.mask("}") == "}"
    coded = base64.b64encode(b"key: MIIEvQIBADANBgkqhkiG").decode()
    assert masker.mask(coded).startswith("a2V5OiB***")
    assert knowing("-----BEGIN-----\n8letters\n7letter").mask("8letters, 7letter") == "***, 7letter"


@pytest.mark.parametrize(("before", "shown"), [("", 0), ("x", 2), ("xy", 3), ("xyz", 4)])
def test_base64_of_neighbours_stays(before: str, shown: int) -> None:
    """Only characters without bits of the secret are shown, at any alignment."""
    secret = "MIIEvQIBADANBgkqhkiG9w0"
    text = base64.b64encode(f"{before}{secret}xyz".encode()).decode()
    whole = (len(before) + len(secret)) * 8 // 6

    assert knowing(secret).mask(text) == f"{text[:shown]}***{text[whole:]}"


@pytest.mark.parametrize("secret", ["a", "ab", "abc", "pass"])
def test_short_secret_has_no_base64_form(secret: str) -> None:
    """The base64 of one to four letters occurs in every base64 text, that of six does not."""
    assert knowing("secret").mask("c2VjcmV0") == "***"
    text = base64.b64encode(bytes(range(256)) * 40).decode()
    text = text.replace(secret, "")

    assert "***" not in knowing(secret).mask(text)


def test_secret_with_invalid_utf8_is_masked() -> None:
    """An environment variable may contain any bytes."""
    secret = b"caf\xe9-secret".decode("utf-8", "surrogateescape")

    assert knowing(secret).mask(f"<{quote(b'caf' + bytes([0xE9]) + b'-secret')}>") == "<***>"


@given(secret=_SECRETS, text=st.text(max_size=30), data=st.data())
def test_cut_avoids_secrets(secret: str, text: str, data: Any) -> None:
    """Both halves can be masked on their own."""
    whole = text + secret + text
    at = data.draw(st.integers(0, len(whole)))
    masker = knowing(secret)

    cut = masker.cut(whole, at)

    assert cut <= at
    assert secret not in masker.mask(whole[:cut]) + masker.mask(whole[cut:])


def test_partial_secret_at_end_is_found() -> None:
    """In any form; a complete secret counts only if it begins a longer one."""
    masker = knowing("secret+one", "secret+one+more")

    assert masker.partial_secret("the secr") == 4
    assert masker.partial_secret("the secret%2") == 4
    assert masker.partial_secret("the secret+one") == 4
    assert masker.partial_secret("the secret+one+more") == len("the secret+one+more")
    assert Masker().partial_secret("any") == 3
    masker.add("another")
    assert masker.partial_secret("an") == 0


def test_secret_is_announced_once() -> None:
    """Credentials are announced, thousands of links are not."""
    heard: list[str] = []
    masker = Masker()
    masker.announce = heard.append

    masker.add("secret-one")
    masker.add("secret-one")
    masker.add("token-of-a-link", announce=False)

    assert heard == ["secret-one"]
    assert masker.mask("token-of-a-link") == "***"


def test_log_record_is_masked_completely() -> None:
    """Arguments, traceback, stack and nested extra fields are masked."""
    masker = knowing("secret-one")
    detail = {"secret-one": ["secret-one", ("secret-one", 1, None)], "error": OSError("secret-one")}
    texts = {"exc_text": "secret-one", "stack_info": "secret-one", "detail": detail}
    record = logging.makeLogRecord({"msg": "%s", "args": ("secret-one",), **texts})

    assert MaskingFilter(masker).filter(record)

    assert "secret-one" not in repr(vars(record))
    assert record.__dict__["detail"] == {"***": ["***", ["***", 1, None]], "error": "***"}


@pytest.mark.parametrize(
    ("exc_text", "shown"), [(None, "OSError: ***"), ("by secret-one", "by ***")]
)
def test_traceback_is_masked(exc_text: str | None, shown: str) -> None:
    """Before a handler formats it, and as another one has formatted it."""
    error = OSError("secret-one")
    record = logging.makeLogRecord({"exc_info": (OSError, error, None), "exc_text": exc_text})

    assert MaskingFilter(knowing("secret-one")).filter(record)

    assert record.exc_text == shown
