"""Downloads: no credentials, whole files, proven before they are named."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner import errors
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.spark.download.files import (
    _DownloadState,
    commit,
    fetch,
    filename,
)
from spark_impex_runner.spark.package import check_hash

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"x" * 3_000_000


def test_download_sends_no_credentials(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, masker: Any
) -> None:
    """Bytes, size and digests are right; no header identifies the client."""
    server = script(reply(CONTENT))
    link = f"{server.url}/tokens/Ab%2Fc%3D/motor.zip"
    announced = hashlib.md5(CONTENT).hexdigest().upper()  # noqa: S324 - what a tenant may send

    artifact = fetch(session_to(server), RemoteFile(link, announced), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == CONTENT
    assert (artifact.size, artifact.name) == (len(CONTENT), "motor.zip")
    assert artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert artifact.hash_agreed is True
    assert artifact.digests == {"md5": announced.lower(), "sha256": artifact.sha256}
    seen = server.seen[0]
    assert seen.path == "/tokens/Ab%2Fc%3D/motor.zip"
    assert not {"authorization", "x-synthetic-key", "x-tenant-name"} & seen.headers.keys()
    assert seen.headers["accept-encoding"] == "identity"
    assert masker.mask("Ab/c=") == "***"


@pytest.mark.parametrize("file_hash", [None, "", "no known form"])
def test_unknown_hash_is_not_compared(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, file_hash: str | None
) -> None:
    """Where the tenant gives nothing to compare with, the check passes."""
    server = script(reply(b"abc"))

    artifact = fetch(session_to(server), RemoteFile(server.url, file_hash), tmp_path / "p")
    check_hash(artifact)

    assert artifact.hash_agreed is None


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_wrong_bytes_are_refused_with_both_hashes(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, algorithm: str
) -> None:
    """The error names what was announced and what arrived."""
    announced, found = (hashlib.new(algorithm, one).hexdigest() for one in (b"abc", b"abd"))
    server = script(reply(b"abd"))
    artifact = fetch(session_to(server), RemoteFile(server.url, announced), tmp_path / "p")

    with pytest.raises(errors.IntegrityError, match=f"{announced}.*{found}"):
        check_hash(artifact)


def test_cut_download_without_ranges_restarts(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """A broken connection and a 503 cost waits; the file is whole in the end."""
    cut = reply(CONTENT, length=len(CONTENT) + 1)
    server = script(cut, reply(status=503), reply(b"half"))

    artifact = fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == b"half"
    assert artifact.size == 4
    assert clock.waits == [1.0, 2.0]


def test_short_body_is_detected(tmp_path: Path, clock: Any) -> None:
    """urllib3 before 2.0 does not compare the length, so the client does."""

    class Short:
        status, headers = 200, {"Content-Length": "4"}
        chunks = staticmethod(lambda: [b"hal"])
        open = __enter__ = lambda self, *_: self
        __exit__ = lambda *_: None  # noqa: E731 - a stub of one line

    stub: Any = Short()
    pouring = _DownloadState(tmp_path / "p", clock, ("sha256",))

    with pytest.raises(errors.TransportError, match="3 of 4 bytes"):
        pouring.attempt(stub, "https://h/p.zip")


def test_a_download_that_stays_cut_off_fails(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """The error names host and file, and not the capability."""
    server = script(reply(b"hal", length=4))

    with pytest.raises(errors.TransportError, match=r"downloading 127.*/\.\.\./p\.zip") as caught:
        fetch(session_to(server), RemoteFile(f"{server.url}/tokens/SeCrEt/p.zip"), tmp_path / "p")

    assert "SeCrEt" not in str(caught.value)


def test_repeated_cut_fails_download(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """Bytes that only come again are no progress: without ranges, too, patience ends."""
    server = script(reply(CONTENT, length=len(CONTENT) + 1))
    clock.at_wait = lambda elapsed: clock.stop(2) if elapsed > 3600 else None

    with pytest.raises(errors.TransportError, match="downloading"):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")


@pytest.mark.parametrize("status", [400, 405, 503])
def test_expiry_advice_needs_matching_status(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, status: int
) -> None:
    """A message states no cause, and no cure, that the reply does not support."""
    server = script(reply(b"", status=status))

    with pytest.raises(errors.SparkApiError) as caught:
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert str(caught.value).endswith(f"HTTP {status}")


def test_refused_link_has_advice(session_to: Any, script: Any, reply: Any, tmp_path: Path) -> None:
    """A 403 of the file store does not blame the credentials, and nothing is written."""
    server = script(reply(b"denied SeCrEt", status=403))

    with pytest.raises(errors.ForbiddenError, match="link may have expired") as caught:
        fetch(session_to(server), RemoteFile(f"{server.url}/tokens/SeCrEt/p.zip"), tmp_path / "p")

    assert "SeCrEt" not in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_redirects_are_followed_bare(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Another host gets the request without credentials or cookies."""
    store = script(reply(b"abc"))
    headers = {"Location": f"{store.url}/p.zip", "Set-Cookie": "s=1"}
    server = script(reply(b"", status=302, headers=headers))

    fetch(session_to(server), RemoteFile(f"{server.url}/first"), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == b"abc"
    assert not {"authorization", "cookie", "referer"} & store.seen[0].headers.keys()


def test_redirect_target_is_masked(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Its signature is as much of a secret."""
    store = script(reply(b"package"))
    target = f"{store.url}/p.zip?signature=capability-of-the-store"
    server = script(reply(b"", 302, headers={"Location": target}))
    session = session_to(server)

    fetch(session, RemoteFile(f"{server.url}/p.zip"), tmp_path / "p")

    assert session.http.masker.mask("capability-of-the-store") == "***"


def test_utf8_redirect_is_followed(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """The bytes of the header are requested, and not the characters that they seem to be."""
    location = "/store/tarif\xe9/p.zip".encode().decode("latin-1")
    server = script(reply(status=302, headers={"Location": location}), reply(b"abc"))

    fetch(session_to(server), RemoteFile(f"{server.url}/a"), tmp_path / "p")

    assert [seen.path for seen in server.seen] == ["/a", "/store/tarif%C3%A9/p.zip"]


@pytest.mark.parametrize("link", ["/tarif\xe9 1/p.zip", "/tarif%C3%A9%201/p.zip"])
def test_a_link_with_other_letters_is_requested(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, link: str
) -> None:
    """A tenant may write a link with letters that no URL has, or quoted."""
    server = script(reply(b"abc"))

    fetch(session_to(server), RemoteFile(server.url + link), tmp_path / "p")

    assert server.seen[0].path == "/tarif%C3%A9%201/p.zip"


@pytest.mark.parametrize("link", ["", "http://[bad/p.zip", "http://127.0.0.1:port/p.zip"])
def test_invalid_link_fails_at_once(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any, link: str
) -> None:
    """What cannot be requested is not requested again and again."""
    with pytest.raises(errors.SparkSdkError):
        fetch(session_to(script(reply())), RemoteFile(link), tmp_path / "p")

    assert clock.waits == []


@pytest.mark.parametrize("target", ["http://[bad", "//", "https://"])
def test_invalid_redirect_fails(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, target: str
) -> None:
    """A Location that is no URL does not break the client."""
    server = script(reply(b"", status=302, headers={"Location": target}))

    with pytest.raises(errors.SparkError):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")


def test_endless_redirects_end(session_to: Any, script: Any, reply: Any, tmp_path: Path) -> None:
    """Five hops are enough."""
    server = script(reply(b"", status=302, headers={"Location": "/again"}))

    with pytest.raises(errors.TransportError, match="more than 5 redirects"):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")


@pytest.mark.parametrize("link", ["http://store.example/p.zip", "file:///etc/passwd", "p.zip", ""])
def test_http_link_is_not_followed(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, link: str
) -> None:
    """Neither as the link itself nor as the target of a redirect."""
    server = script(reply(b"", status=302, headers={"Location": "http://store.example/"}))

    for url in (link, server.url):
        with pytest.raises(errors.SparkSdkError, match="not https"):
            fetch(session_to(server), RemoteFile(url), tmp_path / "p")


CODINGS = [
    "binary",
    "identity, identity",
    "aws-chunked",
    "utf-8",
    "",
    " ",
    "none",
    "IDENTITY",
    "gzip",
]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_meaningless_coding_is_ignored(
    session_to: Any, script: Any, reply: Any, package: Any, tmp_path: Path, coding: str
) -> None:
    """One download is enough: the bytes decide, and not what their reply calls them."""
    server = script(reply(package(), headers={"Content-Encoding": coding, "ETag": '"one"'}))

    artifact = fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert artifact.path.read_bytes() == package()
    assert len(server.seen) == 1


def test_wrong_coding_is_resumed(
    session_to: Any, script: Any, reply: Any, package: Any, tmp_path: Path
) -> None:
    """A download resumes with any ``Content-Encoding`` that compresses nothing."""
    content = package()
    head = {"Content-Encoding": "gzip", "ETag": '"one"'}
    span = {**head, "Content-Range": f"bytes 40-{len(content) - 1}/{len(content)}"}
    cut = reply(content[:40], headers=head, length=len(content))
    server = script(cut, reply(content[40:], 206, headers=span))

    artifact = fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert artifact.path.read_bytes() == content
    assert server.seen[1].headers["range"] == "bytes=40-"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "br", "identity, deflate", "zstd"])
def test_a_compressed_package_fails_at_once(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any, coding: str
) -> None:
    """No further download is tried, which would be compressed, too."""
    server = script(reply(b"\x1f\x8b" + bytes(100), headers={"Content-Encoding": coding}))

    with pytest.raises(errors.SparkSdkError, match="is sent compressed") as caught:
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert not isinstance(caught.value, errors.IntegrityError | errors.TransportError)
    assert (len(server.seen), clock.waits) == (1, [])


def test_an_interrupt_ends_a_download_between_chunks(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """A run that stops does not wait for the rest of the file."""
    server = script(reply(CONTENT))
    clock.stop(15)

    with pytest.raises(errors.Interrupted):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").stat().st_size == 0


def test_disk_error_is_one_line(session_to: Any, script: Any, reply: Any, tmp_path: Path) -> None:
    """An error of the operating system becomes a ``DeliveryError``."""
    server = script(reply(b"abc"))

    with pytest.raises(errors.DeliveryError, match="No such file or directory"):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "none" / "p")


def test_memory_does_not_grow_with_the_file(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """64 MiB pass through less than 16 MiB."""
    server = script(reply(bytes(64 << 20)))
    session = session_to(server)
    tracemalloc.start()
    try:
        artifact = fetch(session, RemoteFile(server.url), tmp_path / "p")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert artifact.size == 64 << 20
    assert peak < 16 << 20


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/tokens/x%2Fy/package.zip", "package.zip"),
        ("https://h/a/motor%20release.zip?x=1", "motor release.zip"),
        ("https://h/a/..%2F..%2Fetc%2Fpasswd", "package.zip"),
        ("https://h/a/..%5Cx.zip", "package.zip"),
        ("https://h/a/..", "package.zip"),
        ("https://h/a/.hidden", "package.zip"),
        ("https://h/a/x%00.zip", "package.zip"),
        ("https://h/a/x%0A.zip", "package.zip"),
        ("https://h/a/NUL.zip", "package.zip"),
        ("https://h/a/c:x.zip", "package.zip"),
        ("https://h/a/x.zip.", "package.zip"),
        ("https://h/a/%FF.zip", "package.zip"),
        ("https://h/a/", "package.zip"),
        ("https://h/tokens/SeCrEt", "package.zip"),
        ("https://[bad", "package.zip"),
    ],
)
def test_a_link_gives_a_plain_file_name(url: str, name: str) -> None:
    """What is no plain name, on any system, becomes the usual one."""
    assert filename(url) == name


@given(st.text())
def test_no_link_names_a_path(text: str) -> None:
    """A file name never leads out of its folder."""
    name = filename(f"https://h/{text}")

    assert name
    assert not {"/", "\\", "\x00"} & set(name)
    assert name not in {".", ".."}


def test_verified_file_replaces_older(tmp_path: Path) -> None:
    """The name appears at once, and the partial file is removed."""
    partial, final = tmp_path / "p.part", tmp_path / "p.zip"
    partial.write_bytes(b"new")
    final.write_bytes(b"old")

    commit(partial, final)

    assert final.read_bytes() == b"new"
    assert not partial.exists()


def test_failed_rename_is_one_line(tmp_path: Path) -> None:
    """A folder in the way is an error of the delivery."""
    (tmp_path / "p.zip").mkdir()
    (tmp_path / "p.part").write_bytes(b"new")

    with pytest.raises(errors.DeliveryError, match=r"p\.zip"):
        commit(tmp_path / "p.part", tmp_path / "p.zip")


def test_trickle_fails_after_attempts(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, clock: Any
) -> None:
    """A few bytes an attempt are no progress that would prolong a download for ever."""
    whole = b"x" * 100_000

    def one_byte_more(seen: Any) -> Any:
        clock.wait(300)
        begin = int(seen.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        span = {"ETag": '"one"', "Content-Range": f"bytes {begin}-99999/100000"}
        status = 206 if begin else 200
        return reply(whole[begin : begin + 1], status, headers=span, length=100_000 - begin)

    server = script(one_byte_more)

    with pytest.raises(errors.TransportError):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert len(server.seen) == 6
