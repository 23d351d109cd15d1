"""Turn a loaded manifest into one that can be rehearsed: on sandbox tenants, in a scratch folder.

Every output, report and file that a step writes is moved into the scratch folder, every tenant is
replaced by a sandbox, and every other destination by what its plugin puts in its place.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.models import Auth, StandIns
from spark_impex_runner.planning.locations import path_options, steps_of
from spark_impex_runner.planning.survey import UNKNOWN
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.sandbox.sink import Sink
from spark_impex_runner.sandbox.tenant.tree import INDEX
from spark_impex_runner.spark.tenant import TenantUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack

    from spark_impex_runner.hooks.registry import Notifier, StepOffer
    from spark_impex_runner.manifest.yaml.document import KeyPath
    from spark_impex_runner.models import Connection, Manifest, Notification, Step, Target
    from spark_impex_runner.planning.stages import Loaded
    from spark_impex_runner.planning.survey import Contents

# More than a rehearsal ever starts at once: no target waits for another one's job.
_JOB_LIMIT = 20_000
_NO_DETAILS = parse_fault("details@*=403")
_JOBS = 4
_MODEL = {
    "description": "invented for a rehearsal",
    "inputs": [{"name": "Premium", "address": "B2", "default": 100}],
    "outputs": [{"name": "Total", "address": "B4"}],
}


class Scratch:
    """The folder of one rehearsal; knows which place in it stands for which place outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self._originals: dict[str, str] = {}
        self._places: dict[Path, Path] = {}

    def place(self, original: Path) -> Path:
        """Return the place that stands for a path, always the same one."""
        if original not in self._places:
            place = self.root / str(len(self._places)) / (original.name or "root")
            place.parent.mkdir()
            self._places[original] = place
            self.stands_for(str(place), str(original))
        return self._places[original]

    def stands_for(self, text: str, original: str) -> None:
        """Show ``original`` in place of a text of the rehearsal."""
        self._originals[text] = original

    def shown(self, text: str) -> str:
        """Return a message with what is outside in place of what stands for it."""
        for place in sorted(self._originals, key=len, reverse=True):
            text = text.replace(place, self._originals[place])
        return text


@dataclass
class Staging:
    """A manifest on stand-ins.

    ``left_out`` says what is not rehearsed, as pairs of a part of the manifest and a line about it.
    ``step_keys`` are the paths of each target's remaining steps in the manifest as written.
    ``sinks`` are the names of the sink's URLs by their users; ``unsent`` are the notifications that
    failed.
    """

    manifest: Manifest
    left_out: list[tuple[str, str]]
    step_keys: dict[str, list[KeyPath]]
    sink: Sink
    sinks: dict[str, str]
    unsent: list[str] = field(default_factory=list)


def stage(
    loaded: Loaded,
    contents: Mapping[str, Contents],
    scratch: Scratch,
    ports: set[int],
    stack: ExitStack,
) -> Staging:
    """Start the stand-ins, which ``stack`` closes, and return the manifest on them.

    Adds the ports of the stand-ins to ``ports``.
    """
    stager = _Stager(loaded, contents, scratch, stack.enter_context(Sink()))
    ports.add(stager.sink.port)
    return stager.stage(ports, stack)


