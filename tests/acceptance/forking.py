"""Run programs of the tests in processes that start at once: forks, in which all is imported.

Not a test: a program of the tests. Each line of its input is a program with its arguments, and the
environment; each line of its output the exit status, negative for a signal, and the errors.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import sys
import tempfile

import spark_impex_runner
from spark_impex_runner.pluginmanager import make_plugin_manager

make_plugin_manager()
for module in pkgutil.walk_packages(spark_impex_runner.__path__, "spark_impex_runner."):
    if ".testing" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
gc.freeze()
for line in sys.stdin:
    words, environ = json.loads(line)
    with tempfile.TemporaryFile("w+") as errors, open(os.devnull) as nothing:  # noqa: PTH123
        child = os.fork()
        if not child:
            for number, file in enumerate((nothing, errors, errors)):
                os.dup2(file.fileno(), number)
            os.environ.clear()
            os.environ.update(environ)
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
            sys.exit()
        _, status = os.waitpid(child, 0)
        errors.seek(0)
        print(json.dumps([os.waitstatus_to_exitcode(status), errors.read()]), flush=True)  # noqa: T201
