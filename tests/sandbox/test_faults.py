"""Injected faults change the replies as their scripts say."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.sandbox.faults import KINDS, PLACES, Fault, FaultInjector, parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Give a function that serves one service through some faults."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    served: list[Sandbox] = []

    def start(*faults: str, **settings: Any) -> Sandbox:
        parsed = tuple(parse_fault(text) for text in faults)
        served.append(Sandbox(tmp_path / "acme", Settings(faults=parsed, **settings)).start())
        return served[-1]

    yield start
    for sandbox in served:
        sandbox.close()


def create(sandbox: Sandbox, **options: Any) -> requests.Response:
    """Ask for an export."""
    return requests.post(
        f"{sandbox.base_url}/api/v4/export",
        headers={"Authorization": f"Bearer {sandbox.token}"},
        data=json.dumps({"inputs": {"folders": ["life"]}}),
        timeout=options.pop("timeout", 10),
        **options,
    )


def status(sandbox: Sandbox, job_id: str) -> requests.Response:
    """Look at an export."""
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    url = f"{sandbox.base_url}/api/v4/export/{job_id}/status"
    return requests.get(url, headers=headers, timeout=10)


def link(sandbox: Sandbox) -> str:
    """Return the download link of a new export."""
    job_id = create(sandbox).json()["id"]
    return str(status(sandbox, job_id).json()["outputs"]["files"][0]["file"])


def fetch(url: str, **headers: str) -> requests.Response:
    """Download, without following redirects."""
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


FAULTS = st.builds(
    lambda place, first, more, what, argument: Fault(
        place, first, None if more is None else first + more, what, argument
    ),
    st.sampled_from(sorted(PLACES)),
    st.integers(1, 99),
    st.none() | st.integers(0, 9),
    st.sampled_from([*KINDS, "503", "429"]),
    st.sampled_from(["", "3", "retry=3"]),
)


@given(FAULTS)
def test_fault_round_trips(fault: Fault) -> None:
    """Text and value say the same, whichever comes first."""
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("status", "is not PLACE@WHICH=WHAT"),
        ("nowhere@1=503", "'nowhere' is not one of token, create"),
        ("status@1=explode", "'explode' is not an HTTP status or one of invalid, reset"),
        ("status@0=503", "counts requests from 1"),
        ("status@3-2=503", "counts requests from 1"),
    ],
)
def test_invalid_fault_lists_choices(text: str, message: str) -> None:
    """One line that names the part and the choices."""
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_fault(text)


def test_fault_hits_counted_requests(sky: Any) -> None:
    """The second and third look fail, the others do not, and the sandbox tells how often."""
    sandbox = sky("status@2-3=503")
    job_id = create(sandbox).json()["id"]

    seen = [status(sandbox, job_id).status_code for _ in range(4)]

    assert seen == [200, 503, 503, 200]
    assert sandbox.faults.hits == {"status@2-3=503": 2}


@pytest.mark.parametrize(
    ("fault", "code", "word"),
    [
        ("create@1=503", 503, "WEATHER"),
        ("create@1=502:html", 502, "<!doctype html>"),
        ("create@1=invalid", 500, "invalid_input"),
        ("create@1=busy:429", 429, "in progress"),
        ("create@1=token-expired", 401, "INVALID_TOKEN"),
        ("create@1=forget", 500, "INVALID_JOB_ID"),
        ("create@1=html", 200, "Sign in"),
        ("create@1=text", 200, "all is well"),
        ("create@1=empty", 200, ""),
    ],
)
def test_an_answer_replaces_the_tenants_own(sky: Any, fault: str, code: int, word: str) -> None:
    """Status and words are scripted, and nothing was done."""
    sandbox = sky(fault)

    reply = create(sandbox)

    assert (reply.status_code, sandbox.jobs_created) == (code, 0)
    assert word in reply.text


@pytest.mark.parametrize(("argument", "pattern"), [("retry=3", r"3"), ("date=3", r"\w+, .* GMT")])
def test_a_status_may_ask_to_wait(sky: Any, argument: str, pattern: str) -> None:
    """Retry-After in both of its forms."""
    reply = create(sky(f"create@1=429:{argument}"))

    assert re.fullmatch(pattern, reply.headers["Retry-After"])


@pytest.mark.parametrize(("fault", "jobs"), [("create@1=reset", 0), ("create@1=swallow", 1)])
def test_lost_reply_creates_job(sky: Any, fault: str, jobs: int) -> None:
    """The connection breaks in both cases; only in one was the job created."""
    sandbox = sky(fault)

    with pytest.raises(requests.ConnectionError):
        create(sandbox)

    assert sandbox.jobs_created == jobs


def test_hanging_request_ends(sky: Any) -> None:
    """The client's time limit works, and close does not wait for anybody."""
    sandbox = sky("create@1=hang")

    with pytest.raises(requests.Timeout):
        create(sandbox, timeout=0.2)
    began = time.monotonic()
    sandbox.close()

    assert time.monotonic() - began < 5


