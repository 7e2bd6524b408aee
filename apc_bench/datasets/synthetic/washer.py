"""A turned steel washer on a conveyor belt. Defects: nick, rust, scratch."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator

from apc_bench.datasets.synthetic.fields import (
    Field,
    blend,
    blob_distance,
    coverage,
    curve,
    fractal_noise,
    grid,
    line,
    shadow,
    smooth_noise,
    tint,
)
from apc_bench.datasets.synthetic.scene import Defect, PartKind, with_defect

_BELT = np.array([0.055, 0.075, 0.07])
_DUST = np.array([0.5, 0.48, 0.42])
_STEEL = np.array([0.36, 0.37, 0.38])
_RUST = np.array([0.27, 0.10, 0.03])
_GOUGE = np.array([0.035, 0.035, 0.04])
_BURR = np.array([0.9, 0.91, 0.93])
_OUTER, _INNER, _BEVEL = 0.41, 0.19, 0.022


@dataclass(frozen=True, slots=True)
class _Pose:
    """Where the washer lies. `x`, `y`: pixel coordinates; `radius`, `angle`: the same, polar, about
    `centre`, in the washer's scale.
    """

    x: Field
    y: Field
    centre: Field
    radius: Field
    angle: Field

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Self:
        """A washer somewhere near the middle of a picture of `size` by `size` pixels."""
        x, y = grid(size)
        centre, scale = 0.5 + rng.normal(0, 0.008, 2), np.exp(rng.normal(0, 0.004))
        dx, dy = (x - centre[0]) / scale, (y - centre[1]) / scale
        return cls(x, y, centre, np.hypot(dx, dy), np.arctan2(dy, dx))

    def point(self, radius: float, angle: float) -> tuple[float, float]:
        """The image point at a radius and an angle."""
        return self.centre[0] + radius * np.cos(angle), self.centre[1] + radius * np.sin(angle)


def _belt(rng: Generator, size: int) -> Field:
    rubber = 1 + 0.04 * smooth_noise(rng, size, 60) + 0.05 * fractal_noise(rng, size, 6, 3)
    dust = np.clip(smooth_noise(rng, size, 50) - 3.2, 0.0, 0.6)
    return blend(_BELT * rubber[:, :, None], _DUST, dust)


def _steel(rng: Generator, pose: _Pose) -> Field:
    """The turned face: circular grooves gather the light in two opposite fans; the edges are
    bevelled.
    """
    size, light = len(pose.x), rng.normal(0.8, 0.08)
    grooves = np.interp(pose.radius, np.linspace(0.15, 0.45, 96), rng.normal(0.0, 1.0, 96))
    fan = np.abs(np.cos(pose.angle - light + 0.06 * smooth_noise(rng, size, 8))) ** 3.0
    bright = 0.5 + rng.uniform(0.7, 1.0) * fan + 0.02 * grooves
    bright = bright + 0.015 * smooth_noise(rng, size, 64)
    edge = np.minimum(_OUTER - pose.radius, pose.radius - _INNER)
    outward = np.where(pose.radius > (_OUTER + _INNER) / 2, 1.0, -1.0)
    bevel = np.clip(1 - edge / _BEVEL, 0.0, 1.0)
    bright = bright * (1 + 0.5 * bevel * outward * np.cos(pose.angle - light - 0.6)) - 0.1 * bevel
    return np.asarray(_STEEL * np.clip(bright, 0.02, 2.2)[:, :, None])


def _with_wear(rng: Generator, surface: Field, pose: _Pose) -> Field:
    """Harmless: hairlines of handling, and films of oil in the colours of thin layers."""
    for _ in range(rng.poisson(0.8)):
        start = pose.point(rng.uniform(_INNER, _OUTER), rng.uniform(0, 2 * np.pi))
        hair = curve(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.2), bend=0.05)
        strength = rng.uniform(0.2, 0.6)
        scratched = strength * line(pose.x, pose.y, hair, 0.006)
        surface = blend(surface, surface * 1.25 + 0.04, scratched)
    for _ in range(rng.poisson(1.3)):
        centre = pose.point(rng.uniform(_INNER, _OUTER), rng.uniform(0, 2 * np.pi))
        film = blob_distance(rng, pose.x, pose.y, centre, rng.uniform(0.04, 0.09), 0.3)
        strength = rng.uniform(0.25, 0.55)
        edge = film + 0.008 * smooth_noise(rng, len(surface), 12)
        hue = rng.uniform(0, 2 * np.pi) + 30 * film
        surface = tint(surface, hue, strength * coverage(edge, 0.035))
    return surface


def _nick(body: Field, pose: _Pose, defect: Defect) -> Field:
    """A bite out of the outer or the inner edge."""
    rng, size = defect.rng, defect.scaled(0.025, 0.047)
    radius = _OUTER + 0.3 * size if rng.uniform() < 0.7 else _INNER - 0.3 * size
    bite = blob_distance(
        rng, pose.x, pose.y, pose.point(radius, rng.uniform(0, 2 * np.pi)), size, 0.2
    )
    return np.maximum(body, -bite)


def _rust(surface: Field, pose: _Pose, defect: Defect) -> Field:
    """A flaky, red-brown patch."""
    rng, size = defect.rng, len(surface)
    centre = pose.point(rng.uniform(_INNER + 0.04, _OUTER - 0.04), rng.uniform(0, 2 * np.pi))
    patch = blob_distance(rng, pose.x, pose.y, centre, defect.scaled(0.026, 0.065), 0.3)
    flaky = coverage(patch + 0.012 * smooth_noise(rng, size, 32), 0.02)
    colour = _RUST * np.clip(1 + 0.4 * smooth_noise(rng, size, 48), 0.3, 2.0)[:, :, None]
    return blend(surface, colour, flaky * defect.scaled(0.35, 0.9))


def _scratch(surface: Field, pose: _Pose, defect: Defect) -> Field:
    """A gouge across the grooves: a dark line with a bright burr at its side."""
    rng, turn = defect.rng, defect.rng.uniform(0, 2 * np.pi)
    start = pose.point(rng.uniform(_INNER + 0.04, _OUTER - 0.06), turn)
    path = curve(
        rng, start, turn + np.pi / 2 + rng.normal(0, 0.6), defect.scaled(0.1, 0.22), bend=0.08
    )
    depth, width = defect.scaled(0.5, 0.95), defect.scaled(0.011, 0.015)
    surface = blend(surface, _BURR, 0.7 * depth * line(pose.x, pose.y, path + 0.7 * width, width))
    return blend(surface, _GOUGE, depth * line(pose.x, pose.y, path, width))


def _render(rng: Generator, size: int, defect: Defect | None) -> Field:
    pose = _Pose.draw(rng, size)
    belt, steel = _belt(rng, size), _with_wear(rng, _steel(rng, pose), pose)
    steel = with_defect(steel, defect, {"rust": _rust, "scratch": _scratch}, pose)
    ring = np.maximum(pose.radius - _OUTER, _INNER - pose.radius)
    solid = coverage(with_defect(ring, defect, {"nick": _nick}, pose))
    shaded = 1 - 0.6 * shadow(solid, 0.016, rng.normal(0.8, 0.2))
    return blend(belt * shaded[:, :, None], steel, solid)


WASHER = PartKind(("nick", "rust", "scratch"), _render)
