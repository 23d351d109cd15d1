"""Read service URIs in every form that a person may write.

======================================  =====================================================
``folder/service``                      the latest version
``folder/service[1.2.3]``               that version; ``[1.2]`` the latest of 1.2
``folder/service?1.2.3``                the same, as the official SDK's documentation can be read
``folders/f/services/s[1.2.3]``         the long form of the same
``service/{uuid}``, ``{uuid}``          a service by its id
``version/{uuid}``                      a version by its id
======================================  =====================================================

``service``, ``version``, ``services`` and ``folders`` are keywords. A folder with such a name needs
the long form: ``folders/version/services/pricing``. The short ``version/pricing`` is refused, since
it may be a mistyped id. Keywords are lower case, as in the SDK: ``Version/pricing`` is in a folder
``Version``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UriError

if TYPE_CHECKING:
    from spark_impex_runner.models import ServiceVersion

_FORMS = (
    "use folder/service, folder/service[1.2.3], service/UUID, version/UUID"
    " or folders/F/services/S[1.2.3]"
)
_KEYWORDS = frozenset({"service", "version", "services", "folders"})
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_VERSIONED = re.compile(r"(?P<path>[^\[\]?]*)(?:\[(?P<bracket>[^\[\]?]*)\]|\?(?P<mark>[^\[\]?]*))?")
_VERSION = re.compile(r"[^\s./]+(?:\.[^\s./]+)*")


@dataclass(frozen=True, slots=True)
class Uri:
    """One service or version; absent parts are empty strings.

    Either ``version_id``, or ``service_id``, or ``folder`` and ``service`` are set; ``version``
    only together with the last two.
    """

    folder: str = ""
    service: str = ""
    version: str = ""
    service_id: str = ""
    version_id: str = ""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read any form of the table above; ignore surrounding and doubled slashes.

        Raises ``UriError`` if the text is empty, ambiguous or in no known form.
        """
        match = _VERSIONED.fullmatch(text.strip())
        if match is None:
            raise _invalid(text, "is in no known form")
        names = [name.strip() for name in match["path"].split("/") if name.strip()]
        version = match["bracket"] if match["mark"] is None else match["mark"]
        if not names:
            raise _invalid(text, "names no service")
        if version is None:
            return _by_id(names) or _by_name(text, names, "")
        if _by_id(names):
            raise _invalid(text, "gives both an id and a version")
        return _by_name(text, names, _valid_version(text, version.strip()))

    @classmethod
    def of_wire(cls, text: str) -> Uri:
        """Read what ``wire`` returned: any folder name, and a bare id is a service."""
        path, _, version = text.partition("[")
        folder, slash, service = path.partition("/")
        if not slash:
            return cls(service_id=path)
        return cls(folder, service, version.removesuffix("]"))

    @property
    def wire(self) -> str:
        """The form in the ``inputs`` of the export API (documented: ids without a prefix)."""
        base = self.version_id or self.service_id or f"{self.folder}/{self.service}"
        return f"{base}[{self.version}]" if self.version else base

    def delivers(self, found: ServiceVersion) -> bool:
        """Return whether ``found`` is what this URI names.

        Ids are compared without regard to case, versions by dotted component: ``1.2`` names
        ``1.2.9`` but not ``1.20.0`` (documented as "starts with"; components are inferred).
        """
        if self.version_id:
            return self.version_id.lower() == found.version_id.lower()
        if self.service_id:
            return self.service_id.lower() == found.service_id.lower()
        wanted = self.version.split(".") if self.version else []
        same_name = (self.folder, self.service) == (found.folder, found.service)
        return same_name and found.version.split(".")[: len(wanted)] == wanted

    def __str__(self) -> str:
        if self.version_id:
            return f"version/{self.version_id}"
        if self.service_id:
            return f"service/{self.service_id}"
        if self.folder in _KEYWORDS:
            return f"folders/{self.folder}/services/{self.wire.partition('/')[2]}"
        return self.wire


def version_order(version: str) -> list[tuple[bool, int, str]]:
    """Return a sort key for versions: numbers by value, and after other texts."""
    parts = [(part, part.lstrip("0")) for part in version.split(".")]
    # By length and digits rather than `int`, which refuses very long numbers.
    return [
        (True, len(digits), digits) if part.isdecimal() else (False, 0, part)
        for part, digits in parts
    ]


def _by_id(names: list[str]) -> Uri | None:
    """Read the forms with a UUID, which becomes lower case."""
    if not _UUID.fullmatch(names[-1]):
        return None
    if names[:-1] in ([], ["service"]):
        return Uri(service_id=names[-1].lower())
    return Uri(version_id=names[-1].lower()) if names[:-1] == ["version"] else None


def _by_name(text: str, names: list[str], version: str) -> Uri:
    """Read the forms with the names of a folder and a service."""
    long = len(names) == 4 and (names[0], names[2]) == ("folders", "services")
    if long:
        names = [names[1], names[3]]
    if len(names) == 1:
        raise _invalid(text, "has one name only; whole folders are given as folders")
    if len(names) != 2:
        raise _invalid(text, "is in no known form")
    if names[0] in _KEYWORDS and not long:
        raise _invalid(text, f"is ambiguous, as '{names[0]}' is a keyword")
    for name in names:
        _require_plain(text, name)
    return Uri(folder=names[0], service=names[1], version=version)


def _require_plain(text: str, name: str) -> None:
    """Raise ``UriError`` for a pattern, or for what cannot be a name."""
    if "*" in name:
        raise _invalid(text, "is a pattern, and no plugin here resolves it")
    if name in {".", ".."} or not name.isprintable():
        raise _invalid(text, "holds a part that cannot be a name")


def _valid_version(text: str, version: str) -> str:
    """Return the version; raise ``UriError`` if it is empty or invalid."""
    if not version:
        raise _invalid(text, "has an empty version; leave the brackets out for the latest")
    if not _VERSION.fullmatch(version) or not version.isprintable() or "*" in version:
        raise _invalid(text, f"has no readable version in {version!r}")
    return version


def _invalid(text: str, reason: str) -> UriError:
    """Return the error in one line; ``!r`` escapes control characters."""
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    return UriError(f"service URI {shown!r} {reason}; {_FORMS}")
