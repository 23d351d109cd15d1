from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.github_run import LIMIT, escaped, failures, step_summary
from tests.report.conftest import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

ROOT = Path("/srv/release")
HINTS = [("to run the failed targets again", "impex-run release.yaml -t 'a`b'")]


def failed(result: TargetResult, name: str, error: str) -> TargetResult:
    """Return a failed target of line 7 of a manifest in the checkout."""
    failed = replace(named(result, name), outcome=Outcome.FAILED, error=error, artifacts=())
    return replace(failed, target=replace(failed.target, place="/srv/release/m,1.yaml:7"))


def test_failed_target_is_annotated(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """File and line are those of the target, and no character of them ends a property."""
    result = run(target, failed(target, "life", "HTTP 404: 100%\ngone"))

    assert failures(result, ROOT) == [
        "::error file=m%2C1.yaml,line=7,title=life failed::HTTP 404: 100%25 gone"
    ]


def test_targets_of_one_cause_share_an_annotation(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """GitHub shows ten errors of a step, so that each must count."""
    result = run(*(failed(target, f"t{at}", f"no service a/b{at}") for at in range(3)))

    (command,) = failures(result, ROOT)
    assert command.startswith("::error file=m%2C1.yaml,line=7,title=3 targets failed::no service")
    assert command.endswith(" ...%0At0  a/b0%0At1  a/b1%0At2  a/b2")


def test_more_than_ten_causes_are_counted(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """The tenth annotation says how many GitHub would not show."""
    words = [f"{'x' * at}y" for at in range(12)]
    commands = failures(run(*(failed(target, each, each) for each in words)), ROOT)

    assert len(commands) == 10
    assert commands[-1] == "::error title=3 more targets failed::see the summary of the run"


def test_manifest_outside_of_the_checkout(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """GitHub cannot link it, but shows its path."""
    (command,) = failures(run(failed(target, "life", "gone")), Path("/elsewhere"))

    assert command.startswith("::error file=/srv/release/m%2C1.yaml,line=7,")


def test_other_outcomes_are_no_errors(every_outcome: RunResult) -> None:
    """What is held, skipped or cancelled has not failed."""
    titles = re.findall("title=([^:]*)::", "".join(failures(every_outcome, ROOT)))

    assert titles == ["a-failed failed", "a-timed_out failed"]


GOLDEN = """\
## motor-release: partial

2 of 7 targets succeeded &#40;1 unchanged&#41;; a-failed failed; a-timed&#95;out timed out; \
a-held held; a-cancelled cancelled; a-skipped skipped

| target | outcome | why | packages | size | time |
|---|---|---|--:|--:|--:|
| a-failed | failed | JobError&#58; the tenant said &lt;no&gt; &amp; "never" |  |  |  |
| a-timed&#95;out | timed out | the deadline of 30m passed; job 77ab may still run |  |  |  |
| a-held | held | step import&#58; prod waits for --approve prod |  |  |  |
| a-cancelled | cancelled | interrupted by SIGINT |  |  |  |
| a-skipped | skipped | needs motor, which failed |  |  |  |
| motor | succeeded |  | 1 package | 506.7 kB | 12.4 s |
| life | unchanged |  | - | - | 3.0 s |

to run the failed targets again:

```sh
impex-run release.yaml -t 'a`b'
```

Run `20260131-1f2e`

"""


def test_step_summary_of_every_outcome(every_outcome: RunResult) -> None:
    """Outcome, failures first, and the command to run next."""
    assert step_summary(every_outcome, HINTS, LIMIT) == GOLDEN


@pytest.mark.parametrize("room", [LIMIT, 20_000, 900, 10])
def test_step_summary_fits(target: TargetResult, run: Callable[..., RunResult], room: int) -> None:
    """GitHub refuses a summary over its limit; failures and commands are in what is left."""
    results = [named(target, f"t{number}") for number in range(500)]
    result = run(*results, failed(target, "life", "gone é"))

    summary = step_summary(result, HINTS, room)

    assert len(summary.encode()) <= room
    if room > 10:
        assert "| life | failed | gone é |" in summary
        assert HINTS[0][1] in summary
        rows = summary.count("| succeeded |")
        more = re.search(r"\nand (\d+) more rows; see the report\n", summary)
        assert rows + int(more[1] if more else 0) == 500


@given(st.text())
def test_foreign_text_is_no_markdown(text: str) -> None:
    """Nothing of a server's text begins a link, a tag, a table cell or a new line."""
    shown = escaped(text)

    assert shown.isprintable()
    assert not re.search(r"[\\`*_{}\[\]()+!|~$:@<>]", shown)
    assert not re.search(r"&(?!(#\d+|amp|lt|gt);)|(?<!&)#", shown)


def test_fence_is_longer_than_any_in_the_command(every_outcome: RunResult) -> None:
    """A command with backticks stays a command."""
    summary = step_summary(every_outcome, [("to resume", "impex-run '```'")], LIMIT)

    assert "````sh\nimpex-run '```'\n````\n" in summary
