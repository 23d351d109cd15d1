"""The error tree of this package; each class has its exit code.

::

    ImpexError                         1   a bug, when nothing more precise is raised
    ├── UsageError                     2   the command, or an argument of the Python interface
    │   ├── ManifestError              2   the manifest; carries every Problem
    │   ├── UriError                   2   a service URI that cannot be read
    │   └── StateError                 2   the state file
    │       ├── LockedError            2   a target that another runner holds
    │       └── StateUnavailableError  4   no reply of the store, or a lost lease: run again
    ├── PluginError                    7   a plugin is missing, or broke its contract
    ├── SparkError                     4   work on a tenant
    │   ├── SparkSdkError              4   found by the client, not answered by the tenant
    │   │   ├── TransportError         4   no HTTP reply at all
    │   │   ├── RetryTimeoutError      5   a deadline or the last status check has passed
    │   │   ├── JobError               4   the tenant closed the job without success
    │   │   │   └── TooLargeError      4   its package is larger than allowed
    │   │   └── IntegrityError         4   bytes differ from what the tenant announced
    │   │       └── UnreadablePackageError 4   a complete package that cannot be unpacked
    │   └── SparkApiError              4   an HTTP reply outside 2xx
    │       ├── BadRequestError 400 · NotFoundError 404 · ConflictError 409
    │       ├── UnauthorizedError 401 (exit 6) · ForbiddenError 403 (exit 6)
    │       ├── UnsupportedMediaTypeError 415 · UnprocessableEntityError 422
    │       ├── RateLimitError 429 · InternalServerError 500
    │       ├── ServiceUnavailableError 503 · GatewayTimeoutError 504
    │       └── UnknownApiError        any other status
    ├── DeliveryError                  4   the output folder cannot be used
    │   └── MissingError               4   something was requested and not delivered
    ├── StepError                      4   a step of a target
    ├── HeldError                      9   a target waits for an approval
    ├── NotifyError                    4   a notification failed; only a warning
    └── Interrupted              130/143   SIGINT or SIGTERM

The names below ``SparkError`` are those of the official SDK, so that an ``except`` clause
written for it keeps working.
"""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ImpexError(Exception):
    """Root of the tree. ``str(error)`` is one line without secrets.

    ``kind`` says in a few words what kind of error it is; see ``cause_of``.
    """

    exit_code = 1
    kind = "internal error"

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
    kind = "usage error"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error in a manifest, with its position (line and column count from 1).

    ``severity`` is ``error`` or ``warning``. ``source`` is the line of the file, secrets masked,
    and ``caret`` the column in it; an empty ``source`` is not shown.
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
        position = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        severity = "" if self.severity == "error" else f"{self.severity}: "
        return f"{position}{path}{severity}{self.message}"


class ManifestError(UsageError):
    """The manifest is invalid; ``problems`` has every error, in the order of the file."""

    kind = "invalid manifest"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UriError(UsageError):
    """A service URI is empty, ambiguous or in no known form."""


class StateError(UsageError):
    """The state cannot be read or written, or another runner works on the target."""

    kind = "state or lock unavailable"


class LockedError(StateError):
    """Another runner, ``holder``, works on ``what``, such as a target."""

    def __init__(self, what: str, holder: str) -> None:
        super().__init__(f"{what} is locked by {holder}; wait for it or stop it")
        self.holder = holder


class StateUnavailableError(StateError):
    """The object store of the state does not answer, or its lease was lost; a later run may work.

    Its exit code is not that of a usage error: a scheduler has to start the run again.
    """

    exit_code = 4


