"""Labels: the correlation ids by which a run finds the job of an earlier one without any state."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import Manifest, Request, Run, Target
from spark_impex_runner.planning.labels import (
    Label,
    Relation,
    has_given_id,
    labelled,
    labelled_part,
    relation,
)

RUN = "20261129T120602Z-9636d87e"
OTHER_RUN = "20261130T000001Z-00000000"
REQUEST = Request(folders=("life",), correlation_id="x")
# Names as manifests and matrices make them, among them those that look like labels themselves.
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9._-]+)?", fullmatch=True)
tricky = st.sampled_from([f"{RUN}-a", "a-0123456789ab", "a-0123456789ab-part1-0123456789ab", "-"])
digests = st.from_regex(r"[0-9a-f]{6}", fullmatch=True)
part_digests = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)
parts = st.from_regex(r"[1-9][0-9]*(\.[1-9][0-9]*)*", fullmatch=True)
labels = st.builds(Label, st.just(RUN), names | tricky, digests, digests) | st.builds(
    Label, st.just(RUN), names | tricky, digests, digests, parts, part_digests
)
given_labels = st.builds(
    Label, st.just(""), st.just(""), digests, digests, given=st.text(min_size=1)
) | st.builds(
    Label, st.just(""), st.just(""), digests, digests, parts, part_digests, st.text(min_size=1)
)


def label(request: Request = REQUEST, *, run: str = RUN, manifest: str = "m", **keys: str) -> Label:
    """Return the label of a target, by default ``life`` of the manifest ``m``."""
    target = Target(**{"name": "life", "connection": "sit", **keys}, output=Path("out"))  # type: ignore[arg-type]
    return Label.of(run, Manifest(Path("m.yaml"), manifest, {}, (target,)), target, request)


@given(labels | given_labels)
def test_label_is_read_back(made: Label) -> None:
    """Every label is read as what it was made of, whatever the target's name or its id is."""
    assert Label.read(made.on(REQUEST)) == made


@given(st.text() | st.from_regex(r"\d{8}T\d{6}Z-[0-9a-f]{8}-.*"))
def test_any_text_is_read(text: str) -> None:
    """A correlation id of another system is no label, or is one that is written in the same way."""
    found = Label.parse(text)
    assert found is None or found.correlation_id == text


@given(labels, labels)
def test_part_belongs_to_one_whole(one: Label, other: Label) -> None:
    """A label is no part of itself, and two requests are not parts of each other."""
    assert not one.is_part_of(one)
    assert not (one.is_part_of(other) and other.is_part_of(one))


def test_digest_is_the_same_in_every_run() -> None:
    """Labels, the system that asks and the name of the package do not change what is requested."""
    named = replace(REQUEST, correlation_id="y", source_system="ci", file_name="z")

    assert label(run=OTHER_RUN).relation(label()) is Relation.SAME
    assert label(named).relation(label()) is Relation.SAME


def test_digest_tells_requests_apart() -> None:
    """So do the request, the target and the manifest."""
    different = [
        label(),
        label(replace(REQUEST, folders=("motor",))),
        label(replace(REQUEST, file_filter="onpremises")),
        label(name="other"),
        label(manifest="other"),
    ]
    assert len({(each.target_digest, each.request_digest) for each in different}) == 5
    assert [label().relation(each) for each in different] == [
        Relation.SAME,
        Relation.OTHER,
        Relation.OTHER,
        Relation.NONE,
        Relation.NONE,
    ]


def test_parts_have_labels_of_their_own() -> None:
    """A part belongs to its whole, and differs from another division of the same request."""
    whole = label()
    made = labelled_part(whole.on(REQUEST), "1", REQUEST)
    part = Label.read(made)
    again = whole.for_part("1", replace(REQUEST, folders=("motor",)))

    assert part
    assert whole.relation(part) is Relation.PART
    assert whole.for_part("1.2", REQUEST).is_part_of(part)
    assert not whole.for_part("11", REQUEST).is_part_of(part)
    assert part.relation(again) is Relation.OTHER
    text = re.escape(whole.correlation_id) + r"~part1-[0-9a-f]{12}"
    assert re.fullmatch(text, made.correlation_id or "")


def test_given_id_is_kept() -> None:
    """A correlation id of the manifest stays as it is written; the digest is beside it."""
    whole = label(correlation_id="CHG-4711").on(REQUEST)
    part = labelled_part(whole, "2.1", REQUEST)

    assert (whole.correlation_id, part.correlation_id) == ("CHG-4711", "CHG-4711-part2.1")
    assert re.fullmatch(r"spark-impex-runner/[0-9a-f]{12}", whole.source_system or "")
    assert relation(whole, part) is Relation.PART


def test_given_labels_stay_as_they_are() -> None:
    """Where the manifest has a source system, too, only the id tells, and not for certain."""
    manifest = Manifest(Path("m.yaml"), "m", {}, ())
    target = Target("life", "sit", Path("out"), correlation_id="CHG-1", source_system="ci")
    request = replace(REQUEST, correlation_id="CHG-1", source_system="ci")

    run = Run(RUN, "2026-11-29", manifest, (), datetime.now(timezone.utc), str)

    assert labelled(request, run, target) == request
    assert relation(request, request) is Relation.PERHAPS
    assert labelled_part(request, "1", REQUEST).correlation_id == "CHG-1-part1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("C", True), ("C-part1", True), ("C-part1.2", True)]
    + [(each, False) for each in ("C-part", "C-part1-hotfix", "C-part.", "C-part²", "CC", "", "c")],
)
def test_ids_of_parts_end_with_numbers(text: str, expected: bool) -> None:
    """An id of another system that begins like one of the manifest is another."""
    assert has_given_id("C", replace(REQUEST, correlation_id=text)) is expected
