"""Soft masks: two levels or colors, with other ones along the edges.

JPEG and other lossy formats, antialiased brushes and resizing with interpolation make them. semiseg
splits them at the middle between the two levels. Pixels that are far from both are ignored.
Masks of more than two classes cannot be restored: a level between two may be a third class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.text import percent
from semiseg.data.formats.codes import MaskScan, is_gray, spell
from semiseg.data.formats.mask_rule import (
    DOUBTFUL,
    TRANSPARENT,
    VOID_CODES,
    Encoding,
    MaskRule,
    channels,
)

MAX_DOUBTFUL = 0.1
"""The share of doubtful pixels in all soft masks above which there are no two clear levels."""
MAX_DOUBTFUL_IN_FILE = 0.25
"""The share of doubtful pixels above which one mask does not belong to the others."""
MAX_FLAT = 0.3
"""The share of doubtful pixels in flat areas, away from edges, above which they are a class."""
MIN_CLOSE = 0.8
"""The share of pixels that speak for one of the levels; photographs have less."""
_CLOSE = 0.125  # the distance from a level, in spans, within which a pixel speaks for it
_MIN_SPAN = 32  # the least distance between two levels, which noise does not bridge
_MAX_LEVEL = 255
_MAX_PEAKS = 64  # codes that are examined as levels
_FARTHER = 0.3  # a level farther away wins with this share of the pixels of a nearer one
_SNAP = 8  # levels so close to black or white are meant as such
_MIN_CLUSTER = 0.01  # the share of the pixels from which a level is listed
_CLUSTER_RADIUS = 40.0
_MAX_CLUSTERS = 6
_MAX_NOISE = 0.01  # the share of strange codes in masks that are otherwise hard


class Levels(NamedTuple):
    """How soft masks are split.

    Attributes:
        rule: with `levels` and `halves`.
        encoding: the encoding of the data set.
    """

    rule: MaskRule
    encoding: Encoding


def find_levels(scans: Sequence[MaskScan], names: Collection[int] | None) -> Levels | None:
    """The two levels of the masks of a data set, some of which are soft.

    Args:
        scans: all masks, as they are stored.
        names: the codes of the classes that a file names; None without such a file.

    Returns:
        None if there are not exactly two clear levels.
    """
    encoding = encoding_of(scans)
    if encoding is None or (names is not None and len(names) != 2):
        return None
    soft = [scan for scan in scans if scan.is_soft and of_encoding(scan, encoding)]
    hard = [scan for scan in scans if not scan.is_soft]
    if not all(of_encoding(scan, encoding) for scan in hard):
        return None
    codes, weights = _histogram(soft, encoding)
    levels = _two_levels(codes, weights, encoding)
    if levels is None:
        return None
    if not any(scan.lossy for scan in soft) and not _has_steps(codes, levels, encoding):
        return None
    halves = _halves(levels, hard, encoding, names)
    if halves is None:
        return None
    rule = MaskRule(levels=levels, halves=halves)
    is_doubtful = rule.apply(codes, encoding, lossy=True) == DOUBTFUL
    if weights[is_doubtful].sum() > MAX_DOUBTFUL * weights.sum():
        return None
    position, distance = rule.locate(codes, encoding)
    is_close = np.hypot(np.minimum(abs(position), abs(1 - position)), distance) <= _CLOSE
    if weights[is_close].sum() < MIN_CLOSE * weights.sum():
        return None
    return Levels(rule, encoding)


def encoding_of(scans: Sequence[MaskScan]) -> Encoding | None:
    """Whether most masks hold ids or colors. Gray colors are ids, unless most masks are colored."""
    kinds = Counter(_kind(scan) for scan in scans)
    if not kinds or kinds["labels"]:
        return None
    return "colors" if kinds["colors"] > kinds["ids"] else "ids"


def of_encoding(scan: MaskScan, encoding: Encoding) -> bool:
    """Whether a mask can be read in an encoding."""
    return encoding in (scan.encoding, _kind(scan))


def _kind(scan: MaskScan) -> Encoding:
    """The encoding of a mask; gray colors are ids."""
    is_gray_mask = all(is_gray(code) for code in scan.counts if code not in VOID_CODES)
    return "ids" if scan.encoding == "colors" and is_gray_mask else scan.encoding


def describe_levels(scans: Sequence[MaskScan]) -> str:
    """A sentence on the levels that soft masks seem to hold, and on the two nearest ones."""
    encoding = encoding_of(scans)
    if encoding is None:
        return ""
    alike = [scan for scan in scans if of_encoding(scan, encoding)]
    codes, weights = _histogram(alike, encoding)
    points, total = channels(codes, encoding), weights.sum()
    remaining, clusters = weights.copy(), list[tuple[int, float]]()
    while len(clusters) < _MAX_CLUSTERS and remaining.max() > 0:
        code = codes[remaining.argmax()]
        near = _distances(points, channels(code, encoding)) <= _CLUSTER_RADIUS
        share = float(remaining[near].sum() / total)
        remaining[near] = 0
        if share < _MIN_CLUSTER:
            break
        clusters.append((_snap(int(code), encoding), share))
    levels = ", ".join(f"{spell(c, encoding)} ({percent(100 * s)} %)" for c, s in clusters)
    text = f"The values lie around {levels}"
    if len(clusters) > 2:
        one, other = _nearest_pair([code for code, _ in clusters], encoding)
        text += (
            f", not around two values only. Pixels between them may belong to either class; {one} "
            f"and {other} are nearest to each other"
        )
    return f"{text}."


def _nearest_pair(codes: Sequence[int], encoding: Encoding) -> tuple[str, str]:
    points = channels(np.array(codes), encoding)
    pairs = [(i, j) for i in range(len(codes)) for j in range(i)]
    i, j = min(pairs, key=lambda pair: float(_distances(points[pair[0]], points[pair[1]])))
    return spell(codes[j], encoding), spell(codes[i], encoding)


def _histogram(
    scans: Iterable[MaskScan], encoding: Encoding
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The codes of masks without void ones, and the pixels of each."""
    pixels: dict[int, int] = {}
    for scan in scans:
        gray = encoding == "ids" and scan.encoding == "colors"
        for code, count in scan.counts.items():
            if code < TRANSPARENT:
                key = code & 0xFF if gray else code
                pixels[key] = pixels.get(key, 0) + count
    codes = np.array(sorted(pixels), dtype=np.int32)
    return codes, np.array([pixels[code] for code in codes.tolist()], dtype=np.float64)


