"""A plug connector: two rows of gold pins in a black housing, nearly straight. Defects: bent pin,
contamination, crack, missing pin.
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
    shadow,
    smooth_noise,
)
from apc_bench.datasets.synthetic.scene import Defect, PartKind, with_defect

_BENCH = np.array([0.40, 0.41, 0.40])
_PLASTIC = np.array([0.050, 0.053, 0.060])
_GOLD = np.array([0.62, 0.44, 0.15])
_FLUX = np.array([0.46, 0.41, 0.30])
_PAINT = np.array([0.10, 0.35, 0.62])
_DUST = np.array([0.55, 0.55, 0.52])
_BROKEN = np.array([0.32, 0.33, 0.35])
_GAP = np.array([0.005, 0.005, 0.006])
_HALF_WIDTH, _HALF_HEIGHT, _CORNER, _RIM = 0.44, 0.27, 0.04, 0.055
_COLUMNS, _PITCH, _ROW = 6, 0.124, 0.092


@dataclass(frozen=True, slots=True)
class _Part:
    """One connector. `u`, `v`: pixel coordinates in its own frame, (h, w). `pins`: their places,
    (2, 6, 2). `tone`: their brightness, and `length`: 1 for a whole pin, 0 for none; both (2, 6).
    """

    u: Field
    v: Field
    pins: Field
    tone: Field
    length: Field

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Self:
        """A connector somewhere near the middle of a picture of `size` by `size` pixels."""
        x, y = grid(size)
        shift, turn = rng.normal(0, 0.003, 2), rng.normal(0, 0.010)
        scale = np.exp(rng.normal(0, 0.003))
        dx, dy = (x - 0.5 - shift[0]) / scale, (y - 0.5 - shift[1]) / scale
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        across = (np.arange(_COLUMNS) - (_COLUMNS - 1) / 2) * _PITCH
        columns, rows = np.meshgrid(across, np.array([-_ROW, _ROW]))
        pins = np.stack([columns, rows], axis=-1) + rng.normal(0, 0.002, (2, _COLUMNS, 2))
        return cls(u, v, pins, np.exp(rng.normal(0, 0.07, (2, _COLUMNS))), np.ones((2, _COLUMNS)))

    def housing(self) -> Field:
        """The signed distance (h, w) to the housing's outline, negative inside."""
        return _box(self.u, self.v, _HALF_WIDTH, _HALF_HEIGHT, _CORNER)

    def floor(self) -> Field:
        """The signed distance (h, w) to the sunk floor within the rim, negative inside."""
        return _box(self.u, self.v, _HALF_WIDTH - _RIM, _HALF_HEIGHT - _RIM, 0.02)


def _box(u: Field, v: Field, half_width: float, half_height: float, corner: float) -> Field:
    """Signed distance to a rectangle with rounded corners about the origin."""
    du, dv = np.abs(u) - half_width + corner, np.abs(v) - half_height + corner
    return np.asarray(
        np.hypot(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0) - corner
    )


def _plastic(rng: Generator, part: _Part) -> Field:
    """The housing: grained plastic, lit edges, a sunk floor, a latch, a band of gloss."""
    size, floor = len(part.u), part.floor()
    latch = _box(part.u, part.v + _HALF_HEIGHT - 0.005, 0.09, 0.022, 0.01)
    lit = 1 + 0.05 * smooth_noise(rng, size, 48) + 0.08 * fractal_noise(rng, size, 4, 2)
    lit += 1.1 * coverage(np.abs(part.housing() + 0.012) - 0.004, 0.012) * (part.v < 0.1)
    lit *= 1 - 0.5 * coverage(floor, 0.012)
    lit += 0.6 * coverage(np.abs(floor) - 0.003, 0.01) * (part.v > 0) + 0.8 * coverage(
        np.abs(latch) - 0.003, 0.008
    )
    slant = rng.normal(0.8, 0.2)
    band = part.u * np.cos(slant) + part.v * np.sin(slant) - rng.uniform(-0.3, 0.3)
    lit += rng.uniform(0.1, 0.7) * np.exp(-((band / 0.07) ** 2)) * (floor > 0)
    return np.asarray(_PLASTIC * np.clip(lit, 0.1, 5.0)[:, :, None])


def _with_pins(surface: Field, part: _Part) -> Field:
    """The pins in their sockets; each pixel sees the pin of its own cell only."""
    column = np.clip(np.rint(part.u / _PITCH + (_COLUMNS - 1) / 2), 0, _COLUMNS - 1).astype(int)
    row = (part.v > 0).astype(int)
    u, v = part.u - part.pins[row, column, 0], part.v - part.pins[row, column, 1]
    length, tone = part.length[row, column], part.tone[row, column]
    socket_u = part.u - (column - (_COLUMNS - 1) / 2) * _PITCH
    socket_v = part.v - (2 * row - 1) * _ROW
    socket = _box(socket_u, socket_v, 0.041, 0.049, 0.008)
    surface = blend(surface, _PLASTIC * 0.25, coverage(socket, 0.008))
    reach = 0.5 + 0.5 * length
    face = coverage(_box(u / reach, v / reach, 0.025, 0.034, 0.008)) * np.minimum(1.0, 3 * length)
    gloss = np.exp(-(((u + 0.007) / 0.009) ** 2))
    shine = tone * length * (0.75 + 0.9 * gloss - 5.0 * np.clip(v, 0.0, 0.035))
    return blend(surface, _GOLD * np.clip(shine, 0.02, 1.6)[:, :, None], face)


