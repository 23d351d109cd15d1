"""The tools that plugins share: HTTP with guarantees, texts, digests, the end of long work."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors, tools
from spark_impex_runner.tools.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterator


class Body:
    """Two pieces whose length is known before they are read; perhaps the second one fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    def __len__(self) -> int:
        return 8

    def __iter__(self) -> Iterator[bytes]:
        yield b"part"
        if self.fault:
            raise self.fault
        yield b"part"


def test_a_request_is_sent_again_after_a_transient_failure(
    receiver: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its body, which comes in pieces, and after the wait that the server asked for."""
    monkeypatch.setattr("spark_impex_runner.tools.http.Clock", lambda: clock)
    receiver.replies += [(503, {"Retry-After": "7"}), (200, {"X-Note": "kept"})]

    with HttpClient() as client:
        reply = client.send("POST", f"{receiver.url}/a", {"X-Own": "1"}, Body(), attempts=2)

    assert (reply.status, reply.headers["x-note"]) == (200, "kept")
    assert [each.body for each in receiver.received] == [b"partpart"] * 2
    assert receiver.received[0].headers["x-own"] == "1"
    assert clock.waits == [7.0]


@pytest.mark.parametrize(("status", "sent"), [(503, 1), (404, 1)])
def test_without_attempts_a_request_is_sent_once(receiver: Any, status: int, sent: int) -> None:
    """Whatever the reply is, it is returned."""
    receiver.replies += [(status, {})] * 3

    with HttpClient() as client:
        reply = client.send("POST", receiver.url)

    assert (reply.status, reply.good, len(receiver.received)) == (status, False, sent)


def test_an_error_of_the_body_ends_the_request(receiver: Any) -> None:
    """It is raised as it is, and no whole request arrives."""
    fault = errors.StepError("the file has changed")

    with HttpClient() as client, pytest.raises(errors.StepError, match="has changed"):
        client.send("POST", receiver.url, body=Body(fault), attempts=3)


def test_secrets_are_masked_in_the_log_of_the_http_library(
    receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs the path of each request; a secret may be added later."""
    with HttpClient(secrets=["hunter2"]) as client, caplog.at_level(logging.DEBUG):
        client.add_secret("hunter3")
        client.send("POST", f"{receiver.url}/hunter2/hunter3")
        masked = client.mask("hunter2 and hunter3")

    assert "/***/***" in caplog.text
    assert "hunter" not in caplog.text
    assert masked == "*** and ***"


def test_a_reply_can_be_read_in_pieces(receiver: Any) -> None:
    """Its status and headers come before its body."""
    with HttpClient() as client, client.stream("POST", f"{receiver.url}/a") as reply:
        body = b"".join(reply.chunks())

    assert (reply.status, reply.headers["content-length"], body) == (204, "0", b"")
    assert reply.url == f"{receiver.url}/a"


def test_no_connection_is_an_error_without_the_address() -> None:
    """The port is closed, and the path is a secret."""
    with HttpClient() as client, pytest.raises(errors.TransportError) as caught:
        client.send("GET", "http://127.0.0.1:1/hunter2")

    assert str(caught.value).startswith("cannot connect to 127.0.0.1:1 (Connection refused)")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n b\t\tc", "a b c"), ("a\x1b[2Jb", "a [2Jb"), ("x" * 20, "xxxxxxx..."), ("", "")],
)
def test_a_text_becomes_one_short_line(text: str, expected: str) -> None:
    """No control character is left, and the limit holds."""
    assert tools.one_line(text, limit=10) == expected


def test_a_replacement_shows_where_a_character_was() -> None:
    """Blanks and line breaks are no such characters."""
    assert tools.one_line("a\x00b\nc", replacement="?") == "a?b c"


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [(1, "file", "1 file"), (0, "file", "0 files"), (2, "old delivery", "2 old deliveries")],
)
def test_a_noun_agrees_with_its_number(number: int, noun: str, expected: str) -> None:
    """English plurals, as far as our nouns need them."""
    assert tools.counted(number, noun) == expected


def test_the_first_of_many_are_named() -> None:
    """And how many there are besides."""
    assert tools.first_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert tools.first_of(["a", "b"], 2, "; ") == "a; b"


def test_a_digest_of_pieces_is_that_of_the_whole() -> None:
    """By any algorithm of hashlib; the check before a piece may end the reading."""
    checks: list[int] = []

    found = tools.digest_of([b"ab", b"c"], "md5", lambda: checks.append(1))

    assert found == hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    assert len(checks) == 2
    with pytest.raises(errors.Interrupted):
        tools.digest_of([b"ab"], check=_interrupt)


def _interrupt() -> None:
    raise errors.Interrupted
