"""`frames`: images from the frames of videos, to be labeled or to be learned from as they are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semiseg.commands._public import command
from semiseg.commands.settings.writing import FramesSettings
from semiseg.core.console import track
from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.stacks import STACK_SUFFIXES, read_pages
from semiseg.data.formats.video import Spacing, read_frames
from semiseg.data.frames import FrameCount, find_videos, write_frames, write_pages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frames:
    """Frames that were written.

    Attributes:
        folder: the output folder.
        videos: what was made of each video.
    """

    folder: Path
    videos: Mapping[Path, FrameCount]

    def text(self) -> str:
        """How many frames were written, left out and there already."""
        counts = self.videos.values()
        written, similar, existing = (
            sum(getattr(count, name) for count in counts)
            for name in ("written", "similar", "existing")
        )
        text = f"{plural(written, 'image')} written to {self.folder}"
        if len(self.videos) > 1:
            text += f", from {len(self.videos)} videos"
        if similar:
            text += (
                f"; {plural(similar, 'frame')} left out, nearly the same as the one before "
                "(--similar writes them)"
            )
        if existing:
            text += f"; {plural(existing, 'file')} there already (--overwrite replaces them)"
        axes = Counter(count.axes for count in counts if count.axes)
        for origin, number in axes.items():
            text += f"\nAxes of {plural(number, 'stack')}: {origin} (--axes names others)"
        return text


@command(FramesSettings)
def frames(settings: FramesSettings) -> Frames:
    """Write frames of videos, without near-duplicates, and the slices of stacks as images.

    Returns:
        What was written.

    Raises:
        ConfigError: the extra `video` or `medical` is not installed.
        DataError: there are no videos, or one of them cannot be read. The frames of the others are
            written.
        RunError: the output folder cannot be written.
    """
    videos = find_videos(settings.videos, settings.axes)
    counts = {}
    for name, video in track(videos.items(), "frames", len(videos)):
        target = settings.out / name
        if video.name.lower().endswith(STACK_SUFFIXES):
            counts[video] = write_pages(
                read_pages(video, settings.axes), target, settings.overwrite
            )
            continue
        counts[video] = write_frames(
            read_frames(video, Spacing(*settings.spacing)),
            target,
            settings.file_format,
            settings.similar,
            settings.overwrite,
        )
    problems = {video: c.problem for video, c in counts.items() if c.problem is not None}
    empty = [p for video, p in problems.items() if counts[video].is_empty]
    for problem in problems.values():
        if problem not in empty:
            logger.warning("%s", problem)
    if empty:
        others = " The frames of the others are written." if len(empty) < len(videos) else ""
        raise DataError(
            f"{len(empty)} of {plural(len(videos), 'video')} could not be read.{others}\n"
            + "\n".join(map(str, empty))
        )
    return Frames(settings.out, counts)
