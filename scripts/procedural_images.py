"""Images composed of textures that are made from formulas (procedural_textures.py).

A *scene* is up to three coloured fields side by side, with marks (strokes, rings ...) over them, as
photographed. Everything follows from the generator that is passed in.
"""

import math
from dataclasses import dataclass

import torch
from procedural_textures import spectral, turned, uniform
from torch import Generator, Tensor
from torch.nn import functional as F

MARKS = ("stroke", "scratch", "speck", "ellipse", "ring", "polygon", "bump", "blur", "grain")
REGIONS = 3


@dataclass(frozen=True, slots=True)
class Scenes:
    """`images` (n, 3, s, s) in [0, 1]; `labels` (n, REGIONS) int64, the formula of each region;
    `regions` (n, REGIONS, s, s), shares that sum to 1; `marks` (n, len(MARKS), s, s), coverage in
    [0, 1].
    """

    images: Tensor
    labels: Tensor
    regions: Tensor
    marks: Tensor


def region_shares(generator: Generator, count: int, size: int) -> Tensor:
    """Soft partitions (count, REGIONS, size, size): a third of them whole, the rest cut by lines or
    by smooth random fields.
    """
    u, v = turned(generator, count, size)
    blots = [
        spectral(generator, count, size, lambda radius, angle: radius**-2.6) for _ in range(REGIONS)
    ]
    straight = torch.stack([u, -u, v - 0.3 * size], 1) / 8
    whole = torch.zeros(count, REGIONS, 1, 1)
    whole[:, 0] = 1e4 * (torch.rand((count, 1, 1), generator=generator) < 0.35)
    lined = torch.rand((count, 1, 1, 1), generator=generator) < 0.5
    return torch.softmax(torch.where(lined, straight, torch.stack(blots, 1)) * 12 + whole, 1)


def coloured(generator: Generator, fields: Tensor) -> Tensor:
    """Fields (n, s, s) -> images (n, 3, s, s): between two tones of slightly different tint, in
    grey in half of them, or as a lit relief.

    Tones differ mostly in lightness, as in photographs: with independent random channels a network
    learns many times slower.
    """
    count = len(fields)
    middle, half = (
        uniform(generator, 0.2, 0.75, count, 1, 1, 1),
        0.4 * uniform(generator, -2.3, 0, count, 1, 1, 1).exp(),
    )
    side = torch.sign(uniform(generator, -1, 1, count, 1, 1, 1))
    tint, other = uniform(generator, -0.2, 0.2, 2, count, 3, 1, 1) * (
        torch.rand((count, 1, 1, 1), generator=generator) < 0.5
    )
    flat = middle + side * half * (2 * fields[:, None] - 1) + tint + other * fields[:, None]
    angle = uniform(generator, 0, 2 * math.pi, count, 1, 1)
    slope_y, slope_x = torch.gradient(fields, dim=(1, 2))
    relief = (slope_x * angle.cos() + slope_y * angle.sin()) * uniform(
        generator, 0.5, 1.5, count, 1, 1
    )
    return torch.where(
        torch.rand((count, 1, 1, 1), generator=generator) < 0.2,
        middle + tint + relief[:, None],
        flat,
    )


def mark_distances(generator: Generator, count: int, size: int) -> Tensor:
    """Signed distances in pixels (count, len(MARKS), size, size), negative inside, of one mark of
    each kind about one random place.
    """
    u, v = turned(generator, count, size)
    rough = uniform(generator, 0, 2.5, count, 1, 1)
    u = u + rough * spectral(generator, count, size, lambda radius, angle: radius**-1.5)
    v = v + rough * spectral(generator, count, size, lambda radius, angle: radius**-1.5)
    length, width, reach = (
        uniform(generator, low, high, count, 1, 1) for low, high in ((6, 30), (0.5, 1.2), (4, 13))
    )
    flat = reach * uniform(generator, 0.4, 1, count, 1, 1)
    beyond, radius = torch.hypot((u.abs() - length).clamp(min=0), v), torch.hypot(u, v)
    ellipse = (torch.hypot(u / reach, v / flat) - 1) * flat
    sector = 2 * math.pi / torch.randint(3, 7, (count, 1, 1), generator=generator)
    polygon = (
        radius * torch.cos(torch.remainder(torch.atan2(v, u), sector) - sector / 2) - reach * 0.8
    )
    blobs = [radius - 2.2 * width, ellipse, (radius - reach).abs() - 1.5 * width, polygon]
    return torch.stack([beyond - 2.5 * width, beyond - width, *blobs, ellipse, ellipse, ellipse], 1)


