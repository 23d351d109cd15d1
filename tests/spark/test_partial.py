"""Downloads go on where they were cut: in one call, in the next process, and only if it fits."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner import disk, errors
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.download import partial
from spark_impex_runner.spark.download.files import commit, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import Artifact

MIB = 1 << 20
CUT = 1_500_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tenant whose package has three megabytes."""
    version = tmp_path_factory.mktemp("tree") / "acme/life/annuity/1.0.0"
    version.mkdir(parents=True)
    (version / "model.data").write_bytes(random.Random(1).randbytes(3_000_000))  # noqa: S311 - bytes
    return version.parent.parent.parent


@pytest.fixture
def served(tree: Path, clock: Any) -> Iterator[Callable[..., tuple[Sandbox, Spark, RemoteFile]]]:
    """Give a function that serves a finished job through faults at its downloads."""
    opened: list[Any] = []

    def start(*faults: str, **given: Any) -> tuple[Sandbox, Spark, RemoteFile]:
        parsed = tuple(parse_fault(f"download@{text}") for text in faults)
        sandbox = Sandbox(tree, Settings(faults=parsed, **given), clock=clock.monotonic).start()
        spark = Spark(base_url=sandbox.base_url, token=sandbox.token, clock=clock)
        opened.extend([spark, sandbox])
        job = spark.impex.exports.initiate(folders=["life"]).data["id"]
        return sandbox, spark, spark.impex.exports.status(job).files[0]

    yield start
    for each in opened:
        each.close()


def ranges(sandbox: Sandbox) -> list[str]:
    """Return the Range header of each download request."""
    return [r.headers.get("range", "") for r in sandbox.requests if r.origin == "download"]


def download(spark: Spark, remote: RemoteFile, path: Path) -> Artifact:
    """Fetch, and check that the tenant's hash agrees with the whole file."""
    artifact = fetch(spark.session, remote, path)
    assert artifact.hash_agreed is True
    assert artifact.size == path.stat().st_size
    return artifact


def test_cut_download_requests_the_rest(served: Any, tmp_path: Path) -> None:
    """The second request begins where the first was cut, guarded by If-Range."""
    sandbox, spark, remote = served("1=cut:1500000")

    artifact = download(spark, remote, tmp_path / "p")

    assert ranges(sandbox) == ["", f"bytes={CUT}-"]
    assert sandbox.bytes_downloaded == artifact.size


def test_next_process_resumes(served: Any, tmp_path: Path, clock: Any) -> None:
    """After an interrupt, a new call requests the rest by a new link."""
    sandbox, spark, remote = served("1=cut:1500000", "2-=reset")
    clock.at_wait = lambda _: clock.stop(2)
    with pytest.raises(errors.Interrupted):
        fetch(spark.session, remote, tmp_path / "p")
    clock.restart()
    job = spark.impex.exports.listed()[0].id
    sandbox.faults._faults = ()

    download(spark, spark.impex.exports.status(job).files[0], tmp_path / "p")

    assert ranges(sandbox)[-1] == f"bytes={CUT}-"


def test_resume_info_holds_no_link(served: Any, tmp_path: Path) -> None:
    """The info has validator, length and hash, and is removed with the partial file."""
    _, spark, remote = served("1=cut:1500000", "2-=503")
    with pytest.raises(errors.ImpexError):
        fetch(spark.session, remote, tmp_path / "p")
    mark = json.loads((tmp_path / "p.json").read_text())
    assert set(mark) == {"validator", "length", "file_hash", "coding"}
    assert "token" not in str(mark)

    spark.session.http.transport.close()
    commit(tmp_path / "p", tmp_path / "package.zip")

    assert [path.name for path in tmp_path.iterdir()] == ["package.zip"]


@pytest.mark.parametrize("fault", ["2=no-ranges", "2=new-etag"])
def test_ignored_range_restarts_download(served: Any, tmp_path: Path, fault: str) -> None:
    """A whole file in answer to a range replaces what was there."""
    sandbox, spark, remote = served("1=cut:1500000", fault)

    artifact = download(spark, remote, tmp_path / "p")

    assert sandbox.bytes_downloaded == artifact.size + 1_500_000


