"""Every command that is named to those with few defect photos works on them."""

import re
import shlex
from dataclasses import replace

import click
import pytest
from datasets_support import category_of, hashes

from apc_bench.cli.sweep import sweep
from apc_bench.datasets.fitting import fitting, way_out
from apc_bench.datasets.samples import Category
from apc_bench.datasets.split import make_split
from apc_bench.errors import DataError
from apc_bench.settings.job import sweep_from
from apc_bench.settings.protocols import Holdout

COUNTS = (2, 3, 4, 5, 6, 9, 10, 11, 19, 20, 40)


def photos(defects: int, *, own_pool: bool = False) -> Category:
    """Single photos; with a pool of its own, as many to draw from as to test."""
    category = category_of([1] * 4, 2, {"a": [1] * defects})
    if not own_pool:
        return category
    drawn = [
        replace(one, image=f"train/a/{at}", training=True, group=f"drawn {at}")
        for at, one in enumerate(category.samples)
        if one.anomalous
    ]
    return replace(category, samples=(*category.samples, *drawn))


def splits(category: Category, options: str):
    """Those of a sweep that is called with these options."""
    context = click.Context(sweep)
    sweep.parse_args(context, ["--data", "x", *shlex.split(options)])
    given = {name: context.params[name] for name in ("reserve", "shots", "protocol", "folds")}
    planned, _ = sweep_from("photos" if given["protocol"] else "paper", given)
    for seed in planned.seeds:
        yield (
            make_split(category, hashes(category), planned.evaluation, dataset="d", seed=seed),
            planned.shots,
        )


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("defects", COUNTS)
def test_the_command_that_fits_draws_and_leaves_some_to_test(defects, own_pool):
    category = photos(defects, own_pool=own_pool)
    options = fitting([category])
    assert options is not None
    for split, shots in splits(category, options):
        tested = sum(split.rows[row].sample.anomalous for row in split.where("test"))
        assert tested and len(split.drawn(None)) >= max(shots, default=1)
    assert ("crossfit" in options) == (defects < 20 and not own_pool)


def test_the_category_with_the_fewest_decides_and_one_photo_is_no_comparison():
    assert fitting([photos(40), photos(3)]) == " --protocol crossfit --folds 3"
    assert fitting([photos(40), photos(1)]) is None


@pytest.mark.parametrize("defects", [2, 3, 6, 10])
def test_a_reserve_that_is_too_large_is_answered_with_commands_that_are_not(defects):
    category = photos(defects)
    with pytest.raises(DataError) as refused:
        make_split(category, hashes(category), Holdout(10), dataset="d", seed=0)
    told = str(refused.value)
    assert f"category 'part' has {defects} defect photos, too few for a reserve of 10" in told
    ways = re.findall(
        r"(--(?:protocol crossfit|reserve \d+)(?: --(?:folds|shots) [\d,]*\d)?)", told
    )
    assert len(ways) == 2
    left = int(re.search(r"leaves (\d+) of them", told)[1])
    for options in ways:
        for split, _ in splits(category, options):
            tested = sum(split.rows[row].sample.anomalous for row in split.where("test"))
            assert tested == left if "reserve" in options else tested > 0


def test_where_other_photos_are_tested_all_may_be_drawn():
    assert way_out(4, apart=True) == "pass --reserve 4 --shots 1,4"
    assert way_out(1, apart=False) == way_out(0, apart=True) == "photograph more defects"
