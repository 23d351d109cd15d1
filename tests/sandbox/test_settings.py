"""Settings refuse what they do not know."""

from __future__ import annotations

from typing import Any

import pytest

from spark_impex_runner.sandbox.settings import Settings


@pytest.mark.parametrize(
    "wrong", [{"hash_form": "crc32"}, {"ending": "exploded"}, {"busy_status": 503}]
)
def test_an_unknown_choice_is_named(wrong: dict[str, Any]) -> None:
    """The message holds the setting, the value and what may stand there."""
    with pytest.raises(ValueError, match="is not one of") as caught:
        Settings(**wrong)

    ((name, value),) = wrong.items()
    assert f"{name}: {value!r}" in str(caught.value)


def test_a_port_has_its_range() -> None:
    """A number that is no port is refused before anything is bound."""
    with pytest.raises(ValueError, match="port: 65536"):
        Settings(port=65536)
