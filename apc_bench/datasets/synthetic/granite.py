"""Polished granite: feldspar, quartz and mica in irregular grains. Defects: discolouration, pit,
scratch.
"""

import numpy as np
from numpy.random import Generator
from scipy.spatial import cKDTree

from apc_bench.datasets.synthetic.fields import (
    Field,
    blend,
    blob_distance,
    coverage,
    curve,
    fractal_noise,
    grid,
    line,
    line_distance,
    relief,
    smooth_noise,
    tint,
)
from apc_bench.datasets.synthetic.scene import Defect, PartKind, with_defect

# Feldspar (pale, pinkish), quartz (greys), mica (dark), and how common each is.
_MINERALS = np.array(
    [[0.385, 0.345, 0.32], [0.34, 0.335, 0.33], [0.30, 0.295, 0.29], [0.245, 0.24, 0.24]]
)
_SHARES = (0.4, 0.34, 0.16, 0.10)
_GRAINS = 3000
_CRYSTAL = np.array([0.46, 0.40, 0.36])
_MICA = np.array([0.13, 0.13, 0.13])
_QUARTZ = np.array([0.48, 0.47, 0.46])
_RUST = np.array([0.24, 0.13, 0.035])
_CHALK = np.array([0.78, 0.77, 0.75])
_HOLLOW = np.array([0.018, 0.016, 0.015])


def _grains(rng: Generator, size: int, x: Field, y: Field) -> Field:
    """The stone's reflectance: the grain nearest to each pixel, with ragged borders and uneven
    shade within.
    """
    seeds = rng.uniform(-0.03, 1.03, (_GRAINS, 2))
    minerals = _MINERALS[rng.choice(len(_MINERALS), _GRAINS, p=_SHARES)]
    minerals = minerals * np.exp(rng.normal(0.0, 0.05, (_GRAINS, 1)))
    ragged = [0.005 * smooth_noise(rng, size, 40) for _ in range(2)]
    pixels = np.stack([x + ragged[0], y + ragged[1]], axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(seeds).query(pixels)
    cloud = 1 + 0.06 * fractal_noise(rng, size, 3, 3) + 0.04 * smooth_noise(rng, size, 64)
    return np.asarray(minerals[nearest].reshape(size, size, 3) * cloud[:, :, None])


def _with_crystals(rng: Generator, surface: Field, x: Field, y: Field) -> Field:
    """Harmless: large pale crystals of feldspar, in most slabs."""
    for _ in range(rng.poisson(0.7)):
        centre, turn = rng.uniform(0, 1, 2), rng.uniform(0, np.pi)
        half = rng.uniform(0.018, 0.05) * np.array([1.0, rng.uniform(0.5, 0.9)])
        dx, dy = x - centre[0], y - centre[1]
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        edge = np.maximum(np.abs(along) - half[0], np.abs(across) - half[1])
        edge = edge + 0.003 * smooth_noise(rng, len(x), 48)
        surface = blend(surface, rng.uniform(0.9, 1.2) * _CRYSTAL, 0.85 * coverage(edge))
    return surface


def _with_clots(rng: Generator, surface: Field, x: Field, y: Field) -> Field:
    """Harmless: clots of mica, in every other slab."""
    for _ in range(rng.poisson(0.3)):
        edge = blob_distance(
            rng, x, y, (rng.uniform(0, 1), rng.uniform(0, 1)), rng.uniform(0.015, 0.035), 0.3
        )
        surface = blend(
            surface, _MICA, 0.8 * coverage(edge + 0.018 * smooth_noise(rng, len(x), 40))
        )
    return surface


def _with_tints(rng: Generator, surface: Field, x: Field, y: Field) -> Field:
    """Harmless: pinkish and greenish clouds, faint in most slabs and strong in some."""
    hue, strength = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5), rng.exponential(0.09)
    return tint(surface, hue, np.clip(strength * fractal_noise(rng, len(x), 3, 2), -0.4, 0.4))


def _with_vein(rng: Generator, surface: Field, x: Field, y: Field) -> Field:
    """Harmless: a pale, soft vein of quartz, through every fifth slab."""
    if rng.uniform() > 0.2:
        return surface
    angle = rng.uniform(0, 2 * np.pi)
    path = curve(
        rng,
        (0.5 + 0.7 * np.cos(angle), 0.5 + 0.7 * np.sin(angle)),
        angle + np.pi + rng.normal(0, 0.3),
        1.6,
        bend=0.12,
    )
    width = rng.uniform(0.015, 0.035)
    edge = line_distance(x, y, path) - width / 2 + 0.008 * smooth_noise(rng, len(x), 32)
    return blend(surface, _QUARTZ, rng.uniform(0.3, 0.6) * coverage(edge, width))


def _scratch(surface: Field, x: Field, y: Field, defect: Defect) -> Field:
    """A tool's mark: a thin, chalky, nearly straight line."""
    rng = defect.rng
    start = (rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85))
    towards_middle = float(np.arctan2(0.5 - start[1], 0.5 - start[0]))
    path = curve(
        rng, start, towards_middle + rng.normal(0, 0.6), defect.scaled(0.28, 0.6), bend=0.04
    )
    chalky = np.clip(0.85 + 0.2 * smooth_noise(rng, len(x), 32), 0.3, 1.0)
    chalky = chalky * defect.scaled(0.45, 0.9)
    return blend(surface, _CHALK, chalky * line(x, y, path, defect.scaled(0.013, 0.018)))


def _pit(surface: Field, x: Field, y: Field, defect: Defect) -> Field:
    """A grain broken out: a round black hollow, its rim bright on the lit side."""
    rng, radius = defect.rng, defect.scaled(0.024, 0.048)
    edge = blob_distance(
        rng, x, y, (rng.uniform(0.08, 0.92), rng.uniform(0.08, 0.92)), radius, 0.15
    )
    rim = relief(-radius * coverage(edge - 0.006, 0.024), rng.uniform(0, 2 * np.pi))
    surface = blend(surface, _HOLLOW, coverage(edge, 0.4 * radius) * defect.scaled(0.8, 0.97))
    lit = defect.scaled(0.12, 0.25) * np.clip(rim, -0.5, 2.0)
    return np.clip(surface + lit[:, :, None], 0.01, 1.0)


def _discolouration(surface: Field, x: Field, y: Field, defect: Defect) -> Field:
    """Rust from iron in the stone: a blotchy brown crust through which the grain still shows a
    little.
    """
    rng = defect.rng
    centre = (rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85))
    edge = blob_distance(rng, x, y, centre, defect.scaled(0.08, 0.15), 0.25)
    edge = edge + 0.02 * smooth_noise(rng, len(x), 12)
    crust = np.clip(0.9 + 0.6 * fractal_noise(rng, len(x), 20, 2), 0.15, 2.2)[:, :, None] * _RUST
    rusty = 0.3 * surface * np.array([1.0, 0.75, 0.4]) + 0.7 * crust
    return blend(surface, rusty, coverage(edge, 0.04) * defect.scaled(0.42, 0.95))


_DRAW = {"discolouration": _discolouration, "pit": _pit, "scratch": _scratch}


def _render(rng: Generator, size: int, defect: Defect | None) -> Field:
    x, y = grid(size)
    surface = _grains(rng, size, x, y)
    for harmless in (_with_tints, _with_crystals, _with_clots, _with_vein):
        surface = harmless(rng, surface, x, y)
    return with_defect(surface, defect, _DRAW, x, y)


GRANITE = PartKind(tuple(_DRAW), _render)
