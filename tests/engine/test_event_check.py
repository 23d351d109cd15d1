"""What a listener finds wrong before the first event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.event_check import check_manifest, check_state
from spark_impex_runner.engine.webhook import EventOptions
from spark_impex_runner.errors import ImpexError, StateError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.spark.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = """
version: 1
vars: {action: none, folder: "life/"}
connections: {here: {base_url: "http://127.0.0.1:1/acme", auth: {token: "${env:A_TOKEN}"}}}
targets:
  - name: a
    services: ["${var:folder}/${var:service}[${var:version}]"]
    version_ids: ["${var:version_id}"]
    correlation_id: "${var:action}-${var:event}"
    output: "exports/${var:folder}"
    file_filter: "${var:kind}"
    steps: [{uses: unzip, with: {to: "${var:service}"}}]
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that checks a manifest."""
    monkeypatch.setenv("A_TOKEN", "a-token")

    def checked(text: str = MANIFEST, **options: Any) -> None:
        path = tmp_path / "m.yaml"
        path.write_text(text)
        how = EventOptions(**{"fields": (("kind", "Kind"),), **options})
        check_manifest(path, RunOptions(), how, Clock(), Masker())

    return checked


def test_variables_of_events_need_no_value(
    check: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a value count that an event replaces; the client is ready when the check ends."""
    opened: list[str] = []
    monkeypatch.setattr(Transport, "close", lambda _: opened.append("one"))

    check()

    assert opened == ["one"]


def test_connection_of_an_event_is_left_to_it(check: Callable[..., None]) -> None:
    """Its address is not there yet, so that no client can be made."""
    check(MANIFEST.replace('base_url: "http://127.0.0.1:1/acme"', 'env: "${var:kind}", tenant: a'))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind", "sort", r"m.yaml:11:18: .* the variable 'sort' is not defined"),
        ("unzip", "unzap", r"m.yaml:12:20: .*'unzap'.*did you mean 'unzip'"),
        ("A_TOKEN", "NO_TOKEN", r"m.yaml:4:.* 'NO_TOKEN' is not set"),
        (', auth: {token: "${env:A_TOKEN}"}', "", r"^no credentials for the tenant; set CSPARK"),
        ("targets:", "targets: []\nx-no:", r"m.yaml:5:"),
    ],
)
def test_mistakes_are_found_before_events(
    check: Callable[..., None], old: str, new: str, message: str
) -> None:
    """As ``impex validate`` finds them, and credentials that are missing."""
    with pytest.raises(ImpexError, match=message) as caught:
        check(MANIFEST.replace(old, new))

    assert caught.value.exit_code == 2


def test_variable_that_no_event_sets_is_undefined(check: Callable[..., None]) -> None:
    """Such as an assumed one with --no-assumed."""
    with pytest.raises(ImpexError, match="the variable 'service' is not defined"):
        check(assumed=False)


def test_damaged_state_is_found(tmp_path: Path) -> None:
    """One that is not there yet is no mistake, and is not created."""
    path, options = tmp_path / "m.yaml", RunOptions(state=tmp_path / "state")
    check_state(path, options, Clock())
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    (tmp_path / "state/state.db").write_text("no database, but as long as the head of one: " * 9)

    with pytest.raises(StateError, match=r"state\.db is damaged"):
        check_state(path, options, Clock())
