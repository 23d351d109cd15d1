"""A server's words, made fit for one line of a terminal."""

from __future__ import annotations

from spark_impex_runner.text import one_line

__all__ = ["one_line"]
