"""Approvals and signed records in a state that several machines share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli.main import main
from spark_impex_runner.evidence.verify import verify

if TYPE_CHECKING:
    from tests.evidence.conftest import Promotion


def test_approval_from_another_machine(promotion: Promotion, s3_state: Any) -> None:
    """Bob has neither folder nor credentials: alice's run reads from the store what he records."""
    place = s3_state.url
    held = promotion.run("alice", state=place)
    elsewhere = promotion.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(promotion.manifest, elsewhere)

    promotion.be("bob")
    words = ["approve", str(elsewhere / "m.yaml"), "--state", place, "--approve", "prod"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--key", str(promotion.folder / "bob")])
    done = promotion.run("alice", state=place)

    assert [each.exit_code for each in (held, done)] == [9, 0]
    keys = [promotion.key(), promotion.key("bob.pub")]
    found = verify(promotion.release, keys, require_approval=True)
    assert found.problems == ()
    assert [each.kind for each in found.records if each.kind != "delivery"] == [
        "approval",
        "import",
    ]
    assert promotion.receipt()["approvals"][0]["by"] == "bob"
