"""Textures made from formulas, of many families, each with quantised parameters.

A *field* is one grey texture in [0, 1]; a *formula* is a family with one choice of its parameters,
and is the class that a network learns to name. Everything follows from the generator that is passed
in. The idea of learning from formulas is of Kataoka et al., "Pre-training without Natural Images"
(ACCV 2020), and of Baradad et al., "Learning to See by Looking at Noise" (NeurIPS 2021).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Formula:
    """One class: `draw(generator, count, size)` gives raw fields (count, size, size) of any
    range.
    """

    name: str
    draw: Callable[[Generator, int, int], Tensor]


def uniform(generator: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform numbers of `shape`, in [low, high)."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def turned(
    generator: Generator, count: int, size: int, turn: float | None = None
) -> tuple[Tensor, Tensor]:
    """Pixel coordinates u, v (count, size, size) about a random origin, turned by `turn` quarters
    of pi give or take a third, or by any angle.
    """
    angle = uniform(generator, 0, 2 * math.pi, count, 1, 1)
    if turn is not None:
        angle = (turn + uniform(generator, -0.35, 0.35, count, 1, 1)) * math.pi / 4
    axis = torch.arange(size, dtype=torch.float32)
    x = axis[None, None, :] - uniform(generator, 0, size, count, 1, 1)
    y = axis[None, :, None] - uniform(generator, 0, size, count, 1, 1)
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def jitter(generator: Generator, count: int, spread: float = 0.15) -> Tensor:
    """Factors (count, 1, 1) about 1, so that a quantised parameter is a range and not a point."""
    return uniform(generator, 1 - spread, 1 + spread, count, 1, 1)


def spectral(
    generator: Generator, count: int, size: int, gain: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Gaussian noise with the spectrum gain(radius, angle), radius in cycles per pixel; standard
    deviation 1.
    """
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :]
    noise = torch.fft.rfft2(torch.randn((count, size, size), generator=generator))
    out = torch.fft.irfft2(
        noise * gain(torch.hypot(fx, fy).clamp(min=0.5 / size), torch.atan2(fy, fx)), s=(size, size)
    )
    return (out - out.mean((1, 2), keepdim=True)) / out.std((1, 2), keepdim=True).clamp(min=1e-6)


def grating(
    generator: Generator, count: int, size: int, turn: float, wavelength: float, sharpness: float
) -> Tensor:
    u, v = turned(generator, count, size, turn)
    bend = uniform(generator, 0, 1.5, count, 1, 1) * torch.sin(
        v / uniform(generator, 8, 24, count, 1, 1)
    )
    wave = torch.sin(2 * math.pi * u / (wavelength * jitter(generator, count)) + bend)
    return torch.tanh(sharpness * (wave - uniform(generator, -0.4, 0.4, count, 1, 1)))


def weave(
    generator: Generator, count: int, size: int, turn: float, wavelength: float, kind: str
) -> Tensor:
    u, v = (
        2 * math.pi * c / (wavelength * jitter(generator, count))
        for c in turned(generator, count, size, turn)
    )
    if kind == "plaid":
        return u.sin() + v.sin()
    if kind == "twill":
        return torch.where((u + v).sin() > 0, u.sin().abs(), v.sin().abs())
    return torch.where(u.sin() * v.sin() > 0, (2 * u).cos(), (2 * v).cos())


def fractal_noise(generator: Generator, count: int, size: int, slope: float, kind: str) -> Tensor:
    out = spectral(generator, count, size, lambda radius, angle: radius**-slope)
    return {
        "plain": out,
        "ridged": out.abs(),
        "cut": torch.tanh(6 * out),
        "folded": torch.sin(4 * out),
    }[kind]


def brushed(generator: Generator, count: int, size: int, turn: float, stretch: float) -> Tensor:
    axis = turn * math.pi / 4 + float(uniform(generator, -0.25, 0.25, 1))
    return spectral(
        generator,
        count,
        size,
        lambda r, a: r**-0.8 * torch.exp(-stretch * (1 - (a - axis).cos() ** 2)),
    )


def gabor_noise(
    generator: Generator, count: int, size: int, frequency: float, turn: float | None, hard: bool
) -> Tensor:
    def gain(radius: Tensor, angle: Tensor) -> Tensor:
        band = torch.exp(-(((radius / centre).log() / 0.25) ** 2))
        return band if turn is None else band * torch.exp(-8 * (1 - (angle - axis).cos() ** 2))

    centre = frequency * float(uniform(generator, 0.85, 1.15, 1))
    axis = (turn or 0) * math.pi / 4 + float(uniform(generator, -0.25, 0.25, 1))
    out = spectral(generator, count, size, gain)
    return torch.tanh(5 * out) if hard else out


