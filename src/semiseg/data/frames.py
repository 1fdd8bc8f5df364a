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
from semiseg.data.formats.stacks import STACK_SUFFIXES, is_stack
from semiseg.data.formats.video import VIDEO_SUFFIXES, Frame
from semiseg.data.tree import Tree

FileFormat = Literal["jpg", "png"]
_PILLOW = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}
_TIFF = (".tif", ".tiff")
_SUFFIXES = (*VIDEO_SUFFIXES, *STACK_SUFFIXES)
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
    """The videos and stacks by the beginning of the names of their frames.

    Args:
        source: a video or a stack, a folder, or a pattern such as `videos/*.mp4`. In a folder, a
            TIFF counts only if it is a stack.

    Returns:
        The names: the path below the folder without a suffix. Two videos that differ only in their
        suffix keep it.

    Raises:
        DataError: there are none.
    """
    if source.is_dir():
        root, files = source, Tree(source).files(source, _SUFFIXES)
        files = [f for f in files if not f.name.lower().endswith(_TIFF) or is_stack(f)]
        if not files:
            raise DataError(
                f"{source} holds no videos or stacks. semiseg reads the suffixes "
                f"{', '.join(_SUFFIXES)}."
            )
    elif source.exists():
        root, files = source.parent, [source]
    elif glob.has_magic(str(source)):
        root = next(parent for parent in source.parents if not glob.has_magic(str(parent)))
        pattern = source.relative_to(root).as_posix()
        files = sorted(f for f in root.glob(pattern) if f.name.lower().endswith(_SUFFIXES))
        if not files:
            raise DataError(f"The pattern {source} matches no video or stack.")
    else:
        raise DataError(f"{source} does not exist.", "Name a video or a folder of videos.")
    stems = Counter(_without_suffix(file.relative_to(root)) for file in files)
    names = {}
    for file in files:
        path = file.relative_to(root)
        stem = _without_suffix(path)
        unique = stem if stems[stem] == 1 else stem.with_name(path.name.replace(".", "_"))
        names[unique.as_posix()] = file
    return names


def _without_suffix(path: Path) -> Path:
    return path.with_name(
        path.name[: -len(".nii.gz")] if path.name.endswith(".nii.gz") else path.stem
    )


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
    written = near_duplicates = existing = 0
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
            near_duplicates += 1
            continue
        last = small
        path = target.with_name(f"{target.name}_{frame.number:06d}.{file_format}")
        if path.exists() and not overwrite:
            existing += 1
            continue
        _save(frame.image, path, file_format)
        written += 1
    return FrameCount(written, near_duplicates, existing, problem)


def write_pages(pages: Iterable[Image.Image], target: Path, overwrite: bool = False) -> FrameCount:
    """Write the pages of a stack as images `NAME_000012.png` with the same values.

    A page of values that PNG cannot hold becomes a TIFF. Pages that are nearly the same are all
    written, since the pages of images and of masks belong together.

    Args:
        pages: the pages; reading them may end with a `DataError`.
        target: the folder and the beginning of the names.
        overwrite: replace existing files.

    Raises:
        RunError: a file cannot be written.
    """
    written = existing = 0
    problem = None
    iterator = enumerate(pages)
    while True:
        try:
            number, page = next(iterator)
        except StopIteration:
            break
        except DataError as error:
            problem = error
            break
        suffix: Literal["png", "tif"] = "tif" if page.mode in ("I", "F") else "png"
        path = target.with_name(f"{target.name}_{number:06d}.{suffix}")
        if path.exists() and not overwrite:
            existing += 1
            continue
        _save(page, path, suffix)
        written += 1
    return FrameCount(written, 0, existing, problem)


def _thumbnail(image: Image.Image) -> NDArray[np.float32]:
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two thumbnails differ by little everywhere, once their brightness is the same."""
    difference = one - other
    return bool(np.abs(difference - difference.mean()).max() < _SAME)


def _save(image: Image.Image, path: Path, file_format: FileFormat | Literal["tif"]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, sync=False) as file:
            image.save(file, _PILLOW[file_format], quality=95)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error
