"""PatchCore (docs/method.md section 2): a memory bank of normal patch features, and the distance to
it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from apc_bench.bank.coreset import compared, greedy_coreset
from apc_bench.bank.holes import closing
from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.patchcore_scoring import FittedPatchCore
from apc_bench.detectors.protocol import Fitted, Images, Timings, Trained, Training
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.detectors import PatchCoreSettings
from apc_bench.settings.search import FaissSearch
from apc_bench.settings.sweep import Method


class PatchCore:
    """PatchCore on frozen weights; as a base, on any extractor."""

    settings: PatchCoreSettings

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, PatchCoreSettings)
        self.backbone, self.messages = load_backbone(method.backbone, weights)
        layers = self.backbone.select(method.settings.layers)
        self.settings = method.settings.model_copy(update={"layers": layers})
        self.frozen = self.backbone.key(sha256)

    def train(self, data: Training) -> Trained:
        """Never called: it has nothing to train."""
        raise NotImplementedError("PatchCore has nothing to train")

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Builds the memory bank from `data.normal`."""
        return self._fit(data, self.extractor(trained), data.normal, remembered=self.frozen)

    def extractor(self, trained: Path | None) -> Backbone:
        """The network whose features fill the memory bank and are compared with it; `trained`: the
        weights that `train` gave.
        """
        return self.backbone

    def _fit(
        self, data: Training, backbone: Backbone, images: Images, *, remembered: str | None
    ) -> "FittedPatchCore":
        """`images`: those of `data.normal` that fill the bank."""
        source = FeatureSource(
            backbone,
            self.settings,
            device=data.device,
            memo=data.memo,
            remembered=remembered,
            progress=data.progress,
        )
        started = time.perf_counter()
        most = self.settings.patches_max
        patches = kept_patches(source, images, most, among=data.normal, seed=data.seed)
        seconds = source.seconds
        told = partial(data.progress, "coreset")
        chosen = choose(patches, self.settings, seed=data.seed, progress=told)
        groups = _group_numbers(data.normal)
        calibrating = data.calibration
        if calibrating is None or (calibrating and self.settings.controlled):
            calibrating = data.normal
        points = compared(patches.vectors, self.settings.projection_dim, seed=data.seed)
        closed = closing(
            points,
            chosen.to(points.device),
            patches.group.to(points.device),
            sorted(groups[name] for name in set(calibrating.groups)),
            progress=partial(data.progress, "holes to calibrate with"),
        )
        return FittedPatchCore(
            source=source,
            bank=patches.bank(chosen, self.settings.approximate_search),
            fillers={group: patches.bank(rows.cpu()) for group, rows in closed.items()},
            settings=self.settings,
            data=data,
            groups=groups,
            timings=Timings(seconds, time.perf_counter() - started - seconds),
            notes=(*self.messages, *backbone.notes(data.normal.array.shape[-1])),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Patch features (n, d) float32 of some of the normal images, and each one's number among all
    patches of these, ascending, on the CPU; `grid`: rows and columns of an image's patches. Of each
    image `position`, int32, among the normal images, and `number_of_group`, int32.
    """

    vectors: Tensor
    numbers: Tensor
    grid: tuple[int, int]
    position: Tensor
    number_of_group: Tensor

    @property
    def image(self) -> Tensor:
        """The number of each patch's image."""
        return self.numbers // (self.grid[0] * self.grid[1])

    @property
    def group(self) -> Tensor:
        """The number of each patch's group, int32."""
        return self.number_of_group[self.image]

    def bank(self, rows: Tensor, search: FaissSearch | None = None) -> MemoryBank:
        """The bank of the patches at `rows` (m,) int64 on the CPU, on the features' device."""
        vectors = self.vectors[rows.to(self.vectors.device)].contiguous()
        each = self.grid[0] * self.grid[1]
        image, patch = self.numbers[rows] // each, self.numbers[rows] % each
        return MemoryBank(
            vectors=vectors,
            image=self.position[image],
            row=(patch // self.grid[1]).short(),
            column=(patch % self.grid[1]).short(),
            group=self.number_of_group[image].to(vectors.device),
            search=search,
        )


def choose(
    patches: Patches,
    settings: PatchCoreSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Those that the greedy coreset keeps, ratio or `bank_max`, by position, int64 on the CPU.
    `progress`: as `greedy_coreset`'s. Raises UsageError where they are too few for the settings'
    search.
    """
    count = max(1, int(len(patches.vectors) * settings.coreset_ratio))
    if settings.bank_max:
        count = min(count, settings.bank_max)
    search = settings.approximate_search
    if search is not None:
        from apc_bench.bank.faiss_index import check_size  # faiss is loaded where it is used

        check_size(search, patches.vectors.shape[1], count)
    return greedy_coreset(
        patches.vectors,
        count,
        projection_dim=settings.projection_dim,
        starting_points=settings.starting_points,
        seed=seed,
        progress=progress,
    )


def kept_patches(
    source: FeatureSource, images: Images, most: int | None, *, among: Images, seed: int
) -> Patches:
    """Of all images, some `among` the normal ones, or `most` of the patches at random, on the
    source's device. Filled batch by batch: what is not kept is never held, and joining a list would
    hold everything twice.
    """
    patches, kept = torch.empty(0), torch.empty(0, dtype=torch.int64)
    done = 0
    for part, features in source.over(images, "features"):
        each, dimension = features.shape[1:]
        if not len(kept):
            kept = _some_of(len(images) * each, most, seed=seed)
            patches = features.new_empty((len(kept), dimension))
        upto = int(torch.searchsorted(kept, part.stop * each))
        rows = kept[done:upto] - part.start * each
        patches[done:upto] = features.flatten(0, 1)[rows.to(features.device)]
        done = upto
    position_of = {int(row): position for position, row in enumerate(among.rows)}
    position = [position_of[int(row)] for row in images.rows]
    numbers = _group_numbers(among)
    group = [numbers[name] for name in images.groups]
    of_image = (torch.tensor(known, dtype=torch.int32) for known in (position, group))
    return Patches(patches, kept, source.grid, *of_image)


def _group_numbers(images: Images) -> dict[str, int]:
    """Each group's place in the groups' alphabet."""
    return {name: number for number, name in enumerate(sorted(set(images.groups)))}


def _some_of(total: int, most: int | None, *, seed: int) -> Tensor:
    """Numbers below `total`, ascending: all, or `most` of them at random."""
    if not most or most >= total:
        return torch.arange(total)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:most].sort().values
