"""A steel plate as an inspection camera sees it: rust, scratches, and a crack in a few of them.

What looks like a defect makes it hard: oil and water stains are as brown as rust, chalk lines are
as bright as scratches, and seams and hairs are as dark and thin as cracks.
"""

from __future__ import annotations

import numpy as np

from semiseg.core.rng import Key
from semiseg.scenes.canvas import DARK, TURN, Array, Canvas, Points, Size, noise

STEEL, RUST, SCRATCH, CRACK = range(4)
# Bare, blued, galvanized, and painted gray or green.
_PLATES = np.array(
    [(142, 144, 146), (98, 106, 118), (168, 172, 172), (124, 128, 122), (96, 116, 104)], np.float32
)
_RUSTS = np.array([(58, 30, 20), (112, 54, 28), (158, 86, 40), (186, 122, 66)], np.float32)


class Plate(Canvas):
    """Draws the parts of a steel plate.

    Args:
        key: the key of the random draws.
        size: height and width of the canvas, in pixels.
        every: draw every kind of defect, none of which may be missing by chance.
    """

    def __init__(self, key: Key, size: Size, every: bool) -> None:
        super().__init__(key, size, every)
        first, second = _PLATES[self.rng.choice(len(_PLATES), 2, replace=False)]
        self.metal = first + self.rng.uniform(0, 0.5) * (second - first)
        self.metal *= self.rng.uniform(0.75, 1.15)
        self.rolled_across = bool(self.rng.random() < 0.5)
        self.cover(self.bare(), STEEL)

    def bare(self) -> Array:
        """The plate without marks: the lines of rolling, grain, mill scale, and a reflection."""
        r, (height, width), unit = self.rng, self.size, self.unit
        long = r.uniform(10, 40)
        if self.rolled_across:
            fine = noise(r, (height, int(width / long) + 4), r.uniform(2, 7) * unit, 0.8)
            rolling = fine[:, (np.arange(width) / long).astype(int)]
        else:
            fine = noise(r, (int(height / long) + 4, width), r.uniform(2, 7) * unit, 0.8)
            rolling = fine[(np.arange(height) / long).astype(int)]
        grain = noise(r, self.size, 3 * unit, 0.8)
        patches = noise(r, self.size, 70 * unit, 0.55)
        scale = 1 / (1 + np.exp(-5 * (patches - r.uniform(0.3, 2.2))))  # bluish, darker
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        center, reach = self.spot(), r.uniform(50, 130) * unit
        away = np.hypot(columns - center.real, (rows - center.imag) * r.uniform(0.5, 2))
        gloss = r.uniform(0.05, 0.45) * np.exp(-((away / reach) ** 2))
        shade = 1 + r.uniform(0.02, 0.07) * rolling + r.uniform(0.01, 0.05) * grain
        shade += 0.04 * patches + gloss
        blue = 1 - 0.3 * scale[..., None] * np.array([1.1, 1, 0.8], np.float32)
        plate: Array = self.metal * shade[..., None] * blue
        return plate

    def blend(self, share: Array, colors: Array, kind: int | None = None) -> None:
        """Mix `colors` into the pixels, by `share` 0..1 `(H, W)`; half and more becomes `kind`."""
        pixels, ids = self.arrays()
        pixels += share[..., None] * (colors - pixels)
        if kind is not None:
            ids[share > 0.5] = kind
        self.cover(pixels, ids)

    def blot(self, at: complex, radius: float, rough: float) -> Array:
        """A ragged blot: 1 inside, 0 outside, `(H, W)`."""
        r = self.rng
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        turned = (columns - at.real + 1j * (rows - at.imag)) * np.exp(1j * r.uniform(0, TURN))
        away = np.hypot(turned.real, turned.imag * r.uniform(1, 2)) / radius
        edge = 1 - away + rough * noise(r, self.size, radius, 0.65)
        blot: Array = 1 / (1 + np.exp(np.clip(-r.uniform(9, 22) * edge, -60, 60)))
        return blot

    def wander(
        self, at: complex, way: complex, steps: int, turn: float, jagged: float = 0.0
    ) -> Points:
        """A path that bends by `turn` from step to step, in radians; `way` is its first step."""
        turns = np.cumsum(self.rng.normal(0, turn, steps)) + self.rng.normal(0, jagged, steps)
        return at + np.concatenate([[0], np.cumsum(way * np.exp(1j * turns))])

    def line(
        self, path: Points, half: float, color: Array, kind: int | None, alpha: int = 255
    ) -> None:
        """Draw a line along a path, segment by segment; it gets thinner at both ends."""
        for i in range(len(path) - 1):
            taper = min(1.0, 0.35 + 3 * min(i, len(path) - 2 - i) / len(path))
            overlap = 0.3 * (path[i + 1] - path[i])
            self.band(np.array([path[i] - overlap, path[i + 1]]), half * taper, color, kind, alpha)


def _rust(p: Plate) -> None:
    """Rust: pits in the middle of a blot, which is paler towards its edge; maybe drips below it."""
    r, at, radius = p.rng, p.spot(), p.long(5, 26)
    share = p.blot(at, radius, r.uniform(0.25, 0.6))
    for _ in p.some(0, 4, 0.4):
        start = at + p.long(-10, 10)
        rows, columns = np.mgrid[: p.size[0], : p.size[1]]
        below = np.clip((rows - start.imag) / p.long(20, 60), 0, 1)
        inside = np.exp(-(((columns - start.real) / p.long(0.8, 2)) ** 2)) * (below > 0)
        share = np.maximum(share, 0.45 * inside * (1 - below))  # a stain, not yet rust
    tone = np.clip(1.5 + 0.9 * noise(p.rng, p.size, p.long(4, 10), 0.75), 0, 2.999)
    low = tone.astype(int)
    part = (tone - low)[..., None]
    colors = (1 - part) * _RUSTS[low] + part * _RUSTS[low + 1]
    p.blend(share * r.uniform(0.8, 0.97), colors * (0.75 + 0.5 * p.metal.mean() / 160), RUST)


