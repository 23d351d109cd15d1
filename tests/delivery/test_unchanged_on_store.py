"""A run that has waited for another one's target sees what that has delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import World

from spark_impex_runner.models import Outcome
from spark_impex_runner.state import opening
from spark_impex_runner.state.remote import ObjectStorage

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = "- {name: a, folders: [life], skip_unchanged: true, file_name: {}.zip}"


@pytest.mark.parametrize(("theirs", "jobs"), [("package", 1), ("another", 2)])
def test_delivery_that_was_waited_for(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    theirs: str,
    jobs: int,
) -> None:
    """It is not exported again, unless the other run had other work to do."""
    world, sandbox, lease = World(), serve(), ObjectStorage.lease
    monkeypatch.setattr(opening, "_object_storage", lambda *_: world.storage())
    others = list[Any]()

    def deliver(name: str) -> Any:
        return only(run(sandbox, TARGET.replace("{}", name), state="s3://memory/impex"))

    def waited(storage: ObjectStorage, *arguments: Any) -> Any:
        if not others:
            others.append("begun")
            others.append(deliver(theirs))
        return lease(storage, *arguments)

    monkeypatch.setattr(ObjectStorage, "lease", waited)

    own = deliver("package")

    assert others[1].outcome is Outcome.SUCCEEDED
    assert own.outcome is (Outcome.UNCHANGED if jobs == 1 else Outcome.SUCCEEDED), own.error
    assert sandbox.jobs_created == jobs
