"""Routes: the function that answers a method and a raw path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from spark_impex_runner.sandbox.http.messages import HttpError, v4_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.sandbox.http.messages import Reply, Request


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path pattern that ``answer(request, *segments)`` answers.

    ``{}`` in the pattern is one segment, which is passed decoded. Paths match in any letter case,
    as on the real service (assumed). ``access`` is the kind of credentials that the route
    requires: ``any``, ``bearer`` or ``none``.
    """

    method: str
    pattern: str
    answer: Callable[..., Reply]
    access: str = "any"

    def segments(self, request: Request) -> list[str] | None:
        """Return the decoded segments, or None if the request does not match."""
        # Split before decoding: an encoded slash is part of a segment.
        parts, names = request.path.split("/"), self.pattern.split("/")
        if request.method != self.method or len(parts) != len(names):
            return None
        pairs = list(zip(parts, names, strict=True))
        if not all(part if name == "{}" else _same(part, name) for part, name in pairs):
            return None
        return [unquote(part) for part, name in pairs if name == "{}"]


def _same(part: str, name: str) -> bool:
    return part == name or part.lower() == name.lower()


class Router:
    """Answers requests by a table of routes, after ``guard(request, access)`` allowed them."""

    def __init__(self, routes: Sequence[Route], guard: Callable[[Request, str], None]) -> None:
        self._routes = routes
        self._guard = guard

    def __call__(self, request: Request) -> Reply:
        """Return the reply of the first route that matches."""
        try:
            return self._dispatch(request)
        except HttpError as error:
            return error.reply

    def _dispatch(self, request: Request) -> Reply:
        for route in self._routes:
            segments = route.segments(request)
            if segments is not None:
                self._guard(request, route.access)
                return route.answer(request, *segments)
        raise v4_error(404, "NOT_FOUND", f"the sandbox has no {request.method} {request.path}")
