"""A street as a car's camera sees it: houses in a row, trees, parked cars, people on the sidewalk.

The scene is laid out in meters: `x` to the right of the camera, `y` above the ground, `z` ahead. A
pinhole camera maps them to pixels. Ground and facades are planes, so the texture and the class of
each of their pixels are computed; the other things are polygons, drawn from far to near.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key
from semiseg.scenes.canvas import DARK, TURN, Array, Canvas, Points, Size, hsv, noise

SKY, BUILDING, ROAD, SIDEWALK, PLANT, CAR, PERSON, POLE = range(8)
FAR = 90.0  # meters; what is farther is haze
NEAR = 1.5
_STOREY = 3.0
CIRCLE = np.exp(1j * np.linspace(0, TURN, 24, endpoint=False))


@dataclass(frozen=True)
class _House:
    """A house of a row; lengths are in meters.

    Attributes:
        begin: the distance at which it begins.
        end: the distance at which it ends.
        height: its height.
        wall: the color of its wall.
        window: width and height of its windows.
        pitch: from window to window.
        bricks: whether the wall shows bricks.
    """

    begin: float
    end: float
    height: float
    wall: Array
    window: tuple[float, float]
    pitch: float
    bricks: bool


class Street(Canvas):
    """Lays out a street and draws it.

    Args:
        key: the key of the random draws.
        size: height and width of the canvas, in pixels.
        every: draw every kind of thing, none of which may be missing by chance.
    """

    def __init__(self, key: Key, size: Size, every: bool) -> None:
        super().__init__(key, size, every)
        r, (height, width) = self.rng, size
        self.eye = r.uniform(1.3, 1.9)
        self.focal = width * r.uniform(0.65, 0.95)
        self.horizon = height * r.uniform(0.4, 0.52)
        self.vanish = width * r.uniform(0.36, 0.64)
        self.light = complex(self.light.real, -abs(self.light.imag) - 0.3)  # from above
        self.light /= abs(self.light)
        shift, half = r.uniform(-1.6, 1.6), r.uniform(3.2, 5.2)
        self.road = (shift - half, shift + half)
        walk = r.uniform(2.0, 3.6)
        lawn = r.uniform(0.8, 3.0) if r.random() < 0.4 else 0.0
        self.walk = (self.road[0] - walk, self.road[1] + walk)
        self.fronts = (self.walk[0] - lawn, self.walk[1] + lawn)
        self.haze = 255 * np.array([0.72, 0.77, 0.82]) * (0.8 + 0.2 * self.sun)
        self.leaves = (r.uniform(0.2, 0.34), r.uniform(0.35, 0.65), r.uniform(0.3, 0.5))
        self.texture = noise(r, (256, 256), 24, 0.75)  # of all surfaces
        self.rows = tuple(_row(self) for _ in range(2))
        self.cover(*self.surroundings())

    def project(self, x: Array | float, y: Array | float, z: Array | float) -> Points:
        """Points in meters as points of the canvas."""
        z = np.maximum(z, 0.3)
        right, up = self.focal * np.asarray(x) / z, self.focal * (self.eye - np.asarray(y)) / z
        return np.atleast_1d((self.vanish + right) + 1j * (self.horizon + up))

    def fade(self, color: Array, z: Array | float) -> Array:
        """A color as it appears at the distance `z`, in meters."""
        share = np.clip(np.asarray(z, float) / FAR, 0, 1)[..., None] ** 1.5 * 0.75
        faded: Array = (1 - share) * color + share * self.haze
        return faded if np.ndim(z) else faded.reshape(3)

    def face(self, points: list[tuple[float, float, float]], color: Array, kind: int) -> None:
        """Draw a polygon of points in meters."""
        x, y, z = np.array(points).T
        self.fill(self.project(x, y, z), self.fade(color, float(z.mean())), kind)

    def surroundings(self) -> tuple[Array, NDArray[np.uint8]]:
        """Sky, ground and facades: the colors and the classes of all pixels."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]].astype(np.float32) + 0.5
        down, right = rows - self.horizon, columns - self.vanish
        colors, kinds = self.sky(rows), np.full(self.size, SKY, np.uint8)
        self.skyline(colors, kinds, rows)
        z = self.focal * self.eye / np.maximum(down, 0.01)
        below = down > 0
        self.ground(colors, kinds, np.where(below, right * z / self.focal, 0), z, below)
        for side, (front, houses) in enumerate(zip(self.fronts, self.rows, strict=True)):
            z = self.focal * front / np.where(np.abs(right) < 1e-3, 1e-3, right)
            y = self.eye - down * z / self.focal
            ahead = (z > NEAR / 2) & (z < FAR * 2)
            lit = 1.0 + (0.3 if (self.light.real > 0) == (side == 0) else -0.3) * self.sun
            for house in houses:
                inside = ahead & (z >= house.begin) & (z < house.end) & (y >= 0)
                inside &= y < house.height
                if inside.any():
                    wall = _facade(self, house, z[inside], y[inside])
                    colors[inside] = self.fade(np.clip(wall * lit, 0, 255), z[inside])
                    kinds[inside] = BUILDING
        return colors, kinds

    def sky(self, rows: Array) -> Array:
        """A sky that gets paler downwards, with clouds."""
        r = self.rng
        low = np.clip(rows / self.horizon, 0, 1)[..., None]
        blue = np.array([96, 150, 214]) * r.uniform(0.85, 1.1)
        gray = np.full(3, r.uniform(165, 215))
        top = self.sun * blue + (1 - self.sun) * gray
        clouds = noise(r, self.size, r.uniform(40, 90) * self.unit, 0.55)[..., None]
        cover = 1 / (1 + np.exp(-2.5 * (clouds - r.uniform(-0.5, 1.2))))
        sky: Array = (1 - low) * top + low * self.haze
        sky += cover * (r.uniform(200, 240) - sky) * 0.8
        return sky

    def skyline(self, colors: Array, kinds: NDArray[np.uint8], rows: Array) -> None:
        """The end of the street: trees, and roofs behind them."""
        r, width = self.rng, self.size[1]
        for kind, tall, cell in ((BUILDING, 16, 14), (PLANT, 9, 5)):
            steps = r.uniform(0.3, 1, width // max(2, int(cell * self.unit)) + 2)
            x = np.linspace(0, len(steps) - 1.001, width)
            outline = (
                steps[x.astype(int)] if kind == BUILDING else np.interp(x, range(len(steps)), steps)
            )
            rough = 0.15 * noise(r, (1, width), 4 * self.unit, 0.6)[0] if kind == PLANT else 0
            top = self.horizon - tall * self.unit * (outline + rough)
            inside = (rows >= top) & (rows <= self.horizon + 1)
            tone = hsv(*self.leaves) if kind == PLANT else np.full(3, r.uniform(90, 150))
            texture = 1 + 0.12 * noise(r, self.size, 4 * self.unit, 0.7)[..., None]
            colors[inside] = self.fade(tone * texture[inside], np.full(inside.sum(), 0.7 * FAR))
            kinds[inside] = kind

    def ground(
        self, colors: Array, kinds: NDArray[np.uint8], x: Array, z: Array, below: NDArray[np.bool_]
    ) -> None:
        """Road with its markings, curbs, slabs, grass, and the shadow of one row of houses."""
        r = self.rng

        def tile(cells: float) -> Array:
            rows, columns = ((v * cells).astype(int) % 256 for v in (z, x))
            tiled: Array = self.texture[rows, columns] * np.clip(1.3 - z / 45, 0.1, 1)
            return tiled

        asphalt = np.full(3, r.uniform(62, 118)) * np.array([1, 1, r.uniform(0.98, 1.06)])
        paving = np.full(3, r.uniform(115, 175)) * np.array([1.03, 1, r.uniform(0.9, 1)])
        grass = hsv(self.leaves[0], self.leaves[1], self.leaves[2] * 1.15)
        grain = 0.06 * tile(22) + 0.06 * tile(3)
        on_road = (x > self.road[0]) & (x < self.road[1])
        on_walk = ~on_road & (x > self.walk[0]) & (x < self.walk[1])
        slab = r.uniform(0.5, 1.1)
        joints = (np.abs(z % slab) < 0.05 * slab) | (np.abs(x % slab) < 0.05 * slab)
        near = z < 14
        shade = 1 + grain
        ground = np.where(on_road[..., None], asphalt, np.where(on_walk[..., None], paving, grass))
        ground = ground * shade[..., None]
        ground[on_walk & joints & near] *= 0.78
        ground[~on_road & ~on_walk] *= (1 + 0.2 * tile(9))[~on_road & ~on_walk][:, None]
        middle, dash = sum(self.road) / 2, r.uniform(2, 4)
        paint = (np.abs(x - middle) < 0.07) & (z % (2 * dash) < dash)
        if r.random() < 0.5:
            paint |= np.abs(np.abs(x - middle) - (self.road[1] - middle) + 0.35) < 0.06
        crossing = r.uniform(6, 25)
        if r.random() < 0.3 or self.every:
            paint |= on_road & (np.abs(z - crossing) < 1.4) & (x % 1.0 < 0.5)
        worn = paint & on_road & (tile(6) > -1.2)
        ground[worn] = 0.25 * ground[worn] + 0.75 * r.uniform(170, 225)
        curb = on_walk & (np.minimum(np.abs(x - self.road[0]), np.abs(x - self.road[1])) < 0.14)
        ground[curb] = 0.4 * ground[curb] + 0.6 * paving * 1.15
        patch = r.uniform(self.road[0], self.road[1]), r.uniform(4, 18)
        mended = (
            on_road & (np.abs(x - patch[0]) < r.uniform(0.4, 1.2)) & (np.abs(z - patch[1]) < 1.8)
        )
        ground[mended] *= r.uniform(0.72, 0.9)
        reach = r.uniform(0.5, 7)
        from_left = self.light.real < 0
        shadow = x < self.fronts[0] + reach if from_left else x > self.fronts[1] - reach
        ground[shadow] *= 1 - 0.45 * self.sun
        kind = np.where(on_road, ROAD, np.where(on_walk, SIDEWALK, PLANT)).astype(np.uint8)
        colors[below] = self.fade(ground[below], z[below])
        kinds[below] = kind[below]

    def shade_ground(self, x: float, z: float, half: float, depth: float) -> None:
        """Darken the ground below a thing."""
        ring = self.project(x + half * CIRCLE.real, 0.0, z + depth * CIRCLE.imag)
        self.fill(ring, DARK, None, int(70 + 70 * self.sun))
        if self.sun > 0.35:  # the shadow itself, away from the sun
            away = -1.0 if self.light.real > 0 else 1.0
            x += away * half
            ring = self.project(x + 1.6 * half * CIRCLE.real, 0.0, z + depth * CIRCLE.imag)
            self.fill(ring, DARK, None, int(75 * self.sun))


def _row(p: Street) -> list[_House]:
    """A row of houses from near to far, with gaps between some of them."""
    r, houses, z = p.rng, [], _start(p)
    while z < FAR * 1.6:
        end = z + r.uniform(7, 22)
        wall = hsv(
            r.choice([0.02, 0.06, 0.1, 0.13, 0.58]), r.uniform(0.05, 0.5), r.uniform(0.4, 0.9)
        )
        window = (r.uniform(0.8, 1.5), r.uniform(1.2, 1.9))
        storeys = int(r.integers(2, 7))
        pitch = window[0] + r.uniform(0.6, 1.8)
        houses.append(
            _House(z, end, storeys * _STOREY + 0.7, wall, window, pitch, bool(r.random() < 0.4))
        )
        z = end + (r.uniform(3, 14) if r.random() < 0.3 else 0.0)
    return houses


def _start(p: Street) -> float:
    """Where the first house of a row begins, in meters."""
    return float(p.rng.uniform(-4, 6) if p.rng.random() < 0.8 else p.rng.uniform(8, 25))


def _facade(p: Street, house: _House, z: Array, y: Array) -> Array:
    """The colors of pixels of a facade, at the places `z` along it and `y` above the ground."""
    r = p.rng
    rough = p.texture[(y * 9).astype(int) % 256, (z * 9).astype(int) % 256]
    colors: Array = house.wall * (1 + 0.07 * rough * np.clip(1.4 - z / 40, 0.1, 1))[:, None]
    if house.bricks:
        course = (y / 0.22).astype(int)
        joint = (y % 0.22 < 0.03) | ((z + 0.2 * (course % 2)) % 0.4 < 0.03)
        colors[joint & (z < 12)] *= 1.18
    colors *= (1 - 0.25 * np.exp(-y / 0.8))[:, None]  # dirt at the foot of the wall
    column, storey = (z - house.begin) / house.pitch, y / _STOREY
    across = np.abs(column % 1 - 0.5) * house.pitch
    up = y % _STOREY - 0.9
    whole = (column >= 0) & (column < int((house.end - house.begin) / house.pitch))
    upper = whole & (storey >= 1) & (storey < int(house.height / _STOREY))
    frame = (
        upper & (across < house.window[0] / 2 + 0.12) & (up > -0.12) & (up < house.window[1] + 0.1)
    )
    glass = upper & (across < house.window[0] / 2) & (up > 0) & (up < house.window[1])
    colors[frame] = r.uniform(150, 235)
    lights = p.texture[(storey.astype(int) * 7) % 256, (column.astype(int) * 5) % 256]
    pane = np.array([62, 74, 88]) * (1 + 0.3 * np.clip(lights, -1.5, 2.5))[:, None]
    pane *= (1 + 0.5 * (up / house.window[1] - 0.5) * p.sun)[:, None]
    colors[glass] = pane[glass]
    colors[glass & (np.abs(across - 0.02) < 0.04)] = r.uniform(150, 235)
    shop = whole & (storey < 1)
    door = shop & (column.astype(int) % 4 == int(r.integers(4)))
    opening = shop & (across < (0.36 if r.random() < 0.5 else 0.44) * house.pitch)
    display = opening & ~door & (y > 0.5) & (y < 2.4)
    colors[display] = pane[display] * 0.9
    colors[door & opening & (y < 2.2)] = hsv(r.random(), 0.5, r.uniform(0.15, 0.45))
    ledge = np.abs(y - _STOREY) < 0.14
    colors[ledge | (y > house.height - 0.45)] *= 0.72
    return colors