def test_server_without_ranges_restarts(served: Any, tmp_path: Path) -> None:
    """No validator, no part."""
    sandbox, spark, remote = served("1=cut:1500000", ranges=False)

    download(spark, remote, tmp_path / "p")

    assert ranges(sandbox) == ["", ""]


@pytest.mark.parametrize(
    "mark",
    [
        "",
        "[]",
        "{}",
        '{"validator": 1, "length": "x", "file_hash": null}',
        '{"validator": "\\"e\\"", "length": 500, "file_hash": "other"}',
        "[" * 100_000,
    ],
)
def test_wrong_resume_info_restarts_download(served: Any, tmp_path: Path, mark: str) -> None:
    """Bytes of something else are never the beginning of this file."""
    sandbox, spark, remote = served()
    (tmp_path / "p").write_bytes(b"something else")
    (tmp_path / "p.json").write_text(mark)

    download(spark, remote, tmp_path / "p")

    assert ranges(sandbox) == [""]


@pytest.mark.parametrize(
    ("validator", "length", "file_hash", "sound"),
    [
        ('"e"', 9, "h", True),
        ('"e"', 4, "h", True),
        ('"e"\r\nX-Other: y', 9, "h", False),
        ("", 9, "h", False),
        ('"e"', 3, "h", False),
        ('"e"', 9, "other", False),
        ('"e"', 9, None, False),
    ],
)
def test_only_valid_resume_info_is_read(
    tmp_path: Path, validator: str, length: int, file_hash: str | None, sound: bool
) -> None:
    """Its validator can be sent in a header, length and hash fit, and there are bytes to resume."""
    (tmp_path / "p").write_bytes(b"four")
    info = partial.ResumeInfo(validator, length, file_hash)
    partial.write(tmp_path / "p", info)

    assert partial.read(tmp_path / "p", "h") == (info if sound else None)


@pytest.mark.parametrize(("part", "resumed"), [(b"", False), (b"1", True)])
def test_a_single_byte_is_resumed(tmp_path: Path, part: bytes, resumed: bool) -> None:
    """An empty file has nothing to resume."""
    (tmp_path / "p").write_bytes(part)
    partial.write(tmp_path / "p", partial.ResumeInfo('"e"', 9, None))

    assert bool(partial.read(tmp_path / "p", None)) is resumed


@pytest.mark.parametrize("validator", ['"e"', "Fri, 02 Jan 2026 12:00:00 GMT"])
@pytest.mark.parametrize(("end", "span"), [(None, "3-9"), (7, "3-6")])
def test_range_is_asked_for_and_answered(validator: str, end: int | None, span: str) -> None:
    """By the last byte, not the one behind it; the reply repeats the validator and the length."""
    info = partial.ResumeInfo(validator, 10, None)
    name = "ETag" if validator == '"e"' else "Last-Modified"
    reply = {name: validator, "Content-Range": f"bytes {span}/10"}

    asked = info.range_headers(3, end)

    assert asked == {"Range": f"bytes={span if end else '3-'}", "If-Range": validator}
    assert info.matches(reply, 3, end)
    assert not info.matches({**reply, name: '"other"'}, 3, end)
    for other in ("3-7/10", "2-6/10", f"{span}/11"):
        assert not info.matches({**reply, "Content-Range": f"bytes {other}"}, 3, end)
    assert not info.matches({**reply, "Content-Encoding": "gzip"}, 3, end)


@pytest.mark.parametrize(
    ("chunks", "length", "is_marked"),
    [
        ([], 9, False),
        ([b"1"], 9, True),
        ([b"four"], 9, True),
        ([b"four"], 4, False),
        ([bytes(MIB)], 9 * MIB, True),
    ],
)
def test_resumable_file_gets_resume_info(
    tmp_path: Path, chunks: list[bytes], length: int, is_marked: bool
) -> None:
    """There are bytes, and more to come."""
    info = partial.ResumeInfo('"e"', length, None)

    passed = list(partial.with_resume_info(tmp_path / "p", info, chunks))

    assert passed == chunks
    assert (tmp_path / "p.json").is_file() is is_marked