def cells(
    generator: Generator, count: int, size: int, spacing: float, kind: str, regular: bool
) -> Tensor:
    """Voronoi cells: flat tones, distance to the seed, or walls."""
    side = max(round(size / spacing), 2)
    lattice = (
        torch.stack(
            torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1
        ).reshape(1, -1, 2)
        + 0.5
    ) / side
    seeds = (
        lattice
        + uniform(generator, -0.5, 0.5, count, side * side, 2) * (0.35 if regular else 1.4) / side
    ) * size
    axis = torch.arange(size, dtype=torch.float32)
    pixels = (
        torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        .reshape(1, -1, 2)
        .expand(count, -1, -1)
    )
    near, index = torch.cdist(pixels, seeds).topk(2, dim=2, largest=False)
    if kind == "tone":
        out = torch.rand((count, side * side), generator=generator).gather(1, index[..., 0])
    else:
        out = (
            near[..., 0]
            if kind == "distance"
            else (near[..., 1] - near[..., 0]).clamp(max=0.25 * spacing)
        )
    return out.reshape(count, size, size)


def lattice(
    generator: Generator, count: int, size: int, pitch: float, kind: str, loose: bool
) -> Tensor:
    """A small motif at every node of a turned lattice, each node displaced where `loose`."""
    pitches = pitch * jitter(generator, count)
    u, v = (c / pitches for c in turned(generator, count, size))
    shift = [torch.rand((count, 64, 64), generator=generator) - 0.5 for _ in range(2)]
    row, column = u.floor().long() % 64, v.floor().long() % 64
    node = torch.arange(count)[:, None, None]
    u, v = (
        (c - c.floor() - 0.5 - (0.45 if loose else 0.0) * s[node, row, column])
        for c, s in zip((u, v), shift, strict=True)
    )
    radius = uniform(generator, 0.16, 0.3, count, 1, 1)
    near, far, centre = (
        torch.minimum(u.abs(), v.abs()),
        torch.maximum(u.abs(), v.abs()),
        torch.hypot(u, v),
    )
    distance = {"dot": centre, "square": far, "cross": near * 2, "ring": (centre - 0.3).abs() * 2}[
        kind
    ]
    return torch.sigmoid((radius - distance) * pitches * 2)


def tiles(
    generator: Generator, count: int, size: int, pitch: float, kind: str, turn: float
) -> Tensor:
    u, v = (c / (pitch * jitter(generator, count)) for c in turned(generator, count, size, turn))
    if kind == "checker":
        return (u.floor() + v.floor()) % 2
    u, v = (u + 0.5 * (v.floor() % 2)) / 2 if kind == "brick" else u, v
    joint = torch.minimum(
        (u - u.round()).abs() * (2 if kind == "brick" else 1), (v - v.round()).abs()
    )
    return (joint * pitch / 1.5).clamp(max=1) + 0.2 * torch.sin(
        12.9898 * u.floor() + 78.233 * v.floor()
    )


def rings(generator: Generator, count: int, size: int, wavelength: float, arms: int) -> Tensor:
    u, v = turned(generator, count, size)
    radius = torch.hypot(u, v * jitter(generator, count, 0.3))
    return torch.sin(
        2 * math.pi * radius / (wavelength * jitter(generator, count)) + arms * torch.atan2(v, u)
    )


def julia(generator: Generator, count: int, size: int, real: float, imaginary: float) -> Tensor:
    u, v = turned(generator, count, size)
    zoom = uniform(generator, 0.6, 1.6, count, 1, 1) / size
    x, y = u * zoom * 2, v * zoom * 2
    escape = torch.zeros_like(x)
    for _ in range(24):
        x, y = (x * x - y * y + real).clamp(-9, 9), (2 * x * y + imaginary).clamp(-9, 9)
        escape += torch.exp(-(x * x + y * y))
    return escape


