"""Plain-woven linen: yarns over and under each other, uneven in thickness and shade. Defects: hole,
pulled thread, stain.
"""

from dataclasses import dataclass, replace
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
    smooth_noise,
)
from apc_bench.datasets.synthetic.scene import Defect, PartKind, with_defect

_WARP = np.array([0.47, 0.43, 0.35])
_WEFT = np.array([0.36, 0.34, 0.29])
_BEHIND = np.array([0.030, 0.026, 0.024])
_LINT = np.array([0.80, 0.84, 0.92])
_OIL = np.array([0.17, 0.105, 0.045])
_YARNS = 20


@dataclass(frozen=True, slots=True)
class _Yarns:
    """One system of parallel yarns. `across`: position in yarns, (h, w). `thickness`, `shade`:
    those of the yarn at each pixel, (h, w).
    """

    across: Field
    thickness: Field
    shade: Field

    @classmethod
    def draw(cls, rng: Generator, across: Field, along: Field) -> Self:
        """Yarns side by side along `across`, (h, w), uneven along `along`, (h, w)."""
        count = _YARNS + 12
        index = np.floor(across).astype(int) % count
        shade = np.exp(rng.normal(0.0, 0.03, count))[index]
        shade = shade * (1 + 0.05 * smooth_noise(rng, len(across), 12))
        thickness = rng.normal(0.84, 0.025, count)[index]
        return cls(across, thickness + _slubs(rng, across, along), shade)

    def profile(self) -> Field:
        """The height of the yarn's round cross-section: 1 in its middle, 0 at its edge."""
        offset = (self.across - np.floor(self.across) - 0.5) * 2 / self.thickness
        return np.sqrt(np.clip(1 - offset**2, 0.0, 1.0))


def _slubs(rng: Generator, across: Field, along: Field) -> Field:
    """Harmless thick places in the yarns, in most pieces of linen."""
    thicker = np.zeros_like(across)
    for _ in range(rng.poisson(0.8)):
        yarn, place, length = rng.integers(0, _YARNS), rng.uniform(0, _YARNS), rng.uniform(1.0, 3.5)
        bulge = np.exp(-(((along - place) / length) ** 2))
        thicker += (np.floor(across) == yarn) * rng.uniform(0.1, 0.3) * bulge
    return thicker


@dataclass(frozen=True, slots=True)
class _Cloth:
    """A piece of cloth: its two systems of yarns; `over`: how far warp lies above weft, -1 to 1;
    `tone`: fibres and folds, around 1.
    """

    warp: _Yarns
    weft: _Yarns
    over: Field
    tone: Field

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Self:
        """A cloth for a picture of `size` by `size` pixels."""
        x, y = grid(size)
        turn, scale = rng.normal(0.0, 0.010), _YARNS * np.exp(rng.normal(0.0, 0.012))
        u = (x * np.cos(turn) - y * np.sin(turn)) * scale + rng.uniform(0, 2)
        u = u + 0.07 * fractal_noise(rng, size, 3, 2)
        v = (x * np.sin(turn) + y * np.cos(turn)) * scale + rng.uniform(0, 2)
        v = v + 0.07 * fractal_noise(rng, size, 3, 2)
        over = np.sin(np.pi * u) * np.sin(np.pi * v)
        twist = np.sin(2 * np.pi * 3.1 * (u + v) + 3 * smooth_noise(rng, size, 16))
        tone = 1 + 0.04 * smooth_noise(rng, size, 64) + 0.04 * twist
        tone = tone * (1 + 0.04 * fractal_noise(rng, size, 2, 2))
        warp, weft = _Yarns.draw(rng, u, v), _Yarns.draw(rng, v, u)
        return cls(warp, weft, np.sign(over) * np.sqrt(np.abs(over)), tone)

    def surface(self) -> Field:
        """The cloth's reflectance (h, w, 3): the lower yarn of each crossing, and the upper one
        over it.
        """
        warp = self.warp.profile() * (0.62 + 0.38 * self.over)
        weft = self.weft.profile() * (0.62 - 0.38 * self.over)
        warp_colour = _WARP * ((0.25 + 0.75 * warp) * self.warp.shade)[:, :, None]
        weft_colour = _WEFT * ((0.25 + 0.75 * weft) * self.weft.shade)[:, :, None]
        warp_above = (warp > weft)[:, :, None]
        below = np.where(warp_above, weft_colour, warp_colour)
        above = np.where(warp_above, warp_colour, weft_colour)
        behind = np.broadcast_to(_BEHIND, below.shape)
        ground = blend(behind, below, np.minimum(1.0, 4 * np.minimum(warp, weft)))
        cloth = blend(ground, above, np.minimum(1.0, 4 * np.maximum(warp, weft)))
        return cloth * self.tone[:, :, None]


