"""The files that `predict` writes: their names, and which of them exist already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.bands import INSTALL_GEO, can_read_bands
from semiseg.data.formats.geo_tags import has_geo_tags
from semiseg.data.formats.raster_windows import Window, window_path
from semiseg.inference.geotiff import Place, place_of
from semiseg.inference.voxels import VOXELS, VOXELS_SUFFIX, has_voxels
from semiseg.inference.writers import OUTPUTS

Targets: TypeAlias = dict[Path, dict[str, Path]]
"""The files to write for each image, by their kind."""
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


def find_targets(
    images: Mapping[str, Path], out: Path, kinds: Sequence[str], places: Mapping[Path, Place]
) -> Targets:
    """The files to write for each image.

    Args:
        images: by the name of their results.
        out: the folder of the results.
        kinds: of the files.
        places: of the images whose results are GeoTIFFs.

    Raises:
        DataError: a file would replace an image, or two images would share a file.
    """
    sources = {image.resolve() for image in images.values()}
    owners: dict[Path, Path] = {}
    targets: Targets = {}
    for name, image in images.items():
        is_raster = image in places
        targets[image] = {k: out / k / f"{name}{_suffix(k, is_raster)}" for k in kinds}
        if has_voxels(image):  # before the mask, which comes last
            targets[image] = {VOXELS: out / f"{name}{VOXELS_SUFFIX}", **targets[image]}
        for file in targets[image].values():
            if file.resolve() in sources:
                raise DataError(
                    f"{file}, a result of {image}, would replace an image. Choose another --out."
                )
            if owners.setdefault(file, image) != image:
                raise DataError(
                    f"The results of {owners[file]} and {image} would have the same name, {file}. "
                    "Rename one of the images, or segment their folders one by one."
                )
    return targets


def missing(targets: Targets) -> Targets:
    """The files that do not exist yet."""
    return {
        image: new_files
        for image, files in targets.items()
        if (new_files := {kind: file for kind, file in files.items() if not file.is_file()})
    }


def describe_skipped(targets: Targets, new_targets: Targets, out: Path) -> list[str]:
    """A sentence for the images with all of their files, and one for those with some of them."""
    notes = []
    if complete := len(targets) - len(new_targets):
        notes.append(
            f"{complete} of {len(targets)} images have all their files in {out}; --overwrite "
            "replaces them"
        )
    if partial := sum(files != targets[image] for image, files in new_targets.items()):
        notes.append(
            f"{plural(partial, 'image')} lacked some files in {out}. semiseg writes only these, "
            "and they show the model's own mask; --overwrite replaces all files"
        )
    return notes


def _suffix(kind: str, is_raster: bool) -> str:
    return ".tif" if is_raster and OUTPUTS[kind].render is not None else OUTPUTS[kind].suffix
