"""Links: what is secret, what is shown, whose job it is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import (
    ErrorReply,
    SparkApiError,
    SparkError,
    TransportError,
    UsageError,
)
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.spark.download.links import has_expired, with_fresh_links
from spark_impex_runner.spark.http.urls import job_id_of, redacted, redirected, secrets_of

if TYPE_CHECKING:
    from pathlib import Path

LINK = "https://entitystore.example/docstore/api/v1/documents/versions/tokens/Ab%2Fc%3D/package.zip"


def test_the_token_is_secret_in_both_writings() -> None:
    """Encoded and decoded, the capability is masked; the file name is not."""
    assert set(secrets_of(LINK)) == {"Ab%2Fc%3D", "Ab/c="}
    assert redacted(LINK) == "entitystore.example/.../package.zip"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://h.example/tokens/SeCrEt", "h.example/..."),
        ("https://me:SeCrEt@h.example/p.zip", "h.example/.../p.zip"),
        ("https://s3.example/b/p.zip?sig=SeCrEt", "s3.example/.../p.zip"),
        ("https://h.example/" + "SeCrEt" * 10, "h.example/..."),
        ("https://[SeCrEt/p.zip", "/.../"),
    ],
)
def test_no_link_shows_its_secret(url: str, told: str) -> None:
    """A message hides the secret of a link in any position."""
    assert redacted(url) == told


def test_the_values_of_a_query_are_secret() -> None:
    """A signed link of another store has its signature masked, alone and as a whole."""
    found = set(secrets_of("https://s3.example/p.zip?sig=abc&x=1"))

    assert {"sig=abc&x=1", "abc"} <= found


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    """What is no URL breaks nothing."""
    assert isinstance(redacted(text), str)


@pytest.mark.parametrize(
    ("job_id", "url"),
    [
        ("j-1", None),
        ("j-1", "https://evil.example/api/v4/export/other/status"),
        (None, "https://any.example/acme/api/v4/export/j-1/status"),
        (None, "https://any.example/acme/api/v4/import/j-1/status/?x=1"),
    ],
)
def test_job_id_from_id_or_url(job_id: str | None, url: str | None) -> None:
    """Of a URL only the id is used."""
    assert job_id_of(job_id, url) == "j-1"


@pytest.mark.parametrize("url", [None, "", "https://any.example/acme", "not a url"])
def test_no_job_is_an_error(url: str | None) -> None:
    """The error names the arguments to pass."""
    with pytest.raises(UsageError, match="job_id"):
        job_id_of(None, url)


@pytest.mark.parametrize(("status", "expired"), [(401, True), (403, True), (404, True)])
def test_expired_link_has_known_status(status: int, expired: bool) -> None:
    """These refusals may pass with a new link."""
    assert has_expired(SparkApiError.when("x", ErrorReply(status))) is expired
    assert not has_expired(SparkApiError.when("x", ErrorReply(500)))


def test_short_link_parameters_stay_visible() -> None:
    """To mask ``r`` or ``300`` everywhere would spoil every hash in a receipt."""
    found = set(secrets_of("https://s/p.zip?sv=2022&sp=r&se=300&sig=abc&code=0123456789abcdef"))

    assert found == {"sv=2022&sp=r&se=300&sig=abc&code=0123456789abcdef", "abc", "0123456789abcdef"}


@pytest.mark.parametrize(("growing", "asked"), [(True, 20), (False, 4)])
def test_links_are_renewed_with_progress(
    tmp_path: Path, clock: Any, growing: bool, asked: int
) -> None:
    """Twenty links with progress complete a file; four without end the download."""
    part, used = tmp_path / "p", []

    def download(remote: RemoteFile) -> str:
        used.append(remote.url)
        if len(used) == 20:
            return "whole"
        part.write_bytes(bytes(len(used) if growing else 1))
        raise SparkApiError.when("refused", ErrorReply(403))

    def renew(_: SparkError, __: str) -> RemoteFile:
        return RemoteFile(str(len(used)))

    part.write_bytes(b"1")
    if growing:
        assert with_fresh_links(RemoteFile("0"), part, download, renew, clock) == "whole"
    else:
        with pytest.raises(SparkApiError, match="refused"):
            with_fresh_links(RemoteFile("0"), part, download, renew, clock)

    assert used == [str(number) for number in range(asked)]


def test_only_an_expired_link_is_renewed(tmp_path: Path, clock: Any) -> None:
    """Other refusals pass, and so does a refusal of a job that offers nothing any more."""
    renewed = []

    def refuse(status: int) -> None:
        def download(_: RemoteFile) -> None:
            raise SparkApiError.when("refused", ErrorReply(status))

        with pytest.raises(SparkApiError, match="refused"):
            with_fresh_links(
                RemoteFile("0"), tmp_path / "p", download, lambda *_: renewed.append(status), clock
            )

    refuse(400)
    refuse(404)

    assert renewed == [404]


@pytest.mark.parametrize("permanent", [True, False])
def test_a_link_to_no_host_is_renewed(tmp_path: Path, clock: Any, permanent: bool) -> None:
    """A host that cannot be reached at all may be another one in the next link."""
    used: list[str] = []

    def download(link: RemoteFile) -> str:
        used.append(link.url)
        if link.url == "new":
            return "whole"
        raise TransportError("cannot resolve files.invalid", permanent=permanent)

    with suppress(TransportError):
        with_fresh_links(
            RemoteFile("old"), tmp_path / "p", download, lambda *_: RemoteFile("new"), clock
        )

    assert used == (["old", "new"] if permanent else ["old"])


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/store/tarif\xe9/p.zip".encode(), "/store/tarif%C3%A9/p.zip"),
        (b"/store/tarif\xe9/p.zip", "/store/tarif%E9/p.zip"),
        (b"/store/tarif%C3%A9/p.zip", "/store/tarif%C3%A9/p.zip"),
        (b"/a b/p.zip", "/a%20b/p.zip"),
        (b"/100%/p%zz.zip", "/100%25/p%25zz.zip"),
        (b"p2.zip", "/docstore/p2.zip"),
        (b"../p2.zip#page", "/p2.zip"),
        (b"?sig=a+b%2Bc==&next=https://x//y", "/docstore/p.zip?sig=a+b%2Bc==&next=https://x//y"),
        (b" /p2.zip ", "/p2.zip"),
    ],
)
def test_a_location_means_its_bytes(location: bytes, path: str) -> None:
    """A redirect is followed to the same path, however the server writes its name."""
    found = redirected("https://files.example/docstore/p.zip?sig=1", location.decode("latin-1"))

    assert found == f"https://files.example{path}"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (b"//other.example/\xc3\xa9", "https://other.example/%C3%A9"),
        (b"HTTPS://other.example?q=\xc3\xa9", "https://other.example?q=%C3%A9"),
        ("https://ex\xe4mple.example/\xe4".encode(), "https://ex\xe4mple.example/%C3%A4"),
    ],
)
def test_a_location_may_name_a_host(location: bytes, url: str) -> None:
    """A host's name is not quoted; that of another language is left to the HTTP library."""
    assert redirected("https://files.example/p.zip", location.decode("latin-1")) == url


@pytest.mark.parametrize("location", ["https://[bad/", "/x\r\nHost: y", "https://\xe9.example/"])
def test_invalid_location_is_refused(location: str) -> None:
    """What cannot be requested is an error that the caller translates."""
    with pytest.raises(ValueError):  # noqa: PT011 - of several modules of the standard library
        redirected("https://files.example/p.zip", location)


@given(st.binary())
def test_any_location_becomes_ascii_or_is_refused(location: bytes) -> None:
    """Whatever bytes a header has, nothing but a URL goes into a request."""
    with suppress(ValueError):
        found = redirected("https://files.example/p.zip", location.decode("latin-1"))
        assert urlsplit(found).path.isascii()