@dataclass
class _Stager:
    loaded: Loaded
    contents: Mapping[str, Contents]
    scratch: Scratch
    sink: Sink
    left_out: list[tuple[str, str]] = field(default_factory=list)
    sinks: dict[str, str] = field(default_factory=dict)
    step_keys: dict[str, list[KeyPath]] = field(default_factory=dict)

    def stage(self, ports: set[int], stack: ExitStack) -> Staging:
        manifest = self.loaded.manifest
        connections = dict(self._connections(stack, ports))
        targets = tuple(self._target(each) for each in self.loaded.targets)
        notify = [self._notification(*each) for each in enumerate(manifest.notify)]
        staged = replace(
            manifest,
            path=self.scratch.place(manifest.path.absolute()),
            connections=connections,
            targets=targets,
            reports={name: self.scratch.place(path) for name, path in manifest.reports.items()},
            notify=tuple(each for each in notify if each),
        )
        return Staging(staged, self.left_out, self.step_keys, self.sink, self.sinks)

    def _connections(self, stack: ExitStack, ports: set[int]) -> Iterator[tuple[str, Connection]]:
        """Yield the connections that the targets use, each to a sandbox."""
        used = {name for target in self.loaded.targets for name in target.connections}
        sandboxes: dict[str, Sandbox] = {}
        for name, connection in self.loaded.manifest.connections.items():
            if name not in used:
                continue
            address = _address(connection)
            # Two connections to one tenant see what the other one imports.
            key = address.base if address else name
            if key not in sandboxes:
                tenant = address.tenant if address else name
                sandbox = Sandbox(
                    connection.sandbox or self._tree(name, key),
                    Settings(
                        tenant="" if connection.sandbox else tenant,
                        job_limit=_JOB_LIMIT,
                        # All versions have one model, so no hash tells which ones are the same.
                        faults=() if connection.sandbox else (_NO_DETAILS,),
                    ),
                )
                sandboxes[key] = stack.enter_context(sandbox)
                ports |= {_port(sandbox.base_url), _port(sandbox.download_origin)}
                shown = f"(the sandbox of {name})"
                self.scratch.stands_for(sandbox.base_url, address.base if address else shown)
            sandbox = sandboxes[key]
            yield (
                name,
                replace(
                    connection,
                    sandbox=None,
                    base_url=sandbox.base_url,
                    env=None,
                    tenant=None,
                    auth=Auth(token=sandbox.token),
                    jobs=connection.jobs or _JOBS,
                    requests_per_second=None,
                    verify_tls=True,
                ),
            )

    def _tree(self, name: str, key: str) -> Path:
        """Write the folder that the sandbox of a tenant serves."""
        tree = self.scratch.root / f"tenant-{len(list(self.scratch.root.glob('tenant-*')))}"
        (tree / "model").mkdir(parents=True)
        (tree / "model/service.json").write_text(json.dumps(_MODEL))
        connections = self.loaded.manifest.connections
        merged = self.contents[name]
        for other, each in self.contents.items():
            address = _address(connections[other])
            if other != name and address and address.base == key:
                merged.folders |= each.folders
                known = {names: found for names, found in merged.versions.items() if found}
                merged.versions |= each.versions | known
                merged.service_ids |= each.service_ids
        (tree / INDEX).write_text(json.dumps(merged.index(key)))
        return tree

    def _target(self, target: Target) -> Target:
        offers = self.loaded.opened.plugins.registry.steps
        self.step_keys[target.name] = keys = []
        steps = []
        for key, step in steps_of(target):
            title = f"target {target.name}, step {step.uses}"
            offer = offers.get(step.uses)
            if offer and (options := self._options(offer, step, (*key, "with"), title)) is not None:
                steps.append(replace(step, options=options))
                keys.append(key)
        contents = self.contents.get(target.connection)
        unknown = contents.unknown if contents else set()
        for entry in sorted(unknown & set(target.services)):
            why = "replaced by an invented service, since its plugin gives no examples"
            self.left_out.append((f"target {target.name}", f"the entry '{entry}' was {why}"))
        services = dict.fromkeys(UNKNOWN if e in unknown else e for e in target.services)
        output = self.scratch.place(target.output)
        return replace(target, steps=tuple(steps), services=tuple(services), output=output)

    def _notification(self, index: int, each: Notification) -> Notification | None:
        """Return a notification that is sent to the sink, whatever the outcome."""
        offer = self.loaded.opened.plugins.registry.notifiers[each.uses]
        title = f"notify[{index}] ({each.uses}, on {', '.join(each.on)})"
        options = self._options(offer, each, ("notify", index, "with"), title)
        return None if options is None else replace(each, options=options, on=("always",))

    def _options(
        self, offer: StepOffer | Notifier, uses: Step | Notification, key: KeyPath, title: str
    ) -> dict[str, Any] | None:
        """Return options with stand-ins, None if the plugin takes no part in a rehearsal."""
        if offer.rehearse is None:
            position = self.loaded.opened.document.position(key[:-1])
            where = f"{position.file.label}:{position.value[0]}"
            why = f"the plugin {offer.provider} does not say how to rehearse it"
            self.left_out.append((f"{title} ({where})", f"left out: {why}"))
            return None
        name = str(len(self.sinks))
        self.sinks[title] = name
        folder = self.scratch.place(Path(f"(a scratch folder)/{name}"))
        stand_ins = StandIns(folder, self.sink.url(name))
        self.scratch.stands_for(str(folder), "(a scratch folder)")
        self.scratch.stands_for(stand_ins.url, "(a server on this machine)")
        try:
            options = dict(offer.rehearse(self._with_places(offer, uses.options), stand_ins))
        except ImpexError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {offer.provider} failed to replace the destinations of '{offer.name}': "
                f"{type(error).__name__}: {error}"
            ) from error
        self.left_out += [(title, each) for each in stand_ins.left_out]
        return options

    def _with_places(
        self, offer: StepOffer | Notifier, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return options whose files to write are in the scratch folder, with what they hold."""
        folder = self.loaded.manifest.path.absolute().parent
        found = dict(options)
        for key, kind in path_options(offer, options).items():
            original = folder / options[key]
            if kind == "read":
                found[key] = str(original)
                continue
            place = self.scratch.place(original)
            if original.is_file() and not place.exists():
                shutil.copyfile(original, place)
            found[key] = str(place)
        return found


def _address(connection: Connection) -> TenantUrl | None:
    """Return the address of a connection's tenant, None if it is a sandbox or not known."""
    if connection.sandbox:
        return None
    try:
        if connection.base_url:
            return TenantUrl.parse(connection.base_url, connection.tenant)
        if connection.env and connection.tenant:
            return TenantUrl.of(connection.env, connection.tenant)
    except ImpexError:  # a part of it is a reference without a value
        return None
    return None


def _port(url: str) -> int:
    return urlsplit(url).port or 0
