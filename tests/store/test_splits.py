"""Splits: stored with hashes, groups and the draw, and read back as they were."""

from pathlib import Path

import polars as pl
import pytest
from store_support import alter

from apc_bench.datasets.samples import Category, Sample
from apc_bench.datasets.split import Assigned, Split, make_split
from apc_bench.errors import DamagedFile
from apc_bench.settings.protocols import Holdout


def test_the_split_is_stored_with_hashes_groups_and_the_draw(run):
    samples = [
        Sample("train/good/0.png", None, "good", True, "t"),
        Sample("test/good/0.png", None, "good", False, "g"),
    ]
    samples += [
        Sample(
            f"test/crack/{i}.png",
            f"ground_truth/crack/{i}_mask.png",
            "crack",
            False,
            f"c{i // 2}",
            "dev",
        )
        for i in range(4)
    ]
    category = Category("01", Path("01"), tuple(sorted(samples, key=lambda sample: sample.image)))
    split = make_split(
        category,
        {sample.image: sample.image[::-1] for sample in samples},
        Holdout(reserve=1),
        dataset="d",
        seed=3,
    )
    run.splits.write(split)
    assert run.split("01", 3) == split
    (path,) = (run.path / "splits").rglob("d/01/seed-3/*.parquet")
    frame = pl.read_parquet(path, hive_partitioning=False)
    assert frame["image"].to_list() == [sample.image for sample in category.samples]
    assert frame["sha256"].to_list() == [sample.image[::-1] for sample in category.samples]
    assert frame["split"].to_list() == [row.split for row in split.rows]
    assert frame["draw"].to_list() == [row.draw for row in split.rows]
    assert frame["group"].to_list() == [sample.group for sample in category.samples]
    assert frame.filter(pl.col("part") == "dev")["mask"].null_count() == 0
    assert frame["label"].sum() == 4


def test_a_split_that_is_damaged_is_named(run):
    split = Split(
        "d", "01", 0, 1, (Assigned(Sample("a", None, "good", True, "a"), "0", "train", None, True),)
    )
    run.splits.write(split)
    (path,) = (run.path / "splits").rglob("*.parquet")
    alter(path)
    with pytest.raises(DamagedFile, match=r"split\.parquet"):
        run.split("01", 0)
