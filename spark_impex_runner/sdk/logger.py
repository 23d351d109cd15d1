"""The SDK's ``get_logger`` and its options, without colours."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# The logger of this package: with a handler it shows what the client does.
LIBRARY: Final = "spark_impex_runner"


@dataclass(frozen=True)
class LoggerOptions:
    """How messages are logged to stderr; ``colorful`` is accepted and has no effect."""

    context: str = LIBRARY
    disabled: bool = False
    level: int = logging.INFO
    datefmt: str = "%Y-%m-%d %H:%M:%S %z"
    colorful: bool = False
    timestamp: bool = True

    @staticmethod
    def when(options: bool | Mapping[str, Any] | LoggerOptions) -> LoggerOptions:
        """Return the options of the argument ``logger``; False logs nothing."""
        if isinstance(options, LoggerOptions):
            return options
        if isinstance(options, Mapping):
            return LoggerOptions(**options)
        return LoggerOptions(disabled=not options)


def get_logger(  # noqa: PLR0913, PLR0917 - the official SDK's signature
    context: str = LIBRARY,
    disabled: bool = False,
    level: int = logging.INFO,
    datefmt: str = LoggerOptions.datefmt,
    colorful: bool = False,  # noqa: ARG001 - there are no colours
    timestamp: bool = True,
) -> logging.Logger:
    """Return a logger that writes to stderr, nothing if it is ``disabled``."""
    logger = logging.getLogger(context)
    logger.setLevel(logging.CRITICAL + 1 if disabled else level)
    if not any(isinstance(each, logging.StreamHandler) for each in logger.handlers):
        handler = logging.StreamHandler()
        time = "%(asctime)s " if timestamp else ""
        form = f"[%(name)s] {time}%(levelname)s - %(message)s"
        handler.setFormatter(logging.Formatter(form, datefmt))
        logger.addHandler(handler)
    return logger


def silence() -> None:
    """Keep Python from printing warnings of this package where the program logs nothing."""
    logger = logging.getLogger(LIBRARY)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
