"""Errors and replies as programs of the official SDK expect them."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError, UsageError
from spark_impex_runner.sdk.response import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def sdk_errors() -> Iterator[None]:
    """Raise ``SparkSdkError`` for an argument that cannot be used, as the SDK does."""
    try:
        yield
    except UsageError as error:
        raise SparkSdkError(error.message, error) from error


def answering(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of ``Spark`` that gives the SDK's replies and raises its errors."""

    @functools.wraps(call)
    def answered(*arguments: Any, **named: Any) -> Any:
        with sdk_errors():
            found = call(*arguments, **named)
        if isinstance(found, list):
            return [HttpResponse.of(each) for each in found]
        return HttpResponse.of(found)

    return answered
