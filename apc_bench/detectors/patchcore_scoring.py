"""Scoring of PatchCore: each patch's distance to the memory bank (docs/method.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from apc_bench.bank.memory_bank import MemoryBank, Nearest, Searched, reweight
from apc_bench.bank.without_group import WithoutGroup
from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.protocol import Images, Scored, Timings, Training
from apc_bench.settings.detectors import PatchCoreSettings


@dataclass(frozen=True, slots=True, eq=False)
class FittedPatchCore:
    """A memory bank and the extractor that fills it: scores images by their patches' distance to
    the bank.

    `groups`: the numbers in the bank of the training images' groups. `fillers`: by these, of groups
    that calibrate, what closes the hole that the group leaves in the bank.
    """

    source: FeatureSource
    bank: MemoryBank
    fillers: Mapping[int, MemoryBank]
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

        A training image is scored as a new one would be: against the bank without its group.
        """
        stage, parts = "search", []
        for part, features in self.source.over(images, stage):
            groups = images.groups[part]
            if self.groups.keys().isdisjoint(groups):
                parts.append(self._score(features, self.bank))
                continue
            for done, (one, group) in enumerate(
                zip(torch.split(features, 1), groups, strict=True), part.start + 1
            ):
                parts.append(self._score(one, self._compared_with(group)))
                self.data.progress(stage, done, len(images))
        return Scored.join(parts)

    def _compared_with(self, group: str) -> Searched:
        """What an image of this group is compared with."""
        number = self.groups.get(group)
        if number is None:
            return self.bank
        return WithoutGroup(self.bank, number, self.fillers.get(number))

    def calibration_images(self) -> Images:
        """The held-out images; without them, all training images."""
        images = self.data.normal if self.data.calibration is None else self.data.calibration
        return self._comparable(images)

    def _comparable(self, images: Images) -> Images:
        """Those for whom there is something to compare with."""
        groups = {group for group in set(images.groups) if len(self._compared_with(group))}
        return images.at([at for at, group in enumerate(images.groups) if group in groups])

    def calibrate(self) -> tuple[Images, Scored]:
        """`calibration_images` with the scores that `score` gives them, and no maps."""
        images = self.calibration_images()
        return images, self._farthest(images, "calibration")

    def control(self) -> tuple[Images, Scored]:
        """Where some normal images are held out, the others, scored as those."""
        learned = self.data.learnable if self.data.calibration else self.data.learnable.at([])
        images = self._comparable(learned)
        return images, self._farthest(images, "distances to calibrate with")

    def _farthest(self, images: Images, stage: str) -> Scored:
        """The scores of training images, for which only the farthest patch of each is looked
        for.
        """
        parts = []
        for part, batch in self.source.over(images, stage):
            for features, group in zip(batch, images.groups[part], strict=True):
                bank = self._compared_with(group)
                patches, found = bank.farthest(features)
                worst = self._values(found).argmax()[None]
                patch, near = patches[worst], Nearest(found.distance[worst], found.index[worst])
                parts.append(self._scored(features[patch], patch, near, bank))
                self.data.progress(stage, len(parts), len(images))
        return Scored.join(parts)

    def _score(self, features: Tensor, bank: Searched) -> Scored:
        """features (n, patches, dimension) -> scores."""
        count, patches, _ = features.shape
        found = bank.nearest(features.flatten(0, 1))
        values = self._values(found).reshape(count, patches)
        worst = values.argmax(dim=1)
        each = torch.arange(count, device=values.device)
        at = each * patches + worst
        near = Nearest(found.distance[at], found.index[at])
        scored = self._scored(features[each, worst], worst, near, bank)
        maps = values.reshape(count, *self.source.grid)
        return replace(scored, maps=maps.cpu().numpy())

    def _values(self, found: Nearest) -> Tensor:
        """Distances (q,) to the nearest vector, in the maps' unit."""
        squared = found.distance[:, 0]
        return squared if self.settings.distance == "squared" else squared.sqrt()

    def _scored(
        self,
        vectors: Tensor,
        worst: Tensor,
        near: Nearest,
        bank: Searched,
    ) -> Scored:
        """Image scores, without maps, from the images' worst patches: their vectors (n, d), numbers
        (n,) and nearest bank vectors.
        """
        scores, nearest = self._values(near), near.index[:, 0]
        if self.settings.reweight_neighbours:
            scores = reweight(
                scores,
                vectors,
                nearest,
                bank,
                neighbours=self.settings.reweight_neighbours,
            )
        columns = self.source.grid[1]
        place = torch.stack([worst // columns, worst % columns], dim=1)
        return Scored(
            np.zeros((len(scores), 0, 0), np.float32),
            scores.cpu().numpy(),
            place.cpu().numpy(),
            bank.places(nearest).numpy(),
            near.distance[:, 0].cpu().numpy(),
        )
