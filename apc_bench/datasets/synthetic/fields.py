"""Fields over the image: coordinates, noise, and the coverage of shapes. The unit of length is the
image's side.

Random fields draw the same numbers at every size, so that a scene keeps its composition when only
the size changes.
"""

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float64]

# Standard deviation of a cubic B-spline surface over unit white noise, in its mean over the cell.
_SPLINE_STD = 0.479
# Rec. 709: the shares of linear red, green and blue in the luminance.
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def grid(size: int) -> tuple[Field, Field]:
    """The pixel centres of an image of size by size: x and y, each (size, size)."""
    centres = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(centres, centres)
    return x, y


@lru_cache(maxsize=64)
def _spline_taps(size: int, cells: int) -> tuple[NDArray[np.intp], Field]:
    """The four lattice points (4, size) that each pixel centre sees on a lattice of `cells` cells,
    and their cubic B-spline weights.
    """
    position = (np.arange(size) + 0.5) / size * cells
    cell = np.minimum(position.astype(np.intp), cells - 1)
    t = position - cell
    near, far = 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1
    weights = np.stack([(1 - t) ** 3, near, far, t**3]) / 6
    return cell + np.arange(4)[:, None], weights


def smooth_noise(rng: Generator, size: int, cells: int) -> Field:
    """Smooth noise of mean 0 and standard deviation about 1, with features of 1 / `cells` of the
    image's side: (size, size).
    """
    taps, weights = _spline_taps(size, cells)
    lattice = rng.standard_normal((cells + 3, cells + 3))
    rows = (lattice[taps] * weights[:, :, None]).sum(axis=0)
    return np.asarray((rows.T[taps] * weights[:, :, None]).sum(axis=0).T) / _SPLINE_STD


def fractal_noise(rng: Generator, size: int, cells: int, octaves: int) -> Field:
    """A sum (size, size) of `octaves` smooth noises, each of twice the frequency and 0.6 times the
    amplitude; standard deviation about 1.
    """
    amplitudes = 0.6 ** np.arange(octaves)
    layers = [
        amplitude * smooth_noise(rng, size, cells * 2**octave)
        for octave, amplitude in enumerate(amplitudes)
    ]
    return np.asarray(np.sum(layers, axis=0)) / float(np.sqrt(np.sum(amplitudes**2)))


def coverage(distance: Field, softness: float = 0.0) -> Field:
    """How much of each pixel a shape covers (h, w), 0 to 1, from its signed distance (h, w),
    negative inside, with an edge at least a pixel wide.
    """
    edge = max(softness, 1.0 / len(distance))
    return np.clip(0.5 - distance / edge, 0.0, 1.0)


def line_distance(x: Field, y: Field, points: Field) -> Field:
    """The distance (h, w) of each pixel, at x and y (h, w), to a polyline through `points`
    (k, 2).
    """
    nearest = np.full_like(x, np.inf)
    for (x0, y0), (step_x, step_y) in zip(points[:-1], np.diff(points, axis=0), strict=True):
        dx, dy = x - x0, y - y0
        along = np.clip((dx * step_x + dy * step_y) / max(step_x**2 + step_y**2, 1e-12), 0.0, 1.0)
        np.minimum(nearest, (dx - along * step_x) ** 2 + (dy - along * step_y) ** 2, out=nearest)
    return np.sqrt(nearest)


def line(x: Field, y: Field, points: Field, width: float) -> Field:
    """Coverage (h, w) of a polyline of the given width through `points` (k, 2); thinner than a
    pixel, it fades instead of vanishing.
    """
    pixel = 1.0 / len(x)
    covered = coverage(line_distance(x, y, points) - max(width, pixel) / 2)
    return covered * min(1.0, max(width / pixel, 0.6))


def blob_distance(
    rng: Generator, x: Field, y: Field, centre: tuple[float, float], radius: float, roughness: float
) -> Field:
    """The approximate signed distance (h, w) of each pixel, at x and y (h, w), to a roundish,
    slightly elongated blob whose radius varies by `roughness` (relative).
    """
    dx, dy = x - centre[0], y - centre[1]
    orders = np.arange(1, 6)[:, None, None]
    phases = rng.uniform(0, 2 * np.pi, 5)[:, None, None]
    weights = rng.standard_normal(5)[:, None, None] / orders
    waves = weights * np.cos(orders * np.arctan2(dy, dx) + phases)
    outline = 1 + roughness * np.tanh(waves.sum(axis=0))
    turn, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0.0, 0.3))
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return np.asarray(np.hypot(along / stretch, across * stretch) - radius * outline)


def curve(
    rng: Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    *,
    bend: float,
    steps: int = 8,
) -> Field:
    """A wandering path (steps + 1, 2) from `start`; `bend` is the standard deviation of each step's
    turn, in radians.
    """
    turns = angle + np.cumsum(rng.normal(0.0, bend, steps))
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    return np.concatenate([np.array([start]), np.array(start) + np.cumsum(moves, axis=0)])


def blend(surface: Field, colour: Field | tuple[float, float, float], alpha: Field) -> Field:
    """`surface` (h, w, 3) painted over with `colour` (3,) or (h, w, 3) where `alpha` (h, w) says
    so.
    """
    return np.asarray(surface + alpha[:, :, None] * (np.asarray(colour) - surface))


def tint(surface: Field, hue: float | Field, strength: Field) -> Field:
    """`surface` (h, w, 3) in another hue (radians, one or (h, w)) and of the same luminance, as far
    as `strength` (h, w) says.
    """
    red, blue = np.cos(hue) * strength, np.sin(hue) * strength
    green = -(_LUMINANCE[0] * red + _LUMINANCE[2] * blue) / _LUMINANCE[1]
    return np.asarray(surface * (1 + np.stack([red, green, blue], axis=-1)))


def relief(height: Field, angle: float) -> Field:
    """How much brighter (h, w) than flat ground a relief of this height (h, w) looks, lit from
    `angle` (radians): its slope towards the light, in height per side.
    """
    down, right = np.gradient(height * len(height))
    return np.asarray(-(right * np.cos(angle) + down * np.sin(angle)))


def shadow(solid: Field, reach: float, angle: float) -> Field:
    """The soft shadow (h, w) that a body, given by its coverage (h, w), casts over the distance
    `reach` in the direction `angle` (radians).
    """
    pixels = reach * len(solid)
    offset = (pixels * np.sin(angle), pixels * np.cos(angle))
    moved = ndimage.shift(solid, offset, order=1, mode="nearest")
    return np.asarray(ndimage.gaussian_filter(moved, pixels, mode="nearest"))