def attractor(generator: Generator, count: int, size: int, system: int) -> Tensor:
    """Density of an iterated function system of four random contractions, drawn with the chaos
    game; `system` seeds the maps.
    """
    maps = Generator().manual_seed(7919 + system)
    linear, offset = uniform(maps, -0.75, 0.75, 4, 2, 2), uniform(maps, -1, 1, 4, 2)
    linear = linear + uniform(generator, -0.05, 0.05, 4, 2, 2)
    points, density = torch.zeros(count, 600, 2), torch.zeros(count, size * size)
    for step in range(40):
        pick = torch.randint(4, points.shape[:2], generator=generator)
        points = (linear[pick] @ points[..., None])[..., 0] + offset[pick]
        points = points.clamp(-8, 8)
        if step >= 10:
            cell = ((points * 0.22 + 0.5) * size).long() % size
            density.scatter_add_(1, cell[..., 0] * size + cell[..., 1], torch.ones(count, 600))
    return F.avg_pool2d(density.reshape(count, 1, size, size), 3, 1, 1)[:, 0].log1p()


def pile(generator: Generator, count: int, size: int, shape: str, reach: float) -> Tensor:
    """Dead leaves: shapes of random tone painted over each other, about as many as would tile the
    field, 60 at most.
    """
    out = torch.rand((count, 1, 1), generator=generator).expand(count, size, size).clone()
    for _ in range(min(int((size / reach) ** 2), 60)):
        u, v = turned(generator, count, size)
        u, v = (
            u / (reach * uniform(generator, 0.5, 1.2, count, 1, 1)),
            v / (reach * uniform(generator, 0.5, 1.2, count, 1, 1)),
        )
        box, wedge = torch.maximum(u.abs(), v.abs()), torch.maximum(v.abs() * 1.7 + u, -u) * 1.2
        distance = {
            "disc": u * u + v * v,
            "box": box,
            "wedge": wedge,
            "line": torch.maximum(u.abs() / 4, v.abs() * 6),
        }[shape]
        out = torch.where(distance < 1, torch.rand((count, 1, 1), generator=generator), out)
    return out


def interference(
    generator: Generator, count: int, size: int, waves: int, wavelength: float
) -> Tensor:
    out = torch.zeros(count, size, size)
    for _ in range(waves):
        u, _ = turned(generator, count, size)
        out += torch.sin(2 * math.pi * u / (wavelength * jitter(generator, count, 0.3)))
    return out


def formulas() -> tuple[Formula, ...]:
    """All classes, in a fixed order."""

    def family(function: Callable[..., Tensor], *choices: tuple[object, ...]) -> list[Formula]:
        return [
            Formula(f"{function.__name__}{v}", lambda g, n, s, v=v: function(g, n, s, *v))
            for v in product(*choices)
        ]

    return (
        *family(grating, (0, 1, 2, 3), (4.0, 8.0, 16.0), (0.5, 5.0)),
        *family(weave, (0, 1), (5.0, 9.0, 16.0), ("plaid", "twill", "basket")),
        *family(fractal_noise, (0.0, 0.6, 1.2, 1.8, 2.4), ("plain", "ridged", "cut", "folded")),
        *family(brushed, (0, 1, 2, 3), (6.0, 60.0)),
        *family(gabor_noise, (0.06, 0.12, 0.24), (None, 0, 1, 2, 3), (False, True)),
        *family(cells, (7.0, 12.0, 20.0), ("tone", "distance", "wall"), (False, True)),
        *family(lattice, (6.0, 10.0, 18.0), ("dot", "square", "cross", "ring"), (False, True)),
        *family(tiles, (5.0, 9.0, 16.0), ("checker", "brick", "grid"), (0, 1)),
        *family(rings, (5.0, 9.0, 18.0), (0, 2)),
        *family(julia, (-0.8, -0.4, 0.285), (0.156, 0.6, 0.01)),
        *family(attractor, tuple(range(12))),
        *family(pile, ("disc", "box", "wedge", "line"), (6.0, 11.0, 20.0)),
        *family(interference, (3, 7), (6.0, 14.0)),
    )


def draw_fields(generator: Generator, per_formula: int, size: int) -> tuple[Tensor, Tensor]:
    """`per_formula` fields of every formula: (n, size, size) float32 in [0, 1], and labels (n,)
    int64.
    """
    known = formulas()
    out = torch.cat([formula.draw(generator, per_formula, size) for formula in known])
    low, high = out.amin((1, 2), keepdim=True), out.amax((1, 2), keepdim=True)
    return (out - low) / (high - low).clamp(min=1e-6), torch.arange(len(known)).repeat_interleave(
        per_formula
    )
