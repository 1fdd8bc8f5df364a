"""The server behind the page: images, masks, doubt and alike pixels by number, for one browser.

It listens on 127.0.0.1 only. A foreign page must not reach it: the host and the origin of a request
are compared with its own, and everything but the page itself needs the token of the address.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from semiseg.core.errors import DataError, SemisegError
from semiseg.correction.assistant import Assistant, Click
from semiseg.correction.classes import next_color
from semiseg.correction.masks import ChangedMeanwhileError, StoredMask
from semiseg.correction.picture import jpeg_of
from semiseg.correction.queue import Item, State
from semiseg.correction.rounds import Content, Rounds
from semiseg.correction.train_on import BusyError
from semiseg.correction.training_routes import TrainingRequests
from semiseg.data.classes.classes_file import pack
from semiseg.data.formats.images import image_size

PAGE = Path(__file__).with_name("page")
_TYPES = {
    **{".html": "text/html", ".js": "text/javascript", ".css": "text/css"},
    ".svg": "image/svg+xml",
}
_POLICY = "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MAX_PIXELS = 1 << 28  # of a mask; the page holds it twice
_MAX_JSON = 4096  # bytes
_MAX_CLICKS = 100
_KEPT_IMAGES = 4


class NoSuchImageError(DataError):
    """A request names an image that is not in the queue."""


class Access(NamedTuple):
    """Who may ask.

    Attributes:
        port: of the server.
        token: the secret in its address.
    """

    port: int
    token: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts by which a browser may name the server."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def address(self) -> str:
        """The address to open. The token stands behind `#`, which a browser sends nowhere."""
        return f"http://{self.hosts[0]}/#{self.token}"

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, or None."""
        if request.headers.get("host") not in self.hosts:
            return "The host of this request is not that of the server."
        origin = request.headers.get("origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.hosts]:
            return "This request comes from another page."
        if not request.url.path.startswith("/api/"):
            return None
        words = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(words, f"Bearer {self.token}".encode()):
            return "The token is missing or wrong. Open the address that semiseg printed."
        return None


class Corrections:
    """Answers the requests of the page.

    Args:
        content: the images and the model of a round.
        assistant: an outside model that answers clicks, if there is one.
    """

    def __init__(self, content: Content, assistant: Assistant | None = None) -> None:
        self.assistant = assistant
        self.show(content)

    def show(self, content: Content) -> None:
        """Show another round from now on."""
        self.number = content.number
        self.items, self.states = content.items, content.states
        self.masks, self.view = content.masks, content.view
        self._jpeg = lru_cache(_KEPT_IMAGES)(self._picture)

    def routes(self) -> list[Route]:
        """All requests that are answered."""
        return [
            Route("/", _page),
            Route("/page/{name}", _page),
            Route("/api/queue", self.queue),
            Route("/api/classes", self.classes),
            Route("/api/classes", self.add_class, methods=["POST"]),
            Route("/api/images/{number:int}", self.image),
            Route("/api/masks/{number:int}", self.mask),
            Route("/api/masks/{number:int}", self.save, methods=["PUT"]),
            Route("/api/states/{number:int}", self.decide, methods=["PUT"]),
            Route("/api/doubt/{number:int}", self.doubt),
            Route("/api/alike/{number:int}", self.alike),
            Route("/api/assist/{number:int}", self.assist),
        ]

    async def queue(self, _request: Request) -> Response:
        """The images with their states, and what can be done with their masks."""
        images = [{"name": one.name, "state": self.states[one.name]} for one in self.items]
        return JSONResponse(
            {
                "round": self.number,
                "images": images,
                "can_ignore": self.masks.can_ignore,
                "has_assistant": self.assistant is not None,
            }
        )

    async def classes(self, _request: Request) -> Response:
        """The classes, and a color for a new one."""
        return self._classes(200)

    async def add_class(self, request: Request) -> Response:
        """Add a class; answer with all of them."""
        body = await _body(request, _MAX_JSON)
        try:
            content = json.loads(body or b"")
            name, color = str(content["name"]), str(content["color"])
            levels = bytes.fromhex(color.removeprefix("#"))
            red, green, blue = levels
        except (ValueError, KeyError, TypeError):
            return _refuse(400, "A class needs a name and a color such as #00a000.")
        await run_in_threadpool(self.masks.add_class, name, (red, green, blue))
        return self._classes(201)

    async def image(self, request: Request) -> Response:
        """The image as JPEG, upright; that of a large one is smaller than its mask."""
        item, stretched = self._item(request), "stretched" in request.query_params
        content = await run_in_threadpool(self._jpeg, item.image, stretched)
        return Response(content, media_type="image/jpeg")

    async def mask(self, request: Request) -> Response:
        """The class index of each pixel as a byte, row by row; 255 where ignored."""
        stored = await run_in_threadpool(self._read_mask, self._item(request))
        headers = {
            "ETag": f'"{stored.revision}"',
            "X-Classes": str(len(self.masks.classes)),
            **_size_headers(stored.labels.shape),
        }
        return Response(stored.labels.tobytes(), 200, headers, "application/octet-stream")

    async def save(self, request: Request) -> Response:
        """Replace a mask, if nobody else has changed it meanwhile."""
        item = self._item(request)
        revision = request.headers.get("if-match", "").strip('"')
        if not revision:
            return _refuse(428, "The header If-Match is missing.")
        width, height = await run_in_threadpool(image_size, item.image, self.view.model.reading)
        body = await _body(request, width * height)
        if body is None or len(body) != width * height:
            return _refuse(413, f"The mask must have {width} x {height} bytes, one for each pixel.")
        labels = np.frombuffer(body, np.uint8).reshape(height, width)
        new = await run_in_threadpool(self.masks.write, item.mask, labels, revision)
        return Response(status_code=204, headers={"ETag": f'"{new}"'})

    async def decide(self, request: Request) -> Response:
        """Accept or skip a mask, or open it again."""
        item = self._item(request)
        state = request.query_params.get("state")
        choices: tuple[State, ...] = get_args(State)
        for choice in choices:
            if choice == state:
                await run_in_threadpool(self.states.set, item.name, choice)
                return Response(status_code=204)
        return _refuse(400, f"The state {state!r} is none of {', '.join(choices)}.")

    async def doubt(self, request: Request) -> Response:
        """Two maps of bytes, one after the other: the doubt, and where the two spaces disagree."""
        maps = await run_in_threadpool(self.view.doubt, self._item(request).image)
        content = maps.doubt.tobytes() + maps.disagreement.tobytes()
        headers = _size_headers(maps.doubt.shape)
        return Response(content, 200, headers, "application/octet-stream")

    async def alike(self, request: Request) -> Response:
        """How much each pixel is like the one at `x`, `y` (shares of the sides): a map of bytes."""
        item = self._item(request)
        try:
            x, y = (float(request.query_params[name]) for name in ("x", "y"))
        except (KeyError, ValueError):
            return _refuse(400, "x and y must be numbers from 0 to 1.")
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return _refuse(400, "x and y must be numbers from 0 to 1.")
        alike = await run_in_threadpool(self.view.alike, item.image, x, y)
        headers = _size_headers(alike.shape)
        return Response(alike.tobytes(), 200, headers, "application/octet-stream")

    async def assist(self, request: Request) -> Response:
        """What the assistant selects for each `click` (x, y, and 1 or 0): a map of bytes."""
        item = self._item(request)
        if self.assistant is None:
            return _refuse(404, "semiseg was started without --assistant.")
        clicks = [_click(text) for text in request.query_params.getlist("click")]
        points = [click for click in clicks if click is not None]
        if len(points) < len(clicks) or not 0 < len(clicks) <= _MAX_CLICKS:
            return _refuse(
                400,
                f"There must be 1 to {_MAX_CLICKS} clicks of two numbers from 0 to 1, and 0 or 1.",
            )
        selected = await run_in_threadpool(self.assistant.select, item.image, points)
        headers = _size_headers(selected.shape)
        return Response(selected.tobytes(), 200, headers, "application/octet-stream")

    def _item(self, request: Request) -> Item:
        """The image that a request names.

        Raises:
            NoSuchImageError: there is no such image.
            BusyError: the page shows another round.
        """
        if request.headers.get("x-round", str(self.number)) != str(self.number):
            raise BusyError("This page shows an earlier round. Load it again.")
        number: int = request.path_params["number"]
        if number >= len(self.items):
            raise NoSuchImageError(f"There is no image {number}.")
        return self.items[number]

    def _classes(self, status: int) -> Response:
        """The classes as the page needs them."""
        classes = self.masks.classes
        colors = [[int(level) for level in color] for color in classes.colors]
        names = [{"name": n, "color": c} for n, c in zip(classes.names, colors, strict=True)]
        proposal = f"#{pack(next_color(classes)):06x}"
        return JSONResponse({"classes": names, "next_color": proposal}, status)

    def _picture(self, image: Path, stretched: bool) -> bytes:
        return jpeg_of(image, self.view.model.reading, stretched)

    def _read_mask(self, item: Item) -> StoredMask:
        """A mask that the page can hold, and that fits its image.

        Raises:
            DataError: it cannot be read, is too large, or has another size than its image.
        """
        width, height = image_size(item.image, self.view.model.reading)
        if width * height > _MAX_PIXELS:
            raise DataError(
                f"{item.image} has {width} x {height} pixels, and the page of correct shows up to "
                f"{_MAX_PIXELS // 1_000_000} megapixels.",
                "Cut it into parts, and name these to `semiseg correct`.",
            )
        stored = self.masks.read(item.mask)
        if stored.labels.shape != (height, width):
            rows, columns = stored.labels.shape
            raise DataError(
                f"{item.mask} has {columns} x {rows} pixels, but its image has {width} x {height}.",
                "Restore the mask, or remove it together with its image.",
            )
        return stored


def application(corrections: Corrections, rounds: Rounds, access: Access) -> Starlette:
    """The application that answers all requests.

    Args:
        corrections: answers those about images and masks.
        rounds: trains on, and chooses further images.
        access: says which requests are allowed.
    """

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        reason = access.refusal(request)
        response = _refuse(403, reason) if reason else await answer(request)
        response.headers.update(_HEADERS)
        return response

    training = TrainingRequests(rounds, lambda: corrections.number, corrections.show)
    return Starlette(
        routes=[*corrections.routes(), *training.routes()],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={
            NoSuchImageError: _missing,
            ChangedMeanwhileError: _changed,
            BusyError: _busy,
            DataError: _unusable,
            SemisegError: _failed,
            OSError: _broken,
        },
    )


async def _page(request: Request) -> Response:
    """The page, its scripts and its style."""
    file = PAGE / request.path_params.get("name", "index.html")
    if file.parent != PAGE or not file.is_file() or file.suffix not in _TYPES:
        return _refuse(404, "There is no such file.")
    return FileResponse(file, media_type=_TYPES[file.suffix])


async def _body(request: Request, size: int) -> bytes | None:
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


def _click(text: str) -> Click | None:
    """A click such as `0.5,0.25,1`, or None if it is none."""
    try:
        x, y, wanted = map(float, text.split(","))
    except ValueError:
        return None
    if not (0 <= x <= 1 and 0 <= y <= 1 and wanted in (0, 1)):
        return None
    return Click(x, y, wanted == 1)


def _size_headers(shape: tuple[int, ...]) -> dict[str, str]:
    """Height and width of an array of bytes, for the page."""
    return {"X-Height": str(shape[0]), "X-Width": str(shape[1])}


def _refuse(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


async def _changed(_request: Request, error: Exception) -> Response:
    return _refuse(412, str(error))


async def _busy(_request: Request, error: Exception) -> Response:
    return _refuse(409, str(error))


async def _failed(_request: Request, error: Exception) -> Response:
    return _refuse(500, str(error))


async def _missing(_request: Request, error: Exception) -> Response:
    return _refuse(404, str(error))


async def _unusable(_request: Request, error: Exception) -> Response:
    return _refuse(422, str(error))


async def _broken(_request: Request, error: Exception) -> Response:
    return _refuse(507, f"A file cannot be read or written ({error}).")
