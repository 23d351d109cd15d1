"""The conformance test of what takes part in rehearsals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.engine.simulate import Simulation
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.testing.options import (
    OptionsConformance,
    manifest,
    referring,
    require,
    shown,
)

if TYPE_CHECKING:
    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.testing.fixtures import Runner


class RehearsalConformance(OptionsConformance):
    """The test of a step in ``impex plan --simulate``."""

    def offer_of(self, plugins: Plugins) -> StepOffer:
        """Return the step's offer."""
        return plugins.registry.steps[self.name]

    def test_a_rehearsal_stays_on_this_machine(
        self, plugins: Plugins, run_manifest: Runner
    ) -> None:
        """On its stand-ins it succeeds, connects to nothing else and starts no program."""
        offer = self.offer_of(plugins)
        if offer.rehearse is None:
            pytest.skip("the step takes no part in rehearsals")
        for options in self.good_options:
            with pytest.MonkeyPatch.context() as patch:
                written = referring(offer.options, options, patch)
                purpose = offer.file_filter or "migrate"
                path = run_manifest.write(
                    manifest({**self.target_with(written), "file_filter": purpose})
                )
                chosen = RunOptions(plugin_files=tuple(self.plugin_files))
                found = Simulation.of(path, chosen, Masker(), run_manifest.clock).run()
            require(not found.refused, f"{shown(written)}: {'; '.join(found.refused)}")
            errors = "; ".join(each.error for each in found.targets)
            require(found.exit_code == 0, f"{shown(written)}: {errors}")
