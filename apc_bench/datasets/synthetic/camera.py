"""What stands between a scene and its picture: uneven light, lens blur, exposure, gamma and sensor
noise.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from apc_bench.datasets.synthetic.fields import Field, grid, smooth_noise

_GAMMA = 2.2


@dataclass(frozen=True, slots=True)
class Camera:
    """One exposure: everything that varies between two photos of the same scene.

    light: (h, w, 3), relative to 1. blur: standard deviation of the lens blur in pixels. noise: (h,
    w, 3), standard deviation 1, scaled by `read_noise` (grey levels) and by the square root of the
    signal.
    """

    light: Field
    blur: float
    noise: Field
    read_noise: float

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Self:
        """An exposure of `size` by `size` pixels."""
        x, y = grid(size)
        direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.12)
        along = (x - 0.5) * np.cos(direction) + (y - 0.5) * np.sin(direction)
        gradient = 1 + strength * 2 * along
        vignette = 1 - rng.uniform(0.05, 0.2) * ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2
        uneven = 1 + 0.02 * smooth_noise(rng, size, 3)
        exposure = np.exp(rng.normal(0.0, 0.03))
        balance = np.exp(rng.normal(0.0, 0.006, 3))
        light = (gradient * vignette * uneven * exposure)[:, :, None] * balance
        blur = rng.uniform(0.35, 0.55) * max(1.0, size / 128)
        read_noise = rng.uniform(0.8, 1.4)
        return cls(light, blur, rng.standard_normal((size, size, 3)), read_noise)

    def develop(self, surface: Field) -> Field:
        """Reflectance (h, w, 3), 0 to 1 -> grey levels (h, w, 3), 0 to 255, without noise."""
        exposed = ndimage.gaussian_filter(
            surface * self.light, (self.blur, self.blur, 0), mode="nearest"
        )
        return np.asarray(255 * np.clip(exposed, 0.0, 1.0) ** (1 / _GAMMA))

    def expose(self, developed: Field) -> NDArray[np.uint8]:
        """Grey levels -> the picture (h, w, 3), uint8; each pixel depends on its own grey level
        alone.
        """
        noise = self.noise * (self.read_noise + 0.08 * np.sqrt(developed))
        return np.clip(np.rint(developed + noise), 0, 255).astype(np.uint8)
