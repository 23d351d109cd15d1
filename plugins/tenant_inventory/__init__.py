"""The step ``tenant_inventory``: save what packages lack, folders' properties and transforms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "tenant_inventory"
FOLDERS: Final = "tenant-folders.json"
TRANSFORMS: Final = "tenant-transforms.json"
# So many things that could not be saved are named in a message.
_NAMED: Final = 3
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "folders": {
            "title": "Folders",
            "description": (
                "Names of folders, or patterns with * and ?. By default those of the exported "
                'services; ["*"] is every folder that the credentials may see.'
            ),
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "examples": [["*"]],
        },
        "missing": {
            "title": "What cannot be saved",
            "description": (
                "Whether the step fails or only says so if the tenant refuses something, does not "
                "have it, or answers in an unknown form."
            ),
            "enum": ["warn", "fail"],
            "default": "warn",
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "saves folders' properties and transform documents",
        OPTIONS,
        dry_run=True,
        writes=lambda _: [FOLDERS, TRANSFORMS],
        rehearse=lambda options, _: options,
    )


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Say what would be saved, for the step ``tenant_inventory`` only."""
    if step.uses != NAME:
        return None
    which = tools.first_of(step.options.get("folders", ["the exported services' folders"]), _NAMED)
    return f"save properties and transform documents of {which} to {FOLDERS} and {TRANSFORMS}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Save the inventory once all packages are there, for the step ``tenant_inventory`` only."""
    if step.uses != NAME:
        return None
    if artifact.name != job.packages[-1].name:
        return StepOutput()
    # Imported on use: every run loads the plugin.
    from .inventory import Inventory  # noqa: PLC0415

    inventory = Inventory.of(job, step.options.get("folders"))
    left = tools.one_line(tools.first_of(inventory.missing, _NAMED, "; "), limit=2000)
    if left and step.options.get("missing") == "fail":
        raise errors.StepError(f"not saved: {left} (missing: fail)")
    try:
        made = [
            _write(job, FOLDERS, inventory.folders),
            _write(job, TRANSFORMS, inventory.transforms),
        ]
    except OSError as error:
        raise errors.StepError(f"{error.filename}: {error.strerror}") from error
    number = sum(len(each) for each in inventory.transforms.values())
    message = f"{tools.counted(len(inventory.folders), 'folder')}, "
    message += f"{tools.counted(number, 'transform document')} saved"
    return StepOutput(made, f"{message}; not saved: {left}" if left else message)


def _write(job: models.Job, name: str, data: Mapping[str, Any]) -> models.Artifact:
    """Write a file that is the same as long as the tenant has the same."""
    text = json.dumps(data, indent=2, sort_keys=True) + "\n"
    return tools.write_artifact(job, name, text, NAME)