def _with_marks(rng: Generator, surface: Field, part: _Part) -> Field:
    """Harmless: an inspector's dab of blue paint on every third rim, and dust."""
    dust = np.clip(smooth_noise(rng, len(surface), 56) - 3.2, 0.0, 0.5)
    surface = blend(surface, _DUST, dust)
    if rng.uniform() > 0.35:
        return surface
    place = (rng.uniform(-0.3, 0.3), rng.choice([-1.0, 1.0]) * (_HALF_HEIGHT - 0.03))
    dab = blob_distance(rng, part.u, part.v, place, rng.uniform(0.014, 0.03), 0.25)
    return blend(surface, _PAINT * rng.uniform(0.6, 1.2), 0.85 * coverage(dab))


def _a_pin(part: _Part, defect: Defect) -> tuple[int, int]:
    return int(defect.rng.integers(0, 2)), int(defect.rng.integers(0, part.length.shape[1]))


def _bent_pin(part: _Part, defect: Defect) -> _Part:
    """One pin leans to the side: its face moves off its socket."""
    pins, pin, heading = part.pins.copy(), _a_pin(part, defect), defect.rng.uniform(0, 2 * np.pi)
    pins[pin] += defect.scaled(0.018, 0.036) * np.array([np.cos(heading), np.sin(heading)])
    return replace(part, pins=pins)


def _missing_pin(part: _Part, defect: Defect) -> _Part:
    """One pin is pushed back into the housing; in the worst case it is gone."""
    length = part.length.copy()
    length[_a_pin(part, defect)] = max(0.0, 0.7 - 0.8 * defect.severity)
    return replace(part, length=length)


def _contamination(surface: Field, part: _Part, defect: Defect) -> Field:
    """A splash of dried flux: a pale, uneven film."""
    rng, size = defect.rng, len(surface)
    centre = (rng.uniform(-0.35, 0.35), rng.uniform(-0.19, 0.19))
    splash = blob_distance(rng, part.u, part.v, centre, defect.scaled(0.03, 0.065), 0.3)
    film = coverage(splash + 0.006 * smooth_noise(rng, size, 24), 0.02)
    film = film * np.clip(1 + 0.2 * smooth_noise(rng, size, 32), 0.4, 1.3)
    return blend(surface, _FLUX, film * defect.scaled(0.25, 0.75))


def _crack(surface: Field, part: _Part, defect: Defect) -> Field:
    """The housing is cracked from its edge: a jagged gap whose broken faces catch the light."""
    rng, side = defect.rng, defect.rng.choice([-1.0, 1.0])
    if rng.uniform() < 0.7:
        start, heading = (rng.uniform(-0.35, 0.35), side * _HALF_HEIGHT), -side * np.pi / 2
    else:
        start = (side * _HALF_WIDTH, rng.uniform(-0.2, 0.2))
        heading = np.pi if side > 0 else 0.0
    path = curve(rng, start, heading + rng.normal(0, 0.3), defect.scaled(0.09, 0.22), bend=0.45)
    width = defect.scaled(0.013, 0.018)
    face = line(part.u, part.v, path + 0.6 * width, width)
    gap = line(part.u, part.v, path, width)
    surface = blend(surface, _BROKEN, defect.scaled(0.5, 0.9) * face)
    return blend(surface, _GAP, defect.scaled(0.7, 0.97) * gap)


_IN_THE_PINS = {"bent_pin": _bent_pin, "missing_pin": _missing_pin}
_ON_THE_SURFACE = {"contamination": _contamination, "crack": _crack}


def _render(rng: Generator, size: int, defect: Defect | None) -> Field:
    part = with_defect(_Part.draw(rng, size), defect, _IN_THE_PINS)
    uneven = 1 + 0.015 * smooth_noise(rng, size, 64) + 0.03 * fractal_noise(rng, size, 4, 3)
    bench = _BENCH * uneven[:, :, None]
    surface = _with_marks(rng, _with_pins(_plastic(rng, part), part), part)
    surface = with_defect(surface, defect, _ON_THE_SURFACE, part)
    solid = coverage(part.housing())
    shaded = 1 - 0.5 * shadow(solid, 0.012, rng.normal(2.2, 0.2))
    return blend(bench * shaded[:, :, None], surface, solid)


CONNECTOR = PartKind(("bent_pin", "contamination", "crack", "missing_pin"), _render)
