"""The endpoints for the health and the configuration of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.sandbox.http.messages import json_reply, v1_reply

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.settings import Settings


class Environment:
    """Answers the endpoints of the tenant's environment."""

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