def test_body_faults(sky: Any) -> None:
    """Cut: fewer bytes than announced; short: fewer, as announced; corrupt: one byte differs."""
    sandbox = sky("download@2=cut:100", "download@3=short:100", "download@4=corrupt")
    url = link(sandbox)
    good = fetch(url)

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="100 bytes read"):
        fetch(url)
    short, corrupt = fetch(url), fetch(url)

    assert (short.content, short.headers["Content-Length"]) == (good.content[:100], "100")
    assert len(corrupt.content) == len(good.content)
    assert sum(a != b for a, b in zip(corrupt.content, good.content, strict=True)) == 1


def test_a_link_runs_out_and_redirects(sky: Any) -> None:
    """An expired link answers with its status; a redirect leads to a real reply."""
    sandbox = sky("download@1=expired:410", "download@2=redirect")
    url = link(sandbox)

    gone, moved = fetch(url), fetch(url)

    assert (gone.status_code, moved.status_code) == (410, 302)
    assert fetch(moved.headers["Location"]).status_code == 200


def test_range_faults(sky: Any) -> None:
    """Without faults a range is answered with 206; with them the whole file comes."""
    sandbox = sky("download@3=no-ranges", "download@4=new-etag")
    url = link(sandbox)
    etag = fetch(url).headers["ETag"]
    part = {"Range": "bytes=10-", "If-Range": etag}

    seen = [fetch(url, **part).status_code for _ in range(3)]

    assert seen == [206, 200, 200]


def test_status_faults_change_json(sky: Any) -> None:
    """The word is replaced and nothing is delivered yet; or all lists are null."""
    sandbox = sky("status@1=word:archiving", "status@2=null-lists")
    job_id = create(sandbox).json()["id"]

    word, lists = status(sandbox, job_id).json(), status(sandbox, job_id).json()

    assert (word["status"], word["outputs"]) == ("archiving", None)
    assert (lists["status"], set(lists["outputs"].values())) == ("closed", {None})


def test_a_reply_may_be_large(sky: Any) -> None:
    """So many bytes are announced and sent, rounded down to pieces of 64 KiB."""
    sandbox = sky("status@1=large:200000")

    reply = status(sandbox, create(sandbox).json()["id"])

    assert (reply.headers["Content-Length"], len(reply.content)) == ("196608", 196608)


def test_a_coding_may_be_none(sky: Any) -> None:
    """The header names no compression, and the bytes are as they were."""
    sandbox = sky("download@2=coding", "download@3=coding:utf-8")
    url = link(sandbox)

    plain, binary, text = (fetch(url) for _ in range(3))

    codings = [each.headers.get("Content-Encoding") for each in (plain, binary, text)]
    assert codings == [None, "binary", "utf-8"]
    assert plain.content == binary.content == text.content


def test_a_slow_body_is_paced(sky: Any) -> None:
    """20,000 bytes a second are sent as pieces of 1,000 with a pause before each."""
    sandbox, pauses = sky("download@1=slow:20000"), []
    sandbox.faults.pause = pauses.append

    size = len(fetch(link(sandbox)).content)

    assert len(pauses) == -(-size // 1000)
    assert set(pauses) == {0.05}


def test_page_documents_every_fault() -> None:
    """The how-to lists every place and every kind."""
    page = Path(__file__).parent.parent.parent / "docs/how-to/sandbox.md"
    text = page.read_text(encoding="utf-8")

    assert [name for name in [*PLACES, *KINDS] if f"`{name}" not in text] == []


def test_good_weather_disturbs_nothing() -> None:
    """Without faults the handle's own answer comes back."""
    injector = FaultInjector(())

    handle = injector.wrap(lambda request: request)  # type: ignore[arg-type,return-value]

    request = type("Request", (), {"method": "GET", "path": "/x"})()
    assert handle(request) is request
    assert not injector.hits
