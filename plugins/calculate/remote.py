"""Run the step ``calculate_remote``: what was tested is what computes on the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import StepOutput, errors, models, tools

from .calculation import Calculation, judged
from .cases import Case, CaseFile, cases_of
from .interface import CannotCalculateError
from .names import Names
from .package import packaged_module
from .remote_options import MOST
from .settings import Settings
from .verdict import Comparison, Verdict, first_lines, not_compared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .calculation import Calculated
    from .module import Module

# Labels of our calls in the tenant's history.
_LABELS: Final = {"call_purpose": "Comparison after import", "source_system": "impex-run"}


def describe(job: models.Job, options: Mapping[str, Any]) -> str:
    """Return in one line what the step would do; raise ``StepError`` for unreadable cases."""
    number = tools.counted(len(_chosen(_read(job, options).cases, options)), "case")
    to, url = options["to"], job.run.connect(options["to"]).url
    return f"execute {number} of {options['cases']} on {to} ({url})"


def run(job: models.Job, options: Mapping[str, Any]) -> StepOutput:
    """Execute cases on the tenant, and compare them with the package's module."""
    file = _read(job, options)
    try:
        module = packaged_module(job, options.get("service", ""))
        verdicts, found = _compare(job, options, module, _chosen(file.cases, options))
    except CannotCalculateError as error:
        raise errors.StepError(f"{module.uri} cannot be calculated here: {error}") from error
    except errors.UsageError as error:
        raise errors.StepError(f"{options['cases']}: {error}") from error
    hashes = f"cases sha256 {file.sha256}, module sha256 {module.sha256}"
    evidence = ", ".join((hashes, *found))
    failed = [each for each in verdicts if each.status != "agreed"]
    total = f"{len(verdicts):,} of {len(file.cases):,} cases"
    if failed:
        raise errors.StepError(
            f"{options['to']}: {len(failed):,} of {len(verdicts):,} executed cases differ from "
            f"{module.uri}: {'; '.join(first_lines(failed))} ({evidence})"
        )
    return StepOutput(
        message=f"{options['to']} computes as {module.uri} does: {total} executed ({evidence})"
    )


def _read(job: models.Job, options: Mapping[str, Any]) -> CaseFile:
    return cases_of(job, options, Settings.of(options, None).form)


def _chosen(cases: Sequence[Case], options: Mapping[str, Any]) -> list[Case]:
    """Return at most as many cases as wanted, spread over the file."""
    most = min(options.get("most", MOST), len(cases))
    return [cases[number * len(cases) // most] for number in range(most)]


def _compare(
    job: models.Job, options: Mapping[str, Any], module: Module, cases: Sequence[Case]
) -> tuple[list[Verdict], list[str]]:
    """Return the verdict on each case, and what the comparison holds for."""
    settings = Settings.of({"at": job.run.date, **options}, job.cache and job.cache / "calculate")
    check = tools.stop_check(job)
    calculation = Calculation(module, settings.limits, check, settings.allow_missing)
    ours = list(calculation.run(cases))
    outputs = Names((), module.outputs).of_outputs(settings.outputs)
    comparison = Comparison(settings.tolerance, outputs, calculation.volatile)
    if module.outputs and comparison.random.issuperset(module.outputs):
        raise errors.UsageError("all outputs depend on random numbers: none can be compared")
    found = zip(ours, _executed(job, options, module, ours), strict=True)
    verdicts = [_verdict(comparison, one, other) for one, other in found]
    evidence = [f"engine {calculation.engine}"]
    if calculation.dated:
        evidence.append(f"depends on the clock: {tools.first_of(sorted(calculation.dated), 5)}")
    return verdicts, [*evidence, *not_compared(comparison.random)]


def _verdict(comparison: Comparison, ours: Calculated, theirs: Calculated) -> Verdict:
    """Return the verdict on the tenant's result, with the module's as the expected one."""
    if ours.reason:
        return Verdict(ours, reason=f"the module: {ours.reason}")
    if theirs.reason:
        return Verdict(theirs, reason=f"the tenant: {theirs.reason}")
    expected = {each: v for each, v in ours.outputs.items() if each not in comparison.random}
    case = Case(ours.case.name, ours.case.inputs, expected)
    return comparison.verdict(type(theirs)(case, theirs.outputs))


def _executed(
    job: models.Job, options: Mapping[str, Any], module: Module, ours: Sequence[Calculated]
) -> Iterator[Calculated]:
    """Yield the tenant's result of each case."""
    spark, check = job.run.connect(options["to"]), tools.stop_check(job)
    folder, _, service = options.get("target", module.uri.partition("[")[0]).partition("/")
    meta = {**_LABELS, "correlation_id": job.request.correlation_id}
    meta |= {"version": options["version"]} if "version" in options else {}
    allow_missing = options.get("missing_inputs") == "default"
    for each in ours:
        check()
        try:
            answer = spark.execute(folder, service, each.case.inputs, meta)
        except errors.SparkError as error:
            raise errors.StepError(f"{options['to']}: {error}") from error
        yield judged(each.case, answer, module.outputs, allow_missing=allow_missing)
