"""PatchCore (docs/method.md section 2): a memory bank of normal patch features, and the distance to
it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.bank.memory_bank import MemoryBank, reweight
from apc_bench.detectors.features import BATCH, FeatureSource
from apc_bench.detectors.protocol import Fitted, Images, Scored, Timings, Trained, Training
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.detectors import PatchCoreSettings
from apc_bench.settings.sweep import Method


class PatchCore:
    """PatchCore on frozen weights; as a base, on any extractor."""

    settings: PatchCoreSettings

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, PatchCoreSettings)
        self.settings = method.settings
        self.sha256 = sha256
        self.backbone, self.messages = load_backbone(method.backbone, weights)
        for layer in self.settings.layers:
            self.backbone.require(layer)

    def train(self, data: Training) -> Trained:
        """Never called: it has nothing to train."""
        raise NotImplementedError("PatchCore has nothing to train")

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Builds the memory bank from `data.normal`."""
        return self._fit(data, self.backbone, data.normal, remembered=self.sha256)

    def _fit(
        self, data: Training, backbone: Backbone, images: Images, *, remembered: str | None
    ) -> "FittedPatchCore":
        """`images`: those of `data.normal` that fill the bank."""
        source = FeatureSource(
            backbone, self.settings, device=data.device, memo=data.memo, remembered=remembered
        )
        bank, seconds = build_bank(source, images, self.settings, seed=data.seed, among=data.normal)
        return FittedPatchCore(
            source=source,
            bank=bank,
            settings=self.settings,
            data=data,
            groups=_group_numbers(data.normal.groups),
            timings=Timings(source.seconds, seconds),
            notes=tuple(self.messages),
        )


def build_bank(
    source: FeatureSource, images: Images, settings: PatchCoreSettings, *, seed: int, among: Images
) -> tuple[MemoryBank, float]:
    """Patch features of all images, at most `patches_max` of them at random, thinned by the greedy
    coreset to ratio or `bank_max`, on the source's device; and the seconds that the coreset took.

    The bank names an image by its position among `among`.
    """
    patches, kept = _kept_patches(source, images, settings.patches_max, seed=seed)
    started = time.perf_counter()
    count = max(1, int(len(patches) * settings.coreset_ratio))
    if settings.bank_max:
        count = min(count, settings.bank_max)
    chosen = greedy_coreset(
        patches,
        count,
        projection_dim=settings.projection_dim,
        starting_points=settings.starting_points,
        seed=seed,
    )
    vectors = patches[chosen].contiguous()
    origin = kept[chosen.cpu()]
    rows, columns = source.grid
    image, patch = origin // (rows * columns), origin % (rows * columns)
    number_of = _group_numbers(among.groups)
    groups = torch.tensor([number_of[name] for name in images.groups], dtype=torch.int32)
    bank = MemoryBank(
        vectors=vectors,
        image=_positions(images, among)[image],
        row=(patch // columns).short(),
        column=(patch % columns).short(),
        group=groups[image].to(vectors.device),
    )
    return bank, time.perf_counter() - started


def _positions(images: Images, among: Images) -> Tensor:
    """Where each image stands in `among`, int32."""
    position_of = {int(row): position for position, row in enumerate(among.rows)}
    return torch.tensor([position_of[int(row)] for row in images.rows], dtype=torch.int32)


def _group_numbers(groups: Sequence[str]) -> dict[str, int]:
    """Each group's place in the groups' alphabet."""
    return {name: number for number, name in enumerate(sorted(set(groups)))}


def _kept_patches(
    source: FeatureSource, images: Images, most: int | None, *, seed: int
) -> tuple[Tensor, Tensor]:
    """(patches, dimension) of all images, or `most` of them at random, and their numbers,
    ascending. Filled batch by batch: what is not kept is never held, and joining a list would hold
    everything twice.
    """
    patches, kept = torch.empty(0), torch.empty(0, dtype=torch.int64)
    done = 0
    for part in images.batches(BATCH):
        features = source(images, part)
        each, dimension = features.shape[1:]
        if not len(kept):
            kept = _some_of(len(images) * each, most, seed=seed)
            patches = features.new_empty((len(kept), dimension))
        upto = int(torch.searchsorted(kept, part.stop * each))
        rows = kept[done:upto] - part.start * each
        patches[done:upto] = features.flatten(0, 1)[rows.to(features.device)]
        done = upto
    return patches, kept


def _some_of(total: int, most: int | None, *, seed: int) -> Tensor:
    """Numbers below `total`, ascending: all, or `most` of them at random."""
    if not most or most >= total:
        return torch.arange(total)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:most].sort().values


@dataclass(frozen=True, slots=True, eq=False)
class FittedPatchCore:
    """A memory bank and the extractor that fills it: scores images by their patches' distance to
    the bank. `groups`: the numbers in the bank of the training images' groups.
    """

    source: FeatureSource
    bank: MemoryBank
    settings: PatchCoreSettings
    data: Training
    groups: Mapping[str, int]
    timings: Timings
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Of the distances, as the settings say."""
        return "squared distance" if self.settings.distance == "squared" else "distance"

    @property
    def sigma(self) -> float:
        """Of the settings."""
        return self.settings.sigma

    def score(self, images: Images) -> Scored:
        """Scores by the distance of each patch to its nearest bank vector; the image score is the
        largest, before any smoothing.

        A training image is compared with the bank less the rows of its own group: as a new image
        meets it.
        """
        own = [self.groups.get(group) for group in images.groups]
        parts = []
        for part in images.batches(BATCH):
            features = self.source(images, part)
            if any(group is not None for group in own[part]):
                for one, group in zip(torch.split(features, 1), own[part], strict=True):
                    parts.append(self._score(one, exclude=group))
            else:
                parts.append(self._score(features))
        return Scored.join(parts)

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out images; without them, all training images."""
        images = self.data.normal if self.data.calibration is None else self.data.calibration
        if len(self.groups) < 2:
            # A bank of a single group has nothing else to compare with.
            return images.at([]), _nothing(self.source.grid)
        return images, self.score(images)

    def _score(self, features: Tensor, *, exclude: int | None = None) -> Scored:
        """features (n, patches, dimension) -> scores; `exclude`: the group whose bank rows are left
        out.
        """
        count, patches, _ = features.shape
        found = self.bank.nearest(features.flatten(0, 1), exclude_group=exclude)
        squared = found.distance[:, 0].reshape(count, patches)
        index = found.index[:, 0].reshape(count, patches)
        values = squared if self.settings.distance == "squared" else squared.sqrt()
        worst = values.argmax(dim=1)
        each = torch.arange(count, device=values.device)
        scores, nearest, distance = values[each, worst], index[each, worst], squared[each, worst]
        if self.settings.reweight_neighbours:
            scores = reweight(
                scores,
                features[each, worst],
                nearest,
                self.bank,
                neighbours=self.settings.reweight_neighbours,
                exclude_group=exclude,
            )
        rows, columns = self.source.grid
        place = torch.stack([worst // columns, worst % columns], dim=1)
        return Scored(
            values.reshape(count, rows, columns).cpu().numpy(),
            scores.cpu().numpy(),
            place.cpu().numpy(),
            nearest.cpu().numpy(),
            distance.cpu().numpy(),
        )


def _nothing(grid: tuple[int, int]) -> Scored:
    """The scores of no image."""
    none, index = np.zeros(0, np.float32), np.zeros(0, np.int64)
    return Scored(np.zeros((0, *grid), np.float32), none, np.zeros((0, 2), np.int64), index, none)
