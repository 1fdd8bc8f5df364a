"""Frames of videos, through the extra `video` (PyAV)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from semiseg.core.errors import ConfigError, DataError

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".mts"),
    *(".m2ts", ".ts", ".3gp", ".flv", ".ogv", ".mxf"),
)
_COMPLETE = 0.95  # share of the length; a sound track may be longer than the pictures
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}  # counterclockwise


class Spacing(NamedTuple):
    """How far apart frames are; one of both is None.

    Attributes:
        seconds: the time between two frames.
        frames: the number of frames from one to the next.
    """

    seconds: float | None
    frames: int | None


class Frame(NamedTuple):
    """A frame of a video, or a page of a stack.

    Attributes:
        number: counts all frames of the video, from 0 on.
        image: in RGB, upright.
    """

    number: int
    image: Image.Image


def read_frames(path: Path, spacing: Spacing) -> Iterator[Frame]:
    """Decode a video, and hand on some of its frames.

    Args:
        path: the video.
        spacing: how far apart the frames are. The first one always counts.

    Raises:
        ConfigError: the extra `video` is not installed.
        DataError: the file is no video, or breaks off; the frames before were handed on.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            f"{path} needs PyAV, which is not installed: pip install 'semiseg[video]'."
        ) from error
    if not path.is_file():
        raise DataError(f"There is no video {path}.")
    try:
        container = av.open(str(path))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise DataError(
            f"{path} cannot be read as a video ({_reason(error)}).",
            "Replace the file or remove it.",
        ) from error
    with container:
        if not container.streams.video:
            raise DataError(f"{path} holds no pictures, only sound or text.", "Remove the file.")
        number, seconds = -1, 0.0
        due = -math.inf
        try:
            for number, frame in enumerate(_decode(container)):
                seconds = frame.time or seconds
                position = _position(frame, number, spacing)
                if position < due:
                    continue
                due = math.floor(position + 1e-6) + 1 - 1e-6
                yield Frame(number, _upright(frame))
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise DataError(
                f"{path} is damaged after {number + 1} frames ({_reason(error)}).",
                "Replace the file, or go on with these frames.",
            ) from error
        if number < 0:
            raise DataError(f"{path} holds no frame that can be decoded.", "Replace the file.")
        length = (container.duration or 0) / av.time_base
        if seconds < _COMPLETE * length - 1:
            raise DataError(
                f"{path} breaks off after {seconds:.0f} of {length:.0f} seconds.",
                "Replace the file, or go on with the frames before.",
            )


def _decode(container: Any) -> Iterator[Any]:  # noqa: ANN401 - of PyAV
    """All frames of the first video stream; damaged packets between good ones are passed over."""
    from av.error import InvalidDataError

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            continue
        yield from (frame for frame in frames if not frame.is_corrupt)


def _position(frame: Any, number: int, spacing: Spacing) -> float:  # noqa: ANN401 - of PyAV
    """Where a frame lies, in units of the spacing."""
    if spacing.seconds is None:
        return number / (spacing.frames or 1)
    # A frame without a time is rare; 25 frames a second are as good a guess as any.
    seconds = number / 25 if frame.time is None else frame.time
    return float(seconds) / spacing.seconds


def _upright(frame: Any) -> Image.Image:  # noqa: ANN401 - of PyAV
    """The frame in RGB, turned as its metadata say."""
    image: Image.Image = frame.to_image()
    turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
    return image if turn is None else image.transpose(turn)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.partition("\n")[0].rstrip(".") or type(error).__name__
