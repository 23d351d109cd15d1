"""The notifier ``apprise``: a short message by any of the services that Apprise knows."""

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
    """Return that Apprise is not installed, and what installs it; nothing where it is there."""
    try:
        importlib.import_module("apprise")
    except ImportError:
        return _MISSING
    return ""


def send(options: Mapping[str, Any], report: models.RunResult) -> None:
    """Send the message to each service on its own, so that it is known which was not told."""
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError:
        raise errors.NotifyError(_MISSING) from None
    kind = apprise.NotifyType.SUCCESS if report.exit_code == 0 else apprise.NotifyType.FAILURE
    text = "\n".join(lines(report)) or tools.headline(report)
    # What the message says is for the address that was given, and for no other.
    asset = apprise.AppriseAsset(http_redirects=False)
    faults = []
    with _masked(options["urls"]):
        for index, url in enumerate(options["urls"]):
            service = apprise.Apprise(asset=asset)
            if not service.add(url):
                faults.append(f"urls[{index}] is no address that Apprise knows")
            elif not service.notify(text, title(report), kind):
                faults.append(f"urls[{index}] was not told")
    if faults:
        raise errors.NotifyError("; ".join(faults))


class _Discreet(tools.MaskingFilter):
    """Lets no record pass that takes an address apart, as those for developers do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask what is for people."""
        return record.levelno >= logging.INFO and super().filter(record)


@contextmanager
def _masked(urls: Sequence[str]) -> Iterator[None]:
    """Keep the addresses out of what Apprise logs: it shows one that it cannot read."""
    masker, logger = tools.Masker(), logging.getLogger("apprise")
    for url in urls:
        masker.add(url)
    discreet = _Discreet(masker)
    logger.addFilter(discreet)
    try:
        yield
    finally:
        logger.removeFilter(discreet)
