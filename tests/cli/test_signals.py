"""What a signal means for a command with several manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli.main import main
from spark_impex_runner.engine import run
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
version: 1
connections: {c: {base_url: "http://127.0.0.1:9/acme", auth: {token: "${env:TOKEN}"}}}
targets: [{name: a, services: ["motor/pricing[1.0.0]"]}]
"""


def test_no_manifest_begins_after_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first one is ended by the signal; the second is not even read again."""
    monkeypatch.setenv("TOKEN", "a-token-of-this-test")
    paths, begun = [tmp_path / "one.yaml", tmp_path / "two.yaml"], []
    for path in paths:
        path.write_text(MANIFEST)

    def stopped(path: Path, *_: Any, clock: Any, **__: Any) -> None:
        begun.append(path)
        clock.stop(15)
        raise Interrupted(15)

    monkeypatch.setattr(run, "run_manifest", stopped)

    with pytest.raises(SystemExit) as ended:
        main(["run", *map(str, paths)])

    assert begun == paths[:1]
    assert ended.value.code == 143
    assert "interrupted by SIGTERM" in capsys.readouterr().err
