"""Routes: which paths a pattern fits, and what its segments are."""

from __future__ import annotations

import io

import pytest

from spark_impex_runner.sandbox.http.messages import Request, json_reply
from spark_impex_runner.sandbox.http.routing import Route


def segments(path: str, method: str = "GET") -> list[str] | None:
    """Ask a route with one segment for its segments."""
    route = Route("GET", "/Acme/export/{}/status", lambda _: json_reply({}))
    return route.segments(Request(method, path, "", {}, io.BytesIO()))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/Acme/export/1a/status", "1a"),
        ("/acme/EXPORT/1A/Status", "1A"),
        ("/Acme/export/a%2Fb%20c/status", "a/b c"),
    ],
)
def test_segments_are_decoded(path: str, found: str) -> None:
    """Letter case does not matter outside of segments; an encoded slash is part of its segment."""
    assert segments(path) == [found]


@pytest.mark.parametrize(
    "path",
    [
        "/Acme/export//status",
        "/Acme/export/status",
        "/Acme/export/1a/status/",
        "/Acme/export/1a/b/status",
        "/Bcme/export/1a/status",
        "//Acme/export/1a/status",
    ],
)
def test_other_paths_do_not_match(path: str) -> None:
    """A segment is never empty and never two."""
    assert segments(path) is None


def test_other_methods_do_not_match() -> None:
    """The method is part of a route."""
    assert segments("/Acme/export/1a/status", "PATCH") is None
