"""Read the compiler's own self-test, and compare what a package states twice.

When Spark compiles a workbook it calculates the saved inputs, compares the outputs with the saved
ones, and counts both in ``{service}_CompilerLog.json`` (seen in a genuine package). A workbook with
external references, random functions or calls of other services may mismatch without a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOG: Final = "_CompilerLog.json"
_RULES: Final = "DefaultValidations.json"
_METADATA: Final = "ModelMetaData.json"
_LONGEST: Final = 200


@dataclass
class SelfTest:
    """The self-tests of all modules of a package; ``required`` makes a missing one a difference.

    ``found`` is false if no log has a self-test.
    """

    required: bool
    found: bool = False
    matches: int = 0
    inspected: int = 0
    warnings: int = 0
    digits: set[int] = field(default_factory=set)

    def check(
        self, package: tools.ArchiveReader, name: str, module: tools.ArchiveReader
    ) -> Iterator[str]:
        """Yield what differs in the module ``name`` and the files beside it."""
        # What is damaged is reported when the rest of the package is read.
        unread = dict(package.unread)
        folder = f"{name.rpartition('/')[0]}/"
        metadata = _object(package, folder + _METADATA)
        rules = _object(package, folder + _RULES)
        logs = [each for each in module.entries if each.endswith(_LOG)]
        log = _object(module, logs[0]) if len(logs) == 1 else {}
        for difference in (
            *self._check_log(log),
            *_compare_compilers(metadata, log),
            *_compare_inputs(metadata, rules),
            *_compare_copies(package, folder + _RULES, module),
        ):
            yield f"{name}: {difference}"
        package.unread.update(unread)

    def __str__(self) -> str:
        """Return the counts, and the accuracy of the comparison."""
        digits = " and ".join(map(str, sorted(self.digits)))
        accuracy = f" at {digits} digits" if digits else ""
        warned = f", {tools.counted(self.warnings, 'compiler warning')}" if self.warnings else ""
        return f"self-test {self.matches} of {self.inspected} outputs{accuracy}{warned}"

    def _check_log(self, log: Mapping[str, Any]) -> Iterator[str]:
        """Count what a log states, and yield what fails."""
        errors, warnings = log.get("Errors"), log.get("Warnings")
        for each in errors if isinstance(errors, list) else ():
            yield f"the compiler reports an error: {tools.one_line(str(each), limit=_LONGEST)}"
        self.warnings += len(warnings) if isinstance(warnings, list) else 0
        counts = (log.get("SelfTestCellMatches"), log.get("SelfTestCellsInspected"))
        matches, inspected = (each if type(each) is int else None for each in counts)
        if matches is None or inspected is None:
            if self.required:
                yield "expected a self-test in the compiler's log, found none"
            return
        self.found = True
        self.matches += matches
        self.inspected += inspected
        if type(log.get("SelfTestDigits")) is int:
            self.digits.add(log["SelfTestDigits"])
        if matches < inspected:
            yield f"self-test: expected {inspected} matching outputs, found {matches}"
        elif not inspected and self.required:
            yield "self-test: expected at least one output, found 0 inspected"


def _compare_compilers(metadata: Mapping[str, Any], log: Mapping[str, Any]) -> Iterator[str]:
    """Yield a difference between the compiler's versions: ``Neuron_v1.22.3`` and ``1.22.3``."""
    engine = metadata.get("EngineInformation")
    stated = engine.get("CompilerVersion") if isinstance(engine, dict) else None
    found = log.get("CompilerVersion")
    if isinstance(stated, str) and isinstance(found, str):
        expected = stated.rpartition("_v")[2]
        if expected != found:
            shown = tools.one_line(found, limit=_LONGEST)
            yield f"expected the compiler {tools.one_line(expected)} of {_METADATA}, found {shown}"


def _compare_inputs(metadata: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[str]:
    """Yield a difference between the inputs in both files; the rules list them as outputs."""
    table, listed = metadata.get("XInputTable"), rules.get("outputs")
    if not isinstance(table, list) or not isinstance(listed, dict):
        return
    names = {str(row.get("Input Name")) for row in table if isinstance(row, dict)}
    for name in sorted(names ^ listed.keys()):
        here, there = (_METADATA, _RULES) if name in names else (_RULES, _METADATA)
        yield f"{there}: expected the input {tools.one_line(name)} of {here}, found none"


def _compare_copies(
    package: tools.ArchiveReader, path: str, module: tools.ArchiveReader
) -> Iterator[str]:
    """Yield a difference between the rules beside the module and those in it."""
    inner = [each for each in module.entries if each.endswith(_RULES)]
    if len(inner) == 1 and path in package.entries:
        try:
            same = package.text(path) == module.text(inner[0])
        except tools.DamagedFileError:
            return
        if not same:
            yield f"{inner[0]}: expected the same as in {_RULES} beside the module"


def _object(package: tools.ArchiveReader, path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file, empty if there is none."""
    try:
        found = tools.parse_json(package.text(path)) if path in package.entries else None
    except (ValueError, tools.DamagedFileError):
        return {}
    return found if isinstance(found, dict) else {}
