"""The endpoints about the service itself: is it up, and how is it set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.sandbox.wire import json_reply, v1_reply

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.settings import Settings
    from spark_impex_runner.sandbox.wire import Reply, Request


class Environment:
    """Answers for the environment that the tenant lives in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def health(self, request: Request) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET health``."""
        return json_reply({"status": "UP"})

    def configuration(self, request: Request) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET config/GetSparkConfiguration``; every value is a string (seen)."""
        return v1_reply(
            {
                "ExportAPIJobLimit": str(self._settings.job_limit),
                "ImportAPIJobLimit": str(self._settings.job_limit),
                "ImpExSizeLimit_InBytes": str(self._settings.size_limit),
                "WorkQueueJobTimeout_ImpEx_InMin": "20",
                "UploadFileSizeLimit_InBytes": str(self._settings.size_limit),
                "EnableRateLimit": "False",
            }
        )