@pytest.mark.parametrize("sizes", [[MIB], [MIB, MIB], [MIB - 1, 1, 1], [1, 1]])
def test_resume_info_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    """When the first mebibyte is there, or when a smaller file stays unfinished."""
    written: list[Path] = []
    monkeypatch.setattr(partial, "write", lambda path, _: written.append(path))
    info = partial.ResumeInfo('"e"', 9 * MIB, None)

    assert [*partial.with_resume_info(tmp_path / "p", info, map(bytes, sizes))]

    assert written == [tmp_path / "p"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EACCES, "no rights"), "here: no rights; check space and rights"),
        (OSError("odd"), "here: odd; check space and rights"),
        (OSError(errno.ENOSPC, "full"), "here: full ([0-9,]+ bytes are free at here; "),
        (OSError(errno.ENOSPC, "full", "there"), "here: full ([0-9,]+ bytes are free at there; "),
    ],
)
def test_errors_of_the_disk_name_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    """A full disk is that of the file which the error names, otherwise that of the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "mount_point", lambda path: path)
    for name in ("here", "there"):
        Path(name).mkdir()

    pattern = f"^{message}".replace("(", r"\(")
    with pytest.raises(errors.DeliveryError, match=pattern), partial.disk_errors(Path("here")):
        raise error


@pytest.mark.parametrize(
    ("text", "length"),
    [
        *[("12", 12), ("0", 0), ("", None), ("-1", None), ("1_0", None), ("\u0663", None)],
        *[("9" * 18, 10**18 - 1), ("9" * 19, None), ("9" * 5000, None)],
    ],
)
def test_a_length_is_plain_digits(text: str, length: int | None) -> None:
    """Any other text is no length."""
    assert partial.length_of({"Content-Length": text}) == length
    assert partial.length_of({}) is None


def test_complete_part_sends_no_request(served: Any, tmp_path: Path) -> None:
    """A run that was killed between the last byte and the name downloads nothing more."""
    sandbox, spark, remote = served()
    first = download(spark, remote, tmp_path / "p")

    second = download(spark, remote, tmp_path / "p")

    assert (second.sha256, ranges(sandbox)) == (first.sha256, [""])


def test_shrunk_file_restarts_download(served: Any, tmp_path: Path) -> None:
    """416: what is here is longer than what is there."""
    sandbox, spark, remote = served()
    size = download(spark, remote, tmp_path / "p").size
    mark = json.loads((tmp_path / "p.json").read_text())
    (tmp_path / "p").write_bytes(b"x" * (size + 5))
    (tmp_path / "p.json").write_text(json.dumps({**mark, "length": size + 10}))

    download(spark, remote, tmp_path / "p")

    assert ranges(sandbox) == ["", f"bytes={size + 5}-", ""]


def test_small_file_gets_no_resume_info(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """A file has resume info from its first mebibyte on."""
    small, large = SERVED[: 1 << 19], SERVED * 2
    for body, names in ((small, ["p"]), (large, ["p", "p.json"])):
        server = script(reply(body, headers=ETAG))

        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

        assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_discard_removes_part_and_info(tmp_path: Path) -> None:
    """Also where there is neither."""
    (tmp_path / "p").touch()
    (tmp_path / "p.json").touch()

    partial.discard(tmp_path / "p")
    partial.discard(tmp_path / "p")

    assert list(tmp_path.iterdir()) == []


FAULT_SEQUENCES = st.lists(
    st.sampled_from(
        ["cut:1", "cut:1200000", "cut:2500000", "503", "reset", "no-ranges", "new-etag"]
    ),
    max_size=6,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=FAULT_SEQUENCES)
def test_any_cuts_give_whole_file(served: Any, tmp_path: Path, sequence: list[str]) -> None:
    """Whatever happens on the way, the hash of the whole agrees in the end."""
    partial.discard(tmp_path / "p")
    faults = [f"{number}={what}" for number, what in enumerate(sequence, 1)]
    _, spark, remote = served(*faults)

    download(spark, remote, tmp_path / "p")


SERVED = random.Random(2).randbytes(700_000)  # noqa: S311 - bytes to serve
HERE = 1 << 18
SPAN = f"bytes {HERE}-{len(SERVED) - 1}/{len(SERVED)}"
ETAG = {"ETag": '"one"'}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {}),
        (206, {"Content-Range": f"bytes 0-{len(SERVED) - 1}/{len(SERVED)}"}),
        (206, {"Content-Range": f"bytes {HERE}-{len(SERVED)}/{len(SERVED) + 1}"}),
        (206, {"Content-Range": f"bytes {HERE}-{HERE + 9}/{len(SERVED)}"}),
        (206, {"Content-Range": SPAN, "ETag": '"two"'}),
        (206, {"Content-Range": SPAN, "ETag": 'W/"one"'}),
        (416, {"Content-Range": f"bytes */{len(SERVED)}"}),
        (416, {"Content-Range": SPAN}),
    ],
)
def test_mismatched_part_is_discarded(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    """Another offset, length or version restarts the download."""
    cut = reply(SERVED[:HERE], headers=ETAG, length=len(SERVED))
    server = script(cut, reply(b"x" * 400_000, status, headers=headers), reply(SERVED))

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert [one.headers.get("range") for one in server.seen] == [None, f"bytes={HERE}-", None]


@pytest.mark.parametrize(
    "sent",
    [
        {"ETag": 'W/"one"'},
        {"ETag": "one"},
        {"ETag": '"\xe9"'},
        {"Last-Modified": " "},
    ],
)
def test_weak_validator_is_not_resumed(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, sent: dict[str, str]
) -> None:
    """What cannot prove the bytes, or not travel back, is no reason to go on."""
    cut = reply(SERVED[:-1], headers=sent, length=len(SERVED))
    server = script(cut, reply(SERVED))

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert [one.headers.get("range") for one in server.seen] == [None, None]


def test_last_modified_is_a_validator(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Without a strong ETag, If-Range has the value of Last-Modified."""
    date = {"Last-Modified": "Fri, 02 Jan 2026 12:00:00 GMT", "ETag": 'W/"weak"'}
    cut = reply(SERVED[:HERE], headers=date, length=len(SERVED))
    rest = reply(SERVED[HERE:], 206, headers={"Content-Range": SPAN})
    server = script(cut, rest)

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert server.seen[1].headers["if-range"] == date["Last-Modified"]


