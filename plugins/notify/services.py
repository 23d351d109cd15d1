"""The notifier ``apprise``: send a short message by any service that Apprise supports."""

from __future__ import annotations

import importlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

from .message import lines, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_MISSING = "Apprise is not installed; pip install 'spark-impex-runner[apprise]'"


def lacks() -> str:
    """Return how to install Apprise, empty if it is installed."""
    try:
        importlib.import_module("apprise")
    except ImportError:
        return _MISSING
    return ""


def send(options: Mapping[str, Any], report: models.RunResult) -> None:
    """Send the message to each service separately, so that an error names the one that failed."""
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError:
        raise errors.NotifyError(_MISSING) from None
    kind = apprise.NotifyType.SUCCESS if report.exit_code == 0 else apprise.NotifyType.FAILURE
    text = "\n".join(lines(report)) or tools.headline(report)
    # A redirect would send the message to an address that the manifest does not name.
    asset = apprise.AppriseAsset(http_redirects=False)
    failures = []
    with _masked(options["urls"]):
        for index, url in enumerate(options["urls"]):
            service = apprise.Apprise(asset=asset)
            if not service.add(url):
                failures.append(f"urls[{index}] is not a URL that Apprise knows")
            elif not service.notify(text, title(report), kind):
                failures.append(f"urls[{index}] did not take the message; check its URL")
    if failures:
        raise errors.NotifyError("; ".join(failures))


class _SecretFilter(tools.MaskingFilter):
    """Drops debug records, which show parts of an address that masking does not know."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask records of level INFO and above."""
        return record.levelno >= logging.INFO and super().filter(record)


@contextmanager
def _masked(urls: Sequence[str]) -> Iterator[None]:
    """Mask the addresses in Apprise's log, which shows any that it cannot parse."""
    masker, logger = tools.Masker(), logging.getLogger("apprise")
    for url in urls:
        masker.add(url)
    secret_filter = _SecretFilter(masker)
    logger.addFilter(secret_filter)
    try:
        yield
    finally:
        logger.removeFilter(secret_filter)
