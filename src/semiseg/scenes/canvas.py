"""The canvas on which scenes are drawn, and the camera that turns it into a photograph.

A thing is drawn twice: on the image, and as its class id on the mask. Points and directions are
complex numbers, x + iy in canvas pixels, so a rotation is a product.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from semiseg.core.rng import Key

OVERSAMPLE = 2  # canvas pixels along the side of a photograph's pixel, for smooth edges
TURN = 2 * np.pi
DARK = np.array([8, 6, 14])

Array = NDArray[np.floating]
Points = NDArray[np.complex128]
Size = tuple[int, int]  # height, width


def noise(rng: np.random.Generator, size: Size, cell: float, gain: float) -> Array:
    """Fractal noise `(H, W)` of mean 0 and deviation 1; `cell` is the coarsest cell in pixels."""
    total, weight = np.zeros(size, np.float32), 1.0
    while cell >= 1.5 and weight > 0.02:
        grid = rng.standard_normal((int(size[0] / cell) + 2, int(size[1] / cell) + 2), np.float32)
        octave = Image.fromarray(grid).resize(size[::-1], Image.Resampling.BICUBIC)
        total += weight * np.asarray(octave)
        weight, cell = weight * gain, cell / 2
    normal: Array = (total - total.mean()) / (total.std() + 1e-6)
    return normal


def hsv(hue: float, sat: float, val: float) -> Array:
    """A color 0..255 from hue, saturation and value, 0..1 each; the hue is a circle."""
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, min(sat, 1), min(val, 1)))


class Canvas:
    """An image and its mask. Later things cover earlier ones.

    Args:
        key: the key of the random draws.
        size: height and width of the canvas, in pixels.
        every: draw every kind of thing, none of which may be missing by chance.
    """

    def __init__(self, key: Key, size: Size, every: bool) -> None:
        self.rng, self.size, self.every = key.numpy(), size, every
        r = self.rng
        self.unit = float(np.sqrt(size[0] * size[1])) / 160  # all lengths are for a side of 160
        self.zoom = float(np.exp(r.uniform(-0.3, 0.3)))  # larger for a nearer camera
        self.light = np.exp(1j * r.uniform(0, TURN))  # towards the sun
        self.sun = float(r.beta(1.2, 0.9))  # 0 overcast .. 1 clear

    def cover(self, colors: Array, kinds: NDArray[np.uint8] | int) -> None:
        """Set all pixels: their colors `(H, W, 3)`, 0..255, and their classes `(H, W)`, or one."""
        self.image = Image.fromarray(np.clip(colors, 0, 255).astype(np.uint8))
        ids = np.broadcast_to(np.asarray(kinds, np.uint8), self.size)
        self.ids = Image.fromarray(np.ascontiguousarray(ids))
        self.pen, self.marker = ImageDraw.Draw(self.image, "RGBA"), ImageDraw.Draw(self.ids)

    def arrays(self) -> tuple[Array, NDArray[np.uint8]]:
        """Copies of the colors `(H, W, 3)` and of the classes `(H, W)` as they are now."""
        return np.array(self.image, np.float32), np.array(self.ids)

    def some(self, low: int, high: int, chance: float = 1.0) -> range:
        """A random number of things, from `low` to below `high`, or with some chance none."""
        count = int(self.rng.integers(low, high))
        return range(count if self.rng.random() < chance or self.every else 0)

    def spot(self) -> complex:
        """A random place for a thing, with a margin to the edge."""
        down, right = self.rng.uniform(0.03, 0.97, 2) * self.size
        return complex(right, down)

    def long(self, low: float, high: float) -> float:
        """A random length in canvas pixels; the range is for a scene with sides of 160 pixels."""
        return float(self.rng.uniform(low, high)) * self.unit * self.zoom

    def fill(self, outline: Points, color: Array, kind: int | None, alpha: int = 255) -> None:
        """Draw a polygon of class `kind`; with None, the mask stays unchanged."""
        points = outline.view(np.float64).tolist()
        red, green, blue = (min(255, max(0, int(value))) for value in color.tolist())
        self.pen.polygon(points, fill=(red, green, blue, alpha))
        if kind is not None:
            self.marker.polygon(points, fill=kind)

    def shadow(self, outline: Points, height: float) -> None:
        """Draw the shadow of a thing `height` pixels above ground; two layers soften its edge."""
        for reach in (height, height / 2):
            cast = outline - self.light * reach
            self.fill(cast, DARK, None, int(28 + 75 * self.sun))

    def band(
        self, way: Points, half: float, color: Array, kind: int | None, alpha: int = 255
    ) -> None:
        """Draw a band along `way`, `half` pixels to each side."""
        across = 1j * half * (way[-1] - way[0]) / (abs(way[-1] - way[0]) + 1e-6)
        self.fill(np.concatenate([way + across, (way - across)[::-1]]), color, kind, alpha)


def photograph(p: Canvas) -> NDArray[np.uint8]:
    """The canvas through a camera: uneven light, shade, blur, white balance and noise."""
    r, small = p.rng, p.image.reduce(OVERSAMPLE)
    if r.random() < 0.5:
        small = small.filter(ImageFilter.GaussianBlur(r.uniform(0.2, 0.85) * p.unit / OVERSAMPLE))
    image = np.asarray(small, np.float32) / 255
    image *= 1 + 0.05 * r.standard_normal((*image.shape[:2], 1), np.float32)  # texture
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j].astype(np.float32)
    fall = p.light * r.uniform(0, 0.25)
    light = 1 + fall.real * x + fall.imag * y
    if r.random() < 0.35:
        leaves = noise(r, image.shape[:2], r.uniform(20, 40) * p.unit, 0.45) - r.uniform(-0.3, 1)
        light *= 1 - r.uniform(0.3, 0.6) * p.sun / (1 + np.exp(-6 * leaves))
    warmth = r.normal(0, 0.06)
    balance = np.array([1 + warmth, 1, 1 - warmth], np.float32) * r.uniform(0.85, 1.2)
    image = np.clip(image * light[..., None] * balance, 0, 1) ** r.uniform(0.8, 1.2)
    image += r.uniform(0.004, 0.035) * r.standard_normal(image.shape, np.float32)
    photograph: NDArray[np.uint8] = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return photograph
