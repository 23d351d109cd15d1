"""What holds of every comparison, whatever is compared."""

from __future__ import annotations

import json
import unicodedata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import validate

from spark_impex_runner.comparison.compare import SECTIONS, compare
from spark_impex_runner.comparison.metadata import canonical
from spark_impex_runner.models.comparison import OUTPUT_TYPES, Contents, VersionContents
from spark_impex_runner.report.diff import html, text
from spark_impex_runner.report.diff.json import as_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models.comparison import Diff

SCHEMA = json.loads((files("spark_impex_runner.schemas") / "diff.schema.json").read_text())
NAMES = st.sampled_from(["a", "b", "c"]) | st.text(max_size=3)
VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=4)
PROPERTIES = st.dictionaries(
    st.sampled_from(["type", "default", "cell"]), VALUES.map(canonical), max_size=3
)
ITEMS = st.dictionaries(NAMES, PROPERTIES, max_size=3)


@st.composite
def versions(draw: st.DrawFn, service: tuple[str, str]) -> VersionContents:
    """Return a version, each section of which is stated or unknown."""
    stated = draw(st.sets(st.sampled_from(SECTIONS), min_size=5))
    sections = {each: draw(ITEMS) for each in SECTIONS if each in stated}
    if "module" in sections:
        digest = draw(st.sampled_from(["0a", "0b"]))
        sections["module"] = {"module": {"sha256": canonical(digest)}}
    unknown = {each: "there is none" for each in SECTIONS if each not in stated}
    if draw(st.booleans()):
        unknown[OUTPUT_TYPES] = "there are none"
    number = draw(st.sampled_from(["1.0", "1.1", "2.0"]))
    parts = draw(st.dictionaries(NAMES, st.sampled_from("xy"), max_size=2))
    identity = draw(st.sampled_from(["", "1", "2"]))
    return VersionContents(*service, number, identity, sections, unknown, parts)


SERVICES = st.sampled_from([("f", "a"), ("f", "b"), ("g", "a")])
CONTENTS = st.builds(
    Contents,
    st.just("x.zip"),
    st.sampled_from(["migrate", "onpremises"]),
    st.lists(SERVICES.flatmap(versions), max_size=3, unique_by=lambda each: each.uri).map(tuple),
    ITEMS,
)

FEW = settings(max_examples=25)


def seen(diff: Diff) -> list[Any]:
    """Return all that differs or is unknown, in the form of JSON."""
    data = as_data(diff)
    return [data["services"], data["files"], data["not_compared"]]


def mirrored(value: Any) -> Any:
    """Return data with OLD and NEW exchanged, in an order that does not depend on either."""
    words = {"old": "new", "new": "old", "added": "removed", "removed": "added"}
    words |= {"versions_added": "versions_removed", "versions_removed": "versions_added"}
    words |= {
        "only OLD states it": "only NEW states it",
        "only NEW states it": "only OLD states it",
    }
    if isinstance(value, str):
        return words.get(value, value)
    if isinstance(value, list):
        return sorted(map(mirrored, value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, dict):
        return {
            words.get(key, key): each if key in {"old", "new"} else mirrored(each)
            for key, each in value.items()
            if key not in {"summary", "reason"}
        }
    return value


@FEW
@given(CONTENTS)
def test_nothing_differs_from_itself(contents: Contents) -> None:
    """Only what is unknown is reported, and nothing at all if everything is stated."""
    diff = compare(contents, contents)

    unknown = any(set(each.unknown) - {OUTPUT_TYPES} for each in contents.versions)
    no_module = any(
        OUTPUT_TYPES in each.unknown and "module" not in each.sections for each in contents.versions
    )
    assert not diff.differs
    assert diff.complete is not (unknown or no_module)


@FEW
@given(CONTENTS, CONTENTS)
def test_comparison_is_symmetric(old: Contents, new: Contents) -> None:
    """What was added from one side was removed from the other; nothing appears on one way only."""
    there, back = compare(old, new), compare(new, old)

    assert there.differs == back.differs
    assert there.complete == back.complete
    assert mirrored(mirrored(seen(there))) == mirrored(seen(back))


@FEW
@given(CONTENTS, CONTENTS)
def test_equal_means_equal(old: Contents, new: Contents) -> None:
    """A complete comparison without a difference is one of the same contents, but for ids."""
    diff = compare(old, new)

    if diff.complete and not diff.differs:
        sides = [{each.uri: each.sections for each in contents.versions} for contents in (old, new)]
        assert sides[0] == sides[1]
        assert old.files == new.files


@FEW
@given(CONTENTS, CONTENTS)
def test_every_comparison_can_be_written(old: Contents, new: Contents) -> None:
    """As text on plain lines, as JSON by the published schema, and as one page."""
    diff = compare(old, new)

    lines = text.render(diff)
    assert bool(lines) == (diff.differs or not diff.complete)
    unusual = {letter for letter in lines if not letter.isprintable()}
    assert all(letter in "\n\t" or unicodedata.category(letter) == "Zs" for letter in unusual)
    validate(as_data(diff), SCHEMA)
    assert "<script" not in html.render(diff)


@example(1, 1.0)
@example(1, True)
@example("1", 1)
@given(VALUES, VALUES)
def test_values_are_equal_as_json(one: Any, other: Any) -> None:
    """1 is 1.0, but neither true nor "1"."""
    same = one == other and isinstance(one, bool) == isinstance(other, bool)

    assert (canonical(one) == canonical(other)) is same


def test_order_is_that_of_names(workshop: Any, differences: Callable[..., Any]) -> None:
    """Services, inputs and properties, whatever their order in the packages is."""
    inputs = [{"name": name, "default": 1} for name in "zay"]
    old = workshop.package("b/x/1.0.0", "a/y/1.0.0", inputs=inputs)
    new = workshop.package("a/y/1.0.0", "b/x/1.0.0", inputs=[])

    services = differences(old, new).services

    assert [each.old for each in services] == ["a/y", "b/x"]
    names = [each.name for each in services[0].versions[0].changes if each.section == "inputs"]
    assert names == ["a", "y", "z"]
