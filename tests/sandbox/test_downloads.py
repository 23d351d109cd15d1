"""Downloads: raw paths, short lives, ranges, no credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def url_of(call: Any) -> str:
    """Export and return the download URL."""
    status = call.export(inputs={"services": ["motor/pricing"]})
    return str(status["outputs"]["files"][0]["file"])


def get(call: Any, url: str, **headers: str) -> Any:
    """Download without credentials."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return call("GET", url, headers=fields)


def test_a_download_needs_no_credentials(call: Any) -> None:
    """The URL alone opens the package, on an origin of its own."""
    url = url_of(call)

    answer = get(call, url)

    assert url.startswith(call.sandbox.download_origin)
    assert not url.startswith(call.api)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    assert "authorization" not in call.sandbox.requests[-1].headers
    assert call.sandbox.requests[-1].origin == "download"


def test_the_token_travels_percent_encoded(call: Any) -> None:
    """Every URL has an encoded slash, plus and equals sign, and only the raw path opens it."""
    url = url_of(call)

    assert all(mark in url for mark in ("%2F", "%2B", "%3D"))
    assert get(call, unquote(url)).status == 404
    assert get(call, url.replace("%2F", "%2f")).status == 404


def test_the_token_is_not_the_api(call: Any) -> None:
    """The download origin serves packages by GET and nothing else."""
    url = url_of(call)

    assert call("POST", url, b"", {}).status == 404
    assert call("GET", f"{call.sandbox.download_origin}/health").status == 404


def test_expired_url_is_renewed(start: Callable[..., Any], clock: Any) -> None:
    """After its life a URL answers 403, and the status offers another that works."""
    call = start(url_seconds=60)
    status = call.export(inputs={"services": ["motor/pricing"]})
    old = status["outputs"]["files"][0]["file"]

    clock.tick(60)
    expired = get(call, old)
    new = call("GET", status["status_url"]).json["outputs"]["files"][0]["file"]

    assert expired.status == 403
    assert get(call, old).status == 403
    assert get(call, new).status == 200


def test_url_is_stable_until_expiry(call: Any) -> None:
    """Looking at the status again does not change a URL that still works."""
    status = call.export(inputs={"services": ["motor/pricing"]})

    again = call("GET", status["status_url"]).json

    assert again["outputs"] == status["outputs"]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10-999999999", slice(10, None)),
    ],
)
def test_a_range_gives_its_part(call: Any, asked: str, part: slice) -> None:
    """A range is answered with 206, the right bytes and where they belong."""
    url = url_of(call)
    whole = get(call, url).body

    answer = get(call, url, Range=asked)

    first = part.indices(len(whole))[0]
    last = first + len(whole[part]) - 1
    assert answer.status == 206
    assert answer.body == whole[part]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_range_beyond_end_is_416(call: Any) -> None:
    """A range that begins after the last byte tells the size."""
    url = url_of(call)
    size = len(get(call, url).body)

    answer = get(call, url, Range=f"bytes={size}-")

    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=0-1,3-4", "bytes=9-3", "lines=1-2", "x"])
def test_an_unusable_range_is_ignored(call: Any, asked: str) -> None:
    """What is no single range of bytes gets the whole package."""
    assert get(call, url_of(call), Range=asked).status == 200


def test_if_range_decides_by_the_etag(call: Any) -> None:
    """A part is given only where the ETag is still the same."""
    url = url_of(call)
    etag = get(call, url).headers["etag"]

    same = get(call, url, Range="bytes=5-", If_Range=etag)
    other = get(call, url, Range="bytes=5-", If_Range='"other"')

    assert (same.status, other.status) == (206, 200)


def test_ranges_can_be_turned_off(start: Callable[..., Any]) -> None:
    """Without ranges the whole package comes, without ETag and without promise."""
    call = start(ranges=False)

    answer = get(call, url_of(call), Range="bytes=5-")

    assert answer.status == 200
    assert not {"etag", "accept-ranges"} & set(answer.headers)