def test_overlong_part_is_discarded(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """A body without an end is left soon behind the announced one."""
    cut = reply(SERVED[:HERE], headers=ETAG, length=len(SERVED))
    endless = reply(bytes(64 << 20), 206, headers={"Content-Range": SPAN}, length=None)
    server = script(cut, endless, reply(status=403))

    with pytest.raises(errors.ForbiddenError):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert list(tmp_path.iterdir()) == []


def test_a_part_with_another_coding_is_refused(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """Bytes that are compressed on the way are not put behind plain ones."""
    cut = reply(SERVED[:HERE], headers=ETAG, length=len(SERVED))
    zipped = {"Content-Range": SPAN, "Content-Encoding": "gzip"}
    server = script(cut, reply(b"x" * len(SERVED[HERE:]), 206, headers=zipped), reply(SERVED))

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == SERVED
    assert "range" not in server.seen[2].headers


def test_resume_info_never_describes_old_bytes(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """A run that ends between the two cannot take the old bytes for the beginning of the new."""
    (tmp_path / "p").write_bytes(b"old")
    (tmp_path / "p.json").mkdir()
    server = script(reply(SERVED, headers=ETAG))

    with pytest.raises(errors.DeliveryError, match=r"p\.json"):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert not (tmp_path / "p").exists()


def test_bytes_are_synced_before_rename(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synchronised once, when it is whole."""
    synced: list[tuple[int, int]] = []

    def fsync(number: int) -> None:
        found = os.fstat(number)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    server = script(reply(SERVED))

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert synced == [((tmp_path / "p").stat().st_ino, len(SERVED))]


def test_failed_removal_is_reported(tmp_path: Path) -> None:
    """A folder in the place of the partial file is an error of the delivery."""
    (tmp_path / "p").mkdir()

    with pytest.raises(errors.DeliveryError, match="check space and rights"):
        partial.discard(tmp_path / "p")


def answer(reply: Any, kind: str, cut: int) -> Any:
    """Return a function that answers a request honestly, cut off, or with a lie."""
    size = len(SERVED)

    def make(seen: Any) -> Any:
        asked = seen.headers.get("range") if seen.headers.get("if-range") == '"one"' else None
        at = int(asked[6:-1]) if asked and kind != "whole" else 0
        span = {**ETAG, "Content-Range": f"bytes {at}-{size - 1}/{size}"}
        lies = {
            "other place": {**span, "Content-Range": f"bytes {at + 1}-{size - 1}/{size}"},
            "other length": {**span, "Content-Range": f"bytes {at}-{size}/{size + 1}"},
            "other version": {**span, "ETag": '"two"'},
            "gzip": {**span, "Content-Encoding": "gzip"},
        }
        if kind in {"416", "503"}:
            return reply(b"", int(kind))
        if kind in lies:
            return reply(b"x" * cut, 206, headers=lies[kind])
        if kind == "longer":
            return reply(SERVED[at:] + b"more", 206, headers=span, length=None)
        status, headers = (206, span) if at else (200, ETAG)
        body = SERVED[at:] if kind == "honest" else SERVED[at:][:cut]
        return reply(body, status, headers=headers, length=size - at)

    return make


KINDS = ["honest", "whole", "cut", "416", "503", "longer", "gzip"]
KINDS += ["other place", "other length", "other version"]
# The last answer is given for ever, and a single byte is progress, too.
CUTS = st.sampled_from(range(0, len(SERVED) + 1, 20_000))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KINDS), CUTS), min_size=1))
def test_any_reply_keeps_file_correct(
    session_to: Any, tmp_path: Path, script: Any, reply: Any, answers: list[tuple[str, int]]
) -> None:
    """The file is what was served, or the error is one of ours and the part is its beginning."""
    path = tmp_path / "p"
    partial.discard(path)
    server = script(*(answer(reply, *each) for each in answers))

    try:
        fetch(session_to(server), RemoteFile(server.url), path)
    except errors.ImpexError:
        assert SERVED.startswith(path.read_bytes() if path.exists() else b"")
    else:
        assert path.read_bytes() == SERVED


def test_full_disk_keeps_the_part(served: Any, tmp_path: Path) -> None:
    """The error names the file; with free space the same call requests the rest."""
    sandbox, spark, remote = served()
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from spark_impex_runner import Spark\n"
        "from spark_impex_runner.models import RemoteFile\n"
        "from spark_impex_runner.spark.download.files import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2097152, resource.RLIM_INFINITY))\n"
        "base, token, url, hash_, path = sys.argv[1:]\n"
        "with Spark(base_url=base, token=token) as spark:\n"
        "    fetch(spark.session, RemoteFile(url, hash_), Path(path))\n"
    )
    given = [sandbox.base_url, sandbox.token, remote.url, remote.file_hash or ""]
    given.append(str(tmp_path / "p"))
    process = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=False
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert f"DeliveryError: {tmp_path / 'p'}: File too large; check space" in process.stderr
    assert (tmp_path / "p").stat().st_size == 2 * MIB

    download(spark, remote, tmp_path / "p")

    assert ranges(sandbox)[-1] == f"bytes={2 * MIB}-"
