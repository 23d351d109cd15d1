"""The settings of the sandbox, for all that is not published about the real service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.faults import Fault

HASH_FORMS = frozenset(
    ["none"]
    + [
        name + form
        for name in ("md5", "sha1", "sha256", "sha512")
        for form in ("", "-upper", "-base64")
    ]
)
ENDINGS = frozenset(
    ("closed", "completed", "errors", "failed", "cancelled", "null_outputs", "not_zip")
)
OVER_LIMIT = frozenset(("errors", "refuse"))
TRANSFORMS = frozenset(("content", "document", "none", "other"))
BUSY_STATUSES = frozenset((400, 409, 429, 500))


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sandbox behaves where the real service is unknown or can be configured.

    ``port``: the port of the API, 0 for any free one; downloads have a second, free port.
    ``tenant``: its name, by default the folder's.
    ``job_seconds``: how long an export or import stays ``in_progress``.
    ``job_limit``: export jobs at one time, and import jobs at one time (documented default: 1).
    ``hash_form``: how ``file_hash`` is written: ``md5``, ``sha1``, ``sha256`` or ``sha512`` in
    lower-case hex, with ``-upper`` or ``-base64`` appended, or ``none`` for null.
    ``url_seconds``: lifetime of a download URL; then it answers 403, and the status has a new one.
    ``ranges``: whether downloads answer Range and If-Range and carry an ETag.
    ``token_seconds``: lifetime of an OAuth token (7200 seen on one genuine tenant).
    ``ending``: how export jobs end. ``closed`` and ``completed`` are successes; ``errors`` is
    ``closed`` with an error list; ``failed`` and ``cancelled`` are statuses; ``null_outputs``
    is ``closed`` without outputs; ``not_zip`` succeeds, but the download is a web page, while
    ``file_hash`` stays that of the package.
    ``busy_status``: HTTP status of the reply to one job too many: 400, 409, 429 or 500.
    ``hide_jobs``: whether a listing has only the jobs of the same credentials, as documented for
    users without the right ``supervisor:pf``; the count is always that of the whole tenant.
    ``listed_labels``: whether a listing has the jobs' correlation ids, which only a status has as
    documented.
    ``transforms``: how transform documents are answered: ``content``, as one text; ``document``, as
    JSON; ``none``, 404, as a tenant without them; ``other``, replies of another form.
    ``faults``: faults to inject, see ``faults.py``.
    ``size_limit``: maximum size of a package in bytes (documented: 200 MiB).
    ``over_limit``: the reply to an export over the limit: ``errors`` ends the job with errors,
    ``refuse`` answers the create call with 500, as documented for imports, and creates no job.
    ``webhook``: URL to which ``PublishEngine`` is posted for each version that an import adds;
    ``webhook_key``: the key in the header ``x-api-key`` of such a post.
    """

    port: int = 0
    tenant: str = ""
    job_seconds: float = 0.0
    job_limit: int = 1
    hash_form: str = "sha256"
    url_seconds: float = 300.0
    ranges: bool = True
    token_seconds: int = 7200
    ending: str = "closed"
    busy_status: int = 409
    size_limit: int = 209_715_200
    over_limit: str = "errors"
    hide_jobs: bool = False
    listed_labels: bool = False
    transforms: str = "content"
    faults: tuple[Fault, ...] = ()
    webhook: str = ""
    webhook_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"sandbox setting port: {self.port} is not within 0 and 65535")
        _check("hash_form", self.hash_form, HASH_FORMS)
        _check("ending", self.ending, ENDINGS)
        _check("over_limit", self.over_limit, OVER_LIMIT)
        _check("transforms", self.transforms, TRANSFORMS)
        _check("busy_status", self.busy_status, BUSY_STATUSES)


def _check(name: str, value: object, allowed: frozenset[str] | frozenset[int]) -> None:
    if value not in allowed:
        choices = ", ".join(sorted(map(str, allowed)))
        raise ValueError(f"sandbox setting {name}: {value!r} is not one of {choices}")
