"""Everything that this package raises, in one tree; each class knows its exit code.

::

    ImpexError                         1   a bug, when nothing more precise is raised
    ├── UsageError                     2   the command, or an argument of the Python interface
    │   ├── ManifestError              2   the manifest; carries every Problem
    │   ├── UriError                   2   a service URI that cannot be read
    │   └── StateError                 2   the state file, or a target that another runner holds
    ├── PluginError                    7   a plugin is missing, or broke its contract
    ├── SparkError                     4   work on a tenant
    │   ├── SparkSdkError              4   found on our side of the wire
    │   │   ├── TransportError         4   no HTTP reply at all
    │   │   ├── RetryTimeoutError      5   a deadline or the last status check has passed
    │   │   ├── JobError               4   the tenant closed the job without success
    │   │   │   └── TooLargeError      4   its package has more bytes than it may
    │   │   └── IntegrityError         4   bytes that are not what the tenant promised
    │   │       └── UnreadablePackageError 4   a whole package that cannot be unpacked
    │   └── SparkApiError              4   an HTTP reply outside 2xx
    │       ├── BadRequestError 400 · NotFoundError 404 · ConflictError 409
    │       ├── UnauthorizedError 401 (exit 6) · ForbiddenError 403 (exit 6)
    │       ├── UnsupportedMediaTypeError 415 · UnprocessableEntityError 422
    │       ├── RateLimitError 429 · InternalServerError 500
    │       ├── ServiceUnavailableError 503 · GatewayTimeoutError 504
    │       └── UnknownApiError        any other status
    ├── DeliveryError                  4   the output folder cannot be used
    │   └── MissingError               4   something was asked for and not delivered
    ├── StepError                      4   a step of a target
    ├── HeldError                      9   a target waits until somebody approves
    ├── NotifyError                    4   somebody was not told how a run ended; only a warning
    └── Interrupted              130/143   SIGINT or SIGTERM

The names below ``SparkError`` are those of the official SDK, so that an ``except`` clause
written for it keeps working.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ImpexError(Exception):
    """Root of the tree. ``str(error)`` is one line, without secrets, fit for a person."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def name(self) -> str:
        """The class name, as the SDK's errors offer it."""
        return type(self).__name__


class UsageError(ImpexError):
    """The command line, or an argument of the Python interface, cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a manifest: where it stands (line and column count from 1) and what it is.

    ``severity`` is ``error``, or ``warning`` for what may go well. ``source`` is the line of the
    file, without its secrets, and ``caret`` the column in it; an empty ``source`` is not shown.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    severity: str = "error"
    source: str = field(default="", compare=False, repr=False)
    caret: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        word = "" if self.severity == "error" else f"{self.severity}: "
        return f"{place}{path}{word}{self.message}"


class ManifestError(UsageError):
    """The manifest is wrong; ``problems`` holds every mistake, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UriError(UsageError):
    """A service URI that is empty, ambiguous or in no known form."""


class StateError(UsageError):
    """The state cannot be read or written, or another runner works on the target."""


class PluginError(ImpexError):
    """A plugin is missing, failed to load or returned something it must not return.

    ``problems`` are the places of a manifest that ask for it, where there are such.
    """

    exit_code = 7

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class SparkError(ImpexError):
    """Work on a tenant did not succeed.

    ``sent`` is False where nothing of the request can have reached the tenant's API.
    """

    exit_code = 4
    sent = True


class SparkSdkError(SparkError):
    """Found on our side of the wire, before or after the exchange with the tenant."""


class TransportError(SparkSdkError):
    """No HTTP reply: the connection failed, broke or timed out.

    ``fault`` and ``todo`` are what happened and what to check; the message has both.
    ``permanent`` is True where the same request would fail again, ``reached`` False where no
    connection to the host was ever made.
    """

    def __init__(
        self,
        fault: str,
        todo: str = "",
        *,
        sent: bool = True,
        permanent: bool = False,
        reached: bool = True,
    ) -> None:
        super().__init__(f"{fault}{'; ' if todo else ''}{todo}")
        self.fault = fault
        self.todo = todo
        self.sent = sent
        self.permanent = permanent
        self.reached = reached

    def at(self, place: str) -> TransportError:
        """Return this error with the place where it happened before its message."""
        return self.changed(f"{place}: {self.fault}", self.todo)

    def changed(self, fault: str, todo: str) -> TransportError:
        """Return this error with another message."""
        return TransportError(
            fault, todo, sent=self.sent, permanent=self.permanent, reached=self.reached
        )