def _pulled_thread(cloth: _Cloth, defect: Defect) -> _Cloth:
    """One warp yarn floats over several weft yarns, and bulges."""
    row, column = (defect.rng.uniform(0.12, 0.88, 2) * len(cloth.over)).astype(int)
    along = np.abs(cloth.weft.across - cloth.weft.across[row, column])
    on_yarn = np.floor(cloth.warp.across) == np.floor(cloth.warp.across[row, column])
    floats = on_yarn * np.clip((defect.scaled(1.4, 4.5) - along) * 2, 0.0, 1.0)
    thickness = cloth.warp.thickness + defect.scaled(0.15, 0.4) * floats
    shade = cloth.warp.shade * (1 + defect.scaled(0.12, 0.35) * floats)
    return replace(
        cloth,
        warp=replace(cloth.warp, thickness=thickness, shade=shade),
        over=cloth.over + floats * (1 - cloth.over),
    )


def _stain(surface: Field, x: Field, y: Field, defect: Defect) -> Field:
    """Oil soaked into the yarns: darker and browner, and the weave still shows."""
    rng = defect.rng
    centre = (rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.88))
    edge = blob_distance(rng, x, y, centre, defect.scaled(0.05, 0.1), 0.3)
    soaked = coverage(edge + 0.008 * smooth_noise(rng, len(x), 24), 0.02)
    return blend(surface, surface * 0.25 + _OIL * 0.6, soaked * defect.scaled(0.34, 0.8))


def _hole(surface: Field, x: Field, y: Field, defect: Defect) -> Field:
    """Torn yarns: the dark behind the cloth shows, with frayed ends across its edge."""
    rng, radius = defect.rng, defect.scaled(0.022, 0.05)
    centre = (rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.88))
    edge = blob_distance(rng, x, y, centre, radius, 0.3) + 0.006 * smooth_noise(rng, len(x), 48)
    surface = blend(surface, _BEHIND, coverage(edge, 0.012) * defect.scaled(0.7, 0.97))
    for angle in rng.uniform(0, 2 * np.pi, round(defect.scaled(2, 7))):
        start = (centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle))
        inwards = angle + np.pi + rng.normal(0, 0.5)
        length = radius * rng.uniform(0.4, 1.0)
        end = curve(rng, start, inwards, length, bend=0.2, steps=3)
        surface = blend(surface, _WARP * 0.9, 0.7 * line(x, y, end, 0.006))
    return surface


def _with_lint(rng: Generator, surface: Field, x: Field, y: Field) -> Field:
    """Harmless bluish-white hairs that have settled on the cloth."""
    for _ in range(rng.poisson(0.5)):
        start = (rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95))
        hair = curve(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.06, 0.22), bend=0.35)
        surface = blend(surface, _LINT, rng.uniform(0.35, 0.8) * line(x, y, hair, 0.008))
    return surface


_IN_THE_YARNS = {"pulled_thread": _pulled_thread}
_ON_THE_SURFACE = {"hole": _hole, "stain": _stain}


def _render(rng: Generator, size: int, defect: Defect | None) -> Field:
    x, y = grid(size)
    cloth = with_defect(_Cloth.draw(rng, size), defect, _IN_THE_YARNS)
    return with_defect(_with_lint(rng, cloth.surface(), x, y), defect, _ON_THE_SURFACE, x, y)


WEAVE = PartKind(("hole", "pulled_thread", "stain"), _render)
