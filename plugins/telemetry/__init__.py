"""The report ``prometheus`` and the notifiers ``pushgateway`` and ``otel``: figures of a run.

Their libraries are imported on sending: most commands load plugins and send nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, hookimpl, models

from .options import OTEL, PUSHGATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the report and the notifiers."""
    registry.report("prometheus", "the figures of a run as Prometheus text", _write)
    registry.notifier(
        "pushgateway",
        "pushes the figures of a run to a Prometheus Pushgateway",
        PUSHGATEWAY,
        _push,
        rehearse=_rehearse_pushgateway,
    )
    registry.notifier(
        "otel",
        "sends a run as a trace with its figures to an OpenTelemetry collector",
        OTEL,
        _export,
        lacks=_lacks_otel,
        http_calls=True,
        rehearse=_rehearse_otel,
    )


def _rehearse_pushgateway(
    options: Mapping[str, Any], stand_ins: models.StandIns
) -> Mapping[str, Any]:
    stand_ins.left_out.append("the gateway, TLS and headers")
    kept = {key: value for key, value in options.items() if key == "job"}
    return {**kept, "url": stand_ins.url}


def _rehearse_otel(_: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    stand_ins.left_out.append("the collector, TLS and headers")
    return {"endpoint": stand_ins.url}


def _write(report: models.RunResult) -> Iterator[str]:
    from .prometheus import lines  # noqa: PLC0415 - few runs need it

    return lines(report)


def _push(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .pushgateway import send  # noqa: PLC0415 - the HTTP client

    send(options, report)


def _lacks_otel(_: Mapping[str, Any]) -> str:
    from .otel import lacks  # noqa: PLC0415 - an extra

    return lacks()


def _export(options: Mapping[str, Any], report: models.RunResult) -> None:
    from .otel import send  # noqa: PLC0415 - an extra

    send(options, report)
