"""Labels: the correlation ids by which a run finds the job of an earlier one without any state."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import Manifest, Request, Target
from spark_impex_runner.planning.labels import Label, part_label

RUN = "20261129T120602Z-9636d87e"
OTHER_RUN = "20261130T000001Z-00000000"
REQUEST = Request(folders=("life",), correlation_id="x")
# Names as manifests and matrices make them, among them those that look like labels themselves.
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9._-]+)?", fullmatch=True)
tricky = st.sampled_from([f"{RUN}-a", "a-0123456789ab", "a-0123456789ab-part1-0123456789ab", "-"])
digests = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)
parts = st.from_regex(r"[1-9][0-9]*(\.[1-9][0-9]*)*", fullmatch=True)
labels = st.builds(Label, st.just(RUN), names | tricky, digests) | st.builds(
    Label, st.just(RUN), names | tricky, digests, parts, digests
)


def label(request: Request = REQUEST, *, run: str = RUN, manifest: str = "m", **keys: str) -> Label:
    """Return the label of a target, by default ``life`` of the manifest ``m``."""
    target = Target(**{"name": "life", "connection": "sit", **keys}, output=Path("out"))  # type: ignore[arg-type]
    return Label.of(run, Manifest(Path("m.yaml"), manifest, {}, (target,)), target, request)


@given(labels)
def test_label_is_read_back(made: Label) -> None:
    """Every label is read as what it was made of, whatever the target's name is."""
    assert Label.parse(str(made)) == made


@given(st.text() | st.from_regex(r"\d{8}T\d{6}Z-[0-9a-f]{8}-.*"))
def test_any_text_is_read(text: str) -> None:
    """A correlation id of somebody else is no label, or is one that is written in the same way."""
    found = Label.parse(text)
    assert found is None or str(found) == text


@given(labels, labels)
def test_part_belongs_to_one_whole(one: Label, other: Label) -> None:
    """A label is no part of itself, and two requests are not parts of each other."""
    assert not one.is_part_of(one)
    assert not (one.is_part_of(other) and other.is_part_of(one))


def test_digest_is_the_same_in_every_run() -> None:
    """Labels, the system that asks and the name of the package do not change what is requested."""
    named = replace(REQUEST, correlation_id="y", source_system="ci", file_name="z")

    assert label(run=OTHER_RUN).is_same_request(label())
    assert label(named).digest == label().digest


def test_digest_tells_requests_apart() -> None:
    """So do the request, the target and the manifest."""
    different = [
        label(),
        label(replace(REQUEST, folders=("motor",))),
        label(replace(REQUEST, file_filter="onpremises")),
        label(name="other"),
        label(manifest="other"),
    ]
    assert len({each.digest for each in different}) == len(different)


def test_parts_have_labels_of_their_own() -> None:
    """A part belongs to its whole, and differs from another division of the same request."""
    whole = label()
    text = part_label(str(whole), "1", REQUEST)
    part = Label.parse(text)
    again = whole.for_part("1", replace(REQUEST, folders=("motor",)))

    assert part
    assert part.is_part_of(whole)
    assert whole.for_part("1.2", REQUEST).is_part_of(part)
    assert not whole.for_part("11", REQUEST).is_part_of(part)
    assert not part.is_same_request(again)
    assert re.fullmatch(re.escape(str(whole)) + r"~part1-[0-9a-f]{12}", text)


def test_part_of_given_id_keeps_it() -> None:
    """A correlation id of the manifest is passed on as it is written."""
    assert part_label("CHG-4711", "2.1", REQUEST) == "CHG-4711-part2.1"
