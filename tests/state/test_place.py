"""A state is in a folder or on an object store; no other URL makes a folder of that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.state.place import parse_place


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("s3://bucket", "s3://bucket"),
        (" s3://bucket/a/b/ ", "s3://bucket/a/b"),
        ("az://container/a", "az://container/a"),
        ("gs://bucket/a", "gs://bucket/a"),
        (".impex", Path(".impex")),
        ("../state", Path("../state")),
        (Path("/var/lib/impex"), Path("/var/lib/impex")),
    ],
)
def test_place_is_folder_or_store(given: str | Path, place: str | Path) -> None:
    """A store's URL stays a text, for a path would lose one of its slashes."""
    assert parse_place(given) == place


@pytest.mark.parametrize(
    "given",
    [
        "s3:/bucket/a",
        "s3a://bucket/a",
        "https://bucket.s3.amazonaws.com/a",
        "file:///var/lib/impex",
        "sftp://host/a",
    ],
)
def test_other_urls_are_refused(given: str | Path) -> None:
    """The message names what is possible and repeats no secret."""
    with pytest.raises(UsageError, match=r"is a URL, not a local path; .*s3://BUCKET") as caught:
        parse_place(given)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "the state is empty; "),
        (" ", "the state is empty; "),
        ("S3://bucket/a", "its scheme in lower case"),
        ("s3://", "give s3://NAME/PREFIX"),
        ("s3:///a", "give s3://NAME/PREFIX"),
        ("az://container/a b", "without user, query, fragment and spaces"),
        ("s3://key:secret@bucket/a", "without user, query, fragment and spaces"),
        ("gs://bucket/a?token=secret", "without user, query, fragment and spaces"),
        (Path("s3://bucket/secret"), "give the URL of a state as text, not as a Path"),
    ],
)
def test_malformed_places_are_refused(given: str | Path, message: str) -> None:
    """The message says what is wrong with the URL of a store, and repeats no secret."""
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        parse_place(given)

    assert "secret" not in str(caught.value)