def _stain(p: Plate) -> None:
    """Oil or a dried drop of water, which is sound steel."""
    r, at, radius = p.rng, p.spot(), p.long(6, 26)
    share = p.blot(at, radius, r.uniform(0.05, 0.3))
    if r.random() < 0.5:  # dried: only the edge is left
        share = 4 * share * (1 - share)
    color = np.array([96, 70, 44]) * r.uniform(0.35, 1.1)
    p.blend(share * r.uniform(0.25, 0.6), np.broadcast_to(color, (*p.size, 3)))


def _seam(p: Plate) -> None:
    """A weld seam: ripples, one behind the other, and blued steel beside them."""
    r, way = p.rng, np.exp(1j * (_seam_angle(p) + p.rng.normal(0, 0.06)))
    half, at = p.long(4, 9), p.spot()
    rows, columns = np.mgrid[: p.size[0], : p.size[1]]
    turned = (columns - at.real + 1j * (rows - at.imag)) / way
    along, across = turned.real, turned.imag + 0.6 * p.unit * noise(r, p.size, 12 * p.unit, 0.5)
    heat = np.exp(-((np.abs(across) / (2.6 * half)) ** 4)) * r.uniform(0.15, 0.4)
    p.blend(heat, np.broadcast_to(np.array([74, 72, 92]), (*p.size, 3)))
    inside = 1 / (1 + np.exp(np.clip(-4 * (half - np.abs(across)) / p.unit, -60, 60)))
    ripple = np.sin((along + across**2 / (1.4 * half)) / (r.uniform(0.5, 0.9) * p.unit))
    tone = 1 + 0.16 * ripple - 0.3 * (np.abs(across) / half) ** 3
    p.blend(inside, p.metal * r.uniform(0.8, 1.1) * np.clip(tone, 0.3, 2)[..., None])


def _seam_angle(p: Plate) -> float:
    """The direction of rolling, or the one across it."""
    return 0.0 if p.rolled_across == bool(p.rng.random() < 0.7) else TURN / 4


def _chalk(p: Plate) -> None:
    """A stroke of chalk: wide, with gaps where the steel is low; or a hair."""
    r, way = p.rng, p.long(2, 4) * np.exp(1j * p.rng.uniform(0, TURN))
    path = p.wander(p.spot(), way, int(r.integers(8, 30)), r.uniform(0.02, 0.25))
    if r.random() < 0.4:  # a hair lies on the plate, and is smooth
        p.line(path - p.light * p.unit, 0.4 * p.unit, DARK, None, 60)
        p.line(path, 0.4 * p.unit, np.full(3, r.uniform(20, 60)), None, 210)
        return
    color = np.array([[228, 226, 218], [222, 206, 90], [90, 130, 200]][int(r.integers(3))])
    for _ in range(3):
        p.line(path + p.long(-0.8, 0.8) * 1j, p.long(0.5, 1.2), color, None, 90)


def _scratches(p: Plate) -> None:
    """Some scratches side by side: bright grooves with a dark edge."""
    r, way, at = p.rng, np.exp(1j * p.rng.uniform(0, TURN)), p.spot()
    bright = np.clip(p.metal * 1.35 + r.uniform(20, 60), 0, 255)
    for _ in p.some(1, 5):
        start = at + way * p.long(-12, 12) + 1j * way * p.long(-7, 7)
        steps = int(r.integers(6, 16))
        path = p.wander(start, way * p.long(25, 85) / steps, steps, 0.02)
        half = p.long(0.55, 1.15)
        p.line(path - p.light * 0.8 * half, half, p.metal * 0.5, SCRATCH)
        p.line(path, 0.8 * half, bright * r.uniform(0.85, 1.05), SCRATCH)


def _crack(p: Plate) -> None:
    """A crack: dark, jagged and branched, with a lit lip."""
    r, way = p.rng, p.long(1.6, 2.6) * np.exp(1j * p.rng.uniform(0, TURN))
    paths = [p.wander(p.spot(), way, int(r.integers(16, 40)), 0.1, 0.5)]
    for _ in p.some(1, 4):
        start = paths[0][int(r.integers(4, len(paths[0]) - 3))]
        turn = np.exp(1j * r.choice([-1, 1]) * r.uniform(0.5, 1.1))
        paths.append(p.wander(start, way * turn, int(r.integers(5, 14)), 0.1, 0.5))
    half = p.long(0.6, 1.0)
    for path in paths:
        p.line(path - p.light * half, 0.7 * half, p.metal * 1.25, CRACK, 120)
        p.line(path, half, p.metal * r.uniform(0.1, 0.25), CRACK)
        half = p.long(0.45, 0.8)


def paint_plate(p: Plate) -> None:
    """Draw what is on the plate: first what is sound, then the defects."""
    r = p.rng
    for _ in p.some(1, 2, 0.3):
        _seam(p)
    for _ in p.some(1, 4, 0.6):
        _stain(p)
    for _ in p.some(10, 80):  # dust and dents
        speck = p.spot() + p.long(0.2, 0.8) * np.exp(1j * r.uniform(0, TURN, 5))
        p.fill(speck, p.metal * r.choice([0.6, 0.8, 1.25]), None, 170)
    for _ in p.some(1, 3, 0.5):
        _chalk(p)
    for _ in p.some(1, 4, 0.7):
        _rust(p)
    for _ in p.some(1, 3, 0.55):
        _scratches(p)
    for _ in p.some(1, 2, 0.2):
        _crack(p)
