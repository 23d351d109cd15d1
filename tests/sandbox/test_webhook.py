"""The sandbox's webhook: an event is posted once, and a warning says which were lost."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.webhook import Webhook

if TYPE_CHECKING:
    import pytest

EVENT = ("PublishEngine", "motor", "pricing", "1.4.2", "id")


def test_lost_events_are_warned_of(receiver: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Refused or unreachable; the query, which may hold the key, is left out."""
    receiver.replies.append((401, {}))
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"

    for url in (f"{receiver.url}/hook?key=a-key", f"{receiver.url}/hook", f"{nowhere}/hook"):
        with closing(Webhook(url)) as webhook:
            webhook.post(*EVENT)

    first, second = (record.getMessage() for record in caplog.records)
    assert first == f"webhook {receiver.url}/hook: PublishEngine was refused with 401"
    assert second.startswith(f"webhook {nowhere}/hook: PublishEngine was not sent: ")
    assert len(receiver.received) == 2
