"""Find out what the tenants of a manifest hold, for the sandbox tenants of a rehearsal.

A tenant's listing is asked where its address and credentials are known and it answers soon. Else
the contents are invented from what the manifest names.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner.blocking import map_in_threads
from spark_impex_runner.errors import ImpexError, UsageError
from spark_impex_runner.manifest.build import read_manifest
from spark_impex_runner.manifest.expand import SelectedTargets
from spark_impex_runner.manifest.references import UnresolvedText
from spark_impex_runner.planning.plan import plan_target
from spark_impex_runner.planning.prepare import new_run
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection, Run, Target
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.planning.stages import Loaded
    from spark_impex_runner.spark.client import Spark

_log = logging.getLogger(__name__)
# Seconds that the listing of one tenant may take, and one request of it.
_LISTING, _REQUEST = 20.0, 10.0
# How many tenants are asked at once.
_AT_ONCE = 8
# The folder of invented services whose own is unknown, and such a service.
_FOLDER = "rehearsal"
UNKNOWN = f"{_FOLDER}/service"


@dataclass
class Contents:
    """What a sandbox tenant holds, and where that is known from.

    ``origin`` is ``listing`` or ``invented``, then with the ``reason``; ``versions`` are the ids
    of versions by folder, service and number, each empty if unknown. ``unknown`` are the entries
    of ``services`` for which nothing can be invented.
    """

    origin: str
    reason: str = ""
    address: str = ""
    folders: set[str] = field(default_factory=set)
    versions: dict[tuple[str, str, str], str] = field(default_factory=dict)
    service_ids: dict[tuple[str, str], str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def index(self, tenant: str) -> dict[str, Any]:
        """Return the contents as the sandbox reads them.

        Unknown ids are made from the address of the ``tenant``: no two tenants share them.
        """
        return {
            "folders": sorted(self.folders),
            "versions": [
                {
                    "folder": names[0],
                    "service": names[1],
                    "number": names[2],
                    "id": version_id or str(uuid.uuid5(uuid.NAMESPACE_URL, repr((tenant, names)))),
                    "service_id": self.service_ids.get(names[:2], ""),
                }
                for names, version_id in self.versions.items()
            ],
        }

    def add(self, uri: Uri) -> str:
        """Invent what a service URI names, unless it is there, and return its folder."""
        folder, service, number = uri.folder, uri.service, uri.version or "1.0.0"
        if not folder:
            folder, service = _FOLDER, f"service-{(uri.service_id or uri.version_id)[:8]}"
        if uri.service_id:
            self.service_ids[folder, service] = uri.service_id
        # A version of fewer than three parts stands for the latest that begins with it.
        number += ".0" * (2 - number.count("."))
        self.versions.setdefault((folder, service, number), uri.version_id)
        return folder


def survey(loaded: Loaded, clock: Clock, masker: Masker) -> dict[str, Contents]:
    """Return the contents of each connection's tenant that is no sandbox, by its name.

    Asks the tenants for their listings, and sends nothing else.
    """
    from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415 - HTTP

    used = {name for target in loaded.targets for name in target.connections}
    used = {name for name in used if loaded.manifest.connections[name].sandbox is None}
    if not used:
        return {}
    known, problems = _credentials(loaded, frozenset(used))
    bounded = {
        name: replace(each, timeout=min(each.timeout, _REQUEST)) for name, each in known.items()
    }
    with closing(Connections(bounded, clock, masker)) as connections:
        # A tenant that does not answer costs its time.
        ask = partial(_listing, connections=connections, clock=clock)
        asked = dict(zip(known, map_in_threads(ask, known, _AT_ONCE), strict=True))
        asked |= {name: Contents("invented", reason) for name, reason in problems.items()}
        run = new_run(loaded, connections)
        for target in loaded.targets:
            _add_target(target, run, asked, loaded, clock)
    return asked


def _credentials(
    loaded: Loaded, used: frozenset[str]
) -> tuple[dict[str, Connection], dict[str, str]]:
    """Return the connections with their credentials, and for others the reason."""
    opened, placeholders = loaded.opened, dict[str, str]()
    # Without notifications, whose secrets the listing does not need.
    data = {key: value for key, value in opened.document.data.items() if key != "notify"}
    settings = replace(
        opened.settings, selected=SelectedTargets(frozenset(), used), placeholders=placeholders
    )
    try:
        manifest = read_manifest(replace(opened.document, data=data), settings)
    except ImpexError as error:
        return {}, dict.fromkeys(used, str(error).splitlines()[0])
    found, problems = {}, {}
    for name in used:
        connection, written = manifest.connections[name], str(data["connections"][name])
        if _is_complete(connection, data["connections"][name]):
            found[name] = connection
        else:
            reasons = [each for reference, each in placeholders.items() if reference in written]
            problems[name] = reasons[0] if reasons else "its address or credentials are unknown"
    return found, problems


def _is_complete(connection: Connection, written: Mapping[str, Any]) -> bool:
    """Return whether no part of a connection's address and credentials is missing."""
    parts = {key: getattr(connection, key) for key in ("base_url", "env", "tenant")}
    if any(key in written and value is None for key, value in parts.items()):
        return False
    auth = connection.auth
    secrets = (auth.token, auth.api_key, auth.client_id, auth.client_secret) if auth else ()
    return not any(isinstance(each, UnresolvedText) for each in (*parts.values(), *secrets))


