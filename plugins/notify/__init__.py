"""The notifiers ``webhook`` and ``apprise``: how a run ended, told to a program or to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.hookspecs import hookimpl

from . import services, webhook

if TYPE_CHECKING:
    from spark_impex_runner.registry import Registry


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the notifiers."""
    registry.notifier(
        "webhook", "posts a JSON summary to an address", webhook.OPTIONS, webhook.send
    )
    registry.notifier(
        "apprise",
        "sends a short message by mail, chat or any other service that Apprise knows",
        services.OPTIONS,
        services.send,
    )