class RetryTimeoutError(SparkSdkError):
    """The wait for a job ended before the job did; the remote job may still run."""

    exit_code = 5

    def __init__(self, message: str, *, retries: int = 0, interval: float = 0.0) -> None:
        super().__init__(message)
        self.retries = retries
        self.interval = interval


class JobError(SparkSdkError):
    """The tenant ended the job without success; the message carries the tenant's own words."""


class TooLargeError(JobError):
    """A job's package has, or would have, more bytes than the tenant or the manifest allows."""


class IntegrityError(SparkSdkError):
    """Downloaded bytes differ from what the tenant announced, or are not a ZIP package."""


class UnreadablePackageError(IntegrityError):
    """A package is whole but cannot be unpacked: another download would not change that."""


class SparkApiError(SparkError):
    """An HTTP reply outside 2xx.

    Attributes: ``status`` (HTTP status), ``code`` (the API's own word, such as
    ``SERVICE_NOT_FOUND``), ``details`` (the server's message), ``request_id``
    (what was sent as ``x-request-id``), ``type`` (``invalid_input`` marks a permanent error),
    ``retry_after`` (seconds that the server asked to wait, None where it did not).
    """

    def __init__(self, message: str, reply: ErrorReply) -> None:
        super().__init__(message)
        self.status = reply.status
        self.code = reply.code
        self.type = reply.type
        self.details = reply.details
        self.request_id = reply.request_id
        self.retry_after = reply.retry_after

    @staticmethod
    def when(message: str, reply: ErrorReply) -> SparkApiError:
        """Return the error of the class that belongs to ``reply.status``."""
        return _BY_STATUS.get(reply.status, UnknownApiError)(message, reply)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """What the tenant said in an error reply, secrets masked."""

    status: int
    code: str = ""
    type: str = ""
    details: str = ""
    request_id: str = ""
    retry_after: float | None = None


class BadRequestError(SparkApiError):
    """HTTP 400."""


class UnauthorizedError(SparkApiError):
    """HTTP 401: the credentials were refused."""

    exit_code = 6


class ForbiddenError(SparkApiError):
    """HTTP 403: the credentials lack a permission."""

    exit_code = 6


class NotFoundError(SparkApiError):
    """HTTP 404."""


class ConflictError(SparkApiError):
    """HTTP 409."""


class UnsupportedMediaTypeError(SparkApiError):
    """HTTP 415."""


class UnprocessableEntityError(SparkApiError):
    """HTTP 422."""


class RateLimitError(SparkApiError):
    """HTTP 429."""


class InternalServerError(SparkApiError):
    """HTTP 500."""


class ServiceUnavailableError(SparkApiError):
    """HTTP 503."""


class GatewayTimeoutError(SparkApiError):
    """HTTP 504."""


class UnknownApiError(SparkApiError):
    """Any other HTTP status; ``status`` still holds it."""


_BY_STATUS: dict[int, type[SparkApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    415: UnsupportedMediaTypeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    503: ServiceUnavailableError,
    504: GatewayTimeoutError,
}


class DeliveryError(ImpexError):
    """The output folder cannot be used, or the disk refuses."""

    exit_code = 4


class MissingError(DeliveryError):
    """Something that was asked for is not among what the tenant says it delivered."""


class StepError(ImpexError):
    """A step of a target did not succeed."""

    exit_code = 4


class HeldError(ImpexError):
    """Nothing failed, but a target waits for ``--approve``; ``approve`` is the name to give it.

    A step that raises it for a package may say what it would do: ``sha256`` are the bytes,
    ``does`` are plain JSON values. ``digests`` are the SHA-256 of all packages that wait.
    """

    exit_code = 9

    def __init__(
        self,
        message: str,
        approve: str,
        *,
        sha256: str = "",
        does: Mapping[str, Any] | None = None,
        digests: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.approve = approve
        self.sha256 = sha256
        self.does = dict(does or {})
        self.digests = tuple(digests)


class NotifyError(ImpexError):
    """Somebody could not be told how a run ended. A run makes a warning of it, no more."""

    exit_code = 4


def describe_os_error(error: OSError) -> str:
    """Return in one line what the operating system refuses, and for which path."""
    reason = error.strerror or f"{type(error).__name__} {error}".strip()
    return f"{error.filename}: {reason}" if error.filename else reason


class Interrupted(ImpexError):  # noqa: N818 - a signal is not an error of anybody's
    """SIGINT or SIGTERM arrived; ``exit_code`` is 128 plus the signal's number.

    ``unanswered`` is True where a request had been sent and its reply was not waited for.
    """

    exit_code = 130

    def __init__(self, signum: int = signal.SIGINT, *, unanswered: bool = False) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
        self.unanswered = unanswered
