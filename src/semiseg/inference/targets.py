"""The files that `predict` writes: their names, and which of them exist already."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from posixpath import dirname

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, resolved
from semiseg.core.text import plural
from semiseg.data.formats.bands import INSTALL_GEO, can_read_bands
from semiseg.data.formats.geo_tags import has_geo_tags
from semiseg.data.formats.raster_windows import Window, window_path
from semiseg.inference.geotiff import Place, place_of
from semiseg.inference.voxels import VOXELS, VOXELS_SUFFIX, has_voxels
from semiseg.inference.writers import OUTPUTS

MAX_NAME_BYTES = 255
"""The bytes that the name of a file or a folder may have on all usual disks."""
_SAMPLE = 1024  # pixels of a side


def find_places(images: Iterable[Path]) -> dict[Path, Place]:
    """The place on the earth of each image that has one."""
    return {image: place for image in images if (place := place_of(image)) is not None}


def describe_lost_places(images: Iterable[Path]) -> str:
    """A warning of GeoTIFFs that are read as plain images; empty if there are none."""
    count = 0 if can_read_bands() else sum(map(has_geo_tags, images))
    if not count:
        return ""
    return (
        f"{plural(count, 'image')} with a place on the map: semiseg writes plain PNG files, since "
        f"GeoTIFFs need an extra: {INSTALL_GEO}"
    )


def middle_of(image: Path, place: Place | None) -> Path:
    """The image, or a window in the middle of a raster, which may be larger than the memory."""
    if place is None:
        return image
    (left, width), (top, height) = (
        (max(0, (side - _SAMPLE) // 2), min(side, _SAMPLE)) for side in place.size
    )
    return window_path(image, Window(left, top, width, height))


def targets_of(
    name: str, image: Path, out: Path, kinds: Sequence[str], is_raster: bool
) -> dict[str, Path]:
    """The files to write for an image, by their kind. The mask comes last.

    Args:
        name: of the result.
        image: the image.
        out: the folder of the results.
        kinds: of the files.
        is_raster: whether the results are GeoTIFFs.

    Raises:
        DataError: a file would have a longer name than disks allow.
    """
    targets = {kind: out / kind / f"{name}{_suffix(kind, is_raster)}" for kind in kinds}
    if has_voxels(image):
        targets = {VOXELS: out / f"{name}{VOXELS_SUFFIX}", **targets}
    for file in targets.values():
        part = max(file.relative_to(out).parts, key=_bytes)
        if _bytes(part) > MAX_NAME_BYTES:
            raise DataError(
                f"{image}: its result {part[:40]}... would have a name of {_bytes(part)} bytes, "
                f"and disks allow {MAX_NAME_BYTES}.",
                "Give the image a shorter name.",
            )
    return targets


def _bytes(name: str) -> int:
    """The length of a name on a disk."""
    return len(os.fsencode(name))


def missing(targets: Mapping[str, Path]) -> dict[str, Path]:
    """The files of an image that do not exist yet."""
    return {kind: file for kind, file in targets.items() if not is_file(file)}


def check_names(names: Collection[str], out: object, kinds: Sequence[str]) -> None:
    """Refuse results of two images that would share a file.

    Args:
        names: of the results of all images.
        out: the folder of the results.
        kinds: of the files.

    Raises:
        DataError: the mask of an image, such as `colors/a`, lies where another file of `a` would.
    """
    for kind in filter(None, kinds):
        for name in names:
            other = name.removeprefix(f"{kind}/")
            if other != name and other in names:
                raise DataError(
                    f"The mask of {name} and {kind} of {other} would have the same name in {out}. "
                    "Rename one of the images, or segment their folders one by one."
                )


def check_sources(images: Mapping[str, Path], out: Path, kinds: Sequence[str]) -> None:
    """Refuse results that would replace an image.

    Images are opened only where results lie in the folder of images.

    Args:
        images: by the names of their results.
        out: the folder of the results.
        kinds: of the files.

    Raises:
        DataError: a file would replace an image.
    """
    folders = {out / kind / folder for folder in set(map(dirname, images)) for kind in kinds}
    folders = {folder.resolve() for folder in folders}
    sources = {file for file in resolved(images.values()) if file.parent in folders}
    for name, image in images.items() if sources else ():
        targets = targets_of(name, image, out, kinds, place_of(image) is not None)
        for file in targets.values():
            if file.parent.resolve() / file.name in sources:
                raise DataError(
                    f"{file}, a result of {image}, would replace an image. Choose another --out."
                )


def variants(name: str, kind: str) -> list[str]:
    """The files of one kind that an image may have, whatever its format is.

    Args:
        name: of the result.
        kind: of the file.

    Returns:
        Paths below the output folder, with slashes.
    """
    folder = f"{kind}/" if kind else ""
    suffixes = dict.fromkeys(_suffix(kind, is_raster) for is_raster in (False, True))
    return [f"{folder}{name}{suffix}" for suffix in suffixes]


def is_finished(name: str, kinds: Sequence[str], exists: Callable[[str], bool]) -> bool:
    """Whether an image has a file of each kind; the image is not opened.

    Args:
        name: of the result.
        kinds: of the files.
        exists: whether there is a file of that path below the output folder.
    """
    return all(any(map(exists, variants(name, kind))) for kind in kinds)


def describe_skipped(complete: int, added: int, total: int, out: object) -> list[str]:
    """A sentence for the images with all of their files, and one for those with some of them.

    Args:
        complete: the images that had all their files.
        added: the images that had a mask and lacked other files.
        total: the number of images.
        out: the folder of the results.
    """
    notes = []
    if complete:
        notes.append(
            f"{complete} of {plural(total, 'image')} had all their files in {out}, and these are "
            "kept, even if another model wrote them; --overwrite replaces them"
        )
    if added:
        notes.append(
            f"{plural(added, 'image')} lacked some files in {out}. semiseg wrote only these, and "
            "they show the model's own mask; --overwrite replaces all files"
        )
    return notes


def _suffix(kind: str, is_raster: bool) -> str:
    return ".tif" if is_raster and OUTPUTS[kind].render is not None else OUTPUTS[kind].suffix
