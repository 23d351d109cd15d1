"""All files of a job: their names, a new link, and nothing left behind."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.spark.download.request import Downloads

if TYPE_CHECKING:
    from pathlib import Path


def test_files_of_one_name_are_numbered(
    session_to: Any, script: Any, reply: Any, package: Any, tmp_path: Path
) -> None:
    """Nothing is overwritten, and the order of the job is kept."""
    server = script(reply(package()))
    files = [RemoteFile(f"{server.url}/{number}/p.zip") for number in range(3)]

    replies = Downloads(session_to(server)).download_all(files, tmp_path / "new" / "out")

    assert [one.path.name for one in replies if one.path] == ["p.zip", "p-2.zip", "p-3.zip"]
    assert [one.buffer for one in replies] == [b""] * 3


def test_failed_file_leaves_no_partial(
    session_to: Any, script: Any, reply: Any, package: Any, tmp_path: Path
) -> None:
    """A partial export never has its final names."""
    good, bad = script(reply(package())), script(reply(b"<html>", status=404))
    files = [RemoteFile(f"{server.url}/p.zip") for server in (good, bad)]

    with pytest.raises(errors.NotFoundError):
        Downloads(session_to(good)).download_all(files, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_a_wrong_hash_refuses_a_whole_package(
    session_to: Any, script: Any, reply: Any, package: Any, tmp_path: Path
) -> None:
    """A package that is not the announced one gets no name, and is not fetched for ever."""
    server = script(reply(package()))

    with pytest.raises(errors.IntegrityError, match="announced sha256"):
        Downloads(session_to(server)).download_all([RemoteFile(server.url, "ab" * 32)], tmp_path)

    assert not list(tmp_path.iterdir())
    assert len(server.seen) == 3


def test_damaged_file_is_downloaded_again(
    session_to: Any, script: Any, reply: Any, package: Any
) -> None:
    """A damaged file is not resumed, though the server would support it."""
    etag = {"ETag": '"one"'}
    damaged = [package()[:-9] + b"SPOILT!!!", b"<html>Sign in</html>"]
    server = script(*[reply(body, headers=etag) for body in (*damaged, package())])
    announced = hashlib.sha256(package()).hexdigest()

    replies = Downloads(session_to(server)).download_all([RemoteFile(server.url, announced)], None)

    assert replies[0].buffer == package()
    assert [one.headers.get("range") for one in server.seen] == [None] * 3


def test_a_login_page_is_no_package(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """A 200 with HTML is refused, on disk and in memory, and leaves nothing."""
    server = script(reply(b"<html>Sign in</html>"))
    downloads = Downloads(session_to(server))

    for to in (tmp_path, None):
        with pytest.raises(errors.IntegrityError, match="HTML page"):
            downloads.download_all([RemoteFile(server.url)], to)

    assert not list(tmp_path.iterdir())
    assert len(server.seen) == 6


def test_new_link_resumes_the_file(session_to: Any, script: Any, reply: Any, package: Any) -> None:
    """Only the bytes count, not the link that they came by."""
    whole = package(random.Random(1).randbytes(600_000))  # noqa: S311 - bytes to serve
    at, etag = 1 << 18, {"ETag": '"one"'}
    cut = reply(whole[:at], headers=etag, length=len(whole))
    old = script(cut, reply(status=403))
    part = {**etag, "Content-Range": f"bytes {at}-{len(whole) - 1}/{len(whole)}"}
    new = script(reply(whole[at:], 206, headers=part))
    downloads = Downloads(session_to(old), lambda: [RemoteFile(new.url)])

    replies = downloads.download_all([RemoteFile(old.url)], None)

    assert replies[0].buffer == whole
    assert new.seen[0].headers["range"] == f"bytes={at}-"


def test_an_expired_link_is_renewed_once(
    session_to: Any, script: Any, reply: Any, package: Any
) -> None:
    """The job's status gives the new link at the same index."""
    old, new = script(reply(status=403)), script(reply(package()))
    renew = [RemoteFile(f"{new.url}/p.zip")]

    replies = Downloads(session_to(old), lambda: renew).download_all([RemoteFile(old.url)], None)

    assert replies[0].buffer == package()
    assert replies[0].path is None


def test_link_without_renewal_fails(session_to: Any, script: Any, reply: Any) -> None:
    """If the job has no file any more, the refusal is raised."""
    server = script(reply(status=410))

    with pytest.raises(errors.UnknownApiError, match="HTTP 410"):
        Downloads(session_to(server), lambda: ()).download_all([RemoteFile(server.url)], None)


def test_uncreatable_folder_is_one_line(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """A file in the way of the output folder is an error of the delivery."""
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.DeliveryError, match="name another folder"):
        Downloads(session_to(script(reply()))).download_all([], tmp_path / "file" / "out")
