"""The server behind the page: images, masks, doubt and alike pixels by number, for one browser."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from semiseg.core.errors import DataError
from semiseg.correction.access import Access
from semiseg.correction.answers import ERRORS, NoSuchImageError, read_body, refuse, size_headers
from semiseg.correction.assistant import Assistant, Click
from semiseg.correction.classes import next_color
from semiseg.correction.masks import StoredMask
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
_MAX_PIXELS = 1 << 28  # of a mask; the page holds it twice
_MAX_JSON = 4096  # bytes
_MAX_CLICKS = 100
_KEPT_IMAGES = 4


class Corrections:
    """Answers the requests of the page.

    Args:
        content: the images and the model of a round.
        assistant: an outside model that answers clicks, if there is one.
    """

    def __init__(self, content: Content, assistant: Assistant | None = None) -> None:
        self.assistant = assistant
        self.content = content  # replaced as a whole: an answer belongs to one round
        self._jpeg = lru_cache(_KEPT_IMAGES)(jpeg_of)

    def show(self, content: Content) -> None:
        """Show another round from now on."""
        self.content = content

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
        content = self.content
        states = dict(await run_in_threadpool(content.states.items))
        images = [{"name": i.name, "state": states.get(i.name, "open")} for i in content.items]
        return JSONResponse(
            {
                "round": content.number,
                "images": images,
                "can_ignore": content.masks.can_ignore,
                "has_assistant": self.assistant is not None,
            }
        )

    async def classes(self, _request: Request) -> Response:
        """The classes, and a color for a new one."""
        return self._classes(200)

    async def add_class(self, request: Request) -> Response:
        """Add a class; answer with all of them."""
        body, masks = await read_body(request, _MAX_JSON), self.content.masks
        try:
            words = json.loads(body or b"")
            name, color = str(words["name"]), str(words["color"])
            levels = bytes.fromhex(color.removeprefix("#"))
            red, green, blue = levels
        except (ValueError, KeyError, TypeError):
            return refuse(400, "A class needs a name and a color such as #00a000.")
        await run_in_threadpool(masks.add_class, name, (red, green, blue))
        return self._classes(201)

    async def image(self, request: Request) -> Response:
        """The image as JPEG, upright; that of a large one is smaller than its mask."""
        (content, item), stretched = self._find(request), "stretched" in request.query_params
        reading = content.view.model.reading
        picture = await run_in_threadpool(self._jpeg, item.image, reading, stretched)
        return Response(picture, media_type="image/jpeg")

    async def mask(self, request: Request) -> Response:
        """The class index of each pixel as a byte, row by row; 255 where ignored."""
        content, item = self._find(request)
        stored = await run_in_threadpool(_read_mask, content, item)
        headers = {
            "ETag": f'"{stored.revision}"',
            "X-Classes": str(len(content.masks.classes)),
            **size_headers(stored.labels.shape),
        }
        return Response(stored.labels.tobytes(), 200, headers, "application/octet-stream")

    async def save(self, request: Request) -> Response:
        """Replace a mask, if nobody else has changed it meanwhile."""
        content, item = self._find(request)
        revision = _revision(request)
        if not revision:
            return refuse(428, "The header If-Match is missing.")
        width, height = await run_in_threadpool(image_size, item.image, content.view.model.reading)
        body = await read_body(request, width * height)
        if body is None or len(body) != width * height:
            return refuse(413, f"The mask must have {width} x {height} bytes, one for each pixel.")
        labels = np.frombuffer(body, np.uint8).reshape(height, width)
        new = await run_in_threadpool(content.masks.write, item.mask, labels, revision)
        return Response(status_code=204, headers={"ETag": f'"{new}"'})

    async def decide(self, request: Request) -> Response:
        """Accept or skip a mask, or open it again, if it is still the one that a page shows."""
        content, item = self._find(request)
        state = request.query_params.get("state")
        choices: tuple[State, ...] = get_args(State)
        for choice in choices:
            if choice == state:
                if revision := _revision(request):
                    await run_in_threadpool(content.masks.check_revision, item.mask, revision)
                await run_in_threadpool(content.states.set, item.name, choice)
                return Response(status_code=204)
        return refuse(400, f"The state {state!r} is none of {', '.join(choices)}.")

    async def doubt(self, request: Request) -> Response:
        """Two maps of bytes, one after the other: the doubt, and where the two spaces disagree."""
        content, item = self._find(request)
        maps = await run_in_threadpool(content.view.doubt, item.image)
        both = maps.doubt.tobytes() + maps.disagreement.tobytes()
        headers = size_headers(maps.doubt.shape)
        return Response(both, 200, headers, "application/octet-stream")

    async def alike(self, request: Request) -> Response:
        """How much each pixel is like the one at `x`, `y` (shares of the sides): a map of bytes."""
        content, item = self._find(request)
        try:
            x, y = (float(request.query_params[name]) for name in ("x", "y"))
        except (KeyError, ValueError):
            return refuse(400, "x and y must be numbers from 0 to 1.")
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return refuse(400, "x and y must be numbers from 0 to 1.")
        alike = await run_in_threadpool(content.view.alike, item.image, x, y)
        headers = size_headers(alike.shape)
        return Response(alike.tobytes(), 200, headers, "application/octet-stream")

    async def assist(self, request: Request) -> Response:
        """What the assistant selects for each `click` (x, y, and 1 or 0): a map of bytes."""
        _, item = self._find(request)
        if self.assistant is None:
            return refuse(404, "semiseg was started without --assistant.")
        clicks = [_click(text) for text in request.query_params.getlist("click")]
        points = [click for click in clicks if click is not None]
        if len(points) < len(clicks) or not 0 < len(clicks) <= _MAX_CLICKS:
            return refuse(
                400,
                f"There must be 1 to {_MAX_CLICKS} clicks of two numbers from 0 to 1, and 0 or 1.",
            )
        selected = await run_in_threadpool(self.assistant.select, item.image, points)
        headers = size_headers(selected.shape)
        return Response(selected.tobytes(), 200, headers, "application/octet-stream")

    def _find(self, request: Request) -> tuple[Content, Item]:
        """The round that the page shows, and the image that a request names.

        Raises:
            NoSuchImageError: there is no such image.
            BusyError: the page shows another round.
        """
        content = self.content
        if request.headers.get("x-round", str(content.number)) != str(content.number):
            raise BusyError("This page shows an earlier round. Load it again.")
        number: int = request.path_params["number"]
        if number >= len(content.items):
            raise NoSuchImageError(f"There is no image {number}.")
        return content, content.items[number]

    def _classes(self, status: int) -> Response:
        """The classes as the page needs them."""
        classes = self.content.masks.classes
        colors = [[int(level) for level in color] for color in classes.colors]
        names = [{"name": n, "color": c} for n, c in zip(classes.names, colors, strict=True)]
        proposal = f"#{pack(next_color(classes)):06x}"
        return JSONResponse({"classes": names, "next_color": proposal}, status)


def application(corrections: Corrections, rounds: Rounds, access: Access) -> Starlette:
    """The application that answers all requests.

    Args:
        corrections: answers those about images and masks.
        rounds: trains on, and chooses further images.
        access: says which requests are allowed.
    """
    training = TrainingRequests(rounds, lambda: corrections.content.number, corrections.show)
    return Starlette(
        routes=[*corrections.routes(), *training.routes()],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=access.guard)],
        exception_handlers=ERRORS,
    )


async def _page(request: Request) -> Response:
    """The page, its scripts and its style."""
    file = PAGE / request.path_params.get("name", "index.html")
    if file.parent != PAGE or not file.is_file() or file.suffix not in _TYPES:
        return refuse(404, "There is no such file.")
    return FileResponse(file, media_type=_TYPES[file.suffix])


def _click(text: str) -> Click | None:
    """A click such as `0.5,0.25,1`, or None if it is none."""
    try:
        x, y, wanted = map(float, text.split(","))
    except ValueError:
        return None
    if not (0 <= x <= 1 and 0 <= y <= 1 and wanted in (0, 1)):
        return None
    return Click(x, y, wanted == 1)


def _read_mask(content: Content, item: Item) -> StoredMask:
    """A mask that the page can hold, and that fits its image.

    Raises:
        DataError: it cannot be read, is too large, or has another size than its image.
    """
    width, height = image_size(item.image, content.view.model.reading)
    if width * height > _MAX_PIXELS:
        raise DataError(
            f"{item.image} has {width} x {height} pixels, and the page of correct shows up to "
            f"{_MAX_PIXELS // 1_000_000} megapixels.",
            "Cut it into parts, and name these to `semiseg correct`.",
        )
    stored = content.masks.read(item.mask)
    if stored.labels.shape != (height, width):
        rows, columns = stored.labels.shape
        raise DataError(
            f"{item.mask} has {columns} x {rows} pixels, but its image has {width} x {height}.",
            "Restore the mask, or remove it together with its image.",
        )
    return stored


def _revision(request: Request) -> str:
    """The revision of the mask on the page, or "" if the request names none."""
    return request.headers.get("if-match", "").strip('"')
