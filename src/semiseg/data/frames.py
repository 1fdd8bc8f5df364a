"""Images from the frames of videos: chosen by their distance, without near-duplicates."""

from __future__ import annotations

import glob
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write
from semiseg.data.formats.rasters import Values
from semiseg.data.formats.stacks import STACK_SUFFIXES, Page, is_stack
from semiseg.data.formats.video import VIDEO_SUFFIXES, Frame
from semiseg.data.tree import Tree

FileFormat = Literal["jpg", "png"]
_PILLOW = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}
_TIFF = (".tif", ".tiff")
_SUFFIXES = (*VIDEO_SUFFIXES, *STACK_SUFFIXES)
_MAX_PNG = 65535  # the highest value of 16 bits
_UUID = "urn:uuid:00000000-0000-0000-0000-000000000000"
_SIDE = 32  # of the gray thumbnail of a frame
_SAME = 10.0  # gray levels; two thumbnails that differ by less everywhere are the same


class FrameCount(NamedTuple):
    """What was made of a video.

    Attributes:
        written: frames that were written.
        similar: frames that were left out, since they are nearly the same as the one before.
        existing: frames whose files were there.
        problem: why the video could not be read to its end; None if it could.
        axes: the axes of a stack, and who says so; empty for other files.
    """

    written: int
    similar: int
    existing: int
    problem: DataError | None
    axes: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the video gave no frame."""
        return not self.written + self.existing


def find_videos(source: Path, axes: str | None = None) -> dict[str, Path]:
    """The videos and stacks by the beginning of the names of their frames.

    Args:
        source: a video or a stack, a folder, or a pattern such as `videos/*.mp4`. In a folder, a
            TIFF counts only if it is a stack of several images.
        axes: the axes of stacks, as the user names them.

    Returns:
        The names: the path below the folder without a suffix. Two videos that differ only in their
        suffix keep it.

    Raises:
        DataError: there are none.
    """
    if source.is_dir():
        root, files = source, Tree(source).files(source, _SUFFIXES)
        files = [f for f in files if not f.name.lower().endswith(_TIFF) or is_stack(f, axes)]
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


def write_pages(pages: Iterable[Page], target: Path, overwrite: bool = False) -> FrameCount:
    """Write the images of a stack as files `NAME_000012.png` with the same values.

    Values that PNG cannot hold become a TIFF, and several bands become an OME-TIFF with the names
    of the bands. Images that are nearly the same are all written, since the images and the masks of
    a stack belong together. The files hold the pixels and the names of bands, and nothing else.

    Args:
        pages: the images; reading them may end with a `DataError`.
        target: the folder and the beginning of the names.
        overwrite: replace existing files.

    Raises:
        RunError: a file cannot be written.
    """
    written = existing = 0
    axes = ""
    problem = None
    iterator = iter(pages)
    while True:
        try:
            page = next(iterator, None)
            image = None if page is None or page.is_banded else _to_image(page.values)
        except DataError as error:
            problem = error
            break
        if page is None:
            break
        axes = page.origin
        is_png = image is not None and image.mode not in ("I", "F")
        path = target.with_name(f"{target.name}{page.label}.{'png' if is_png else 'tif'}")
        if path.exists() and not overwrite:
            existing += 1
            continue
        if image is None:
            _save_bands(page, path)
        else:
            _save(image, path, "png" if is_png else "tif")
        written += 1
    return FrameCount(written, 0, existing, problem, axes)


def _to_image(values: Values) -> Image.Image:
    """Gray values, or colors of 8 bits, as an image that holds the same values."""
    if values.dtype.kind == "f":
        return Image.fromarray(values.astype(np.float32))
    if values.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(values))
    low, high = int(values.min()), int(values.max())
    return Image.fromarray(values.astype(np.uint16 if low >= 0 and high <= _MAX_PNG else np.int32))


def _save_bands(page: Page, path: Path) -> None:
    """Write an image of several bands, one page for each, as those who read stacks expect them."""
    tifffile = importlib.import_module("tifffile")
    # Without these, the file would hold a number made of the time and the machine.
    metadata: dict[str, object] = {"axes": "CYX", "UUID": _UUID}
    if page.band_names:
        metadata["Channel"] = {"Name": list(page.band_names)}
    with _writing(path) as file:
        tifffile.imwrite(
            file,
            np.ascontiguousarray(np.moveaxis(page.values, -1, 0)),
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
        )


def _thumbnail(image: Image.Image) -> NDArray[np.float32]:
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two thumbnails differ by little everywhere, once their brightness is the same."""
    difference = one - other
    return bool(np.abs(difference - difference.mean()).max() < _SAME)


def _save(image: Image.Image, path: Path, file_format: FileFormat | Literal["tif"]) -> None:
    with _writing(path) as file:
        image.save(file, _PILLOW[file_format], quality=95)


@contextmanager
def _writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is written as a whole, in a folder that is made.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, sync=False) as file:
            yield file
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error
