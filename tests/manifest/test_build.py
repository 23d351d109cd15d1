from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.models import Connection, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]


def test_the_smallest_manifest_takes_every_default(tmp_path: Path, read: Reader) -> None:
    """A connection and a target with a service are enough."""
    manifest = read("""
        version: 1
        connections:
          sit: {base_url: "https://excel.sit.coherent.global/acme"}
        targets:
          - name: pricing
            services: ["motor/pricing[1.4.2]"]
        """)

    assert manifest.name == "release"
    assert manifest.connections == {
        "sit": Connection("sit", base_url="https://excel.sit.coherent.global/acme")
    }
    assert manifest.targets == (
        Target(
            name="pricing",
            connection="sit",
            output=tmp_path / "exports" / "pricing",
            services=("motor/pricing[1.4.2]",),
        ),
    )
