"""Read name, reports and notifications of an invalid manifest, to announce its failure."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest import construct
from spark_impex_runner.manifest.build import expansion_input
from spark_impex_runner.manifest.expand import Expansion, literal_secrets
from spark_impex_runner.manifest.schema.check import ErrorView, Schema
from spark_impex_runner.manifest.yaml.document import without_invalid
from spark_impex_runner.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.models import Notification


def read_announcement(document: Document, settings: Settings) -> Manifest:
    """Return a manifest without targets and without invalid reports and notifications."""
    schema = Schema(settings.registry)
    scalars = {scalar.path: scalar for scalar in schema.scalars(document.data)}
    secrets = {where for where, scalar in scalars.items() if scalar.secret}
    view = ErrorView(lambda where: where, document.text, secrets, schema.key_locations)
    findings = [*literal_secrets(scalars), *schema.check(document.data, view)]
    data = without_invalid(document.data, findings)
    expansion = Expansion(document, scalars, expansion_input(document, settings))
    variables = data.get("vars")
    expansion.set_variables(variables if isinstance(variables, dict) else {})
    name = expansion.plain("name", data.get("name")) or document.path.stem
    reports: Any = expansion.plain("report", data.get("report"))
    notify: Any = expansion.plain("notify", data.get("notify"))
    invalid = {each.path[:2] for each in (*findings, *expansion.findings)}
    folder = document.path.absolute().parent
    return Manifest(
        path=document.path,
        name=f"{name}{document.suffix}",
        connections={},
        targets=(),
        reports={
            kind: folder / file
            for kind, file in (reports if isinstance(reports, dict) else {}).items()
            if ("report", kind) not in invalid and isinstance(file, str)
        },
        notify=tuple(
            _notifications(
                each
                for index, each in enumerate(notify if isinstance(notify, list) else ())
                if ("notify", index) not in invalid and isinstance(each, dict)
            )
        ),
    )


def _notifications(entries: Iterator[dict[str, Any]]) -> Iterator[Notification]:
    for each in entries:
        with suppress(UsageError, TypeError):
            yield construct.notification(each)
