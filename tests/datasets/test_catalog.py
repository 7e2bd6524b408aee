"""MVTec AD is known by its counts, and nothing else is taken for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from apc_bench.datasets.catalog import is_mvtec_ad
from apc_bench.datasets.counts import PUBLISHED
from apc_bench.datasets.samples import Category, Dataset, Sample


def category_of(name: str) -> Category:
    train, good, types = PUBLISHED["mvtec_ad"][name]
    samples = [
        Sample(f"train/good/{i}.png", None, "good", True, f"train/good/{i}.png")
        for i in range(train)
    ]
    for kind, count in {"good": good, **types}.items():
        samples += [
            Sample(f"test/{kind}/{i}.png", None, kind, False, f"test/{kind}/{i}.png")
            for i in range(count)
        ]
    return Category(name, Path(name), tuple(samples))


def dataset_of(*categories: Category) -> Dataset:
    return Dataset("d", Path("d"), categories)


def test_the_counts_of_mvtec_ad_are_those_of_its_paper():
    counts = PUBLISHED["mvtec_ad"].values()
    assert len(counts) == 15
    assert sum(train for train, _, _ in counts) == 3629
    assert sum(good for _, good, _ in counts) == 467
    assert sum(sum(types.values()) for _, _, types in counts) == 1258
    assert sum(len(types) for _, _, types in counts) == 73


@pytest.mark.parametrize("name", PUBLISHED["mvtec_ad"])
def test_each_category_alone_is_known(name):
    assert is_mvtec_ad(dataset_of(category_of(name)))


def test_one_image_less_or_another_name_is_another_dataset():
    bottle, cable = category_of("bottle"), category_of("cable")
    assert is_mvtec_ad(dataset_of(bottle, cable))
    assert not is_mvtec_ad(dataset_of(bottle, replace(cable, samples=cable.samples[1:])))
    assert not is_mvtec_ad(dataset_of(bottle, replace(cable, samples=cable.samples[:-1])))
    assert not is_mvtec_ad(dataset_of(replace(bottle, name="cable")))
    assert not is_mvtec_ad(dataset_of(replace(bottle, name="flask")))
    renamed = tuple(
        replace(sample, defect_type="crack") if sample.defect_type == "contamination" else sample
        for sample in bottle.samples
    )
    assert not is_mvtec_ad(dataset_of(replace(bottle, samples=renamed)))
