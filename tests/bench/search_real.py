"""The exact search on features of real images: the rate of its products, in integers and in floats
alone, and what the calibration of a frozen detector costs beside it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from bench import inputs
from bench.figure import Figure, fastest
from bench.search import bank_of, matrix_rate

from apc_bench.bank import search
from apc_bench.bank.coreset import compared, greedy_coreset
from apc_bench.bank.holes import closing
from apc_bench.bank.rankers import fast_integers
from apc_bench.bank.without_group import WithoutGroup
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.loading import load_backbone
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded

BANK, TRAINED, TESTED = 16384, 80, 10
"""Vectors of the bank, random patches of so many training images; test images whose patches are
looked for.
"""

CALIBRATED = 16
"""Training images that are calibrated, in a bank of a tenth of all training images' patches."""


@dataclass(frozen=True, slots=True)
class Source:
    """Images of one category and a backbone."""

    category: Category
    backbone: str
    images: np.ndarray

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.category.name}, {self.backbone}"

    def patches(self, rows: np.ndarray, network: Backbone) -> torch.Tensor:
        """Of some images: (n, patches, 1024) float32."""
        return inputs.patches_of(network, self.images, rows)

    def rows(self, *, training: bool) -> np.ndarray:
        """Rows of the training or the test images, in a random order."""
        samples = self.category.samples
        rows = [row for row, sample in enumerate(samples) if sample.training == training]
        return np.random.default_rng(0).permutation(rows)


def figures() -> list[Figure]:
    """Rates of each category and backbone."""
    torch.set_num_threads(inputs.THREADS)
    rate = matrix_rate()
    found = []
    for source in _sources():
        network = load_backbone(source.backbone, inputs.REAL_WEIGHTS[source.backbone])[0].eval()
        found += _search(source, network, rate)
        if source.category.name in inputs.REAL_CATEGORIES:
            found.append(_calibration(source, network))
    return found


def _sources() -> list[Source]:
    cache = Cache(Path(os.environ["APC_BENCH_INPUTS"]) / "real")
    sources = []
    for dataset in ("mvtec_ad", "mtd"):
        for category in read_dataset(inputs.SHARED / "data" / dataset).categories:
            geometry = Geometry(inputs.REAL_SIZE, "crop", "bilinear")
            images = decoded(cache, category, category.name, geometry).images
            sources += [Source(category, name, images) for name in inputs.REAL_WEIGHTS]
    return sources


def _search(source: Source, network: Backbone, rate: float) -> list[Figure]:
    patches = source.patches(source.rows(training=True)[:TRAINED], network).flatten(0, 1)
    chosen = np.random.default_rng(0).permutation(len(patches))[:BANK]
    vectors = patches[torch.from_numpy(chosen)]
    queries = source.patches(source.rows(training=False)[:TESTED], network).flatten(0, 1)
    bank = bank_of(vectors)
    seconds, nearest = fastest(lambda: bank.nearest(queries))
    with mock.patch.object(search, "fast_integers", return_value=False):
        floats = bank_of(vectors)
    floats_seconds, same = fastest(lambda: floats.nearest(queries), 2)
    assert torch.equal(nearest.index, same.index)
    assert torch.equal(nearest.distance, same.distance)
    work = 2 * len(queries) * BANK * queries.shape[1]
    size = f"search of {len(queries):,} patches in {BANK:,}, {source.name}"
    integers = fast_integers(queries.device)
    return [
        Figure(
            what=size,
            value=work / seconds / 1e9,
            unit="GFLOP/s",
            at_least=300 if integers else None,
            how=f"{seconds:.2f} s; {100 * work / seconds / rate:.0f} % of the matrix rate",
        ),
        Figure(
            what=f"{size}: in float32 alone, share of the matrix rate",
            value=100 * work / floats_seconds / rate,
            unit="%",
            at_least=80,
            how=f"{floats_seconds:.2f} s; {rate / 1e9:.0f} GFLOP/s; the same bits",
        ),
    ]


def _calibration(source: Source, network: Backbone) -> Figure:
    patches = source.patches(np.sort(source.rows(training=True)), network)
    count, each, dimension = patches.shape
    flat = patches.view(-1, dimension)
    picks = greedy_coreset(flat, len(flat) // 10, seed=0)
    bank = bank_of(flat[picks], picks // each)
    points = compared(flat, 128, seed=0)
    image = torch.arange(count).repeat_interleave(each)
    closed_in, fillers = fastest(lambda: closing(points, picks, image, range(count)), 1)
    chosen = np.random.default_rng(1).permutation(count)[:CALIBRATED].tolist()
    banks = {}
    for of in chosen:
        rows = fillers.get(of)
        filler = None if rows is None else bank_of(flat[rows], rows // each)
        banks[of] = WithoutGroup(bank, of, filler)

    def farthest(of: int) -> float:
        return float(banks[of].farthest(patches[of])[1].distance.max())

    def plain(of: int) -> float:
        return float(banks[of].nearest(patches[of]).distance.max())

    ours, found = fastest(lambda: [farthest(one) for one in chosen])
    whole, expected = fastest(lambda: [plain(one) for one in chosen], 2)
    assert found == expected
    search_of_all = whole * count / CALIBRATED
    return Figure(
        what=f"calibration, {source.name}, bank of {len(bank):,}: share of a search of all patches",
        value=ours / whole + closed_in / search_of_all,
        unit="",
        at_most=0.5,
        how=f"search {ours / whole:.2f}: {CALIBRATED} images, {ours:.2f} s against {whole:.2f} s, the"
        f" same scores; closing holes {closed_in / search_of_all:.2f}: {closed_in:.1f} s for {count}",
    )
