"""A JSON log is JSON, whatever plugins, libraries, subprocesses and workers write."""

from __future__ import annotations

import json
import os
from typing import Any

NOISY = """
import atexit, logging, os, subprocess, sys, threading, warnings
from spark_impex_runner import StepOutput, hookimpl

class Odd:
    def __del__(self):
        raise ValueError("in del")

@hookimpl
def impex_register(registry):
    registry.step("noisy", "Writes wherever it can.")
    atexit.register(print, "in atexit")
    warnings.warn("in register")

@hookimpl
def impex_run_step(step):
    if step.uses != "noisy":
        return None
    print("by print")
    sys.stderr.write("by write, secret " + os.environ["SECRET"])
    sys.__stderr__.write("by the original stream\\n")
    os.write(1, b"by descriptor 1\\n")
    os.write(2, b"by descriptor 2, secret " + os.environ["SECRET"].encode() + b"\\n")
    subprocess.run([sys.executable, "-c", "print('by a subprocess')"], check=True)
    logging.getLogger("lib").warning("by a library\\non two lines")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    Odd()
    raise RuntimeError("a bug")
"""
SECRET = "s3cret-of-this-test"


def test_every_line_of_stderr_is_json(tmp_path: Any, start: Any) -> None:
    """A pipeline that parses the log meets nothing else, and no secret."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "noisy.py").write_text(NOISY)
    (tmp_path / "m.yaml").write_text(
        "version: 1\nconnections:\n  here: {sandbox: acme}\n"
        "  sit: {base_url: 'https://x.example/t', auth: {token: '${env:SECRET}'}}\n"
        "targets: [{name: a, connection: here, folders: [life], steps: [{uses: noisy}]}]\n"
    )
    command = "from spark_impex_runner.cli.main import run; run()"
    args = ["m.yaml", "-p", "noisy.py", "--log-format", "json"]

    process = start("-c", command, *args, cwd=tmp_path, env={**os.environ, "SECRET": SECRET})
    _, err = process.communicate()

    assert process.returncode == 4
    lines = [json.loads(line) for line in err.splitlines()]
    written = "\n".join(each["message"] for each in lines if each["event"] == "output")
    for text in ("print", "descriptor 1", "descriptor 2", "a subprocess", "the original stream"):
        assert f"by {text}" in written
    for text in ("in register", "in atexit", "in del", "ZeroDivisionError"):
        assert text in written
    assert {"run.started", "target.failed", "run.finished", "note"} <= {e["event"] for e in lines}
    assert SECRET not in err
