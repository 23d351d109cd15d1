"""Listings of a tenant are read to the last page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import (
    NotFoundError,
    ServiceUnavailableError,
    SparkSdkError,
    UnauthorizedError,
)
from spark_impex_runner.spark import listing
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.listing import folders, services, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from spark_impex_runner.spark.http.session import Session


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page hold three rows."""
    monkeypatch.setattr(listing, "PAGE_SIZE", 3)


def envelope(names: Iterable[str], count: Any = None) -> dict[str, Any]:
    """Return a reply's body whose rows have names of one letter."""
    rows = [{"id": f"id-{name}", "name": name} for name in names]
    return {"count": count, "next": None, "data": rows, "errorCode": None, "status": "Success"}


@pytest.mark.parametrize("number", [0, 2, 3, 4, 7])
def test_lists_every_folder(tree: Path, sandbox: Any, connect: Any, number: int) -> None:
    """Over as many pages as it takes."""
    for index in range(number):
        (tree / f"f{index}" / "service" / "1.0.0").mkdir(parents=True)
    spark = connect(sandbox())

    found = set(folders(spark.session))

    assert found == {f"f{index}" for index in range(number)} | {"my-folder", "my-other-folder"}


@pytest.mark.parametrize(
    ("pages", "expected", "requests"),
    [
        (["abc", "de"], "abcde", 2),
        (["abc", ""], "abc", 2),
        (["abc", "abc"], "abc", 2),
        (["abcdef"], "abcdef", 2),
        ([""], "", 1),
        (["ab"], "ab", 1),
        (["abc", "cde", "f"], "abcdef", 3),
    ],
    ids=["short", "empty", "same", "all-at-once", "none", "one", "moved"],
)
def test_rows_end_a_listing(
    script: Any, reply: Any, session_to: Callable[[Any], Session],
    pages: list[str], expected: str, requests: int,
) -> None:  # fmt: skip
    """No metadata about pages is needed, and no row is repeated."""
    server = script(*(reply(envelope(names)) for names in pages))

    assert "".join(folders(session_to(server))) == expected
    assert [json.loads(seen.body)["page"] for seen in server.seen] == [*range(1, requests + 1)]


def test_lists_all_smaller_pages(
    script: Any, reply: Any, session_to: Callable[[Any], Session]
) -> None:
    """Its count promises more than its page holds."""
    server = script(reply(envelope("ab", 4)), reply(envelope("cd", 4)))

    assert "".join(folders(session_to(server))) == "abcd"
    assert len(server.seen) == 2


def test_the_request_is_the_documented_one(
    script: Any, reply: Any, session_to: Callable[[Any], Session]
) -> None:
    """The first version's path names no tenant; a header does."""
    server = script(reply(envelope("a")))

    list(folders(session_to(server)))

    seen = server.seen[0]
    assert (seen.method, seen.path) == ("POST", "/api/v1/product/list")
    assert json.loads(seen.body) == {"page": 1, "pageSize": 3, "sort": "-updated", "search": []}
    assert seen.headers["x-tenant-name"] == "acme"


@pytest.mark.parametrize(
    "body",
    [[], {}, {"data": "x"}, {"data": None, "errorCode": "NO_PERMISSION", "message": "the-token"}],
)
def test_reply_without_list_fails(
    script: Any, reply: Any, session_to: Callable[[Any], Session], body: Any
) -> None:
    """A server that answers 200 to everything does not pass for an empty tenant."""
    with pytest.raises(SparkSdkError, match="holds no list") as error:
        list(folders(session_to(script(reply(body)))))

    assert "the-token" not in str(error.value)


def test_rows_that_name_nothing_are_left_out(
    script: Any, reply: Any, session_to: Callable[[Any], Session]
) -> None:
    """Null is no list of rows, and not every row must have a name."""
    rows = [{"name": None}, {"name": " "}, "x", {"name": "a"}, {}]

    assert list(folders(session_to(script(reply({"data": rows}))))) == ["a"]
    assert list(folders(session_to(script(reply({"data": None}))))) == []


def test_failed_page_is_retried(
    script: Any, reply: Any, session_to: Callable[[Any], Session]
) -> None:
    """A failed page is retried, unless ``once`` is set."""
    failing = reply(status=503)

    assert list(folders(session_to(script(failing, reply(envelope("a")))))) == ["a"]
    with pytest.raises(ServiceUnavailableError):
        list(folders(session_to(script(failing, reply(envelope("a")))), once=True))


def test_listing_refusal_is_raised(
    script: Any, reply: Any, session_to: Callable[[Any], Session]
) -> None:
    """Wrong credentials are not an empty tenant."""
    with pytest.raises(UnauthorizedError):
        list(folders(session_to(script(reply(status=401)))))


