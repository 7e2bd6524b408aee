"""How many normal photos a threshold takes, against splits that are really drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.datasets.calibration import FINE_TUNED, FROZEN, calibrations, in_a_sweep
from apc_bench.datasets.hold_out import hold_out
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.split import make_split
from apc_bench.metrics.exact import calibrated_threshold, calibration_needed
from apc_bench.settings.protocols import Holdout

SYSTEMS = {FROZEN: ["PatchCore"], FINE_TUNED: ["APC", "PRNet"]}


def folder(root, good, *, plain, a_group=1):
    """Photos by name alone: nothing here reads pixels."""
    places = (
        {"good": good, "bad": 3} if plain else {"train/good": good, "test/good": 2, "test/x": 3}
    )
    for place, number in places.items():
        (root / place).mkdir(parents=True)
        for index in range(number):
            (root / place / f"{index:03}.png").touch()
    if a_group > 1:
        first = next(iter(places))
        rows = [f"{first}/{index:03}.png,part-{index // a_group}" for index in range(good)]
        (root / "groups.csv").write_text("\n".join(["image,group", *rows]))
    return root if plain else root.parent


def told_of(root, **more):
    dataset = read_dataset(root)
    (category,) = dataset.categories
    options = {"dataset": dataset.name, "seeds": (0, 1, 2), "false_alarms": 0.05, **more}
    return category, calibrations(category, SYSTEMS, **options)


@pytest.mark.parametrize(
    ("plain", "tuned", "photos"),
    [(False, False, 19), (False, True, 38), (True, False, 27), (True, True, 54)],
)
def test_the_number_that_is_said_is_the_fewest_that_gives_a_threshold(
    plain, tuned, photos, tmp_path
):
    for number in (photos - 1, photos):
        root = folder(tmp_path / f"{number}" / "part", number, plain=plain)
        category, found = told_of(root)
        hashes = {sample.image: sample.image for sample in category.samples}
        split = make_split(category, hashes, Holdout(1), dataset=root.name, seed=0)
        train = [row for row in split.rows if row.split == "train" and (row.held_out or not tuned)]
        threshold = calibrated_threshold(np.arange(len(train), dtype=float), alpha=0.05)
        one = found[tuned]
        assert (one.photos, one.photos_needed, one.images) == (number, photos, len(train))
        assert one.enough == (threshold.value is not None) == (number == photos)


@given(st.integers(1, 4000), st.integers(1, 3000))
def test_so_many_images_as_are_needed_set_a_threshold_and_one_less_does_not(thousandths, percents):
    for rate in (thousandths / 4001, 1 / (percents + 1)):
        needed = calibration_needed(rate)
        assert calibrated_threshold(np.zeros(needed + 1), alpha=rate).value is not None
        assert calibrated_threshold(np.zeros(max(0, needed - 1)), alpha=rate).value is None


def test_the_sentences_say_what_is_there_and_what_it_takes(tmp_path):
    _, found = told_of(folder(tmp_path / "bracket", 30, plain=True))
    overview, short, after = in_a_sweep(found)
    assert overview == (
        "a threshold at 5 % false alarms takes 19 normal images to calibrate with; there are:"
        " PatchCore 21; APC and PRNet 10"
    )
    assert short == (
        "bracket: no threshold for APC and PRNet: you have 30 good photos, they need 54 (10 of them"
        " calibrate, 5 % false alarms take 19)"
    )
    assert after.startswith("without a threshold the ranking counts: AUROC")


def test_where_all_have_a_threshold_a_line_says_so(tmp_path):
    _, found = told_of(folder(tmp_path / "part", 60, plain=False))
    assert list(in_a_sweep(found)) == [
        "a threshold at 5 % false alarms takes 19 normal images to calibrate with; there are:"
        " PatchCore 60; APC and PRNet 20"
    ]
    assert found[1].sentence().startswith("APC and PRNet calibrate a threshold on 20 normal images")


def test_another_rate_takes_another_number(tmp_path):
    _, found = told_of(folder(tmp_path / "part", 40, plain=False), false_alarms=0.1)
    assert [(one.needed, one.photos_needed, one.enough) for one in found] == [
        (9, 9, True),
        (9, 18, True),
    ]


def test_photos_that_are_many_but_of_few_parts_are_asked_for_by_parts(tmp_path):
    _, found = told_of(folder(tmp_path / "part", 40, plain=False, a_group=15))
    assert found[1].sentence() == (
        "no threshold for APC and PRNet: photos of one part stay together, so 15 of 40 normal"
        " training photos calibrate, 5 % false alarms take 19; photograph more parts"
    )


def test_where_seeds_hold_out_unequal_numbers_the_fewest_count(tmp_path):
    root = folder(tmp_path / "data" / "part", 40, plain=False, a_group=9)
    seeds = tuple(range(10))
    category, found = told_of(root, seeds=seeds)
    held = [len(hold_out(category, read_dataset(root).name, seed)) for seed in seeds]
    assert found[1].images == min(held) < max(held)
