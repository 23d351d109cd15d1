"""``impex plan --simulate``."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Rehearse each manifest, and print what would come of a run."""
    from spark_impex_runner.confinement import confine_for_good
    from spark_impex_runner.engine.simulate import Simulation
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.report import rehearsal

    if arguments.detailed_exitcode:
        raise UsageError("--detailed-exitcode: a rehearsal has the exit code of the run")
    options, masker = selection.options(arguments), context.masker
    # All tenants are asked before anything is rehearsed: afterwards nothing may leave the machine.
    simulations = [Simulation.of(path, options, masker) for path in arguments.manifests]
    if context.console.streams.owns_process:
        confine_for_good()
    # The events of a rehearsal are no news of a run, and name addresses of stand-ins.
    logging.getLogger("spark_impex_runner").setLevel(
        logging.DEBUG if arguments.verbose else logging.ERROR
    )
    found = [each.run() for each in simulations]
    if arguments.format == "json":
        documents = [masker.mask_within(rehearsal.as_data(each), keys=False) for each in found]
        context.console.document(
            json.dumps({"rehearsals": documents}, indent=2, ensure_ascii=False)
        )
    else:
        for each in found:
            context.console.result(rehearsal.render(each, verbose=bool(arguments.verbose)))
    codes = {each.exit_code for each in found}
    # Some manifests would be delivered in full or in part: the same as some targets.
    return 3 if max(codes) == 4 and codes & {0, 3} else max(codes)
