"""Summarize a run in one word and in one sentence."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from spark_impex_runner.errors import HeldError
from spark_impex_runner.models import Outcome
from spark_impex_runner.text import first_of, plain

if TYPE_CHECKING:
    from spark_impex_runner.models import RunResult, TargetResult

# More names would wrap the line of a terminal or of a chat message.
_NAMES_SHOWN = 3
# The order wherever outcomes are shown: what needs action comes first.
BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.HELD, Outcome.CANCELLED, Outcome.SKIPPED)


def outcome(result: RunResult) -> str:
    """Return ``succeeded``, ``held``, ``partial``, ``failed`` or ``interrupted``."""
    if result.signal:
        return "interrupted"
    if result.refusal:
        return "failed"
    if result.exit_code == HeldError.exit_code:
        return "held"
    good = sum(each.good for each in result.results)
    if good == len(result.results):
        return "succeeded"
    return "partial" if good else "failed"


def headline(result: RunResult) -> str:
    """Return the outcome in a sentence: ``4 of 5 targets succeeded; motor failed``."""
    if result.refusal:
        return f"the run did not begin: {plain(result.refusal)}"
    parts = [_good(result.results), *(_bad(result.results, each) for each in BAD)]
    sentence = "; ".join(part for part in parts if part)
    if not result.signal:
        return sentence
    return f"interrupted by {signal.Signals(result.signal).name}: {sentence}"


def outcome_text(outcome: Outcome) -> str:
    """Return the outcome as text: ``timed out``."""
    return outcome.value.replace("_", " ")


def _good(results: tuple[TargetResult, ...]) -> str:
    """Return how many targets succeeded, and how many of them downloaded nothing."""
    good = sum(each.good for each in results)
    unchanged = sum(each.outcome is Outcome.UNCHANGED for each in results)
    noun = "target" if len(results) == 1 else "targets"
    unchanged_note = f" ({unchanged} unchanged)" if unchanged else ""
    return f"{good} of {len(results)} {noun} succeeded{unchanged_note}"


def _bad(results: tuple[TargetResult, ...], outcome: Outcome) -> str:
    """Return the first names of the targets with an outcome, or an empty text."""
    names = [plain(each.target.name) for each in results if each.outcome is outcome]
    return f"{first_of(names, _NAMES_SHOWN)} {outcome_text(outcome)}" if names else ""
