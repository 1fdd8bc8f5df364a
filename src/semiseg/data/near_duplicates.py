"""Images that are nearly the same: copies of another size or quality, frames of one still scene.

Each scan of an image leaves a thumbnail of 8 x 8 gray values in the cache, so that all images are
compared in a moment. The likeliest pairs are decoded again and compared in detail. What all images
of a data folder have in common, such as the dark rim of a microscope, is no evidence: it is taken
off first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.data.formats.images import read_image
from semiseg.data.read_ahead import read_ahead

MAX_QUERIES = 256
"""Images that are compared in detail, at most; those with the likeliest copies."""
MAX_PIXELS = 1_000_000_000
"""Pixels that are decoded for it, at most; a minute for PNG files, seconds for JPEG files."""
_SIDE = 8  # of a thumbnail, in pixels
_SAMPLES = 48  # pixels along each side of the image, from which a thumbnail is averaged
_MIN_CONTRAST = 2.0  # gray levels; flat and dark images are all alike
_LIKELY = 0.9  # correlation of two thumbnails
_FINE_SIDE = 64  # of the image that is compared in detail, in pixels
_WINDOW = 5  # pixels; what is smoother than this is no detail
_SAME = 0.75  # correlation of the details: copies have 0.85 and more, strangers below 0.4
_MAX_CANDIDATES = 3  # of one image
_MAX_COMMON = 64  # images that show what all have in common
_MIN_COMMON = 8  # with fewer images, a pair would itself be what they have in common
_JPEG_GAIN = 8  # how much faster a JPEG file is decoded in small
_BLOCK = 1024  # rows of the table of similarities that are held in memory at once

Vectors: TypeAlias = NDArray[np.float32]


class Thumbnail(NamedTuple):
    """An image in small.

    Attributes:
        values: as `thumbnail` gives them.
        size: width and height of the image in pixels.
    """

    values: str
    size: tuple[int, int]


class NearDuplicate(NamedTuple):
    """Two images that are nearly the same.

    Attributes:
        image: one image.
        other: the image that is most like it among those that it was compared with.
        similarity: how well their details agree, 1 at most.
    """

    image: Path
    other: Path
    similarity: float


def thumbnail(image: Image.Image) -> str:
    """64 gray values of an RGB image as 128 hex digits, row by row."""
    # Single pixels cost a tenth of an average over all of them, and suffice for a candidate.
    few = image.resize((_SAMPLES, _SAMPLES), Image.Resampling.NEAREST)
    return few.resize((_SIDE, _SIDE), Image.Resampling.BOX).convert("L").tobytes().hex()


def check_thumbnail(value: object) -> None:
    """Refuse what is no thumbnail.

    Raises:
        ValueError: it is no text, or has another length or other letters.
    """
    if not isinstance(value, str) or len(bytes.fromhex(value)) != _SIDE**2:
        raise ValueError(value)


def find_near_duplicates(
    images: Sequence[Path],
    others: Sequence[Path],
    thumbnails: Mapping[Path, Thumbnail],
    may_pair: Callable[[Path, Path], bool],
    reading: Reading = AS_STORED,
) -> list[NearDuplicate]:
    """Find images that are nearly the same as one of some others.

    Args:
        images: the images to find copies of.
        others: the images that may be copies; an image may be in both sequences.
        thumbnails: those of all images that can be read.
        may_pair: whether two images are to be compared.
        reading: how images are read, see `read_image`.

    Returns:
        One pair for each image that has a copy, in the order of `images`. At most 256 images are
        compared in detail, and fewer if they are large.
    """
    images = [path for path in images if path in thumbnails]
    others = [path for path in others if path in thumbnails]
    if not images or not others:
        return []
    pairs = _likely_pairs(images, others, thumbnails, may_pair)
    if not pairs:
        return []
    order = Key.of(0, "near duplicates").numpy().permutation(len(others))
    common = _affordable([(others[i],) for i in order[:_MAX_COMMON]], thumbnails, MAX_PIXELS // 4)
    decoded = sorted({*common, *_affordable(pairs, thumbnails, MAX_PIXELS)})

    def describe(path: Path) -> Vectors | None:
        try:
            return _details(read_image(path, reading, enough=_FINE_SIDE).convert("RGB"))
        except DataError:
            return None  # `check` reports it

    results = zip(decoded, read_ahead(describe, decoded), strict=True)
    details = {path: values for path, values in results if values is not None}
    known = [details[path] for path in common if path in details]
    mean = np.mean(known, axis=0) if len(known) >= _MIN_COMMON else 0
    best: dict[Path, NearDuplicate] = {}
    for image, other in pairs:
        if image in details and other in details:
            one, two = _unit(np.stack([details[image], details[other]]) - mean)
            similarity = float(one @ two)
            if similarity >= _SAME and (image not in best or similarity > best[image].similarity):
                best[image] = NearDuplicate(image, other, similarity)
    return [best[path] for path in images if path in best]


def _affordable(
    sets: Iterable[tuple[Path, ...]], thumbnails: Mapping[Path, Thumbnail], budget: int
) -> list[Path]:
    """The images of the first sets that can be decoded with a budget of pixels."""
    files: dict[Path, None] = {}
    cost = 0
    for paths in sets:
        new = [path for path in paths if path not in files]
        cost += sum(_cost(path, thumbnails[path].size) for path in new)
        if cost > budget:
            break
        files |= dict.fromkeys(new)
    return list(files)


def _cost(path: Path, size: tuple[int, int]) -> int:
    """The pixels of an image; a JPEG file is decoded at an eighth of its size."""
    pixels = size[0] * size[1]
    return pixels // _JPEG_GAIN if path.suffix.lower() in (".jpg", ".jpeg") else pixels


def _likely_pairs(
    images: Sequence[Path],
    others: Sequence[Path],
    thumbnails: Mapping[Path, Thumbnail],
    may_pair: Callable[[Path, Path], bool],
) -> list[tuple[Path, Path]]:
    """Pairs with similar thumbnails, up to three for an image, for the likeliest 256 images."""
    files = list(dict.fromkeys((*images, *others)))
    vectors, contrast = _parse(thumbnails[path].values for path in files)
    if len(files) >= _MIN_COMMON:
        vectors = _unit(vectors - vectors[contrast].mean(axis=0)) if contrast.any() else vectors
    vectors[~contrast] = 0
    row = {path: i for i, path in enumerate(files)}
    rows = np.array([row[path] for path in others])
    column = {path: i for i, path in enumerate(others)}
    ranked: list[tuple[float, list[tuple[Path, Path]]]] = []
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        table = vectors[[row[path] for path in block]] @ vectors[rows].T
        for number, path in enumerate(block):
            if path in column:
                table[number, column[path]] = 0
        is_likely = table >= _LIKELY
        for number in np.nonzero(is_likely.any(axis=1))[0].tolist():
            image, similarities = block[number], table[number]
            (likely,) = np.nonzero(is_likely[number])
            likely = likely[np.argsort(-similarities[likely], kind="stable")]
            allowed = (i for i in likely.tolist() if may_pair(image, others[i]))
            candidates = list(islice(allowed, _MAX_CANDIDATES))
            if candidates:
                pairs = [(image, others[i]) for i in candidates]
                ranked.append((-float(similarities[candidates[0]]), pairs))
    ranked.sort()
    return [pair for _, pairs in ranked[:MAX_QUERIES] for pair in pairs]


def _parse(thumbnails: Iterable[str]) -> tuple[Vectors, NDArray[np.bool_]]:
    """`(N, 64)` thumbnails of length 1 and mean 0, and `(N,)` whether they have enough contrast."""
    content = bytes.fromhex("".join(thumbnails))
    values = np.frombuffer(content, np.uint8).reshape(-1, _SIDE**2).astype(np.float32)
    return _unit(values), values.std(axis=1) >= _MIN_CONTRAST


def _details(image: Image.Image) -> Vectors:
    """`(4096,)` what a smooth image lacks, of length 1 and mean 0."""
    small = image.resize((_FINE_SIDE, _FINE_SIDE), Image.Resampling.BOX).convert("L")
    gray = np.asarray(small, np.float32)
    padded = np.pad(gray, _WINDOW // 2, "edge")
    smooth = sliding_window_view(padded, (_WINDOW, _WINDOW)).mean(axis=(2, 3))
    return np.asarray(_unit((gray - smooth).reshape(1, -1))[0])


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    """`(N, D)` vectors of mean 0 and length 1; a constant one becomes 0."""
    centered = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(centered / np.maximum(lengths, 1e-6), np.float32)
