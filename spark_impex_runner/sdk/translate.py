"""Errors and replies as programs of the official SDK expect them."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, overload

from spark_impex_runner.errors import SparkSdkError, UsageError
from spark_impex_runner.sdk.response import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.spark.http.response import HttpResponse as Reply

P = ParamSpec("P")


@contextmanager
def sdk_errors() -> Iterator[None]:
    """Raise ``SparkSdkError`` for an argument that cannot be used, as the SDK does."""
    try:
        yield
    except UsageError as error:
        raise SparkSdkError(error.message, error) from error


@overload
def answering(call: Callable[P, Reply]) -> Callable[P, HttpResponse]: ...
@overload
def answering(call: Callable[P, list[Reply]]) -> Callable[P, list[HttpResponse]]: ...
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
