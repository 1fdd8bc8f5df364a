"""The scale at which the network sees an image: fitted to the training's size, or kept.

The size of an image alone does not say what a larger one shows. It may be a mosaic of the ground
at the resolution of the training images, or a photograph of the same scene with more pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.config.scale import FACTORS, Scale
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import Reading
from semiseg.core.text import plural
from semiseg.data.formats.ground import GroundResolution, ground_resolution
from semiseg.data.formats.images import image_size
from semiseg.model.metadata import ModelMetadata

logger = logging.getLogger(__name__)

_ROUNDING = 0.01  # of a ground resolution
_NOTABLE = 2.0  # an image whose short side is so many times that of the training images


class Header(NamedTuple):
    """What is known of an image before its pixels are read.

    Attributes:
        size: width and height in pixels, upright.
        ground: the ground resolution, or None.
    """

    size: tuple[int, int]
    ground: GroundResolution | None = None

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.size[0] * self.size[1]


class Job(NamedTuple):
    """An image to segment.

    Attributes:
        file: the image.
        header: its header, or None if it cannot be read.
        factor: on its pixels before the network sees it; None for `fit`.
        problem: why it cannot be segmented, or None.
    """

    file: Path
    header: Header | None
    factor: float | None = None
    problem: DataError | None = None


def choose_factors(files: Iterable[Path], metadata: ModelMetadata, scale: Scale) -> list[Job]:
    """Read the headers of the images, and choose the scale of each.

    Raises:
        ConfigError: as `factor_of`.
    """
    require_side(scale, metadata)
    jobs = []
    for file in files:
        header = read_header(file, metadata.reading)
        job = Job(file, header)
        if header is not None:
            try:
                job = job._replace(factor=factor_of(scale, metadata, header))
            except DataError as error:
                problem = DataError(f"{file}: {error.message}", error.remedy)
                job = job._replace(problem=problem)
        jobs.append(job)
    return jobs


def explain(scale: Scale, metadata: ModelMetadata, jobs: Sequence[Job]) -> None:
    """Say which images keep their scale, and warn of those whose scale is in doubt."""
    if scale != AUTO:
        return
    if note := describe_scaled(metadata, jobs):
        logger.info("%s", note)
    undecided = (job for job in jobs if job.factor is None and not job.problem)
    headers = [job.header for job in undecided if job.header]
    if warning := describe_larger(metadata, headers):
        logger.warning("%s", warning)


def read_header(path: Path, reading: Reading) -> Header | None:
    """The header of an image; None if it cannot be read, which reading the pixels explains."""
    try:
        return Header(image_size(path, reading), ground_resolution(path))
    except DataError:
        return None


def require_side(scale: Scale, metadata: ModelMetadata) -> None:
    """Refuse `keep` for a model that does not know the size of its training images.

    Raises:
        ConfigError: it does not.
    """
    if scale == "keep" and metadata.side is None:
        raise ConfigError(
            "--scale keep needs the size of the training images, which this model of an earlier "
            "version of semiseg does not hold. Give a factor instead. The model sees images with a "
            f"short side of {metadata.size} pixels: if the training images had "
            f"{10 * metadata.size}, the factor is --scale 0.1"
        )


def factor_of(scale: Scale, metadata: ModelMetadata, header: Header) -> float | None:
    """The factor on the pixels of an image before the network sees it.

    Args:
        scale: `fit` scales the short side to that of the training. `keep` gives the image the scale
            that the training images had. `auto` is `keep` if the ground resolutions of the image
            and of the training images are known, else `fit`. A number is the factor.
        metadata: of the model.
        header: of the image.

    Returns:
        The factor, or None for `fit`.

    Raises:
        ConfigError: `keep` for a model that does not know the size of its training images.
        DataError: the ground resolutions are so different that the network could not see anything.
    """
    if scale == "fit":
        return None
    if scale != "keep" and scale != AUTO:
        return scale
    require_side(scale, metadata)
    if metadata.side is None:
        return None
    kept = metadata.size / metadata.side
    ours, theirs = metadata.ground_resolution, header.ground
    if ours is None or theirs is None or ours.unit != theirs.unit:
        return None if scale == AUTO else kept
    factor = kept * theirs.size / ours.size
    if factor not in FACTORS:
        raise DataError(
            f"The ground resolution is {theirs}, but that of the training images is {ours}.",
            "Use images of a similar resolution, or --scale fit.",
        )
    return factor


def is_much_larger(metadata: ModelMetadata, header: Header) -> bool:
    """Whether the short side of an image is more than twice that of the training images."""
    return metadata.side is not None and min(header.size) > _NOTABLE * metadata.side


def describe_scaled(metadata: ModelMetadata, jobs: Iterable[Job]) -> str:
    """A sentence on the images whose ground resolution decides; empty if there are none."""
    ours = metadata.ground_resolution
    scaled = [job.header.ground for job in jobs if job.header and job.factor is not None]
    grounds = [ground for ground in scaled if ground is not None]
    resolutions = sorted({str(ground) for ground in grounds})
    if not resolutions or ours is None:
        return ""
    examples = ", ".join(resolutions[:3]) + (", ..." if len(resolutions) > 3 else "")
    images = plural(len(grounds), "image keeps", "images keep")
    other = sum(abs(ground.size / ours.size - 1) > _ROUNDING for ground in grounds)
    resampled = f"; {other} of them {'is' if other == 1 else 'are'} resampled to it"
    return (
        f"by the ground resolution ({examples}), {images} "
        f"the scale of the training images ({ours}){resampled if other else ''}"
    )


def describe_larger(metadata: ModelMetadata, headers: Iterable[Header]) -> str:
    """A warning that counts the images that are much larger than those of the training.

    Args:
        metadata: of the model.
        headers: of the images that are scaled to the training's size.

    Returns:
        The sentences; empty if there are no such images.
    """
    sizes = [header.size for header in headers if is_much_larger(metadata, header)]
    if not sizes or metadata.side is None:
        return ""
    width, height = max(sizes)
    are, have = ("is", "has") if len(sizes) == 1 else ("are", "have")
    return (
        f"{plural(len(sizes), 'image')} {are} more than twice as large as the training images, "
        f"whose short side was {metadata.side:g} pixels (the largest {have} {width} x {height}). "
        f"semiseg scales the short side to {metadata.size} pixels. If this is a photograph of the "
        "same scene with more pixels, that is right: --scale fit. If it is a mosaic of the same "
        "ground resolution, keep the scale: --scale keep"
    )
