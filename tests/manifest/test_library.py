"""The import of ``jsonschema``: none of what its formats need, which manifests do not use."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import sys
from spark_impex_runner.manifest.schema import library
print("rfc3987_syntax" in sys.modules)
print(library.jsonschema.FormatChecker().conforms("any text", "iri"))
print("rfc3987_syntax" in sys.modules)
"""


def test_grammar_of_iri_is_imported_on_use(tmp_path: Path) -> None:
    """A format's grammar costs a start of ours nothing, and works for programs that check it."""
    (tmp_path / "rfc3987_syntax.py").write_text("def is_valid_syntax(*_): return False\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)

    assert done.stdout.split() == ["False", "False", "True"], done.stderr
