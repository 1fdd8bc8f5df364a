"""Images from the frames of videos: chosen by their distance, without near-duplicates."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write
from semiseg.data.formats.video import VIDEO_SUFFIXES, Frame
from semiseg.data.tree import Tree

FileFormat = Literal["jpg", "png"]
_PILLOW = {"jpg": "JPEG", "png": "PNG"}
_SIDE = 32  # of the gray thumbnail of a frame
_SAME = 10.0  # gray levels; two thumbnails that differ by less everywhere are the same


class FrameCount(NamedTuple):
    """What was made of a video.

    Attributes:
        written: frames that were written.
        similar: frames that were left out, since they are nearly the same as the one before.
        existing: frames whose files were there.
        problem: why the video could not be read to its end; None if it could.
    """

    written: int
    similar: int
    existing: int
    problem: DataError | None

    @property
    def is_empty(self) -> bool:
        """Whether the video gave no frame."""
        return not self.written + self.existing


def find_videos(source: Path) -> dict[str, Path]:
    """The videos by the beginning of the names of their frames.

    Args:
        source: a video, a folder, or a pattern such as `videos/*.mp4`.

    Returns:
        The names: the path below the folder without a suffix. Two videos that differ only in their
        suffix keep it.

    Raises:
        DataError: there are none.
    """
    if source.is_dir():
        root, files = source, Tree(source).files(source, VIDEO_SUFFIXES)
        if not files:
            raise DataError(
                f"{source} holds no videos. semiseg reads the suffixes {', '.join(VIDEO_SUFFIXES)}."
            )
    elif source.exists():
        root, files = source.parent, [source]
    elif glob.has_magic(str(source)):
        root = next(parent for parent in source.parents if not glob.has_magic(str(parent)))
        pattern = source.relative_to(root).as_posix()
        files = sorted(f for f in root.glob(pattern) if f.name.lower().endswith(VIDEO_SUFFIXES))
        if not files:
            raise DataError(f"The pattern {source} matches no video.")
    else:
        raise DataError(f"{source} does not exist.", "Name a video or a folder of videos.")
    stems = Counter(file.relative_to(root).with_suffix("") for file in files)
    names = {}
    for file in files:
        path = file.relative_to(root)
        stem = path.with_suffix("")
        unique = stem if stems[stem] == 1 else stem.with_name(path.name.replace(".", "_"))
        names[unique.as_posix()] = file
    return names


def write_frames(
    frames: Iterable[Frame],
    target: Path,
    file_format: FileFormat = "jpg",
    similar: bool = False,
    overwrite: bool = False,
) -> FrameCount:
    """Write frames as images `NAME_000012.jpg`.

    Args:
        frames: the frames; reading them may end with a `DataError`.
        target: the folder and the beginning of the names.
        file_format: `jpg` (quality 95) or `png`.
        similar: write near-duplicates, too.
        overwrite: replace existing files.

    Raises:
        RunError: a file cannot be written.
    """
    written = skipped = existing = 0
    last: NDArray[np.float32] | None = None
    problem = None
    iterator = iter(frames)
    while True:
        try:
            frame = next(iterator, None)
        except DataError as error:
            frame, problem = None, error
        if frame is None:
            break
        small = _thumbnail(frame.image)
        if not similar and last is not None and _is_same(small, last):
            skipped += 1
            continue
        last = small
        path = target.with_name(f"{target.name}_{frame.number:06d}.{file_format}")
        if path.exists() and not overwrite:
            existing += 1
            continue
        _save(frame.image, path, file_format)
        written += 1
    return FrameCount(written, skipped, existing, problem)


def _thumbnail(image: Image.Image) -> NDArray[np.float32]:
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two thumbnails differ by little everywhere, once their brightness is the same."""
    difference = one - other
    return bool(np.abs(difference - difference.mean()).max() < _SAME)


def _save(image: Image.Image, path: Path, file_format: FileFormat) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, sync=False) as file:
            image.save(file, _PILLOW[file_format], quality=95)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error
