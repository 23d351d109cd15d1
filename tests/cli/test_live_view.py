"""The lines that show a run: what they say, and that they fit every terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.cli.line import Style
from spark_impex_runner.cli.live_view import render
from spark_impex_runner.engine.snapshot import Activity, Snapshot
from spark_impex_runner.models import Outcome
from spark_impex_runner.text import display_width

MB = 1_000_000
RUN = Snapshot(
    name="motor-release",
    run_id="r1",
    elapsed=134.2,
    targets=14,
    connections=("sit", "uat", "prod", "dev"),
    longest="life-onprem@health",
    ended={Outcome.SUCCEEDED: 1, Outcome.FAILED: 1, Outcome.HELD: 1},
    active=(
        Activity("sit", "pricing", "running", 72, usual=100),
        Activity("uat", "life", "downloading", 5, received=118 * MB, size=190 * MB, rate=24e6),
        Activity("uat", "slow", "downloading", 5, received=8 * MB, size=190 * MB, rate=2e6),
        Activity("prod", "fees", "creating", 5, busy=True, blocker="jo@acme.example"),
        Activity("prod", "claims", "steps", 5, step="unzip 2/3", size=190 * MB),
    ),
    queued={"sit": ("health", "travel"), "dev": ("cars",)},
    held={"import": "uat"},
)


def test_each_phase_has_its_figures() -> None:
    """Who holds the slot and who waits for it, the slowest download first, all in columns."""
    assert render(RUN, 89, 12, Style()) == [
        "2:14  3 of 14 done · 1 failed · 1 to approve · 5 running · 3 queued · 3 to come",
        "prod  fees                creating      0:05  the tenant runs a job of jo@acme.example",
        "sit   pricing             running       1:12  usually 1:40  queue 2: health, travel",
        "dev                                    queue 1: cars",
        "uat   slow                downloading    4 %  ▌░░░░░░░░░░░  8.0/190 MB  1:31 left",
        "uat   life                downloading   62 %  ███████▍░░░░  118/190 MB  24 MB/s  3 s left",
        "prod  claims              steps         0:05  unzip 2/3  190 MB",
        "      import              to approve   --approve uat",
    ]


@pytest.mark.parametrize("width", [30, 45, 60, 79, 119])
def test_secrets_are_masked_before_names_are_cut(width: int) -> None:
    """A part of a secret is not recognized any more, so that names are masked whole."""
    secret = "s3cr3t-that-is-longer-than-any-column"
    name = f"life-{secret}"
    active = [
        Activity(f"sit-{secret}", name, "running", 72),
        Activity("uat", name, "steps", 5, step=f"{secret} 2/3"),
    ]
    shown = replace(
        RUN,
        name=name,
        longest=name,
        active=tuple(active),
        queued={"dev": (name,)},
        held={name: name},
    )

    lines = render(shown, width, 12, Style(mask=lambda text: text.replace(secret, "***")))

    assert "s3cr" not in "".join(lines)


def test_narrow_terminals_keep_what_matters() -> None:
    """Name and progress of each target, at 20 columns, in ASCII where nothing else is known."""
    assert render(RUN, 19, 9, Style(unicode=False)) == [
        "2:14  3 of 14 done",
        "fees           0:05",
        "pricing        1:12",
        "queue 1: cars",
        "slow            4 %",
        "life           62 %",
        "claims         0:05",
        "import",
    ]


def test_every_kind_gets_rows() -> None:
    """Where not all fit, the rest is counted, and many of one kind hide no other."""
    many = tuple(Activity("sit", f"t{n}", "running", n) for n in range(500))

    lines = render(replace(RUN, active=(*many, *RUN.active)), 79, 8, Style())

    assert len(lines) == 8
    assert [line.split()[1] for line in lines[1:-1]] == [
        *("t499", "t498", "slow", "life", "claims"),
        "to",
    ]
    assert lines[-1] == "… and 501 more"


def test_unknown_sizes_have_no_bar() -> None:
    """A server that gives no length is shown by what has arrived."""
    unknown = Activity("sit", "life", "downloading", 61, received=3 * MB, rate=5e5)

    assert render(replace(RUN, active=(unknown,), queued={}, held={}), 79, 3, Style())[1] == (
        "sit   life                downloading   1:01  3.0 MB  500 kB/s"
    )


def test_colours_add_no_text() -> None:
    """Failures are red, what waits is yellow; without colours the same text remains."""
    coloured = render(RUN, 79, 9, Style(colour=True))

    assert "\x1b[31m · 1 failed\x1b[0m" in coloured[0]
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == render(RUN, 79, 9, Style())


def test_workers_report_ends_only() -> None:
    """With an executor nothing is known of a target before its end; a stop is said first."""
    spread = replace(RUN, active=(), queued={}, held={}, distributed=True, stopping=True)

    assert render(spread, 79, 9, Style()) == [
        "motor-release  2:14  stopping · 3 of 14 done · 1 failed · 11 on workers"
    ]


NAMES = st.text(min_size=1, max_size=30)
ACTIVITIES = st.builds(
    Activity,
    NAMES,
    NAMES,
    st.sampled_from(["starting", "queued", "creating", "running", "downloading", "steps"]),
    elapsed=st.floats(0, 1e6),
    usual=st.floats(0, 1e5),
    busy=st.booleans(),
    blocker=st.just("") | NAMES,
    step=NAMES,
    received=st.integers(0, 10**12),
    size=st.integers(0, 10**12),
    rate=st.floats(0, 1e9),
)


@settings(max_examples=30)
@given(
    active=st.lists(ACTIVITIES, max_size=5),
    queued=st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3), max_size=2),
    held=st.dictionaries(NAMES, NAMES, max_size=2),
    width=st.integers(0, 120),
    height=st.integers(0, 12),
    style=st.builds(Style, colour=st.just(False), unicode=st.booleans()),
)
def test_lines_always_fit(
    active: list[Activity], queued: Any, held: Any, width: int, height: int, style: Style
) -> None:
    """Whatever runs and however names are written, no line wraps or moves the cursor."""
    queues = {name: tuple(names) for name, names in queued.items()}
    snapshot = replace(RUN, active=tuple(active), queued=queues, held=held)

    lines = render(snapshot, width, height, style)

    assert len(lines) <= height
    assert all(display_width(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("pricing", 7, "pricing"),
        ("pricing", 5, "pric…"),
        ("料金計算", 5, "料金…"),
        ("料金", 1, "…"),
    ],
)
def test_wide_characters_take_two_columns(text: str, width: int, shown: str) -> None:
    """A name is cut where the terminal's columns end."""
    named = replace(RUN, active=(Activity("sit", text, "running"),), longest=text)
    row = render(replace(named, connections=("sit",)), width + 7, 3, Style())[1]

    assert row.split()[0] == shown
