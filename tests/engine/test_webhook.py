"""What a webhook's body says: one field is published, the others are assumed and replaceable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.engine.webhook import (
    ASSUMED_FIELDS,
    DEFAULT_ACTIONS,
    EventOptions,
    read_event,
)
from spark_impex_runner.errors import UsageError

BODY = {"UserAction": "PublishEngine", "Folder": "motor", "serviceName": "pricing", "Version": 2}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(sorted({name for names in ASSUMED_FIELDS.values() for name in names}))


def event(body: Any, **options: Any) -> Any:
    """Read a body."""
    return read_event(json.dumps(body), EventOptions(**options))


def test_assumed_fields_become_variables() -> None:
    """Whatever the case of their names; numbers count as text, and what is absent is left out."""
    found = event(BODY)

    assert (found.action, found.chosen) == ("PublishEngine", True)
    assert found.variables == {
        "event": found.id,
        "action": "PublishEngine",
        "folder": "motor",
        "service": "pricing",
        "version": "2",
    }


def test_options_replace_assumed_fields() -> None:
    """The first field that is present counts, at any depth; the rest is as assumed, or nothing."""
    body = {**BODY, "Data": {"Release": "1.4.2"}}
    paths = (("version", "Data.Number"), ("version", "Data.Release"), ("who", "User"))

    assert event(body, fields=paths).variables["version"] == "1.4.2"
    assert "who" not in event(body, fields=paths).variables
    bare = event(body, fields=paths, assumed=False).variables
    assert bare.keys() == {"event", "action", "version"}


def test_other_actions_are_not_chosen() -> None:
    """An action is compared as it is; a body without one is an event that runs nothing."""
    assert not event({**BODY, "UserAction": "publishengine"}).chosen
    assert not event({"Folder": "motor"}).chosen
    assert event({**BODY, "UserAction": "AddProduct"}, actions=("AddProduct",)).chosen


def test_unknown_action_is_one_line() -> None:
    """Such as one of a forged event, which would add lines to a log."""
    assert event({"UserAction": "Odd\x1b[2J\nerror: none"}).action == "Odd [2J error: none"


def test_id_is_of_what_body_says() -> None:
    """Not of how it is written; a field that identifies events replaces the body."""
    again = json.dumps(dict(reversed(BODY.items())), indent=4)
    delivered = {**BODY, "EventId": "e-1", "Attempt": 1}
    repeated = {**delivered, "Attempt": 2}

    assert read_event(again, EventOptions()).id == event(BODY).id
    assert event({**BODY, "Version": 3}).id != event(BODY).id
    assert event(delivered).id != event(repeated).id
    assert event(delivered, id_field="EventId").id == event(repeated, id_field="EventId").id
    with pytest.raises(UsageError, match=r"the event has no EventId; check --id"):
        event(BODY, id_field="EventId")


@pytest.mark.parametrize(
    "value", ["*", "a/b", "..", "x[1]", "${env:HOME}", "a\nb", "a\\b", "\u202e"]
)
def test_unsafe_values_are_refused(value: str) -> None:
    """A name from outside is no pattern, path, version or reference."""
    with pytest.raises(UsageError, match=r"the event's service is .* no plain name") as caught:
        event({**BODY, "serviceName": value})

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "[1", "[]", "3", '"x"', "[" * 5000])
def test_what_is_no_event_is_an_error(body: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=r"^the event is not"):
        read_event(body, EventOptions())


@given(st.dictionaries(NAMES, JSON), st.sampled_from([*DEFAULT_ACTIONS, "x"]), JSON)
def test_any_json_is_an_event_or_refused(data: Any, action: str, other: Any) -> None:
    """Values of any type never break the reader, and what is passed on is a plain name."""
    try:
        found = event({**data, "UserAction": action, "Data": other}, fields=(("x", "Data.x"),))
    except UsageError:
        return

    assert all(each and each.isprintable() for each in found.variables.values())
    assert not any(set(each) & set("*?[]{}/\\$") for each in found.variables.values())


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Also those that are no text."""
    try:
        found = read_event(body, EventOptions())
    except UsageError:
        return

    assert found.chosen is (found.action in DEFAULT_ACTIONS)
