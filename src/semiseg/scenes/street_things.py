"""What stands in a street: trees, hedges, cars, people, lamps and signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from semiseg.scenes.canvas import TURN, Array, hsv
from semiseg.scenes.street import CAR, CIRCLE, PERSON, PLANT, POLE, Street

_CARS = ((0.0, 0.0), (0.0, 0.0), (0.6, 0.6), (0.0, 0.75), (0.58, 0.5), (0.09, 0.5), (0.4, 0.4))
"""Hues and saturations of paint."""


def _tree(p: Street, x: float, z: float) -> None:
    r = p.rng
    tall, wide = r.uniform(4, 9), r.uniform(1.2, 2.6)
    bark, stem = hsv(0.08, r.uniform(0.2, 0.45), r.uniform(0.18, 0.38)), r.uniform(0.1, 0.22)
    p.shade_ground(x, z, wide * 0.7, wide * 0.7)
    trunk = [(x - stem, 0.0, z), (x + stem, 0.0, z), (x + stem / 2, tall * 0.6, z)]
    p.face([*trunk, (x - stem / 2, tall * 0.6, z)], bark, PLANT)
    hue, sat, val = p.leaves
    hue = hue + r.normal(0, 0.02) if r.random() < 0.85 else r.uniform(0.06, 0.12)  # autumn
    count = int(np.clip(900 / z, 40, 160))
    for i in range(count):
        angle, away = r.uniform(0, TURN), np.sqrt(r.random())
        side, up = away * np.cos(angle), away * np.sin(angle)
        facing = side * p.light.real - up * p.light.imag
        tone = hsv(hue, sat * r.uniform(0.8, 1.2), val * (0.55 + 0.45 * i / count))
        tone = tone * (1 + (0.12 + 0.3 * p.sun) * facing + r.normal(0, 0.08))
        center = (x + wide * side, tall * 0.68 + 0.36 * tall * up)
        leaf = r.uniform(0.16, 0.36) * wide * CIRCLE * (1 + 0.25 * r.standard_normal(len(CIRCLE)))
        p.fill(p.project(center[0] + leaf.real, center[1] + leaf.imag, z), p.fade(tone, z), PLANT)


def _hedge(p: Street, x: float, z: float) -> None:
    r, hue, tall = p.rng, p.leaves[0] + p.rng.normal(0, 0.02), p.rng.uniform(0.6, 1.3)
    for i in range(60):
        tone = hsv(hue, p.leaves[1], p.leaves[2] * (0.6 + 0.5 * i / 60)) * r.uniform(0.85, 1.15)
        at = (
            x + r.uniform(-0.5, 0.5),
            tall * np.sqrt(i / 60) * r.uniform(0.6, 1),
            z + r.uniform(-1, 1),
        )
        leaf = r.uniform(0.12, 0.3) * CIRCLE
        p.fill(p.project(at[0] + leaf.real, at[1] + leaf.imag, at[2]), p.fade(tone, z), PLANT)


def _car(p: Street, x: float, z: float) -> None:
    """A car from behind: the side that is seen, the cabin, the back with its window and lights."""
    r = p.rng
    hue, sat = _CARS[int(r.integers(len(_CARS)))]
    paint = hsv(hue + r.normal(0, 0.02), sat * r.uniform(0.7, 1.2), r.uniform(0.15, 0.92))
    half, long = r.uniform(0.82, 0.95), r.uniform(3.6, 4.8)
    waist, roof = r.uniform(0.85, 1.0), r.uniform(1.4, 1.9)
    front, low, top = z + long, 0.22, 0.8
    cabin = (z + r.uniform(0.1, 0.7), front - r.uniform(0.9, 1.5))
    hand = -1 if x > 0 else 1  # the side that faces the camera
    lit = 1 + 0.25 * p.sun * (1 if (hand > 0) == (p.light.real > 0) else -1)
    glass = np.array([38, 46, 54]) * r.uniform(0.8, 1.6)
    p.shade_ground(x, z + long / 2, half * 1.15, long / 2 * 1.05)

    def panel(color: Array, *corners: tuple[float, float, float]) -> None:
        """A polygon; its corners are a share of the half width, a height, and a distance."""
        p.face([(x + share * half, y, ahead) for share, y, ahead in corners], color, CAR)

    def plate(color: Array, left: float, right: float, bottom: float, upper: float) -> None:
        """A rectangle on the back."""
        edges = ((left, bottom), (right, bottom), (right, upper), (left, upper))
        panel(color, *((share, y, z) for share, y in edges))

    s, t = hand, hand * top
    panel(paint * 0.85 * lit, (s, low, z), (s, low, front), (s, waist, front), (s, waist, z))
    for wheel in (z + 0.16 * long, front - 0.18 * long):
        ring = 0.32 * CIRCLE
        for share, tone in ((1.0, 22.0), (0.55, 110.0)):
            along = wheel + share * ring.real
            points = p.project(x + hand * half, 0.32 + share * ring.imag, along)
            p.fill(points, p.fade(np.full(3, tone), z), CAR)
    base = (s, waist, cabin[0] - 0.3), (s, waist, cabin[1] + 0.5)
    panel(paint * 0.8 * lit, *base, (t, roof, cabin[1] - 0.3), (t, roof, cabin[0] + 0.2))
    sill = (s, waist + 0.06, cabin[0]), (s, waist + 0.06, cabin[1] + 0.2)
    panel(glass, *sill, (t, roof - 0.1, cabin[1] - 0.4), (t, roof - 0.1, cabin[0] + 0.3))
    plate(paint, -1, 1, low, waist)
    rear = z + 0.05
    ends = (top, roof, cabin[0] + 0.2), (-top, roof, cabin[0] + 0.2)
    panel(paint * 1.08, (-1, waist, rear), (1, waist, rear), *ends)
    ends = (0.7, roof - 0.09, cabin[0] + 0.15), (-0.7, roof - 0.09, cabin[0] + 0.15)
    panel(glass * 1.15, (-0.86, waist + 0.07, rear), (0.86, waist + 0.07, rear), *ends)
    for lamp in (-0.82, 0.82):
        plate(np.array([150, 20, 24]), lamp - 0.13, lamp + 0.13, 0.62, 0.84)
    plate(np.full(3, 215.0), -0.3, 0.3, 0.48, 0.6)
    plate(np.full(3, 34.0), -1, 1, low, 0.38)


def _person(p: Street, x: float, z: float) -> None:
    """A walking person: legs, coat, arms and head."""
    r = p.rng
    tall = r.uniform(1.5, 1.9)
    coat, trousers = (hsv(r.random(), r.uniform(0, 0.7), r.uniform(0.12, v)) for v in (0.85, 0.5))
    skin = np.array([224, 172, 138]) * r.uniform(0.45, 1.05)
    stride, turn = r.uniform(0.05, 0.28), r.uniform(0.14, 0.24)
    p.shade_ground(x, z, 0.28, 0.2)

    def limb(a: tuple[float, float], b: tuple[float, float], half: float, color: Array) -> None:
        way = p.project(np.array([a[0], b[0]]), np.array([a[1], b[1]]), z)
        p.band(way, half * p.focal / z, p.fade(color, z), PERSON)

    hip, neck = 0.5 * tall, 0.83 * tall
    for hand in (-1, 1):
        limb((x + hand * 0.07, hip), (x + hand * stride, 0.0), 0.07, trousers * (1 - 0.12 * hand))
    body = [(x - turn, neck, z), (x + turn, neck, z), (x + 0.85 * turn, 0.44 * tall, z)]
    p.face([*body, (x - 0.85 * turn, 0.44 * tall, z)], coat, PERSON)
    for hand in (-1, 1):
        swing = x + hand * (turn + r.uniform(0.02, 0.16))
        limb((x + hand * turn, neck), (swing, 0.48 * tall), 0.05, coat * (1 + 0.15 * hand))
    head = 0.115 * CIRCLE
    p.fill(p.project(x + 0.85 * head.real, 0.91 * tall + head.imag, z), p.fade(skin, z), PERSON)
    hair = head[:13]
    dark = hsv(0.07, 0.4, r.uniform(0.08, 0.5))
    p.fill(p.project(x + 0.9 * hair.real, 0.925 * tall + hair.imag, z), p.fade(dark, z), PERSON)


def _pole(p: Street, x: float, z: float) -> None:
    """A lamp post, or the post of a sign; both are of the class pole."""
    r, half = p.rng, p.rng.uniform(0.05, 0.1)
    tall, metal = r.uniform(2.3, 3.2), np.full(3, r.uniform(60, 150))
    lamp = r.random() < 0.6
    if lamp:
        tall = r.uniform(4.5, 7.5)
    p.face(
        [
            (x - half, 0.0, z),
            (x + half, 0.0, z),
            (x + half * 0.7, tall, z),
            (x - half * 0.7, tall, z),
        ],
        metal,
        POLE,
    )
    if lamp:
        arm = 1.3 if x < 0 else -1.3
        p.face(
            [
                (x, tall, z),
                (x + arm, tall + 0.25, z),
                (x + arm, tall + 0.1, z),
                (x, tall - 0.15, z),
            ],
            metal,
            POLE,
        )
        return
    ring = 0.36 * (CIRCLE if r.random() < 0.6 else CIRCLE[2::6])
    rim = np.array([[190, 26, 36], [24, 82, 170], [230, 190, 40]][int(r.integers(3))])
    for share, tone in ((1.0, rim), (0.7, rim if r.random() < 0.4 else np.full(3, 232.0))):
        face = p.project(x + share * ring.real, tall + share * ring.imag, z - 0.05)
        p.fill(face, p.fade(tone, z), POLE)


class _Thing(NamedTuple):
    """What stands at a place: `x` to the right and `z` ahead, in meters."""

    z: float
    x: float
    draw: Callable[[Street, float, float], None]


def paint_street(p: Street) -> None:
    """Draw all things of the street, the far ones first."""
    things = [*_beside(p, 0), *_beside(p, 1)]
    middle = sum(p.road) / 2
    things += [
        _Thing(p.rng.uniform(9, 45), middle + p.rng.uniform(1, 1.6), _car)
        for _ in p.some(1, 3, 0.5)
    ]
    for thing in sorted(things, key=lambda thing: -thing.z):
        thing.draw(p, thing.x, thing.z)


def _beside(p: Street, side: int) -> list[_Thing]:
    """What stands on the left (0) or the right (1) of the road, and at its edge."""
    r, inward = p.rng, 1 - 2 * side
    edge, walk, front = p.road[side], p.walk[side], p.fronts[side]
    low, high = sorted((edge - 0.4 * inward, walk + 0.4 * inward))
    things = [_Thing(r.uniform(4, 60), edge - inward * 0.6, _tree) for _ in p.some(2, 8, 0.75)]
    things += [_Thing(r.uniform(4, 50), edge - inward * 0.35, _pole) for _ in p.some(1, 5, 0.8)]
    things += [
        _Thing(3.5 + 30 * r.random() ** 1.5, r.uniform(low, high), _person)
        for _ in p.some(1, 6, 0.75)
    ]
    if front != walk:
        things += [_Thing(r.uniform(4, 45), walk - inward * 0.6, _hedge) for _ in p.some(3, 12)]
    gap = r.uniform(5, 9)
    places = [r.uniform(3.5, 6) + gap * i for i in p.some(2, 8, 0.7) if r.random() < 0.75]
    return things + [_Thing(z, edge + inward * 1.1, _car) for z in places]
