"""How far each pixel is from the normal images' mean, in standard deviations."""

import numpy as np

from apc_bench.detectors.normal_split import split_normals
from apc_bench.detectors.protocol import Scored, Timings
from apc_bench.settings.detectors import DetectorSettings


class Settings(DetectorSettings):
    floor: float = 4.0  # grey levels: the smallest deviation that counts as one


class Deviation:
    settings_class = Settings
    unit, bank, timings, notes = "standard score", None, Timings(), ()

    def __init__(self, method, weights, sha256):
        self.floor, self.sigma = method.settings.floor, method.settings.sigma

    def train(self, data):
        raise NotImplementedError("nothing to fine-tune")

    def fit(self, data, trained):
        # whole groups, so that the threshold is of parts it has not seen
        learned, self.held_out = split_normals(data.normal, data.seed)
        pixels = learned.array[learned.rows].astype(np.float32)
        self.mean, self.deviation = pixels.mean(0), np.maximum(pixels.std(0), self.floor)
        return self

    def score(self, images):
        pixels = images.array[images.rows].astype(np.float32)
        maps = (np.abs(pixels - self.mean) / self.deviation).mean(1)
        worst = np.unravel_index(maps.reshape(len(maps), -1).argmax(1), maps.shape[1:])
        return Scored(maps, maps.max((1, 2)), np.stack(worst, 1))

    def calibrate(self):
        return self.held_out, self.score(self.held_out)