def _listing(name: str, connections: Connections, clock: Clock) -> Contents:
    """Return the services that a tenant lists, or nothing yet if it does not answer."""
    try:
        with clock.until(clock.monotonic() + _LISTING):
            spark = connections.client(name)
            services = spark.catalogue.services()
    except ImpexError as error:
        return Contents("invented", error.message)
    found = Contents("listing", address=spark.url, folders={each.folder for each in services})
    found.versions = {(each.folder, each.service, each.version): "" for each in services}
    return found


def _add_target(
    target: Target, run: Run, asked: Mapping[str, Contents], loaded: Loaded, clock: Clock
) -> None:
    """Add what a target exports, and the folders that its steps may import to."""
    contents, folders = asked.get(target.connection), [*target.folders, *_named_folders(target)]
    if contents is None:
        sandbox = run.manifest.connections[target.connection].sandbox
        folders += [each.name for each in sandbox.iterdir()] if sandbox else []
    elif contents.origin == "listing":
        with suppress(ImpexError), clock.until(clock.monotonic() + _LISTING):
            # What cannot be found here is missing in the rehearsal, too, which reports it.
            folders += _look_up(target, run, loaded, contents)
    else:
        folders += _invent(target, loaded, contents)
    for name in target.step_connections:
        if (destination := asked.get(name)) and destination.origin == "invented":
            destination.folders.update(filter(None, folders))
        elif destination:
            with suppress(ImpexError), clock.until(clock.monotonic() + _LISTING):
                _list_versions(run.connect(name), destination, _imported(target))


def _look_up(target: Target, run: Run, loaded: Loaded, contents: Contents) -> list[str]:
    """Add the versions and ids that a tenant lists for a target's services; return the folders."""
    spark: Spark = run.connect(target.connection)
    request = plan_target(target, run, loaded.opened.plugins).request
    uris = [Uri.of_wire(each) for each in request.services]
    uris += [Uri(version_id=each.lower()) for each in request.version_ids]
    # The listing does not say which service or version an id belongs to.
    folders = [contents.add(uri) for uri in uris if not uri.folder]
    pairs = {(uri.folder, uri.service) for uri in uris if uri.folder}
    if request.version_filter == "all":
        pairs |= {names[:2] for names in contents.versions if names[0] in request.folders}
    _list_versions(spark, contents, lambda pair: pair in pairs)
    return [*folders, *(folder for folder, _ in pairs)]


def _list_versions(
    spark: Spark, contents: Contents, wanted: Callable[[tuple[str, str]], bool]
) -> None:
    """Add all versions and their ids of the services that a tenant lists and that are wanted."""
    for pair in sorted({names[:2] for names in contents.versions if wanted(names[:2])}):
        for each in spark.catalogue.versions(*pair):
            contents.versions[each.folder, each.service, each.version] = each.version_id


def _imported(target: Target) -> Callable[[tuple[str, str]], bool]:
    """Return a function that tells which services the steps of a target may change."""
    named = set()
    texts = [*target.services, *(text for step in target.steps for text in _texts(step.options))]
    for text in texts:
        with suppress(UsageError):
            uri = Uri.parse(text)
            named.add((uri.folder, uri.service))
    return lambda pair: pair in named or pair[0] in target.folders


def _invent(target: Target, loaded: Loaded, contents: Contents) -> list[str]:
    """Add what a target names to invented contents; return the folders."""
    uris = [Uri(folder, "service") for folder in target.folders]
    uris += [Uri(version_id=each.lower()) for each in target.version_ids]
    for entry in target.services:
        examples = _examples(entry, loaded)
        uris += examples or [Uri.parse(UNKNOWN)]
        if not examples:
            contents.unknown.add(entry)
    return [contents.add(uri) for uri in uris]


def _examples(entry: str, loaded: Loaded) -> Sequence[Uri]:
    """Return service URIs that an entry of ``services`` may stand for."""
    folder = loaded.manifest.path.absolute().parent
    for resolver in loaded.opened.plugins.registry.resolvers.values():
        if resolver.check(entry, folder) is not None:
            try:
                return [Uri.parse(each) for each in resolver.examples(entry, folder)]
            except Exception as error:  # noqa: BLE001 - a plugin's; the entry is left out
                _log.debug("no examples for %s", entry, exc_info=error)
                return ()
    return [Uri.parse(entry)]


def _named_folders(target: Target) -> Iterator[str]:
    """Yield the folder of each option of a step that has the form of a service URI."""
    for text in (text for step in target.steps for text in _texts(step.options)):
        with suppress(UsageError):
            yield Uri.parse(text).folder


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
