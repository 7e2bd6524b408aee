"""Scoring of PatchCore: each patch's distance to the memory bank (docs/method.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from apc_bench.bank.memory_bank import MemoryBank, Nearest, reweight
from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.protocol import Images, Scored, Timings, Training
from apc_bench.settings.detectors import PatchCoreSettings


@dataclass(frozen=True, slots=True, eq=False)
class FittedPatchCore:
    """A memory bank and the extractor that fills it: scores images by their patches' distance to
    the bank.

    `held_out_bank`: that of the images that are not held out, for those that are. `groups`: the
    numbers in the banks of the training images' groups.
    """

    source: FeatureSource
    bank: MemoryBank
    held_out_bank: MemoryBank | None
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

        A training image is scored as a new one would be: a held-out one against the bank of those
        that are not, any other against the bank less the rows of its own group.
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
                parts.append(self._score(one, *self._compared_with(group)))
                self.data.progress(stage, done, len(images))
        return Scored.join(parts)

    def _compared_with(self, group: str) -> tuple[MemoryBank, int | None]:
        """The bank for an image of this group, and the group whose rows are left out of it."""
        calibration = self.data.calibration
        if self.held_out_bank is not None and calibration and group in calibration.groups:
            return self.held_out_bank, None
        return self.bank, self.groups.get(group)

    def calibration_images(self) -> Images:
        """The held-out images; without them, all training images. Only those for whom the bank has
        a row that is not of their own group.
        """
        images = self.data.normal if self.data.calibration is None else self.data.calibration
        groups = {group for group in set(images.groups) if self._is_comparable(group)}
        return images.at([at for at, group in enumerate(images.groups) if group in groups])

    def _is_comparable(self, group: str) -> bool:
        bank, left_out = self._compared_with(group)
        return left_out is None or bool((bank.group != left_out).any())

    def calibrate(self) -> tuple[Images, Scored]:
        """`calibration_images` with the scores that `score` gives them, and no maps: only the
        farthest patch of each is looked for.
        """
        images = self.calibration_images()
        if not images:
            return images, Scored.join([])
        bank, _ = self._compared_with(images.groups[0])  # the same for all of them
        stage, parts = "calibration", []
        for part, batch in self.source.over(images, stage):
            for features, group in zip(batch, images.groups[part], strict=True):
                _, exclude = self._compared_with(group)
                patches, found = bank.farthest(features, exclude_group=exclude)
                worst = self._values(found).argmax()[None]
                patch, near = patches[worst], Nearest(found.distance[worst], found.index[worst])
                parts.append(self._scored(features[patch], patch, near, bank, exclude))
                self.data.progress(stage, len(parts), len(images))
        return images, Scored.join(parts)

    def _score(self, features: Tensor, bank: MemoryBank, exclude: int | None = None) -> Scored:
        """features (n, patches, dimension) -> scores; `exclude`: the group whose bank rows are left
        out.
        """
        count, patches, _ = features.shape
        found = bank.nearest(features.flatten(0, 1), exclude_group=exclude)
        values = self._values(found).reshape(count, patches)
        worst = values.argmax(dim=1)
        each = torch.arange(count, device=values.device)
        at = each * patches + worst
        near = Nearest(found.distance[at], found.index[at])
        scored = self._scored(features[each, worst], worst, near, bank, exclude)
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
        bank: MemoryBank,
        exclude: int | None,
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
                exclude_group=exclude,
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
