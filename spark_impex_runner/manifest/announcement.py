"""What of a manifest is needed to say that its run cannot begin: name, reports, notifications."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest import construct
from spark_impex_runner.manifest.build import given
from spark_impex_runner.manifest.expand import Expansion, literal_secrets
from spark_impex_runner.manifest.schema.check import Schema, View
from spark_impex_runner.manifest.yaml.document import sound
from spark_impex_runner.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.models import Notification


def read_announcement(document: Document, settings: Settings) -> Manifest:
    """Return a manifest without targets; of the rest what is wrong is left out."""
    schema = Schema(settings.registry)
    places = {place.path: place for place in schema.places(document.data)}
    secrets = {where for where, place in places.items() if place.secret}
    view = View(lambda where: where, document.text, secrets, schema.homes)
    findings = [*literal_secrets(places), *schema.check(document.data, view)]
    data = sound(document.data, findings)
    expansion = Expansion(document, places, given(document, settings))
    variables = data.get("vars")
    expansion.set_variables(variables if isinstance(variables, dict) else {})
    name = expansion.plain("name", data.get("name")) or document.path.stem
    reports: Any = expansion.plain("report", data.get("report"))
    notify: Any = expansion.plain("notify", data.get("notify"))
    wrong = {each.path[:2] for each in (*findings, *expansion.findings)}
    folder = document.path.absolute().parent
    return Manifest(
        path=document.path,
        name=f"{name}{document.suffix}",
        connections={},
        targets=(),
        reports={
            kind: folder / file
            for kind, file in (reports if isinstance(reports, dict) else {}).items()
            if ("report", kind) not in wrong and isinstance(file, str)
        },
        notify=tuple(
            _notifications(
                each
                for index, each in enumerate(notify if isinstance(notify, list) else ())
                if ("notify", index) not in wrong and isinstance(each, dict)
            )
        ),
    )


def _notifications(written: Iterator[dict[str, Any]]) -> Iterator[Notification]:
    for each in written:
        with suppress(UsageError, TypeError):
            yield construct.notification(each)