def _two_levels(
    codes: NDArray[np.int32], weights: NDArray[np.float64], encoding: Encoding
) -> tuple[int, int] | None:
    """The two levels with the most pixels around them; None if all codes are alike."""
    if not len(codes):
        return None
    points = channels(codes, encoding)
    span = float(np.ptp(points, axis=0).max())
    if span < _MIN_SPAN:
        return None
    first = _peaks(points, weights, span)[0][0]
    apart = np.flatnonzero(_distances(points, points[first]) > span / 4)
    peaks = _peaks(points[apart], weights[apart], span) if len(apart) else []
    if not peaks:
        return None
    most = max(pixels for _, pixels in peaks)
    strong = [apart[index] for index, pixels in peaks if pixels >= _FARTHER * most]
    second = max(strong, key=lambda index: float(_distances(points[index], points[first])))
    low, high = sorted(_snap(int(codes[index]), encoding) for index in (first, second))
    distance = _distances(channels(np.array(low), encoding), channels(np.array(high), encoding))
    return (low, high) if float(distance) >= _MIN_SPAN else None


def _has_steps(codes: NDArray[np.int32], levels: tuple[int, int], encoding: Encoding) -> bool:
    """Whether there are codes along the whole way from one level to the other.

    Ids from 0 on beside a void value of 255 are two groups with nothing between them.
    """
    position, _ = MaskRule(levels=levels).locate(codes, encoding)
    between = position[(position > _CLOSE) & (position < 1 - _CLOSE)]
    is_noisy = ((position > 1 - _CLOSE) & (position < 1)).any() and (position > 0).any()
    return bool((between < 0.5).any() and (between >= 0.5).any()) or bool(is_noisy)


def _peaks(
    points: NDArray[np.float32], weights: NDArray[np.float64], span: float
) -> list[tuple[int, float]]:
    """Local maxima: indices of points, and the pixels around them, most pixels first."""
    order = np.argsort(-weights, kind="stable")[:_MAX_PEAKS]
    peaks = []
    for index in order.tolist():
        near = _distances(points, points[index]) <= span / 16
        if weights[near].max() == weights[index]:
            peaks.append((index, float(weights[near].sum())))
    return sorted(peaks, key=lambda peak: -peak[1])


def _distances(points: NDArray[np.float32], point: NDArray[np.float32]) -> NDArray[np.float32]:
    difference = points - point
    distances: NDArray[np.float32] = np.sqrt((difference * difference).sum(axis=-1))
    return distances


def _snap(code: int, encoding: Encoding) -> int:
    """A level, or black or white in each channel where it is almost that."""
    if encoding == "ids":
        return _snap_channel(code) if code <= _MAX_LEVEL else code
    return sum(_snap_channel(code >> shift & 0xFF) << shift for shift in (16, 8, 0))


def _snap_channel(level: int) -> int:
    if level <= _SNAP:
        return 0
    return _MAX_LEVEL if level >= _MAX_LEVEL - _SNAP else level


def _halves(
    levels: tuple[int, int],
    hard: Sequence[MaskScan],
    encoding: Encoding,
    names: Collection[int] | None,
) -> tuple[int, int] | None:
    """The codes of the two halves: those of the classes with names, or of the hard masks.

    Returns:
        None if the hard masks hold more than two classes, or others.
    """
    if names is not None:
        class_codes = sorted(names)
        if encoding == "ids":
            return class_codes[0], class_codes[1]
    else:
        codes, weights = _histogram(hard, encoding)
        total = weights.sum()
        class_codes = [
            int(c) for c, w in zip(codes, weights, strict=True) if w > _MAX_NOISE * total
        ]
        others = set(codes.tolist()) - set(class_codes)
        near_ids = set(class_codes) <= {0, 1, _MAX_LEVEL}
        if encoding == "ids" and 1 in class_codes and near_ids and others <= {_MAX_LEVEL}:
            return 0, 1
    if len(class_codes) > 2:
        return None
    low, high = channels(np.array(levels), encoding)
    halves = list(levels)
    for code in class_codes:
        point = channels(np.array(code), encoding)
        distances = float(_distances(point, low)), float(_distances(point, high))
        if min(distances) > float(_distances(low, high)) / 4:
            return None
        halves[distances.index(min(distances))] = code
    return (halves[0], halves[1]) if halves[0] != halves[1] else None