class PluginError(ImpexError):
    """A plugin is missing, failed to load or returned an invalid answer.

    ``problems`` are the positions in manifests that name it, if there are any.
    """

    exit_code = 7
    kind = "plugin error"

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class SparkError(ImpexError):
    """Work on a tenant did not succeed.

    ``sent`` is False if nothing of the request can have reached the tenant's API. ``cause`` is what
    led to the error, such as an ``ApiErrorCause``, and ``details`` its text.
    """

    exit_code = 4
    kind = "tenant error"
    sent = True
    details = ""

    def __init__(self, message: str, cause: Any = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.details = "" if cause is None else str(cause)

    def to_dict(self) -> dict[str, Any]:
        """Return name, message and cause, as the official SDK does."""
        cause = asdict(self.cause) if isinstance(self.cause, ApiErrorCause) else self.cause
        if isinstance(cause, Exception):
            cause = str(cause)
        return {"name": self.name, "message": self.message, "cause": cause}

    @staticmethod
    def sdk(message: str, cause: Any = None) -> SparkSdkError:
        """Return an error that the client found, as the official SDK makes it."""
        return SparkSdkError(message, cause)

    @staticmethod
    def api(status: int, error: Mapping[str, Any]) -> SparkApiError:
        """Return the error of an HTTP status; ``error`` has its ``message`` and ``cause``."""
        cause = error.get("cause")
        message = f"{status} {error.get('message') or ''}".rstrip()
        reply = ErrorReply(status, details="" if cause is None else str(cause), cause=cause)
        return SparkApiError.when(message, reply)


class SparkSdkError(SparkError):
    """The client found an error, before or after the exchange with the tenant."""


class TransportError(SparkSdkError):
    """No HTTP reply: the connection failed, broke or timed out.

    ``fault`` says what happened and ``todo`` what to check; the message has both. ``permanent`` is
    True if the same request would fail again, ``reached`` False if no connection to the host was
    made.
    """

    kind = "no reply from the server"

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

    def at(self, position: str) -> TransportError:
        """Return this error with its position before its message."""
        return self.changed(f"{position}: {self.fault}", self.todo)

    def changed(self, fault: str, todo: str) -> TransportError:
        """Return this error with another message."""
        return TransportError(
            fault, todo, sent=self.sent, permanent=self.permanent, reached=self.reached
        )


class RetryTimeoutError(SparkSdkError):
    """The wait for a job ended before the job did; the remote job may still run."""

    exit_code = 5
    kind = "deadline passed"

    def __init__(self, message: str, *, retries: int = 0, interval: float = 0.0) -> None:
        super().__init__(message)
        self.retries = retries
        self.interval = interval

    def to_dict(self) -> dict[str, Any]:
        """Return name, message and cause, with how often and how fast the job was asked for."""
        return {**super().to_dict(), "retries": self.retries, "interval": self.interval}

    def with_message(self, message: str) -> RetryTimeoutError:
        """Return the same timeout with another message."""
        return RetryTimeoutError(message, retries=self.retries, interval=self.interval)


class JobError(SparkSdkError):
    """The tenant ended the job without success; the message has the tenant's reason."""

    kind = "job failed"


class TooLargeError(JobError):
    """A job's package is, or would be, larger than the tenant or the manifest allows."""

    kind = "package too large"


class IntegrityError(SparkSdkError):
    """Downloaded bytes differ from what the tenant announced, or are not a ZIP package."""

    kind = "package does not verify"


class UnreadablePackageError(IntegrityError):
    """A package is complete but cannot be unpacked: another download would not change that."""


class SparkApiError(SparkError):
    """An HTTP reply outside 2xx.

    Attributes: ``status`` (HTTP status), ``code`` (the API's error code, such as
    ``SERVICE_NOT_FOUND``), ``details`` (the server's message), ``request_id``
    (what was sent as ``x-request-id``), ``type`` (``invalid_input`` marks a permanent error),
    ``retry_after`` (seconds that the server asked to wait, or None).
    """

    def __init__(self, message: str, reply: ErrorReply) -> None:
        super().__init__(message, reply.cause)
        self.status = reply.status
        self.code = reply.code
        self.type = reply.type
        self.details = reply.details or reply.code
        self.request_id = reply.request_id
        self.retry_after = reply.retry_after

    def to_dict(self) -> dict[str, Any]:
        """Return name, message, cause and HTTP status."""
        return {**super().to_dict(), "status": self.status}

    @staticmethod
    def when(message: str, reply: ErrorReply) -> SparkApiError:
        """Return the error of the class that belongs to ``reply.status``."""
        return _BY_STATUS.get(reply.status, UnknownApiError)(message, reply)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The fields of an error reply, secrets masked."""

    status: int
    code: str = ""
    type: str = ""
    details: str = ""
    request_id: str = ""
    retry_after: float | None = None
    cause: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that was sent, without its credentials; ``body`` is empty if it was streamed."""

    method: str = "GET"
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The headers of an error reply, and its body with secrets masked, as text and as bytes."""

    headers: Mapping[str, str] = field(repr=False)
    body: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiErrorCause:
    """What was sent, and what the server replied, with the attributes of the official SDK."""

    request: SentRequest
    response: ErrorBody


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
    """The output folder cannot be used, or the disk refuses to write."""

    exit_code = 4
    kind = "delivery failed"


class MissingError(DeliveryError):
    """A requested item is missing from what the tenant reports as delivered."""

    kind = "requested items missing"


class StepError(ImpexError):
    """A step of a target did not succeed."""

    exit_code = 4
    kind = "step failed"


class HeldError(ImpexError):
    """A target waits for an approval; ``approve`` is the name to pass to ``--approve``.

    A step that raises it for a package may say what it would do: ``sha256`` of the package,
    ``does`` as JSON values. ``digests`` are the SHA-256 of all packages that wait.
    """

    exit_code = 9
    kind = "waits for an approval"

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
    """A notification about a run could not be sent; the run only warns about it."""

    exit_code = 4


def cause_of(error: ImpexError) -> str:
    """Return the kind of an error in a few words: ``HTTP 404 SERVICE_NOT_FOUND``."""
    if isinstance(error, SparkApiError):
        return f"HTTP {error.status} {error.code}".rstrip()
    return error.kind


def describe_os_error(error: OSError) -> str:
    """Return the operating system's error and its path as one line."""
    reason = error.strerror or f"{type(error).__name__} {error}".strip()
    return f"{error.filename}: {reason}" if error.filename else reason


class Interrupted(ImpexError):  # noqa: N818 - a signal is not an error
    """SIGINT or SIGTERM arrived; ``exit_code`` is 128 plus the signal's number.

    ``unanswered`` is True if a request was sent and its reply was not awaited.
    """

    exit_code = 130
    kind = "interrupted"

    def __init__(self, signum: int = signal.SIGINT, *, unanswered: bool = False) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
        self.unanswered = unanswered
