"""How fast a large manifest is validated, against only parsing it with libyaml.

The peer reads the same file to plain data with PyYAML's loader in C and checks nothing. Ours is
``impex validate``: start-up, line numbers, schema, references, needs, names and models.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from harness import Row, Times, Way, main, ratio, rounds, workplace

IMPEX = Path(sysconfig.get_path("scripts")) / "impex"
PEER = "import sys, yaml\nyaml.load(open(sys.argv[1]), Loader=yaml.CSafeLoader)"
HEAD = """version: 1
name: nightly
vars: {release: "2026.11", keep: exports}
defaults:
  missing: warn
  polling: {strategy: fixed, deadline: 45m}
connections:
"""
CONNECTION = """  tenant-{n}:
    base_url: https://excel.sit.coherent.global/tenant-{n}
    auth: {{token: "${{env:TOKEN}}"}}
"""
TARGET = """  - name: product-{n}
    connection: tenant-{tenant}
    tags: [nightly, line-{line}]
    services:
      - "line-{line}/pricing-{n}[1.{minor}.2]"
      - line-{line}/rating-{n}
    output: ${{var:keep}}/${{run.date}}/${{target.name}}
    correlation_id: ${{var:release}}-${{target.name}}
    needs: [{needs}]
    steps:
      - uses: checksum
      - uses: unzip
        with: {{to: "content-{n}", max_files: 5000}}
        retry: {{attempts: 3, interval: 2s}}
"""


def manifest(targets: int, connections: int) -> str:
    """Return the text of a manifest in which every target has what real ones have."""
    return "".join(
        [
            HEAD,
            *(CONNECTION.format(n=n) for n in range(connections)),
            "targets:\n",
            *(_target(n, connections) for n in range(targets)),
        ]
    )


def _target(number: int, connections: int) -> str:
    """Return one target; nine of ten wait for the one before."""
    return TARGET.format(
        n=number,
        tenant=number % connections,
        line=number % 20,
        minor=number % 7,
        needs=f"product-{number - 1}" if number % 10 else "",
    )


def rows() -> list[Row]:
    """Measure 5,000 targets against the peer, then how time and memory grow."""
    with workplace() as place:
        ways = {}
        for targets, connections in ((5_000, 5), (2_500, 500), (10_000, 500)):
            path = place / f"{targets}.yaml"
            path.write_text(manifest(targets, connections), encoding="utf-8")
            ways[f"{targets}"] = Way([str(IMPEX), "validate", str(path)], environ={"TOKEN": "x"})
        bare = Way([sys.executable, "-c", PEER, str(place / "5000.yaml")])
        times = rounds({"bare": bare, **ways}, count=5)
    return _rows(times)


def _rows(times: dict[str, Times]) -> list[Row]:
    """Return what was measured as rows."""
    ours, bare, small, large = (times[name] for name in ("5000", "bare", "2500", "10000"))
    each = (large.peak - small.peak) / 7_500 * 1000
    return [
        Row("validate 5,000 targets, to a bare libyaml load", "<= 6", ratio(ours, bare)),
        Row("the same: peak memory", "", f"{ours.peak:.0f} MB, bare {bare.peak:.0f} MB"),
        Row("validate 10,000 targets of 500 connections, to 2,500", "", ratio(large, small)),
        Row("the same: peak memory", "", f"{large.peak:.0f} MB, {each:.0f} kB a target"),
    ]


if __name__ == "__main__":
    main(rows)
