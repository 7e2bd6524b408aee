"""Fine-tuning and memory bank on the same or on separate normal images."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import apc_bench, make_category

from apc_bench.detectors.normal_split import split_normals
from apc_bench.detectors.protocol import Images
from apc_bench.settings.detectors import ApcPlusSettings, ApcSettings

SMALL = "pretrain_dim: 32, target_dim: 32, coreset_ratio: 1, steps: 2, batch: 4"
JOB = f"""
image_size: 32
reserve: 2
shots: [2]
seeds: [0]
features: bank
methods:
  shared: {{detector: apc, backbone: builtin, settings: {{{SMALL}}}}}
  separate: {{detector: apc, backbone: builtin, settings: {{{SMALL}, normals: separate}}}}
  half: {{detector: apc, backbone: builtin, settings: {{{SMALL}, normals: half}}}}
  plus: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, normals: separate, classifier_steps: 5}}}}
"""


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(0, 99))
def test_halves_share_no_group_and_lose_no_image(numbers, seed):
    groups = tuple(f"g{number}" for number in numbers)
    images = Images(
        np.zeros((99, 3, 1, 1), np.uint8),
        np.arange(len(groups)) * 3,
        tuple(f"i{n}" for n in range(len(groups))),
        groups,
    )
    first, second = split_normals(images, seed)
    assert sorted(first.names + second.names) == sorted(images.names)
    assert not set(first.groups) & set(second.groups)
    for half in (first, second):
        assert [f"i{row // 3}" for row in half.rows] == list(half.names)
    largest = max(groups.count(group) for group in groups)
    assert abs(len(first) - len(second)) <= largest


@pytest.fixture(scope="module")
def banks(tmp_path_factory) -> dict[str, set[str]]:
    place: Path = tmp_path_factory.mktemp("halves")
    make_category(place / "data", train=40, good=4, defects=5)
    (place / "job.yaml").write_text(JOB)
    options = ("--job", place / "job.yaml", "--data", place / "data", "--executor", "serial")
    output = apc_bench(
        "sweep", "--no-page", *options, "--run", place / "run", "--cache", place / "cache"
    ).output
    assert "7 steps done" in output, "the two kinds of halves share one fine-tuning"
    frame = pl.read_parquet(f"{place}/run/features/**/*.parquet", hive_partitioning=True)
    return {str(method): set(rows["image"]) for (method,), rows in frame.group_by("method")}


def test_the_bank_is_of_the_other_half_and_names_its_images(banks):
    assert len(banks["shared"]) == 40, "held-out images are in the bank too"
    assert len(banks["separate"]) == len(banks["half"]) == 20
    assert not banks["separate"] & banks["half"]
    assert banks["separate"] | banks["half"] == banks["shared"]
    assert banks["plus"] == banks["separate"]


def test_ids_of_shared_normal_images_are_what_they_were():
    for kind in (ApcSettings, ApcPlusSettings):
        assert "normals" not in {**kind().identity(), **kind().training()}
        assert kind(normals="separate").identity()["normals"] == "separate"
        assert (
            kind(normals="separate").training()
            == kind(normals="half").training()
            != kind().training()
        )
