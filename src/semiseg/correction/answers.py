"""What the answers of the server have in common: their sizes, refusals, and errors in JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from semiseg.core.errors import DataError, SemisegError
from semiseg.correction.masks import ChangedMeanwhileError
from semiseg.correction.train_on import BusyError


class NoSuchImageError(DataError):
    """A request names an image that is not in the queue."""


async def read_body(request: Request, size: int) -> bytes | None:
    """The content of a request, or None if it has more than so many bytes."""
    parts, count = [], 0
    try:
        async for part in request.stream():
            count += len(part)
            if count > size:
                return None
            parts.append(part)
    except ClientDisconnect:
        return None
    return b"".join(parts)


def size_headers(shape: tuple[int, ...]) -> dict[str, str]:
    """Height and width of an array of bytes, for the page."""
    return {"X-Height": str(shape[0]), "X-Width": str(shape[1])}


def refuse(status: int, reason: str) -> Response:
    """Answer with a status and a sentence."""
    return JSONResponse({"error": reason}, status)


def _refuse_as(
    status: int, sentence: str = "{}"
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, error: Exception) -> Response:
        return refuse(status, sentence.format(error))

    return answer


ERRORS = {
    NoSuchImageError: _refuse_as(404),
    BusyError: _refuse_as(409),
    ChangedMeanwhileError: _refuse_as(412),
    DataError: _refuse_as(422),
    SemisegError: _refuse_as(500),
    OSError: _refuse_as(507, "A file cannot be read or written ({})."),
}
"""The answer to each error."""
