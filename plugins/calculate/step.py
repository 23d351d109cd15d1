"""Run the step: find the module, calculate the cases, compare, and write the results."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import StepOutput, errors, models, tools

from .against import Release, compare
from .calculation import Calculated, Calculation
from .cases import Case, CaseFile, cases_of
from .interface import CannotCalculateError
from .names import Names
from .options import AT, NO_PROGRAM
from .package import packaged_module
from .settings import Settings
from .verdict import SHOWN, Comparison, Verdict, first_lines, not_compared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .module import Module


NAME: Final = "calculate"
_log = logging.getLogger(__name__)
# Seconds between two lines about how far it is.
_PROGRESS: Final = 10.0
_SMOKE: Final = CaseFile((Case("default", {}),), "")


def describe(job: models.Job, options: Mapping[str, Any]) -> str:
    """Return in one line what the step would do; raise ``StepError`` for unreadable cases."""
    at = options.get("at", AT)
    if "cases" not in options:
        return f"calculate the saved default inputs, at {at}"
    number = len(cases_of(job, options, Settings.of(options, None).form).cases)
    text = f"calculate {tools.counted(number, 'case')} of {options['cases']}, at {at}"
    if "against" not in options:
        return text
    Release.of(job, options["against"])
    return f"{text}; compare with {options['against']}"


def run(job: models.Job, options: Mapping[str, Any]) -> StepOutput:
    """Calculate all cases; raise ``StepError`` unless all agree."""
    settings = Settings.of(options, job.cache and job.cache / NAME)
    file = cases_of(job, options, settings.form) if "cases" in options else _SMOKE
    try:
        module = packaged_module(job, options.get("service", ""))
    except errors.UsageError as error:
        raise errors.StepError(str(error)) from error
    calculation = Calculation(
        module,
        settings.limits,
        tools.stop_check(job),
        settings.allow_missing or file is _SMOKE,
    )
    try:
        verdicts = _verdicts(calculation, file.cases, settings)
        made = _write(job, options, verdicts)
    except CannotCalculateError as error:
        reason = f"{module.uri} cannot be calculated here: {error}"
        if options.get("uncalculable", "fail") == "skip":
            return StepOutput(message=f"skipped: {reason}")
        raise errors.StepError(reason) from error
    except errors.UsageError as error:
        raise errors.StepError(f"{options.get('cases', NAME)}: {error}") from error
    evidence = ", ".join(_evidence(calculation, file, settings))
    summary = _summary(verdicts, calculation, file, evidence)
    if "against" in options:
        moved, old = _moved(job, options, module, file.cases)
        summary, evidence = f"{summary}; {moved}", f"{evidence}, against {old}"
    return StepOutput(made, f"{summary} ({evidence})")


def rehearse(job: models.Job, options: Mapping[str, Any]) -> StepOutput:
    """Read the cases, and say that nothing was calculated; so do the results, for later steps."""
    form = Settings.of(options, None).form
    file = cases_of(job, options, form) if "cases" in options else _SMOKE
    reason = f"not calculated: {NO_PROGRAM}"
    made = _write(job, options, [Verdict(Calculated(each), reason=reason) for each in file.cases])
    read = f"; {_cases(file.cases)} read" if file is not _SMOKE else ""
    return StepOutput(made, f"{reason}{read}")


def _moved(
    job: models.Job, options: Mapping[str, Any], module: Module, cases: Sequence[Case]
) -> tuple[str, str]:
    """Return which results moved from another release, and what identifies that."""
    settings = Settings.of(options, job.cache and job.cache / NAME)
    old = Release.of(job, options["against"]).module(module.uri)
    try:
        moved = compare(job, old, module, cases, settings)
    except CannotCalculateError as error:
        if options.get("uncalculable", "fail") == "skip":
            moved = f"not compared: {error}"
        else:
            raise errors.StepError(f"against: cannot be calculated here: {error}") from error
    return moved, f"module sha256 {old.sha256 or 'none'}, compiler {old.compiler}"


def _verdicts(calculation: Calculation, cases: Sequence[Case], settings: Settings) -> list[Verdict]:
    """Return the verdict on every case, and log how far it is."""
    names = Names((), calculation.module.outputs)
    outputs = {} if calculation.module.reason else names.of_outputs(settings.outputs)
    verdicts: list[Verdict] = []
    logged = time.monotonic()
    for result in calculation.run(cases):
        comparison = Comparison(settings.tolerance, outputs, calculation.volatile)
        verdicts.append(comparison.verdict(result))
        if time.monotonic() - logged > _PROGRESS:
            logged = time.monotonic()
            _log.info("%s: %s of %s calculated", NAME, _number(len(verdicts)), _cases(cases))
    return verdicts


def _write(
    job: models.Job, options: Mapping[str, Any], verdicts: Sequence[Verdict]
) -> list[models.Artifact]:
    """Write the results, also those of a step that fails."""
    if "results" not in options:
        return []
    name = options["results"]
    shows = bool(options.get("show_inputs", True))
    rows = (json.dumps(each.as_data(with_inputs=shows), ensure_ascii=False) for each in verdicts)
    text = "".join(f"{row}\n" for row in rows)
    try:
        return [tools.write_artifact(job, name, text, NAME)]
    except OSError as error:
        raise errors.StepError(f"{name}: {error.strerror}: {error.filename}") from error


def _summary(
    verdicts: Sequence[Verdict], calculation: Calculation, file: CaseFile, evidence: str
) -> str:
    """Return the result in one line; raise ``StepError`` if a case failed."""
    failed = [each for each in verdicts if each.status != "agreed"]
    uri = calculation.module.uri
    if failed:
        lines = first_lines(failed)
        lines += [f"and {_cases(failed[SHOWN:])} more"] if len(failed) > SHOWN else []
        raise errors.StepError(
            f"{uri}: {_number(len(failed))} of {_cases(verdicts)} failed: "
            f"{'; '.join(lines)} ({evidence})"
        )
    if file is _SMOKE:
        return f"{uri}: the saved default inputs were calculated; nothing was compared"
    compared = any(each.result.case.expected for each in verdicts)
    verb = "agreed" if compared else "were calculated; no output is expected"
    return f"{uri}: {_number(len(verdicts))} of {_cases(verdicts)} {verb}"


def _evidence(calculation: Calculation, file: CaseFile, settings: Settings) -> Iterator[str]:
    """Yield what the result holds for."""
    if file.sha256:
        yield f"cases sha256 {file.sha256}"
    yield f"module sha256 {calculation.module.sha256}"
    yield f"engine {calculation.engine}"
    yield f"compiler {calculation.module.compiler}"
    yield f"clock {settings.at}"
    if calculation.dated:
        yield f"depends on the clock: {tools.first_of(sorted(calculation.dated), 5)}"
    if calculation.module.changing:
        yield f"the formulas use {', '.join(calculation.module.changing)}"
    listed = {each.casefold() for each in settings.outputs}
    yield from not_compared(
        [each for each in calculation.volatile if each.casefold() not in listed]
    )


def _cases(cases: Sequence[object]) -> str:
    """Return a number of cases: ``1,000 cases``."""
    return f"{_number(len(cases))} {'case' if len(cases) == 1 else 'cases'}"


def _number(number: int) -> str:
    return f"{number:,}"
