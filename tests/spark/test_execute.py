"""A case is executed on the tenant by the documented call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.models import ServiceVersion
from spark_impex_runner.spark.execute import execute

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = ServiceVersion("motor", "pricing plan")


def test_call_is_the_documented_one(
    script: Callable[..., Any], reply: Callable[..., Any], session_to: Callable[..., Any]
) -> None:
    """Names are quoted; inputs and labels are in the body; the data of the reply is returned."""
    data = {"outputs": {"premium": 1.5}}
    server = script(reply({"status": "Success", "response_data": data, "error": None}))

    found = execute(session_to(server), SERVICE, {"ä": 1}, {"version": "1.4"})

    [request] = server.seen
    assert found == data
    assert request.path == "/acme/api/v3/folders/motor/services/pricing%20plan/execute"
    assert json.loads(request.body) == {
        "request_data": {"inputs": {"ä": 1}},
        "request_meta": {"version": "1.4"},
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"status": "Error", "error": {"message": "no engine"}}, "no engine"),
        ([], "the reply has no response_data"),
    ],
)
def test_reply_without_data_is_an_error(
    body: Any,
    reason: str,
    script: Callable[..., Any],
    reply: Callable[..., Any],
    session_to: Callable[..., Any],
) -> None:
    """With the tenant's own words."""
    with pytest.raises(SparkSdkError, match="execute motor/pricing plan: ") as error:
        execute(session_to(script(reply(body))), SERVICE, {}, {})

    assert reason in str(error.value)
