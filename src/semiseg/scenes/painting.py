"""The parts of a field from above: soil, plants, stones, straw and beetles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from semiseg.core.rng import Key
from semiseg.scenes.canvas import DARK, TURN, Array, Canvas, Size, hsv, noise

SOIL, CROP, WEED, STONE, STRAW, BEETLE = range(6)

# Humus, loam, clay, dry silt and sand. The soil of a scene is a mixture of two of them.
_SOILS = np.array(
    [(48, 38, 31), (92, 70, 51), (124, 86, 66), (138, 131, 120), (182, 158, 122)], np.float32
)
_ALONG = np.linspace(0, 1, 17)  # positions along a leaf, from stalk to tip


class _Species(NamedTuple):
    """The shape and the arrangement of the leaves of a plant."""

    kind: int  # crop or weed
    leaves: tuple[int, int]  # number of leaves: from .. to below
    turn: float  # angle from leaf to leaf; the golden angle spreads them evenly
    shape: str
    breadth: float  # half width relative to the leaf's length
    leaflets: str = ""  # "pairs" along a stem, "three" at its end, or no leaflets


_CROP = _Species(CROP, (5, 11), 2.4, "oval", 0.31)
_WEEDS = (
    _Species(WEED, (6, 11), 2.4, "lobed", 0.22),  # thistle
    _Species(WEED, (4, 9), TURN / 4, "pointed", 0.27),  # dock, its leaves crosswise
    _Species(WEED, (7, 15), 1.9, "blade", 0.08),  # grass
    _Species(WEED, (2, 5), 2.1, "blade", 0.04, "pairs"),  # vetch
    _Species(WEED, (4, 9), 2.4, "blade", 0.04, "three"),  # clover
)


class Painter(Canvas):
    """Draws the parts of a field.

    Args:
        key: the key of the random draws.
        size: height and width of the canvas, in pixels.
        every: draw every kind of thing, none of which may be missing by chance.
    """

    def __init__(self, key: Key, size: Size, every: bool) -> None:
        super().__init__(key, size, every)
        r = self.rng
        first, second = _SOILS[r.choice(len(_SOILS), 2, replace=False)]
        self.soil = (first + r.uniform(0, 0.6) * (second - first)) * r.uniform(0.85, 1.15)
        hue = r.uniform(0.19, 0.4)
        dull = 2 * max(0.0, hue - 0.29)  # blue-green leaves are waxy, never vivid
        self.foliage = (hue, r.uniform(0.34, 0.66) - dull, r.uniform(0.36, 0.7))
        self.cover(self.ground(), SOIL)

    def ground(self) -> Array:
        """Bare soil: a relief with light from the side, moist and dry patches, maybe furrows."""
        r, unit = self.rng, self.unit
        relief = noise(r, self.size, r.uniform(8, 36) * unit, r.uniform(0.55, 0.8))
        if r.random() < 0.4:
            y, x = np.mgrid[: self.size[0], : self.size[1]]
            across = np.exp(1j * r.uniform(0, TURN)) / (r.uniform(3, 9) * unit)
            relief += r.uniform(0.3, 1.0) * np.sin(x * across.real + y * across.imag + relief)
        down, right = np.gradient(relief)
        slope = right * self.light.real + down * self.light.imag
        patches = noise(r, self.size, 60 * unit, 0.5)
        shade = 1 - (r.uniform(0.06, 0.11) + 0.08 * self.sun) * slope / (slope.std() + 1e-6)
        shade += r.uniform(0.02, 0.08) * relief + r.uniform(0.03, 0.13) * patches
        tint = 1 + 0.04 * patches[..., None] * np.array([1, 0, -1], np.float32)
        soil: Array = self.soil * shade[..., None] * tint
        return soil

    def leaf(self, base: complex, way: complex, half: Array, color: Array, kind: int) -> None:
        """Draw a leaf from `base` along `way`; `half` is its half width from stalk to tip."""
        bend = self.rng.uniform(-0.15, 0.15) * np.sin(2.2 * _ALONG)
        spine = base + way * (_ALONG + 1j * bend)
        normal = 1j * way / abs(way)
        left, right = spine + half * normal, spine - half * normal
        self.shadow(np.concatenate([left, right[::-1]]), 0.15 * abs(way) + self.unit)
        # The halves fold up along the midrib, so one of them faces the sun.
        tilt = (normal * self.light.conjugate()).real * (0.07 + 0.15 * self.sun)
        self.fill(np.concatenate([left, spine[::-1]]), color * (1 - tilt), kind)
        self.fill(np.concatenate([right, spine[::-1]]), color * (1 + tilt), kind)
        self.band(spine, 0.015 * abs(way), color * 1.25 + 18, None, 120)
        for i in range(4, 14, 3) if abs(way) > 18 * self.unit else ():
            for side in (left, right):
                rib = np.array([spine[i - 1], 0.25 * spine[i] + 0.75 * side[i + 1]])
                self.band(rib, 0.25 * self.unit, color * 1.25 + 18, None, 70)


def _profile(shape: str, breadth: float) -> Array:
    """Half widths of a leaf at even steps from stalk to tip; the largest is `breadth`."""
    if shape == "blade":
        return breadth * np.sqrt(1 - _ALONG)
    skew = 1.2 if shape == "oval" else 0.75
    bulge = np.sin(np.pi * np.clip(1.25 * _ALONG - 0.25, 0, 0.999) ** skew)
    lobes = np.where(np.arange(len(_ALONG)) % 3 == 1, 0.35, 1) if shape == "lobed" else 1
    return breadth * np.maximum(bulge * lobes, 0.1)


def _plant(p: Painter, species: _Species, at: complex, radius: float) -> None:
    """Draw a rosette of leaves, or of stems with leaflets: old ones below, young ones on top."""
    r, (hue, sat, val) = p.rng, p.foliage
    # Crop and weeds have the same distribution of colors, so color does not distinguish them.
    color = hsv(hue + r.normal(0, 0.02), sat * r.uniform(0.8, 1.2), val * r.uniform(0.85, 1.2))
    count, start, wide = len(p.some(*species.leaves)), r.uniform(0, TURN), r.uniform(0.8, 1.2)
    for i in range(count):
        age = 1 - 0.5 * i / count
        way = np.exp(1j * (start + species.turn * i + r.normal(0, 0.15)))
        stem = way * radius * age * r.uniform(0.85, 1.15)
        tone = color * (1.25 - 0.25 * age) * r.uniform(0.88, 1.12)
        half = _profile(species.shape, species.breadth * wide * abs(stem))
        p.leaf(at, stem, half, tone, species.kind)
        fan: list[tuple[float, float]] = []  # where along the stem, and at what angle to it
        if species.leaflets == "three":
            fan = [(1.0, turn) for turn in (-2.1, 0.0, 2.1)]
        elif species.leaflets == "pairs":
            steps = np.linspace(0.35, 1, len(p.some(3, 6)))
            fan = [(share, r.uniform(0.7, 1.1) * side) for share in steps for side in (-1, 1)]
        for share, turn in fan:
            part = way * np.exp(1j * turn) * (0.54 - 0.2 * share) * radius
            half = _profile("oval", 0.34 * abs(part))
            p.leaf(at + share * stem, part, half, tone * r.uniform(0.9, 1.1), species.kind)


def _lump(p: Painter, kind: int, radius: float) -> None:
    """Draw a stone, or a clod: it has the shape of a stone and the color of the soil."""
    r, count = p.rng, int(p.rng.integers(5, 10))
    color = p.soil * r.uniform(0.85, 1.15)
    if kind == STONE:
        tint = np.array([r.uniform(0.98, 1.05), 1, r.uniform(0.9, 1.05)])
        color = 0.2 * color + tint * r.uniform(58, 150)
    ring = radius * np.exp(1j * TURN * (np.arange(count) + r.uniform(-0.25, 0.25, count)) / count)
    ring = (r.uniform(1, 1.5) * ring.real + 1j * ring.imag) * np.exp(1j * r.uniform(0, TURN))
    at, top, following = p.spot(), ring * 0.55 + 0.1 * radius * p.light, np.roll(ring, -1)
    p.shadow(at + ring, 0.4 * radius)
    for a, b, c, d in zip(ring, following, np.roll(top, -1), top, strict=True):
        lit = ((a + b) / abs(a + b) * p.light.conjugate()).real * (0.15 + 0.3 * p.sun)
        p.fill(at + np.array([a, b, c, d]), color * (0.95 + lit + r.normal(0, 0.05)), kind)
    p.fill(at + top, color * 1.1, kind)


def _straw(p: Painter, at: complex, lean: float, color: Array) -> None:
    """Draw a thin bent band with a bright edge."""
    way = np.exp(1j * lean) * p.long(14, 46)
    spine = at + way * (_ALONG + 1j * p.rng.normal(0, 0.15) * (_ALONG - 0.5) ** 2)
    half = p.long(0.6, 1.4)
    p.band(spine - p.light * 2 * p.unit, half, DARK, None, int(40 + 80 * p.sun))
    p.band(spine, half, color, STRAW)
    p.band(spine + p.light * 0.3 * half, 0.3 * half, color + 35, None, 130)


def _beetle(p: Painter, at: complex, radius: float) -> None:
    """Draw a beetle: legs, head, body and gloss."""
    r = p.rng
    way, circle = np.exp(1j * r.uniform(0, TURN)) * radius, np.exp(1j * np.linspace(0, TURN, 32))
    hue = r.choice([0.0, 0.08, 0.4, 0.62, 0.75]) + r.normal(0, 0.03)
    color = hsv(hue, r.uniform(0.3, 0.9), r.uniform(0.12, 0.42))
    for share in (-0.4, 0.15, 0.65):
        for hand in (-1j, 1j):
            knee, foot = 1.4 * share + 0.85 * hand, 1.4 * share + np.sign(share) * 0.4 + 1.1 * hand
            for a, b in ((share, knee), (knee, foot)):
                p.band(at + way * np.array([a, b]), 0.09 * radius, color * 0.5, BEETLE)
    for middle, length, width in ((0.95, 0.42, 0.4), (0.0, 1.0, 0.62)):
        body = length * circle.real + 1j * width * circle.imag
        p.shadow(at + way * (middle + body), 0.3 * radius)
        p.fill(at + way * (middle + body), color * 0.6, BEETLE)
        for size, tone, alpha in ((0.8, 1.0, 255), (0.55, 1.35, 200), (0.22, 1.0, 150)):
            shine = at + way * (middle + size * body) + p.light * 0.4 * (1 - size) * width * radius
            p.fill(shine, color * tone + (200 if size < 0.3 else 0), BEETLE, alpha)
    p.band(at + way * np.array([-1, 0.6]), 0.05 * radius, color * 0, None, 130)


def paint_scene(p: Painter) -> None:
    """Draw all things on the ground, the lower ones first."""
    r = p.rng
    for _ in p.some(30, 150):
        bit = p.spot() + p.long(0.3, 1) * np.exp(1j * r.uniform(0, TURN, 5))
        p.fill(bit, p.soil * r.choice([0.55, 0.75, 1.3]), SOIL, 170)
    for _ in p.some(0, 14):
        _lump(p, SOIL, p.long(2, 7))
    pale = hsv(r.uniform(0.09, 0.15), r.uniform(0.22, 0.6), r.uniform(0.55, 0.88))
    heap, spread, lean = p.spot(), p.long(20, 60), r.uniform(0, TURN)
    straws = [
        (heap + spread * complex(*r.normal(0, 1, 2)), r.normal(lean, 0.9))
        for _ in p.some(6, 40, 0.75)
    ]
    for straw in straws[::2]:
        _straw(p, *straw, pale * r.uniform(0.7, 1.1))
    for _ in p.some(2, 10, 0.8):
        _lump(p, STONE, p.long(4, 15))
    plants: list[tuple[_Species, complex]] = [(_CROP, at) for at in _rows(p)]
    species = r.choice(len(_WEEDS), 2, replace=False)
    plants += [(_WEEDS[species[int(r.random() < 0.4)]], p.spot()) for _ in p.some(3, 13, 0.92)]
    grown = r.uniform(14, 22)
    for i in r.permutation(len(plants)):
        plant, at = plants[i]
        _plant(p, plant, at, p.long(0.7 * grown, 1.2 * grown))
    for straw in straws[1::2]:
        _straw(p, *straw, pale * r.uniform(0.7, 1.1))
    for _ in p.some(1, 4, 0.33):
        _beetle(p, p.spot(), p.long(5.5, 9))


def _rows(p: Painter) -> list[complex]:
    """The places of the crop: up to three rows with gaps."""
    way, start, gap = np.exp(1j * p.rng.uniform(0, TURN)), p.spot(), p.long(30, 46)
    places = [
        start + way * complex(gap * i, 75 * p.unit * p.zoom * row) + p.long(0, 7) * 1j**i
        for row in (-1, 0, 1)
        for i in range(-7, 8)
        if (row, i) == (0, 0) or p.rng.random() < 0.8
    ]
    return [at for at in places if 0 <= at.imag < p.size[0] and 0 <= at.real < p.size[1]]
