"""Say what was rehearsed, in terms of the manifest instead of the stand-ins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.report.rehearsal import Rehearsal, RehearsedTarget, SentLine
from spark_impex_runner.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.confinement import Refused
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.planning.rehearsal import Scratch, Staging
    from spark_impex_runner.planning.stages import Loaded
    from spark_impex_runner.planning.survey import Contents

# The exit code of a run of which some targets succeeded.
_PARTIAL = 3


@dataclass
class Summary:
    """The stand-ins of a rehearsal, and the attempts to leave the machine."""

    loaded: Loaded
    contents: Mapping[str, Contents]
    staging: Staging
    scratch: Scratch
    refused: Sequence[Refused]

    def rehearsal(
        self,
        result: RunResult,
        approvals: Mapping[str, Sequence[str]],
        left_out: tuple[str, ...],
        seconds: float,
    ) -> Rehearsal:
        """Return the rehearsal for its report."""
        targets = tuple(
            self._target(each, tuple(approvals.get(each.target.name, ())))
            for each in result.results
        )
        code = result.exit_code
        if self.refused and not code:
            some = any(not each.refused for each in targets)
            code = _PARTIAL if some else DeliveryError.exit_code
        return Rehearsal(
            manifest=str(self.loaded.manifest.path),
            name=self.loaded.manifest.name,
            seconds=seconds,
            exit_code=code,
            targets=targets,
            tenants=tuple(self._tenants()),
            sent=tuple(self._sent()),
            problems=tuple(map(self._shown, (*result.problems, *self.staging.unsent))),
            refused=tuple(f"{each.by}: tried to {each.what}" for each in self.refused),
            left_out=left_out,
            replaced=tuple(self.staging.left_out),
        )

    def _shown(self, text: str) -> str:
        return self.scratch.shown(text)

    def _target(self, result: TargetResult, approved: tuple[str, ...]) -> RehearsedTarget:
        name, keys = result.target.name, self.staging.step_keys[result.target.name]
        failed_at = len(result.steps) - 1
        in_step = bool(result.steps) and result.steps[-1].outcome == "failed"
        key = keys[failed_at] if in_step else self._key(name)
        position = self.loaded.opened.document.problem(Finding(key, ""))
        return RehearsedTarget(
            name=name,
            outcome=result.outcome.value,
            error=self._shown(result.error),
            place=f"{position.file}:{position.line}:{position.column}",
            refused=any(name in each.targets for each in self.refused),
            approved=approved,
            steps=tuple(
                (each.uses, each.outcome, self._shown(each.message)) for each in result.steps
            ),
            warnings=tuple(map(self._shown, result.warnings)),
        )

    def _key(self, name: str) -> tuple[str | int, ...]:
        """Return the path of a target in the manifest as written."""
        written = self.loaded.opened.document.data["targets"]
        base = name.partition("@")[0]
        at = next(index for index, each in enumerate(written) if each.get("name") == base)
        return ("targets", at)

    def _tenants(self) -> Iterator[tuple[str, str]]:
        """Yield each connection with where the contents of its sandbox come from."""
        connections, folder = self.loaded.manifest.connections, self.loaded.manifest.path.absolute()
        for name in self.staging.manifest.connections:
            contents = self.contents.get(name)
            if contents is None:
                shown = os.path.relpath(connections[name].sandbox or "", folder.parent)
                yield name, f"the sandbox {shown}"
            elif contents.origin == "listing":
                services = {names[:2] for names in contents.versions}
                listed = counted(len(services), "service")
                yield name, f"a sandbox with the {listed} that {contents.address} lists"
            else:
                reason = contents.reason.removeprefix(f"connection {name}: ").partition(";")[0]
                reason = reason.removeprefix(f"connections.{name}: ")
                yield name, f"a sandbox with invented services ({reason})"

    def _sent(self) -> Iterator[SentLine]:
        for title, name in self.staging.sinks.items():
            for each in self.staging.sink.sent(name):
                yield SentLine(title, each.method, each.content_type, each.size, each.start)
