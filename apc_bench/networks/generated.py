"""Generated anomalies for PRNet (docs/method.md section 4): noise-shaped pastes of textures, and
perturbations that stay in the distribution.

Everything is drawn and made on the CPU, so that a training sees the same pictures on every device.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from apc_bench.datasets.images import read_image
from apc_bench.datasets.tree import is_hidden, is_image
from apc_bench.errors import DataError, UsageError

AREA = (0.005, 0.12)
OPACITY = (0.3, 1.0)


def generate(
    images: Tensor, generator: Generator, textures: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """images (n, 3, s, s) float in 0..255 -> the same with an anomaly each, and their masks (n, s,
    s) float in {0, 1}.

    Half are pastes of a texture (of `textures` (m, 3, s, s), or procedural), half perturbations:
    another place of the same image, mirrored and shifted, which only its position gives away.
    """
    changed, masks = [], []
    for image in images:
        size = image.shape[-1]
        mask = noise_shape(size, generator)
        if _uniform(generator, 0, 1) < 0.5:
            source = _moved(image, generator)
        elif textures is None:
            source = procedural_texture(size, generator)
        else:
            chosen = int(torch.randint(len(textures), (), generator=generator))
            source = _moved(textures[chosen], generator)
        weight = mask * _uniform(generator, *OPACITY)
        changed.append(image + weight * (source - image))
        masks.append(mask)
    return torch.stack(changed), torch.stack(masks)


def noise_shape(size: int, generator: Generator) -> Tensor:
    """A mask (size, size) float in {0, 1}: where fractal noise under a round window is highest,
    AREA of the picture.
    """
    cells = 2 ** int(torch.randint(1, 6, (), generator=generator))
    noise = fractal_noise(size, generator, cells=cells)
    axis = (torch.arange(size) + 0.5) / size
    row, column = _uniform(generator, 0.1, 0.9), _uniform(generator, 0.1, 0.9)
    reach = _uniform(generator, 0.1, 0.35)
    height = noise - ((axis[:, None] - row).square() + (axis - column).square()) / reach**2
    share = float(np.exp(_uniform(generator, *np.log(AREA))))
    count = max(4, round(share * size * size))
    return (height >= height.flatten().topk(count).values[-1]).float()


def fractal_noise(size: int, generator: Generator, *, cells: int, octaves: int = 3) -> Tensor:
    """Noise (size, size) of mean about 0 and deviation about 1: octaves of a random lattice, each
    interpolated by cubics.
    """
    total = torch.zeros(size, size)
    for octave in range(octaves):
        points = cells * 2**octave + 1
        lattice = torch.randn((1, 1, points, points), generator=generator)
        smooth = F.interpolate(lattice, size=(size, size), mode="bicubic", align_corners=True)
        total += 0.5**octave * smooth[0, 0]
    return total / total.std().clamp(min=1e-6)


def procedural_texture(size: int, generator: Generator) -> Tensor:
    """A texture (3, size, size) in 0..255: clouds, stripes or spots between two random colours."""
    kind = int(torch.randint(3, (), generator=generator))
    cells = 2 ** int(torch.randint(2, 6, (), generator=generator))
    noise = fractal_noise(size, generator, cells=cells)
    axis = torch.arange(size) / size
    if kind == 0:
        level = torch.sigmoid(1.5 * noise)
    elif kind == 1:
        angle = _uniform(generator, 0, np.pi)
        along = np.cos(angle) * axis + np.sin(angle) * axis[:, None]
        level = 0.5 + 0.5 * torch.sin(2 * np.pi * _uniform(generator, 3, 20) * along + 0.5 * noise)
    else:
        level = (noise > _uniform(generator, -0.5, 1)).float()
    ends = 255 * torch.rand((2, 3, 1, 1), generator=generator)
    return ends[0] + level * (ends[1] - ends[0])


def read_textures(folder: Path, size: int) -> Tensor:
    """The folder's images (m, 3, size, size) float in 0..255, in the order of their names.

    Raises UsageError where there is no such folder or no image in it, DataError for a file that
    cannot be read.
    """
    paths = sorted(
        path for path in folder.rglob("*") if is_image(path.name) and not is_hidden(path.name)
    )
    if not paths:
        raise UsageError(
            f"textures: no image in {folder}; give a folder of PNG or JPEG files, or leave the"
            " setting out"
        )
    pictures = []
    for path in paths:
        try:
            pixels = np.asarray(read_image(path)).copy()
        except DataError as error:
            raise DataError(f"textures: {error}") from None
        picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        resized = F.interpolate(
            picture, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
        pictures.append(resized[0])
    return torch.stack(pictures)


def _moved(image: Tensor, generator: Generator) -> Tensor:
    """Rolled by a third to two thirds of its size, mirrored at random and a little brighter or
    darker.
    """
    size = image.shape[-1]
    shift = [round(size * _uniform(generator, 1 / 3, 2 / 3)) for _ in range(2)]
    turned = image.roll(shift, dims=(1, 2))
    if _uniform(generator, 0, 1) < 0.5:
        turned = turned.flip(2)
    return (turned * _uniform(generator, 0.8, 1.2)).clamp(0, 255)


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
