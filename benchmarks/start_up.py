"""How soon the command answers: ``impex-run --help`` against ``pip --version``.

Both are the console scripts of one environment: that of the Python which runs this script.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from harness import Row, Way, main, ratio, rounds

SCRIPTS = Path(sysconfig.get_path("scripts"))


def rows() -> list[Row]:
    """Measure both, and the bare interpreter, which neither can be faster than."""
    times = rounds(
        {
            "help": Way([str(SCRIPTS / "impex-run"), "--help"]),
            "version": Way([str(SCRIPTS / "impex-run"), "--version"]),
            "pip": Way([str(SCRIPTS / "pip"), "--version"]),
            "python": Way([sys.executable, "-c", "pass"]),
        },
        count=15,
    )
    return [
        Row("`impex-run --help` to `pip --version`", "<= 0.6", ratio(times["help"], times["pip"])),
        Row("`impex-run --version` to `pip --version`", "", ratio(times["version"], times["pip"])),
        Row("`python -c pass` to `pip --version`", "", ratio(times["python"], times["pip"])),
    ]


if __name__ == "__main__":
    main(rows)
