"""Whether masks show their images upright, or as the pixels are stored.

The size of the mask decides where an image lies on its side. Where the image is upside down,
mirrored or square, semiseg compares the areas of the mask with the image in both positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.config.data import Exif
from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, on_files
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.images import read_image
from semiseg.data.formats.orientation import have_same_shape, turn
from semiseg.data.image_scan import ImageScan
from semiseg.data.scan import Scans

_MAX_SAMPLED = 32  # images that are compared with their masks
_SIDE = 256  # pixels of the longer side in a comparison
_MIN_RATIO = 1.15  # of the contrast along the edges of a mask, in the better position
_MAJORITY = 4  # times as many images must speak for one position as for the other
_CLEAR_RATIO = 1.5  # the ratio with which one image suffices

Position = Literal["upright", "stored", "unknown"]


class Turns(NamedTuple):
    """How the masks of images with an EXIF orientation lie.

    Attributes:
        exif: what a person says about it.
        position: what the masks show, where their size does not tell it.
        by_size: the masks that show stored pixels, by their size.
        unclear: the masks that fit both positions.
    """

    exif: Exif
    position: Position
    by_size: tuple[Path, ...] = ()
    unclear: tuple[Path, ...] = ()

    @property
    def is_turned(self) -> bool:
        """Whether masks show stored pixels, where their size does not tell it."""
        return self.exif == "ignore" or (self.exif == "auto" and self.position == "stored")

    def findings(self, name: Callable[[Path], str]) -> list[Finding]:
        """What a person should know about them.

        Args:
            name: gives the name of a file.
        """
        stored = [*self.by_size, *(self.unclear if self.is_turned else ())]
        message = (
            "Masks that show the stored pixels of their images, which an orientation in the EXIF "
            "data turns. semiseg turns these masks in the same way"
        )
        remedy = (
            "Look at them with `semiseg check DATA --picture samples.png`. With `--exif apply`, "
            "semiseg turns only the masks whose size demands it."
        )
        details = dict.fromkeys(map(name, stored), "")
        findings = on_files("orientation", "warning", details, message, remedy)
        if self.exif == "auto" and self.position == "unknown":
            message = (
                "Masks of images that an orientation in the EXIF data turns. Neither their size "
                "nor their areas tell whether they show the upright image or the stored pixels"
            )
            remedy = (
                "semiseg takes them as upright. Look at them with `semiseg check DATA --picture "
                "samples.png`; pass `--exif apply` if they fit, or `--exif ignore` if not."
            )
            details = dict.fromkeys(map(name, self.unclear), "")
            findings += on_files("orientation", "warning", details, message, remedy)
        return findings


def find_turns(samples: Iterable[Sample], scans: Scans, reading: Reading, exif: Exif) -> Turns:
    """Find out how masks lie.

    Args:
        samples: the images, with their masks.
        scans: what the files hold.
        reading: how images are read.
        exif: what a person says about it.
    """
    by_size: list[Path] = []
    upright, unclear = 0, list[tuple[Path, Path]]()
    for sample in samples:
        image, mask = scans.images.get(sample.image), sample.mask
        scan = None if mask is None else scans.masks.get(mask)
        if image is None or mask is None or scan is None or image.orientation == 1:
            continue
        fits_upright = have_same_shape(scan.size, image.size)
        fits_stored = have_same_shape(scan.size, image.header.stored_size)
        if fits_upright and fits_stored:
            unclear.append((sample.image, mask))
        elif fits_stored:
            by_size.append(mask)
        else:
            upright += fits_upright
    position: Position = "unknown"
    if bool(by_size) != bool(upright):  # one tool drew them all
        position = "stored" if by_size else "upright"
    elif unclear and exif == "auto":
        position = _compare(unclear, scans.images, reading)
    masks = dict.fromkeys(mask for _, mask in unclear)
    return Turns(exif, position, tuple(dict.fromkeys(by_size)), tuple(masks))


def _compare(
    pairs: list[tuple[Path, Path]], images: Mapping[Path, ImageScan], reading: Reading
) -> Position:
    """The position that fits clearly better over a sample of images and masks."""
    step = max(1, len(pairs) // _MAX_SAMPLED)
    ratios = []
    for image, mask in pairs[::step][:_MAX_SAMPLED]:
        try:
            picture = read_image(image, reading, enough=_SIDE).convert("RGB")
            codes = read_codes(mask).values
        except DataError:
            continue  # another finding says it
        ratio = fit_ratio(picture, codes, images[image].orientation)
        if ratio is not None:
            ratios.append(ratio)
    stored = [ratio for ratio in ratios if ratio >= _MIN_RATIO]
    upright = [1 / ratio for ratio in ratios if ratio <= 1 / _MIN_RATIO]
    if _is_clear(stored, upright):
        return "stored"
    return "upright" if _is_clear(upright, stored) else "unknown"


def _is_clear(votes: list[float], others: list[float]) -> bool:
    if not votes or len(votes) < _MAJORITY * len(others):
        return False
    return len(votes) > 2 or max(votes) >= _CLEAR_RATIO


def fit_ratio(image: Image.Image, codes: NDArray[np.int32], orientation: int) -> float | None:
    """How much better a mask fits an image if it is turned than if it is not.

    Args:
        image: the upright image.
        codes: `(H, W)` the mask as it is stored.
        orientation: the EXIF orientation of the image.

    Returns:
        The ratio of the contrasts of the image along the edges of the mask; above 1 where the
        turned mask fits better. None if the two measures, contrast along the edges and difference
        of the areas' colors, contradict each other, or if the mask has no edges.
    """
    scale = _SIDE / max(image.size)
    size = tuple(max(8, round(side * min(1.0, scale))) for side in image.size)
    picture = np.asarray(image.resize((size[0], size[1]), Image.Resampling.BOX), np.float32)
    _, labels = np.unique(codes, return_inverse=True)
    mask = Image.fromarray(labels.reshape(codes.shape).astype(np.int32))
    positions = [turn(mask, orientation), mask]
    arrays = [np.asarray(m.resize((size[0], size[1]), Image.Resampling.NEAREST)) for m in positions]
    turned, same = (_edge_contrast(picture, array) for array in arrays)
    if not turned or not same:
        return None
    differs = _explained(picture, arrays[0]) > _explained(picture, arrays[1])
    ratio = turned / same
    return ratio if differs == (ratio > 1) else None


def _edge_contrast(image: NDArray[np.float32], mask: NDArray[np.int32]) -> float:
    """The mean difference of neighboring pixels across the edges of a mask."""
    total = count = 0.0
    for axis in (0, 1):
        is_edge = np.diff(mask, axis=axis) != 0
        steps = np.abs(np.diff(image, axis=axis)).sum(axis=-1)
        total += float(steps[is_edge].sum())
        count += int(is_edge.sum())
    return total / count if count else 0.0


def _explained(image: NDArray[np.float32], mask: NDArray[np.int32]) -> float:
    """The share of the variance of an image's colors that lies between the areas of a mask."""
    pixels, areas = image.reshape(-1, 3), mask.ravel()
    counts = np.bincount(areas)
    between = 0.0
    for channel in pixels.T:
        sums = np.bincount(areas, weights=channel)
        means = sums / counts.clip(min=1)
        between += float((counts * (means - channel.mean()) ** 2).sum())
    total = float(((pixels - pixels.mean(axis=0)) ** 2).sum())
    return between / total if total else 0.0