def hits(names: str, count: Any = None, pages: Any = None) -> dict[str, Any]:
    """Return a page of services whose names have one letter, as the tenant-wide search does."""
    rows = [{"folderName": "f", "fileName": name, "version": "1.0.0"} for name in names]
    meta = {"count": count, "page_total": pages}
    return {"status": "Success", "response_data": rows, "response_meta": meta}


@pytest.mark.parametrize("number", [1, 3, 4])
def test_lists_every_service(tree: Path, sandbox: Any, connect: Any, number: int) -> None:
    """With its latest version, over as many pages as it takes."""
    for index in range(number):
        (tree / "f" / f"s{index}" / "1.0.0").mkdir(parents=True)
    spark = connect(sandbox())

    found = {each.uri for each in spark.list_services()}

    assert found == {
        *(f"f/s{index}[1.0.0]" for index in range(number)),
        *("my-folder/my-service[0.4.2]", "my-other-folder/my-service-2[1.0.0]"),
    }


def test_lists_versions_of_service(sandbox: Any, connect: Any) -> None:
    """Newest first, each with the id under which it can be exported."""
    spark = connect(sandbox())

    found = spark.list_versions("my-folder", "my-service")

    assert [each.version for each in found] == ["0.4.2", "0.4.1"]
    assert len({each.version_id for each in found if each.version_id}) == 2
    with pytest.raises(NotFoundError, match="my-folder/nothing"):
        spark.list_versions("my-folder", "nothing")


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([hits("abc"), hits("de")], "abcde"),
        ([hits("ab", 4), hits("cd", 4)], "abcd"),
        ([hits("ab", 2, 2), hits("cd", 2, 2)], "abcd"),
        ([hits("abc", 3)], "abc"),
        ([hits("abc"), {"response_data": None, "error": None}], "abc"),
    ],
    ids=["short", "count", "pages", "same", "null"],
)
def test_service_listing_ends_with_rows(
    script: Any, reply: Any, session_to: Any, pages: list[Any], expected: str
) -> None:
    """As that of folders does, in an envelope of its own."""
    server = script(*map(reply, pages))

    assert "".join(each.service for each in services(session_to(server))) == expected


def test_service_request_equals_sdk(script: Any, reply: Any, session_to: Any) -> None:
    """In the whole tenant, but for the pages."""
    server = script(reply(hits("a")))

    list(services(session_to(server)))

    seen, body = server.seen[0], json.loads(server.seen[0].body)["request_data"]
    assert (seen.method, seen.path) == ("POST", "/acme/api/v3/services/search")
    assert (body["page"], body["page_size"], body["search"]) == (1, 3, [])
    assert {"foldername", "filename", "version"} <= set(body["fields"])


@pytest.mark.parametrize(
    "body", [{}, {"response_data": None, "error": {"message": "not for the-token"}}, {"data": []}]
)
def test_reply_without_services_fails(script: Any, reply: Any, session_to: Any, body: Any) -> None:
    """It is not an empty listing; the error has the server's message."""
    with pytest.raises(SparkSdkError, match="holds no list") as error:
        list(services(session_to(script(reply(body)))))

    assert "the-token" not in str(error.value)
    assert ("not for" in str(error.value)) == bool(body.get("error"))


def test_nameless_rows_are_skipped(script: Any, reply: Any, session_to: Any) -> None:
    """A row may lack what it is about."""
    rows = [{"folderName": "f"}, "x", {"fileName": "s"}, {"folderName": "f", "fileName": "s"}]
    numbers = [{"revision": None}, {}, 7, {"revision": "1.0.0", "id": None}]

    found = list(services(session_to(script(reply({"response_data": rows})))))
    known = list(versions(session_to(script(reply({"data": numbers}))), "f", "s"))

    assert [each.uri for each in found] == ["f/s"]
    assert [each.uri for each in known] == ["f/s[1.0.0]"]


@pytest.mark.parametrize("limit", ["LISTED", "LISTING"])
def test_endless_listing_is_refused(
    session_to: Any, script: Any, reply: Any, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """New pages without an end are read up to a limit, which the error names."""
    monkeypatch.setattr(limits, limit, {"LISTED": 30, "LISTING": 5000}[limit])

    def page(seen: Any) -> Any:
        number = json.loads(seen.body)["page"]
        return reply(envelope([f"{number}-{row}" for row in range(3)]))

    server = script(page)

    with pytest.raises(SparkSdkError, match=r"list on .*: the listing has more than .*, the limit"):
        list(folders(session_to(server)))

    assert len(server.seen) < 40
