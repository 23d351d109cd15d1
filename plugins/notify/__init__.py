"""The notifiers ``webhook`` and ``apprise``: send a run's outcome to a program or to people.

Their libraries are imported on sending: most commands load plugins and send nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, hookimpl, models

from .options import APPRISE, WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Mapping


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the notifiers."""
    registry.notifier("webhook", "posts a JSON summary to an address", WEBHOOK, _post)
    registry.notifier(
        "apprise",
        "sends a short message by mail, chat or any other service that Apprise knows",
        APPRISE,
        _send_with_apprise,
        lacks=_lacks_apprise,
    )


def _post(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .webhook import send  # noqa: PLC0415 - the HTTP client

    send(options, report)


def _lacks_apprise(_: Mapping[str, Any]) -> str:
    from .services import lacks  # noqa: PLC0415 - an extra

    return lacks()


def _send_with_apprise(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .services import send  # noqa: PLC0415 - an extra

    send(options, report)
