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
    registry.notifier(
        "webhook",
        "posts a JSON summary to an address",
        WEBHOOK,
        _post,
        rehearse=_rehearse_webhook,
    )
    registry.notifier(
        "apprise",
        "sends a short message by mail, chat or any other service that Apprise knows",
        APPRISE,
        _send_with_apprise,
        lacks=_lacks_apprise,
        rehearse=_rehearse_apprise,
    )


def _rehearse_webhook(options: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    stand_ins.left_out.append("its address, TLS, headers and what the receiver answers")
    kept = {key: value for key, value in options.items() if key == "signing_key"}
    return {**kept, "url": stand_ins.url}


def _rehearse_apprise(options: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    stand_ins.left_out.append("its services, their addresses and limits of a message")
    # Apprise's own form of a webhook.
    return {"urls": [stand_ins.url.replace("http://", "json://", 1)] * len(options["urls"])}


def _post(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .webhook import send  # noqa: PLC0415 - the HTTP client

    send(options, report)


def _lacks_apprise(_: Mapping[str, Any]) -> str:
    from .services import lacks  # noqa: PLC0415 - an extra

    return lacks()


def _send_with_apprise(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .services import send  # noqa: PLC0415 - an extra

    send(options, report)
