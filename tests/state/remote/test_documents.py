"""Objects as they are written and read: rows of any content, keys of any name, older schemas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.state.migrations import MIGRATIONS
from spark_impex_runner.state.remote.document import Document, Owner, decode, object_key
from spark_impex_runner.state.remote.rows import Rows
from spark_impex_runner.state.storage import Scope

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#"), min_size=1)
SCOPE = Scope("target", "nightly/motor")


def attempt(number: int, **more: object) -> dict[str, object]:
    """Return a row of an attempt, as the first schema has it."""
    row = {"id": number, "run_id": "r1", "target": SCOPE.key, "tenant": "acme"}
    return {**row, "fingerprint": "fp", "correlation_id": "c", "intended": "2026-01-01", **more}


@given(
    error=TEXT,
    seconds=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    values=st.dictionaries(st.tuples(TEXT, TEXT), TEXT, max_size=4),
    fence=st.integers(0, 10**9),
)
def test_rows_are_read_as_they_were_written(
    error: str, seconds: float | None, values: dict[tuple[str, str], str], fence: int
) -> None:
    """Whatever texts and numbers they have, through the bytes of an object."""
    rows, others = Rows(), Rows()
    tables = {
        "attempts": [attempt(1, error=error, seconds=seconds)],
        "memories": [
            {"target": SCOPE.key, "uses": uses, "key": key, "value": value}
            for (uses, key), value in values.items()
        ],
    }
    rows.load(SCOPE, tables, len(MIGRATIONS))
    owner = Owner("leases/r1/x.json", error, 1, "2026")
    document = Document(SCOPE.key, rows.dump(SCOPE), owner, fence)

    found = decode(document.encode(), "s3://b/k")
    others.load(SCOPE, found.tables, found.schema)

    assert found == document
    assert others.dump(SCOPE) == rows.dump(SCOPE)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=2, unique=True))
def test_scopes_never_share_an_object(names: list[tuple[str, str]]) -> None:
    """Two targets have two keys, none of which leaves its folder; neither do runs."""
    keys = {object_key(Scope("target", f"{manifest}/{target}")) for manifest, target in names}
    keys |= {object_key(Scope("run", name)) for name, _ in names}

    joined = {"/".join(each) for each in names}
    assert len(keys) == len(joined) + len({name for name, _ in names})
    assert not [each for each in keys for part in each.split("/") if not part.strip(".")]


def test_objects_of_older_runners_are_migrated() -> None:
    """Their rows become what the migrations make of a state file's."""
    rows = Rows()

    rows.load(SCOPE, {"attempts": [attempt(7, job_id="job-1", work="w")]}, 3)

    (row,) = rows.dump(SCOPE)["attempts"]
    assert (row["job_id"], row["work"], row["held"]) == ("job-1", "w", "")
    (outcome,) = rows.dump(SCOPE)["outcomes"]
    assert (outcome["run_id"], outcome["attempt"]) == ("r1", row["id"])


@pytest.mark.parametrize(
    "tables",
    [
        {"attempts": [{"id": 1, "no_such_column": 1}]},
        {"attempts": [{"id": 1, "target) --": 1}]},
        {"artifacts": [{"attempt": 99, "name": "x"}]},
        {"attempts": [{"id": 1}]},
    ],
)
def test_rows_that_do_not_fit_are_refused(tables: dict[str, list[dict[str, object]]]) -> None:
    """Nothing of them is kept."""
    rows = Rows()

    with pytest.raises(ValueError, match="do not fit"):
        rows.load(SCOPE, tables, len(MIGRATIONS))

    assert not any(rows.dump(SCOPE).values())
