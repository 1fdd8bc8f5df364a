"""Starts the server, and opens the page in the browser."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

from semiseg.config.command_line import shorten
from semiseg.core.errors import ConfigError
from semiseg.core.text import plural
from semiseg.correction.assistant import Assistant
from semiseg.correction.earlier import check_data, warn_of_lost_loop
from semiseg.correction.loop import Loop, open_loop
from semiseg.correction.rounds import Rounds
from semiseg.inference.large import large_images
from semiseg.model.release import load_release
from semiseg.suggestion.mask_kinds import KIND_NAMES, written_kinds
from semiseg.suggestion.suggest import suggest

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_TOKEN_BYTES = 24


def prepare_queue(
    run: Path, images: Path | None, out: Path, *, n: int, data: Path | None, accelerator: str
) -> Loop:
    """The images to correct: those that an earlier call chose, or new ones.

    Args:
        run: the run folder.
        images: what `suggest` chooses from; needed if `out` holds no masks yet.
        out: the folder of images and masks.
        n: the largest number of new images.
        data: the data folder of the run, if it moved.
        accelerator: the device.

    Raises:
        ConfigError: there is nothing to choose from, the masks are LabelMe's shapes, or there is no
            folder `data`.
        DataError: there is no image to suggest.
        RunError: the model cannot be read, or the folder cannot be written.

    Returns:
        The loop that the folder belongs to. Its newest round may have another folder.
    """
    encoding = load_release(run).metadata.classes.encoding
    if encoding == "labels":
        raise ConfigError(
            f"{run} learned from shapes (of LabelMe, GeoJSON and the like), and correct changes "
            f"masks of pixels. `semiseg suggest {run} IMAGES` writes shapes to correct in LabelMe."
        )
    check_data(run, data)
    if not written_kinds(out):
        warn_of_lost_loop(run, out)
        if images is None:
            raise ConfigError(
                f"{out} holds no masks yet. Name the images to choose from: semiseg correct {run} "
                f"IMAGES --out {out}."
            )
        suggest(run, images, out=out, n=n, data=data, accelerator=accelerator)
    others = written_kinds(out) - {"masks"}
    if others:
        raise ConfigError(
            f"{out} holds {KIND_NAMES[others.pop()]}, and correct changes masks of pixels. Open it "
            "with the tool of these files, or choose another --out."
        )
    loop = open_loop(out, run, images)
    if loop.folder != out.absolute():
        number, folder = len(loop.record.rounds), shorten(loop.folder)
        logger.info("round %d: %s, with masks of %s", number, folder, shorten(loop.run))
    return loop


def open_port(port: int) -> socket.socket:
    """A port of this machine that listens.

    Args:
        port: its number; 0 for a free one.

    Raises:
        ConfigError: the port is in use.
    """
    listener = socket.socket()
    if sys.platform == "win32":  # there, the other option lets two programs share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()  # the browser may be faster than the server
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"The port {port} cannot be used ({error}). Choose another --port, or leave it out."
        ) from error
    return listener


def serve(
    rounds: Rounds, listener: socket.socket, *, open_browser: bool, assistant: str | None = None
) -> tuple[int, int]:
    """Serve the page until Ctrl-C.

    Args:
        rounds: the images and masks, and the trainings.
        listener: the port of the server.
        open_browser: whether to open the page.
        assistant: the ONNX files of an outside model that answers clicks; see `Assistant`.

    Returns:
        The number of masks of the newest round that are accepted or skipped, and of all of them.

    Raises:
        ConfigError: a package is missing, or the assistant cannot be used.
        DataError: the `classes.yaml` of the masks cannot be used.
        RunError: the model cannot be read.
    """
    try:
        import uvicorn

        from semiseg.correction.access import Access
        from semiseg.correction.server import Corrections, application
    except ImportError as error:
        raise ConfigError(
            f"correct needs {error.name}, which is not installed: pip install 'semiseg[app]'."
        ) from error
    content = rounds.content()
    helper = Assistant(assistant, content.view.model.reading) if assistant else None
    access = Access(listener.getsockname()[1], secrets.token_urlsafe(_TOKEN_BYTES))
    corrections = Corrections(content, helper)
    app = application(corrections, rounds, access)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    logger.info("%s: %s", plural(len(content.items), "image"), access.address)
    logger.info("Ctrl-C stops the server; every mask is saved as you go")
    if open_browser:
        webbrowser.open(access.address)
    # Threads share Pillow's limit. uvicorn stops at Ctrl-C, and then raises it again.
    with large_images(), suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    items, states = corrections.content.items, dict(corrections.content.states.items())
    return sum(states.get(item.name, "open") != "open" for item in items), len(items)