def marked(generator: Generator, images: Tensor, slots: int = 2) -> tuple[Tensor, Tensor]:
    """Paint up to `slots` marks of random kinds over each image; the images, and the coverage of
    each kind (n, len(MARKS), s, s).
    """
    count, size = len(images), images.shape[-1]
    coverage = torch.zeros(count, len(MARKS), size, size)
    rows, blurred = torch.arange(count), F.avg_pool2d(images, 7, 1, 3, count_include_pad=False)
    for _ in range(slots):
        kind = torch.randint(len(MARKS), (count,), generator=generator)
        softness = torch.where(kind == MARKS.index("bump"), 3.0, 0.6)[:, None, None]
        alpha = torch.sigmoid(-mark_distances(generator, count, size)[rows, kind] / softness)
        alpha = alpha * (torch.rand((count, 1, 1), generator=generator) < 0.7)
        strength = (
            0.6
            * uniform(generator, -2.3, 0, count, 1, 1, 1).exp()
            * torch.sign(uniform(generator, -1, 1, count, 1, 1, 1))
        )
        paint = torch.rand((count, 3, 1, 1), generator=generator)
        painted = torch.where(
            torch.rand((count, 1, 1, 1), generator=generator) < 0.3,
            paint.expand_as(images),
            images + strength,
        )
        grainy = images + strength * torch.randn((count, 1, size, size), generator=generator)
        choice = kind[:, None, None, None]
        painted = torch.where(
            choice == MARKS.index("blur"),
            blurred,
            torch.where(choice == MARKS.index("grain"), grainy, painted),
        )
        images = images + alpha[:, None] * (painted - images)
        coverage[rows, kind] = torch.maximum(coverage[rows, kind], alpha)
    return images, coverage


def photographed(generator: Generator, images: Tensor) -> Tensor:
    """Uneven light, exposure, blur and noise, each of random strength; clamped to [0, 1]."""
    count, size = len(images), images.shape[-1]
    u, _ = turned(generator, count, size)
    light = 1 + uniform(generator, 0, 0.4, count, 1, 1) * torch.tanh(u / size)
    gain, offset = (
        uniform(generator, 0.6, 1.2, count, 1, 1, 1),
        uniform(generator, -0.15, 0.2, count, 1, 1, 1),
    )
    images = images * light[:, None] * gain + offset
    soft = uniform(generator, -0.8, 1, count, 1, 1, 1).clamp(min=0)
    images = images + soft * (F.avg_pool2d(images, 3, 1, 1, count_include_pad=False) - images)
    noise = torch.randn((count, 1, size, size), generator=generator)
    return (images + uniform(generator, -0.03, 0.03, count, 1, 1, 1).clamp(min=0) * noise).clamp(
        0, 1
    )


def compose(generator: Generator, fields: Tensor, labels: Tensor, count: int, size: int) -> Scenes:
    """`count` scenes of `size` pixels out of random crops of `fields` (n, side, side), side >=
    size, with `labels` (n,).
    """
    pick = torch.randint(len(fields), (count * REGIONS,), generator=generator)
    corner = torch.randint(
        fields.shape[-1] - size + 1, (count * REGIONS, 2), generator=generator
    ).tolist()
    crops = torch.stack(
        [
            fields[i, y : y + size, x : x + size]
            for i, (y, x) in zip(pick.tolist(), corner, strict=True)
        ]
    )
    layers = coloured(generator, crops).reshape(count, REGIONS, 3, size, size)
    regions = region_shares(generator, count, size)
    images, marks = marked(generator, (layers * regions[:, :, None]).sum(1))
    return Scenes(
        photographed(generator, images), labels[pick].reshape(count, REGIONS), regions, marks
    )
